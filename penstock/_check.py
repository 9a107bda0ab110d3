"""Loads one application in its own Python, as a worker would, and throws it away: for ``penstock check``.

``python _check.py N`` reads the application's options (JSON) from descriptor N. It exits with 0, or with 4 when the
application cannot be loaded, and then has said why. It runs in any Python that can run the application, so it imports
nothing of penstock but ``_load.py``, by its path: the package need not be on the application's path.
"""

from __future__ import annotations

import importlib.util
import json
import os
import sys
import traceback
from types import ModuleType

NOT_LOADED = 4


def _loader() -> ModuleType:
    """Return ``_load.py`` as a module."""
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "_load.py")
    spec = importlib.util.spec_from_file_location("penstock._load", path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is missing")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def main() -> int:
    """Load what the descriptor describes."""
    with open(int(sys.argv[1]), "rb") as stream:
        stream.seek(0)
        options = json.load(stream)
    loader = _loader()
    os.chdir(options["directory"])
    try:
        loader.load(options)
    except loader.LoadError as error:
        print(error, file=sys.stderr)
        return NOT_LOADED
    except BaseException:
        traceback.print_exc()
        return NOT_LOADED
    return 0


if __name__ == "__main__":
    status = main()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(status)  # threads that the application has started are not waited for
