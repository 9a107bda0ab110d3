"""A file by wsgi.file_wrapper, or by plain reading where the server has none. $BENCH_FILE names the file."""

import os
from collections.abc import Iterable
from pathlib import Path
from wsgiref.types import StartResponse, WSGIEnvironment
from wsgiref.util import FileWrapper

FILE = Path(os.environ["BENCH_FILE"])
HEAD = [("Content-Type", "text/plain"), ("Content-Length", str(FILE.stat().st_size))]


def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", HEAD)
    answer: Iterable[bytes] = environ.get("wsgi.file_wrapper", FileWrapper)(FILE.open("rb"), 65536)
    return answer
