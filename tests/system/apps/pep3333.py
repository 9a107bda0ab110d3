"""One small application for each thing that PEP 3333 says; the path names it."""

import gc
import io
import json
import os
import sys
import tempfile
import threading
import time
from urllib.parse import parse_qs

kept = {}
closed = []


def answer(start_response, value):
    body = json.dumps(value, sort_keys=True).encode()
    start_response("200 OK", [("Content-Type", "application/json")])
    return [body]


def plain(start_response, status="200 OK", headers=(), *exc_info):
    return start_response(status, [("Content-Type", "text/plain"), *headers], *exc_info)


class Closing:
    """An iterable that counts how often it is closed."""

    def __init__(self, name, chunks, fail=None):
        self.name = name
        self.chunks = iter(chunks)
        self.fail = fail

    def __iter__(self):
        return self

    def __next__(self):
        chunk = next(self.chunks, None)
        if chunk is not None:
            return chunk
        if self.fail:
            raise self.fail
        raise StopIteration

    def close(self):
        closed.append(self.name)


# wsgi.input


def read_in_ways(environ, start_response, query):
    """Call methods of wsgi.input as the query says, each as name or name:argument."""
    results = []
    for call in query["calls"].split(","):
        name, _, argument = call.partition(":")
        arguments = [] if not argument else [None if argument == "None" else int(argument)]
        result = getattr(environ["wsgi.input"], name)(*arguments)
        results.append(
            [line.decode() for line in result] if isinstance(result, list) else result.decode()
        )
    return answer(start_response, results)


def iterate_input(environ, start_response, query):
    return answer(start_response, [line.decode() for line in environ["wsgi.input"]])


def input_errors(environ, start_response, query):
    errors = []
    for arguments in [("x",), (1.5,), (1, 2), (1 << 80,)]:
        try:
            environ["wsgi.input"].read(*arguments)
        except Exception as error:
            errors.append(type(error).__name__)
    return answer(start_response, errors)


def body_size(environ, start_response, query):
    data = environ["wsgi.input"].read()
    return answer(
        start_response,
        [len(data), environ.get("CONTENT_LENGTH"), environ.get("HTTP_TRANSFER_ENCODING")],
    )


# What outlives its call


def keep(environ, start_response, query):
    kept["environ"] = environ
    kept["input"] = environ["wsgi.input"]
    kept["start"] = start_response
    kept["write"] = plain(start_response)
    return [b"kept"]


def use_kept(environ, start_response, query):
    calls = [
        lambda: kept["input"].read(),
        lambda: kept["input"].readline(),
        lambda: kept["input"].readlines(),
        lambda: next(kept["input"]),
        lambda: kept["start"]("200 OK", []),
        lambda: kept["write"](b"x"),
    ]
    errors = []
    for call in calls:
        try:
            call()
        except Exception as error:
            errors.append(f"{type(error).__name__}: {error}")
    kept["input"] = environ["wsgi.input"]
    return answer(start_response, errors)


def kept_is_other(environ, start_response, query):
    """What was kept is not what a later request gets."""
    same = [environ["wsgi.input"] is kept["input"], start_response is kept["start"]]
    return answer(start_response, same)


# start_response


def start(environ, start_response, query):
    """Call start_response as the body says, a Python expression for its arguments."""
    arguments = eval(environ["wsgi.input"].read().decode())
    try:
        start_response(*arguments)
    except Exception as error:
        return answer(start_response, f"{type(error).__name__}: {error}")
    return [b"started"]


def start_badly(environ, start_response, query):
    start_response("200 OK\r\nX: y", [])
    return [b"never"]


def start_twice(environ, start_response, query):
    plain(start_response)
    plain(start_response)
    return [b"never"]


def start_again(environ, start_response, query):
    plain(start_response, headers=[("Content-Length", "5")])
    try:
        raise ValueError("something")
    except ValueError:
        plain(start_response, "500 Oh", [("X-Second", "yes")], sys.exc_info())
    return [b"replaced"]


def start_again_by_name(environ, start_response, query):
    plain(start_response)
    start_response("201 Named", [], exc_info=(None, None, None))
    return [b""]


def start_again_late(environ, start_response, query):
    plain(start_response)
    yield b"begun"
    try:
        raise ValueError("too late")
    except ValueError:
        start_response("500 Oh", [], sys.exc_info())
    yield b"never"


def start_late(environ, start_response, query):
    yield b""
    plain(start_response)
    yield b"late"


def start_never(environ, start_response, query):
    return [b"nothing"]


def start_never_iterated(environ, start_response, query):
    yield b"nothing"


def start_never_empty(environ, start_response, query):
    yield from ()


def head_of_none(environ, start_response, query):
    plain(start_response)
    return Closing("head_of_none", [b"", b""])


def hop_by_hop(environ, start_response, query):
    plain(
        start_response,
        headers=[("Connection", "keep-alive, X-Own"), ("Keep-Alive", "timeout=5"), ("X-Own", "1")],
    )
    return [b"dropped"]


def connection_close(environ, start_response, query):
    plain(start_response, headers=[("Connection", "close")])
    return [b"closes"]


def write_first(environ, start_response, query):
    write = plain(start_response)
    write(b"one,")
    write(b"")
    write(b"two,")
    return [b"three"]


def write_elsewhere(environ, start_response, query):
    write = plain(start_response)
    errors = []

    def run():
        try:
            write(b"from another thread")
        except RuntimeError as error:
            errors.append(str(error).encode())

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    return errors


def write_wrongly(environ, start_response, query):
    write = plain(start_response)
    errors = []
    for arguments in [("text",), (bytearray(b"x"),), (), (b"a", b"b")]:
        try:
            write(*arguments)
        except TypeError as error:
            errors.append(str(error))
    return [json.dumps(errors).encode()]


# The result


def returns(environ, start_response, query):
    """Return what the query names."""
    plain(start_response)
    results = {
        "str": "text",
        "bytes": b"bytes",
        "none": None,
        "int": 5,
        "list of str": ["text"],
        "list of int": [1],
        "list of bytearray": [bytearray(b"x")],
        "list of memoryview": [memoryview(b"x")],
        "generator of str": (text for text in ["text"]),
        "tuple": (b"tu", b"ple"),
        "iterator of list": iter([b"iter", b"ator"]),
        "iterator of one": iter([b"one"]),
        "set": {b"set"},
        "subclass": [type("Own", (bytes,), {})(b"own")],
    }
    return results[query["what"]]


def sized(environ, start_response, query):
    class Sized:
        def __len__(self):
            return int(query["len"])

        def __iter__(self):
            return iter(())

        def __next__(self):
            raise StopIteration

    class One(Sized):
        def __iter__(self):
            yield b"one"

    plain(start_response)
    return One()


def closes(environ, start_response, query):
    """Return an iterable that counts its close(); the query says how it ends."""
    name = query["name"]
    if query["how"] == "returned":
        plain(start_response)
        return Closing(name, [b"a", b"b"])
    if query["how"] == "empty":
        plain(start_response)
        return Closing(name, [])
    if query["how"] == "raises":
        plain(start_response)
        return Closing(name, [b"a"], ValueError("while iterating"))
    if query["how"] == "raises at once":
        plain(start_response)
        return Closing(name, [], ValueError("at once"))
    if query["how"] == "not bytes":
        plain(start_response)
        return Closing(name, ["text"])
    if query["how"] == "no start":
        return Closing(name, [b"a"])
    if query["how"] == "endless":
        plain(start_response)
        return Closing(name, iter(lambda: b"x" * 65536, None))
    if query["how"] == "head":
        plain(start_response)
        return Closing(name, [b"a"])
    raise KeyError(query["how"])


def close_raises(environ, start_response, query):
    class Raising(Closing):
        def close(self):
            closed.append(self.name)
            raise ValueError("close itself")

    plain(start_response)
    return Raising("close_raises", [b"sent"])


def closes_generator(environ, start_response, query):
    def generate():
        try:
            plain(start_response)
            while True:
                yield b"x" * 65536
        finally:
            closed.append("generator")

    return generate()


def closed_names(environ, start_response, query):
    return answer(start_response, closed)


def write_until_gone(environ, start_response, query):
    write = plain(start_response)
    try:
        while True:
            write(b"x" * 65536)
    except OSError as error:
        closed.append(type(error).__name__)
        raise


def content_length_of_head(environ, start_response, query):
    plain(start_response, headers=[("Content-Length", "7")])
    return [] if environ["REQUEST_METHOD"] == "HEAD" else [b"content"]


def many_small(environ, start_response, query):
    plain(start_response)
    return [b"%d," % i for i in range(int(query["count"]))]


# wsgi.errors


def complain(environ, start_response, query):
    errors = environ["wsgi.errors"]
    errors.write("a line of the application\n")
    errors.write("half a line")
    errors.flush()
    errors.writelines(["first of several\n", "se", "cond\n"])
    print("printed\nin two lines", file=errors)
    errors.write("forged\r\n2026-01-01T00:00:00Z error forged\x1b[2J \udcff\u20ac\n")
    kept["errors"] = errors
    return answer(start_response, errors.write("x\n"))


def complain_in_thread(environ, start_response, query):
    def run():
        time.sleep(0.05)
        kept["errors"].write("from a thread between requests\n")

    threading.Thread(target=run).start()
    return answer(start_response, None)


def complain_wrongly(environ, start_response, query):
    errors = []
    for call in (
        lambda: environ["wsgi.errors"].write(b"bytes"),
        lambda: environ["wsgi.errors"].writelines(["a\n", 5]),
        lambda: environ["wsgi.errors"].writelines(5),
    ):
        try:
            call()
        except TypeError as error:
            errors.append(str(error))
    return answer(start_response, errors)


def complain_at_length(environ, start_response, query):
    environ["wsgi.errors"].write("x" * 300_000 + "\n")
    return answer(start_response, None)


# Exceptions


def raises(environ, start_response, query):
    error = {
        "ValueError": ValueError("a value"),
        "SystemExit": SystemExit(3),
        "KeyboardInterrupt": KeyboardInterrupt(),
        "GeneratorExit": GeneratorExit(),
        "MemoryError": MemoryError(),
        "surrogate": ValueError("\udcff"),
        "RecursionError": None,
    }[query["what"]]
    if error is None:
        return raises(environ, start_response, query)
    if query.get("started"):
        plain(start_response)
    raise error


def raises_late(environ, start_response, query):
    plain(start_response)
    yield b"begun"
    raise SystemExit


# Files


def file(environ, start_response, query):
    opened = open(query["path"], "rb", int(query.get("buffering", "-1")))  # noqa: SIM115
    opened.seek(int(query.get("seek", "0")))
    if query.get("read"):
        opened.read(int(query["read"]))
    headers = [("Content-Length", query["length"])] if "length" in query else []
    plain(start_response, headers=headers)
    kept["file"] = opened
    return environ["wsgi.file_wrapper"](opened, 4096)


def file_is_closed(environ, start_response, query):
    return answer(start_response, kept["file"].closed)


def temporary(environ, start_response, query):
    opened = tempfile.TemporaryFile()  # noqa: SIM115
    opened.write(b"temporary content")
    opened.seek(10)
    plain(start_response)
    return environ["wsgi.file_wrapper"](opened)


def bytes_io(environ, start_response, query):
    plain(start_response)
    return environ["wsgi.file_wrapper"](io.BytesIO(b"0123456789" * 1000), 100)


def gzip_file(environ, start_response, query):
    import gzip

    path = query["path"]
    with gzip.open(path, "wb") as out:
        out.write(b"uncompressed")
    plain(start_response)
    return environ["wsgi.file_wrapper"](gzip.open(path))


def pipe(environ, start_response, query):
    read, write = os.pipe()
    os.write(write, b"through a pipe")
    os.close(write)
    plain(start_response)
    return environ["wsgi.file_wrapper"](open(read, "rb"))


def text_file(environ, start_response, query):
    plain(start_response)
    return environ["wsgi.file_wrapper"](open(query["path"]))


class Reader:
    """A file-like object with nothing but read()."""

    def __init__(self, blocks):
        self.blocks = blocks

    def read(self, size):
        return self.blocks.pop(0)[:size] if self.blocks else b""


def only_read(environ, start_response, query):
    plain(start_response)
    return environ["wsgi.file_wrapper"](Reader([b"no ", b"fileno"]))


def wrapper_itself(environ, start_response, query):
    """The wrapper is an iterable like any other, too."""
    wrapper = environ["wsgi.file_wrapper"](io.BytesIO(b"abcdef"), block_size=4)
    chunks = [chunk.decode() for chunk in wrapper]
    wrapper.close()
    errors = []
    for arguments in [(), (io.BytesIO(), 0), (io.BytesIO(), "x")]:
        try:
            environ["wsgi.file_wrapper"](*arguments)
        except (TypeError, ValueError) as error:
            errors.append(type(error).__name__)
    closed_without = environ["wsgi.file_wrapper"](Reader([])).close()
    return answer(start_response, [chunks, errors, closed_without])


def closed_file(environ, start_response, query):
    opened = open(query["path"], "rb")  # noqa: SIM115
    opened.close()
    plain(start_response)
    return environ["wsgi.file_wrapper"](opened)


def blocks(environ, start_response, query):
    """How many blocks of memory Python has given out, all garbage collected."""
    gc.collect()
    return answer(start_response, sys.getallocatedblocks())


def descriptors(environ, start_response, query):
    return answer(start_response, len(os.listdir("/proc/self/fd")))


def application(environ, start_response):
    query = {name: values[0] for name, values in parse_qs(environ["QUERY_STRING"]).items()}
    return globals()[environ["PATH_INFO"][1:]](environ, start_response, query)
