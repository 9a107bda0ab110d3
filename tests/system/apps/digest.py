"""Answers with the length, CONTENT_LENGTH, HTTP_TRANSFER_ENCODING and digest of the body, read in pieces."""

import hashlib
import json

calls = 0


def application(environ, start_response):
    global calls
    calls += 1
    start_response("200 OK", [("Content-Type", "application/json")])
    if environ["PATH_INFO"] == "/calls":
        return [str(calls).encode()]
    digest = hashlib.sha256()
    total = 0
    while data := environ["wsgi.input"].read(10_000):
        digest.update(data)
        total += len(data)
    fields = (environ.get("CONTENT_LENGTH"), environ.get("HTTP_TRANSFER_ENCODING"))
    return [json.dumps([total, *fields, digest.hexdigest()]).encode()]
