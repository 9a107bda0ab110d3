"""Reads bodies in every way, and answers at length."""

import hashlib
import os
import threading
import time

BLOCK = bytes(range(256)) * 256  # 64 KiB


def pieces_of(stream, way):
    """Yield the body as `way` reads it: a method's name, or a number of bytes for each read()."""
    if way.isdigit():
        yield from iter(lambda: stream.read(int(way)), b"")
    elif way == "readline":
        yield from iter(stream.readline, b"")
    elif way == "readline100":
        yield from iter(lambda: stream.readline(100), b"")
    elif way == "readlines":
        yield from stream.readlines()
    elif way == "iterate":
        yield from stream
    else:
        yield stream.read()


def digest(environ, way):
    """Tell what came: the digest, its length, the pieces, and what the environ said before."""
    whole, length, count = hashlib.sha256(), 0, 0
    for piece in pieces_of(environ["wsgi.input"], way):
        whole.update(piece)
        length += len(piece)
        count += 1
    said = environ.get("CONTENT_LENGTH"), environ.get("HTTP_TRANSFER_ENCODING")
    return f"{whole.hexdigest()} {length} {count} {said[0]} {said[1]}"


def in_thread(environ, way):
    """The same by another thread than the one that was called."""
    result = []

    def work():
        try:
            result.append(digest(environ, way))
        except Exception as error:
            result.append(f"{type(error).__name__}: {error}")

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    return result[0]


def late(environ, path):
    """Read only when a file is there."""
    while not os.path.exists("/" + path):
        time.sleep(0.01)
    return digest(environ, "65536")


def caught(environ, way):
    """Tell which exception reading raised."""
    try:
        return digest(environ, way)
    except Exception as error:
        again = ""
        try:
            environ["wsgi.input"].read(1)
        except Exception as second:
            again = type(second).__name__
        return f"{type(error).__name__} {isinstance(error, OSError)} {again}: {error}"


def blocks(count, fail=False):
    for _ in range(count):
        yield BLOCK
    if fail:
        raise RuntimeError("in the middle")


def echoes(stream):
    """Answer each line as it comes."""
    for line in stream:
        yield b"got " + line


def application(environ, start_response):
    name, _, argument = environ["PATH_INFO"][1:].partition("/")
    headers = [("X-Thread", threading.current_thread().name)]
    if environ["QUERY_STRING"]:
        headers.append(("Content-Length", environ["QUERY_STRING"]))
    start_response("200 OK", headers)
    if name == "blocks":
        return blocks(int(argument))
    if name == "fail":
        return blocks(int(argument), fail=True)
    if name == "list":
        return [BLOCK] * int(argument)
    if name == "file":
        return environ["wsgi.file_wrapper"](open("/" + argument, "rb"))
    if name == "echoes":
        return echoes(environ["wsgi.input"])
    if name == "read_late":
        return (digest(environ, way).encode() for way in [argument])
    if name == "some":
        return [environ["wsgi.input"].read(int(argument))]
    answer = {"digest": digest, "in_thread": in_thread, "caught": caught, "late": late}.get(name)
    return [answer(environ, argument).encode() if answer else b"nothing read"]
