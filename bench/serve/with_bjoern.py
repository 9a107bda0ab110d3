# mypy: disable-error-code="import-untyped,import-not-found"
"""Serves MODULE:OBJECT with bjoern, as its README shows: with_bjoern.py MODULE:OBJECT HOST PORT."""

import sys
from importlib import import_module

import bjoern

sys.path.insert(0, "")
module, _, name = sys.argv[1].partition(":")
bjoern.run(getattr(import_module(module), name), sys.argv[2], int(sys.argv[3]))
