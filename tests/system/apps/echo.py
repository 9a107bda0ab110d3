"""Tells what it was given, and how often it was called."""

import json

calls = 0


def application(environ, start_response):
    global calls
    calls += 1
    if environ["PATH_INFO"] == "/calls":
        body = str(calls).encode()
    else:
        body = json.dumps(
            {
                "environ": {
                    name: value for name, value in environ.items() if isinstance(value, str)
                },
                "body": environ["wsgi.input"].read(-1).decode("latin-1"),
            }
        ).encode()
    start_response(
        "200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
    )
    return [body]
