"""Two applications in one process, and a middleware around them."""

from collections.abc import Iterable
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment


def answer(environ: WSGIEnvironment, start_response: StartResponse, name: str) -> Iterable[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain; charset=utf-8")])
    return [f"{name} at {environ['SCRIPT_NAME'] or '/'}, {environ['PATH_INFO'] or '/'}\n".encode()]


def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    return answer(environ, start_response, "the shop")


def admin(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    return answer(environ, start_response, "its administration")


def tell_path(app: WSGIApplication) -> WSGIApplication:
    """Add the path that was asked for to every response."""

    def wrapped(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        def start(status, headers, exc_info=None):
            return start_response(status, [*headers, ("X-Path", environ["REQUEST_URI"])], exc_info)

        return app(environ, start)

    return wrapped
