"""What the master executes: ``python _boot.py worker|template PADDING``, and ``penstock check``: ``_boot.py check``.

It finds the extension module that fits this Python and hands over to it. It runs in the application's Python, which may
be another than the one Penstock is installed in, and in every worker: it imports nothing that the application may not
need. The padding is room for the process title.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False  # typing itself would cost memory in every worker
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import ModuleType

HERE = os.path.dirname(os.path.abspath(__file__))

EXIT_START = 3


def find_core() -> ModuleType:
    """Import ``penstock._core``: our own, if it fits this Python's ABI, else the one of this environment.

    Raises
    ------
    ImportError
        There is none of either.
    """
    sys.path.insert(0, os.path.dirname(HERE))
    try:
        import penstock._core as core
    except ImportError:
        sys.modules.pop("penstock", None)
    else:
        return core
    finally:
        del sys.path[0]
    import penstock._core as core

    return core


def load(options: Mapping[str, object]) -> object:
    """Load the application; the loader itself is imported only where one is loaded."""
    from penstock._load import load as load_application

    return load_application(options)


def look(before: frozenset[tuple[int, str]] | None) -> object:
    """Return what is open and runs, for a later call, or, given that, what cannot be shared of what came since."""
    from penstock import _preload

    if before is None:
        return _preload.snapshot()
    return _preload.left_behind(before)


def main() -> int:
    """Live as a worker or template and return the exit status."""
    role = sys.argv[1]
    del sys.argv[1:]
    if sys.path and sys.path[0] == HERE:
        del sys.path[0]
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(line_buffering=True)
    try:
        core = find_core()
    except ImportError as error:
        version = ".".join(map(str, sys.version_info[:3]))
        print(
            f"penstock: no extension module for Python {version} of {sys.prefix} ({error}). Install penstock there: "
            f"{sys.executable} -m pip install penstock",
            file=sys.stderr,
        )
        return EXIT_START
    if role == "check":
        from penstock._load import check

        return check()
    serve: Callable[..., int] = core.serve
    return serve(role, load, look)


if __name__ == "__main__":
    sys.exit(main())
