"""Tells the wsgi.* keys of environ, and spoils its environ afterwards."""

import json


def application(environ, start_response):
    keys = {
        key: value
        for key, value in environ.items()
        if key.startswith("wsgi.") and isinstance(value, (bool, tuple, str))
    }
    keys["types"] = [
        type(environ["wsgi.input"]).__name__,
        type(environ["wsgi.errors"]).__name__,
        type(environ["wsgi.file_wrapper"]).__name__,
        type(environ).__name__,
    ]
    keys["changed"] = "own.key" not in environ
    environ["own.key"] = 1
    environ["wsgi.url_scheme"] = "gopher"
    environ["wsgi.version"] = None
    start_response("200 OK", [])
    return [json.dumps(keys).encode()]
