# mypy: disable-error-code="import-untyped,import-not-found"
"""Serves MODULE:OBJECT with FastWSGI, as its README shows: with_fastwsgi.py MODULE:OBJECT HOST PORT.

TCP_NODELAY is set: without it a body that takes more than one write waits for the client's delayed ACK.
"""

import sys
from importlib import import_module

import fastwsgi

sys.path.insert(0, "")
module, _, name = sys.argv[1].partition(":")
fastwsgi.server.tcp_nodelay = 1
fastwsgi.run(getattr(import_module(module), name), sys.argv[2], int(sys.argv[3]))
