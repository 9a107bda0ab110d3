"""Serves MODULE:OBJECT with wsgiref, log lines left out: with_wsgiref.py MODULE:OBJECT HOST PORT."""

import sys
from importlib import import_module
from wsgiref.simple_server import WSGIRequestHandler, make_server


class Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


sys.path.insert(0, "")
module, _, name = sys.argv[1].partition(":")
application = getattr(import_module(module), name)
make_server(sys.argv[2], int(sys.argv[3]), application, handler_class=Quiet).serve_forever()
