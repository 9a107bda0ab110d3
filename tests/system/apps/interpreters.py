"""An application that has made another interpreter, and whose chunks run Python code when they are let go."""

import atexit

try:
    import _interpreters
except ImportError:  # before Python 3.13
    import _xxsubinterpreters as _interpreters

atexit.register(_interpreters.destroy, _interpreters.create())
gone = []


class Chunk(bytes):
    def __del__(self):
        gone.append(len(self))


def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    if environ["PATH_INFO"] == "/gone":
        return [str(len(gone)).encode()]
    return [Chunk(1 << 20) for _ in range(20)]
