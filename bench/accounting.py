"""What a tree of processes costs: CPU time to the nanosecond, and memory.

CPU time is each process's own CPU clock (clock_getcpuclockid(3)): the sum of what /proc/PID/task/*/schedstat shows for
its threads, from the same counter of the scheduler, plus what threads that ended have used. A process that ends between
two readings leaves its time, in ticks of 10 ms, with the parent that waited for it (cutime and cstime).
"""

import os
import time
from array import array
from dataclasses import dataclass
from pathlib import Path

PAGE = os.sysconf("SC_PAGESIZE")
PRESENT, FRAME = 1 << 63, (1 << 55) - 1
TICK = 1_000_000_000 // os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Process:
    pid: int
    parent: int
    started: int
    children_ns: int
    """CPU time of its children that ended and were waited for."""


def read_process(pid: int) -> Process | None:
    """Read /proc/PID/stat (proc(5)); None if the process is gone."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    fields = text.rpartition(")")[2].split()  # from field 3 on
    return Process(pid, int(fields[1]), int(fields[19]), (int(fields[13]) + int(fields[14])) * TICK)


def tree(root: int) -> list[Process]:
    """Return the process and all that descend from it."""
    processes = [read_process(int(name)) for name in os.listdir("/proc") if name.isdigit()]
    children: dict[int, list[Process]] = {}
    for process in processes:
        if process is not None:
            children.setdefault(process.parent, []).append(process)
    top = read_process(root)
    found = [] if top is None else [top]
    for process in found:  # grows while it is walked
        found += children.get(process.pid, [])
    return found


def cpu_clock(pid: int) -> int:
    """Return the CPU time of a process in nanoseconds; CPUCLOCK_SCHED is 2, in the kernel's posix-timers.h."""
    return time.clock_gettime_ns((~pid << 3) | 2)


@dataclass(frozen=True)
class Reading:
    """CPU time of each process of a tree at one moment: by pid and start time, so that a reused pid is another one."""

    own: dict[tuple[int, int], int]
    children: dict[tuple[int, int], int]


def read_cpu(root: int) -> Reading:
    own: dict[tuple[int, int], int] = {}
    children: dict[tuple[int, int], int] = {}
    for process in tree(root):
        key = process.pid, process.started
        try:
            own[key] = cpu_clock(process.pid)
        except OSError:
            continue
        children[key] = process.children_ns
    return Reading(own, children)


def cpu_between(before: Reading, after: Reading) -> int:
    """Return the CPU time in nanoseconds that the tree used between two readings."""
    living = sum(ns - before.own.get(key, 0) for key, ns in after.own.items())
    waited_for = sum(ns - before.children.get(key, 0) for key, ns in after.children.items())
    gone = [key for key in before.own if key not in after.own]
    known = sum(before.own[key] + before.children[key] for key in gone)
    return living + max(0, waited_for - known)


def pss(root: int) -> int:
    """Return the memory of the tree in bytes: pages that are shared count in proportion (smaps_rollup, proc(5))."""
    total = 0
    for process in tree(root):
        try:
            text = Path(f"/proc/{process.pid}/smaps_rollup").read_text()
        except OSError:
            continue
        total += sum(
            int(line.split()[1]) * 1024 for line in text.splitlines() if line.startswith("Pss:")
        )
    return total


def memory_alone(root: int) -> int | None:
    """Return the memory of the tree in bytes as if nothing else ran: every page that it maps, once.

    PSS divides the interpreter's own code among all that run it, this program among them. Page frames tell
    (/proc/PID/pagemap), but to root alone: None for others.
    """
    frames: set[int] = set()
    for process in tree(root):
        try:
            frames |= page_frames(process.pid)
        except OSError:
            continue
    return len(frames) * PAGE if frames else None


def page_frames(pid: int) -> set[int]:
    frames: set[int] = set()
    ranges = [
        line.split()[0].split("-") for line in Path(f"/proc/{pid}/maps").read_text().splitlines()
    ]
    with Path(f"/proc/{pid}/pagemap").open("rb", buffering=0) as pagemap:
        for begin, end in ((int(a, 16), int(b, 16)) for a, b in ranges):
            if begin >= 1 << 47:  # the kernel's own
                continue
            pagemap.seek(begin // PAGE * 8)
            entries = array("Q", pagemap.read((end - begin) // PAGE * 8))
            frames.update(entry & FRAME for entry in entries if entry & PRESENT)
    frames.discard(0)
    return frames


def core_busy(core: int) -> int:
    """Return the time in nanoseconds that a core has not been idle since it started (/proc/stat)."""
    line = next(
        line
        for line in Path("/proc/stat").read_text().splitlines()
        if line.startswith(f"cpu{core} ")
    )
    user, nice, system, _idle, _iowait, irq, softirq, steal = map(int, line.split()[1:9])
    return (user + nice + system + irq + softirq + steal) * TICK
