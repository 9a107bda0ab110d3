"""A generator of 16 pieces of 1 KiB, its length unknown to the server."""

from collections.abc import Iterable, Iterator
from wsgiref.types import StartResponse, WSGIEnvironment

PIECE = b"x" * 1024


def pieces() -> Iterator[bytes]:
    for _ in range(16):
        yield PIECE


def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain")])
    return pieces()
