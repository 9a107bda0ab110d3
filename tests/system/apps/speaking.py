"""Says something wherever an application may."""

import sys


def application(environ, start_response):
    environ["wsgi.errors"].write("said on wsgi.errors\n")
    print("said on stderr", file=sys.stderr, flush=True)
    print("said by print", flush=True)
    start_response("200 OK", [])
    return [b"hello"]
