"""Answers of every shape; the path says which, the query carries what it needs."""

import os
import time
from urllib.parse import parse_qs

BLOCK = bytes(range(256)) * 256


def length(environ, start_response, query):
    start_response("200 OK", [("Content-Length", "5")])
    return [b"hello"]


def one(environ, start_response, query):
    start_response("200 OK", [])
    return [b"hello"]


def many(environ, start_response, query):
    start_response("200 OK", [])
    return [b"he", b"", b"l", b"lo"]


def pieces(environ, start_response, query):
    start_response("200 OK", [])
    yield from (b"", b"he", b"", b"llo")


def waiting(environ, start_response, query):
    """Yield once, then wait for a file to exist before going on."""
    start_response("200 OK", [])
    yield b"first"
    while not os.path.exists(query["until"]):
        time.sleep(0.01)
    yield b"second"


def written(environ, start_response, query):
    write = start_response("200 OK", [])
    write(b"he")
    write(b"llo")
    return [b"!"]


def empty(environ, start_response, query):
    start_response("200 OK", [])
    return []


def status(environ, start_response, query):
    start_response(query["status"], [("X-Answer", "yes")])
    return [b"" if query.get("empty") else b"content"]


def headers(environ, start_response, query):
    start_response("200 OK", [tuple(pair.split(":", 1)) for pair in query["fields"].split("|")])
    return [b"hello"]


def blocks(environ, start_response, query):
    """Yield so many blocks of 64 KiB."""
    headers = [("Content-Length", query["length"])] if "length" in query else []
    start_response("200 OK", headers)
    for _ in range(int(query["count"])):
        yield BLOCK


def list_of_blocks(environ, start_response, query):
    count = int(query["count"])
    start_response("200 OK", [("Content-Length", str(len(BLOCK) * count))])
    return [BLOCK] * count


def file(environ, start_response, query):
    size = os.path.getsize(query["path"])
    headers = (
        [("Content-Length", query.get("length", str(size)))]
        if query.get("length") != "none"
        else []
    )
    start_response("200 OK", headers)
    return environ["wsgi.file_wrapper"](open(query["path"], "rb"))


def file_from_the_middle(environ, start_response, query):
    opened = open(query["path"], "rb")  # noqa: SIM115  the server closes it
    opened.seek(int(query["at"]))
    start_response("200 OK", [])
    return environ["wsgi.file_wrapper"](opened)


def short(environ, start_response, query):
    start_response("200 OK", [("Content-Length", "100")])
    return [b"hello"]


def long(environ, start_response, query):
    start_response("200 OK", [("Content-Length", "5")])
    return [b"hel", b"lo, world"]


def raising(environ, start_response, query):
    raise ValueError("raised by the application")


def raising_late(environ, start_response, query):
    start_response("200 OK", [])
    yield b"hello"
    raise ValueError("raised late by the application")


def raising_within_length(environ, start_response, query):
    start_response("200 OK", [("Content-Length", "100")])
    yield b"hello"
    raise ValueError("raised late by the application")


def application(environ, start_response):
    query = {name: values[0] for name, values in parse_qs(environ["QUERY_STRING"]).items()}
    return globals()[environ["PATH_INFO"][1:]](environ, start_response, query)
