"""Looks at what an import left behind in a process that workers are to be forked from.

A thread does not live on in a forked child, and the locks it held stay locked; a socket, or a file that is open for
writing, would be used by all workers at once through one offset and one stream. What is only read can be shared, and so
can a file opened for appending (logs), whose writes do not mix.

It runs in the application's Python, in the template.
"""

from __future__ import annotations

import os
import stat
import sys

ENDS = {"eventpoll": "an event loop (epoll)", "eventfd": "an eventfd", "inotify": "an inotify"}


def _entries(folder: str) -> list[int]:
    return sorted(int(name) for name in os.listdir(folder))


def snapshot() -> frozenset[tuple[int, str]]:
    """Return every open descriptor with what it leads to (proc(5), /proc/PID/fd)."""
    found = set()
    for number in _entries("/proc/self/fd"):
        try:
            found.add((number, os.readlink(f"/proc/self/fd/{number}")))
        except OSError:  # the one that listed them
            continue
    return frozenset(found)


def _threads() -> list[str]:
    known = {}
    if "threading" in sys.modules:
        threads = sys.modules["threading"].enumerate()
        known = {thread.native_id: thread.name for thread in threads}
    texts = []
    for number in _entries("/proc/self/task"):
        if number == os.getpid():
            continue
        name = known.get(number)
        if name is None:
            try:
                with open(f"/proc/self/task/{number}/comm") as file:
                    name = f"{file.read().strip()}, not of Python"
            except OSError:  # it has ended
                continue
        texts.append(f"a thread ({name})")
    return texts


def _socket(number: int) -> str:
    import socket

    try:
        with socket.socket(fileno=os.dup(number)) as found:
            if found.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                return f"a listening socket ({found.getsockname()})"
            try:
                return f"a connection to {found.getpeername()}"
            except OSError:
                return f"a socket ({found.family.name}, {found.type.name})"
    except OSError:
        return "a socket"


def _is_written(number: int) -> bool:
    """Tell whether a regular file is open for writing, and not only for appending."""
    if not stat.S_ISREG(os.fstat(number).st_mode):
        return False
    with open(f"/proc/self/fdinfo/{number}") as file:
        fields = dict(line.split(":", 1) for line in file if ":" in line)
    flags = int(fields["flags"], 8)
    return flags & os.O_ACCMODE != os.O_RDONLY and not flags & os.O_APPEND


def _descriptor(number: int, link: str) -> str | None:
    """Return what about a descriptor cannot be shared, or None."""
    kind, _, rest = link.partition(":")
    if kind == "socket":
        return _socket(number)
    if kind == "pipe":
        return "a pipe"
    if kind == "anon_inode":
        name = rest.strip("[]")
        return ENDS.get(name, f"a descriptor of the kernel's ({name})")
    try:
        return f"the file {link}, open for writing" if _is_written(number) else None
    except OSError:  # it was closed meanwhile
        return None


def left_behind(before: frozenset[tuple[int, str]]) -> list[str]:
    """Return a line for each thing that cannot be shared with forked workers.

    Parameters
    ----------
    before
        What was open before the import.

    Returns
    -------
    list of str
        Empty when workers may be forked from this process.
    """
    texts = _threads()
    for number, link in sorted(snapshot() - before):
        text = _descriptor(number, link)
        if text is not None:
            texts.append(f"{text} (descriptor {number})")
    return texts
