#!/usr/bin/env python3
"""Fail when a folder under src/ includes what it may not.

    check_layers.py [SRC]

The two tables below are the architecture's table of folders. An include of ours is written
``"folder/file"``; without a folder it means the folder it stands in.
"""

import fnmatch
import re
import sys
from collections.abc import Iterator
from pathlib import Path

# Folder: the folders whose headers it may include, beside its own.
MAY_INCLUDE: dict[str, set[str]] = {
    "base": set(),
    "loop": {"base"},
    "proto": {"base"},
    "net": {"base", "loop"},
    "config": {"base"},
    "http": {"base", "loop", "proto", "net", "config"},
    "front": {"base", "loop", "proto", "net", "config", "http"},
    "master": {"base", "loop", "net", "config", "http"},
    "py": {"base", "loop", "proto", "net", "config", "http"},
    "apache": {"base", "proto"},
}

# Headers from outside: the files, as patterns below src/, that alone may include them.
ONLY_IN: dict[str, tuple[str, ...]] = {
    "Python.h": ("py/*",),
    "structmember.h": ("py/*",),
    "httpd.h": ("apache/*",),
    "http_*.h": ("apache/*",),
    "openssl/*": ("net/tls*",),
    "nghttp2/*": ("front/wire_h2*", "front/h2*"),
    "jansson.h": ("config/*",),
}

# Folder: headers that would give it what it must do without. The codecs do no I/O, know no time
# and allocate nothing but from the caller's arena.
NEVER: dict[str, tuple[str, ...]] = {
    "proto": (
        "base/clock.h",
        "base/log.h",
        "errno.h",
        "fcntl.h",
        "poll.h",
        "pthread.h",
        "stdio.h",
        "stdlib.h",
        "sys/*",
        "time.h",
        "unistd.h",
    ),
}

# Folder: of what it may include, the only files that may do so.
FILES: dict[tuple[str, str], tuple[str, ...]] = {
    ("master", "http"): ("master/control*",),
}

INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*["<]([^">]+)[">]', re.MULTILINE)


def matches(name: str, patterns: tuple[str, ...]) -> bool:
    """Tell whether one of the patterns fits the name."""
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


def fault(path: str, include: str) -> str | None:
    """Say what is wrong with one include, or None.

    Parameters
    ----------
    path : str
        The including file, relative to src/.
    include : str
        What stands between the quotes or brackets.
    """
    folder, target = path.split("/")[0], include.split("/")[0]
    for header, where in ONLY_IN.items():
        if fnmatch.fnmatchcase(include, header) and not matches(path, where):
            return f"only {' and '.join(where)} may include it"
    if matches(include, NEVER.get(folder, ())):
        return f"{folder} must do without it"
    if target == ".." or "/../" in include:
        return "write the path from src/ on"
    if "/" not in include or target not in MAY_INCLUDE or target == folder:
        return None
    if target not in MAY_INCLUDE[folder]:
        return f"{folder} may not include {target}"
    if not matches(path, FILES.get((folder, target), ("*",))):
        return f"only {' and '.join(FILES[folder, target])} may include {target}"
    return None


def faults(src: Path) -> Iterator[str]:
    """Yield a line ``file:line: include: reason`` for each fault under a source tree."""
    for path in sorted(p for p in src.rglob("*") if p.suffix in {".c", ".h", ".def"}):
        name = path.relative_to(src).as_posix()
        if name.split("/")[0] not in MAY_INCLUDE:
            yield f"{path}:1: the folder is not in the table of tools/check_layers.py"
            continue
        text = path.read_text(encoding="utf-8")
        for found in INCLUDE.finditer(text):
            if reason := fault(name, found[1]):
                line = text.count("\n", 0, found.start(1)) + 1
                yield f"{path}:{line}: {found[1]}: {reason}"


def main() -> int:
    """Check the tree named on the command line, or ours."""
    root = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent.parent / "src"
    lines = list(faults(root))
    print("\n".join(lines), end="\n" if lines else "")
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())
