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
import time

PATIENCE = 0.25
"""Seconds."""

KINDS = {"eventpoll": "an event loop (epoll)", "eventfd": "an eventfd", "inotify": "an inotify"}


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


def _tasks() -> list[int]:
    """Return the threads but for the main one."""
    return [number for number in _entries("/proc/self/task") if number != os.getpid()]


def _names() -> dict[int | None, str]:
    """Return the names of Python's threads, by the kernel's number."""
    if "threading" not in sys.modules:
        return {}
    return {thread.native_id: thread.name for thread in sys.modules["threading"].enumerate()}


def _await_ends() -> None:
    """Wait a moment for threads that Python has forgotten: one that was joined is there until the kernel is done."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end and not set(_tasks()) <= set(_names()):
        time.sleep(PATIENCE / 50)


def _name(number: int) -> str | None:
    """Return the name of a thread that is not Python's; None when it has ended."""
    try:
        with open(f"/proc/self/task/{number}/comm") as file:
            return f"{file.read().strip()}, not of Python"
    except OSError:
        return None


def _threads() -> list[str]:
    _await_ends()
    known = _names()
    names = [known.get(number) or _name(number) for number in _tasks()]
    return [f"a thread ({name})" for name in names if name is not None]


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
        return KINDS.get(name, f"a descriptor of the kernel's ({name})")
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
