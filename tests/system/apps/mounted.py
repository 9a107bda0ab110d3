"""Applications that tell where they are mounted, and middleware that leaves a mark."""

import json


def told(name, environ, start_response):
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps([name, environ["SCRIPT_NAME"], environ["PATH_INFO"]]).encode()]


def application(environ, start_response):
    return told("application", environ, start_response)


def other(environ, start_response):
    return told("other", environ, start_response)


def marking(name, wrapped):
    def middleware(environ, start_response):
        def start(status, headers, exc_info=None):
            return start_response(
                status, [h for h in headers if h[0] != "Content-Length"], exc_info
            )

        return [name, b"(", *wrapped(environ, start), b")"]

    return middleware


def first(wrapped):
    return marking(b"first", wrapped)


def second(wrapped):
    return marking(b"second", wrapped)
