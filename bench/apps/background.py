"""Hello, beside a thread of the application's own that wakes up every 10 ms. /ticks says how often it did."""

import threading
import time
from collections.abc import Iterable
from wsgiref.types import StartResponse, WSGIEnvironment

import hello

ticks = [0]


def tick() -> None:
    while True:
        time.sleep(0.01)
        ticks[0] += 1


threading.Thread(target=tick, daemon=True).start()


def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    if environ["PATH_INFO"] != "/ticks":
        return hello.app(environ, start_response)
    answer = str(ticks[0]).encode()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(answer)))])
    return [answer]
