"""Forks where an application can, and lets the child come back to the server."""

import os


class Forking:
    """An iterable whose close() forks."""

    def __iter__(self):
        return iter([b"ok"])

    def close(self):
        os.fork()


def from_close(start_response):
    start_response("200 OK", [("Content-Length", "2")])
    return Forking()


def from_write(start_response):
    write = start_response("200 OK", [("Content-Length", "2")])
    pid = os.fork()
    write(b"ok" if pid else b"no")
    return []


def from_iterating(start_response):
    start_response("200 OK", [("Content-Length", "2")])
    yield b"o"
    yield b"k" if os.fork() else b"x"


def application(environ, start_response):
    return globals()[environ["PATH_INFO"][1:]](start_response)
