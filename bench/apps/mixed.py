"""Hello, and beside it /sleep (100 ms) and /burn (500 ms of CPU in Python)."""

import time
from collections.abc import Iterable
from wsgiref.types import StartResponse, WSGIEnvironment

import hello


def burn(seconds: float) -> None:
    """Burn CPU in Python code, which never gives the GIL away by itself."""
    until = time.thread_time() + seconds
    while time.thread_time() < until:
        sum(range(100))


def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    match environ["PATH_INFO"]:
        case "/sleep":
            time.sleep(0.1)
        case "/burn":
            burn(0.5)
    return hello.app(environ, start_response)
