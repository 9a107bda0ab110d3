"""Every request takes 5 ms of CPU, as one that renders a page does."""

from collections.abc import Iterable
from wsgiref.types import StartResponse, WSGIEnvironment

import hello
import mixed


def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    mixed.burn(0.005)
    return hello.app(environ, start_response)
