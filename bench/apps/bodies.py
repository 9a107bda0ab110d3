"""Bodies of the size that the path names: /10240 answers 10 KiB, made once."""

from collections.abc import Iterable
from functools import cache
from wsgiref.types import StartResponse, WSGIEnvironment


@cache
def body(path: str) -> bytes:
    return b"x" * int(path.removeprefix("/"))


def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    answer = body(environ["PATH_INFO"])
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(answer)))])
    return [answer]
