"""A WSGI application without a framework: a greeting, and what it read from a request."""

from collections.abc import Iterable
from wsgiref.types import StartResponse, WSGIEnvironment


def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    request = environ["REQUEST_METHOD"], environ["PATH_INFO"]
    if request in {("GET", "/"), ("HEAD", "/")}:
        return answer(start_response, "200 OK", b"Hello from Penstock.\n")
    if request == ("POST", "/echo"):
        return answer(start_response, "200 OK", environ["wsgi.input"].read())
    return answer(start_response, "404 Not Found", b"Try / or post something to /echo.\n")


def answer(start_response: StartResponse, status: str, body: bytes) -> list[bytes]:
    start_response(status, [("Content-Type", "text/plain; charset=utf-8")])
    return [body]
