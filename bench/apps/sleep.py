"""Every request sleeps 10 ms, as one that waits for a database does."""

import time
from collections.abc import Iterable
from wsgiref.types import StartResponse, WSGIEnvironment

import hello


def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    time.sleep(0.01)
    return hello.app(environ, start_response)
