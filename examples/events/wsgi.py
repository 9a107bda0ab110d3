"""Server-sent events from a generator: each is sent as soon as it is yielded."""

import time
from collections.abc import Iterable, Iterator
from wsgiref.types import StartResponse, WSGIEnvironment

PAGE = b"""<!doctype html>
<title>Events</title>
<pre id="events"></pre>
<script>
new EventSource("/events").onmessage = (event) => {
  document.getElementById("events").append(event.data + "\\n");
};
</script>
"""


def events() -> Iterator[bytes]:
    for number in range(5):
        yield f"data: {number} at {time.strftime('%H:%M:%S')}\n\n".encode()
        time.sleep(0.2)


def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    if environ["PATH_INFO"] == "/events":
        start_response("200 OK", [("Content-Type", "text/event-stream")])
        return events()
    start_response("200 OK", [("Content-Type", "text/html; charset=utf-8")])
    return [PAGE]
