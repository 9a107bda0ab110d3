"""Tells which process, user and Python answer."""

import json
import os
import sys


def application(environ, start_response):
    body = json.dumps(
        {
            "pid": os.getpid(),
            "uid": os.geteuid(),
            "gid": os.getegid(),
            "prefix": sys.prefix,
            "peer": environ.get("REMOTE_ADDR"),
            "listen": [name for name in os.environ if name.startswith("LISTEN_")],
        }
    ).encode()
    start_response(
        "200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
    )
    return [body]
