"""What /proc tells of a process."""

from __future__ import annotations

import os
from pathlib import Path


def descriptors(pid: int) -> list[str]:
    """Return what a process's descriptors lead to, as in ``socket:[4711]``."""
    found = []
    for name in os.listdir(f"/proc/{pid}/fd"):
        try:
            found.append(os.readlink(f"/proc/{pid}/fd/{name}"))
        except FileNotFoundError:  # closed meanwhile
            continue
    return found


def sockets(pid: int) -> int:
    """Count the sockets of a process."""
    return sum(one.startswith("socket:") for one in descriptors(pid))


def limits(pid: int) -> tuple[int, int]:
    """Return a process's soft and hard limit of descriptors."""
    for line in Path(f"/proc/{pid}/limits").read_text().splitlines():
        if line.startswith("Max open files"):
            soft, hard = line.split()[3:5]
            return int(soft), int(hard)
    raise AssertionError("no limit of descriptors")


def variables(pid: int) -> dict[str, str]:
    """Return the environment that a process was started with."""
    text = Path(f"/proc/{pid}/environ").read_bytes().decode(errors="surrogateescape")
    return dict(one.split("=", 1) for one in text.split("\0") if "=" in one)


def connections(port: int) -> int:
    """Count the TCP connections at this end of 127.0.0.1 that the process there has not closed."""
    count = 0
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        local, _, state = line.split()[1:4]
        here = int(local.partition(":")[2], 16) == port
        count += here and state in ("01", "08")  # ESTABLISHED, CLOSE_WAIT
    return count
