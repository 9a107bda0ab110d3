"""What the machine allows: CPUs, users, groups, descriptors, folders."""

from __future__ import annotations

import grp
import math
import os
import pwd
import resource
from dataclasses import dataclass
from pathlib import Path

from penstock.options import WrongValueError

# ---- CPUs ----


def _quota(folder: Path) -> float | None:
    """Return how many CPUs a control group (version 2, or 1) may use, None where it is not limited."""
    try:
        quota, period = (folder / "cpu.max").read_text().split()
    except (OSError, ValueError):
        try:
            quota = (folder / "cpu.cfs_quota_us").read_text().strip()
            period = (folder / "cpu.cfs_period_us").read_text().strip()
        except OSError:
            return None
    if not quota.isdigit() or not period.isdigit() or int(period) == 0:
        return None
    return int(quota) / int(period)


def _group_folders(groups: str, root: Path) -> list[Path]:
    """Return the folders of this process's control groups and of all above them.

    ``groups`` is what ``/proc/self/cgroup`` says: lines of ``hierarchy:controllers:path`` (cgroups(7)).
    """
    folders = []
    for line in groups.splitlines():
        hierarchy, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if hierarchy == "0":
            top = root
        elif "cpu" in controllers.split(","):
            top = root / "cpu"
        else:
            continue
        below = Path(path.lstrip("/"))
        folders += [top / below, *(top / parent for parent in below.parents)]
    return folders


def cpus(root: Path = Path("/sys/fs/cgroup"), groups: Path = Path("/proc/self/cgroup")) -> int:
    """Return how many CPUs this process may use: its affinity, and the quotas of its control groups, rounded up."""
    count: float = len(os.sched_getaffinity(0))
    try:
        folders = _group_folders(groups.read_text(), root)
    except OSError:
        folders = []
    for folder in folders:
        quota = _quota(folder)
        if quota is not None:
            count = min(count, quota)
    return max(1, math.ceil(count))


# ---- users ----


@dataclass(frozen=True, slots=True)
class Identity:
    """Whom a process becomes; None: it stays who it is."""

    uid: int | None = None
    gid: int | None = None
    groups: tuple[int, ...] = ()


def _user(name: str) -> tuple[int, int | None, str | None]:
    """Return a user's number, group and name."""
    try:
        entry = pwd.getpwuid(int(name)) if name.isdigit() else pwd.getpwnam(name)
    except (KeyError, OverflowError):
        if name.isdigit() and int(name) < 2**32 - 1:
            return int(name), None, None
        raise WrongValueError(f'there is no user "{name}"') from None
    return entry.pw_uid, entry.pw_gid, entry.pw_name


def group_number(name: str) -> int:
    """Return a group's number.

    Raises
    ------
    WrongValueError
        There is no such group.
    """
    if name.isdigit() and int(name) < 2**32 - 1:
        return int(name)
    try:
        return grp.getgrnam(name).gr_gid
    except KeyError:
        raise WrongValueError(f'there is no group "{name}"') from None


def identity(user: str | None, group: str | None) -> Identity:
    """Return the numbers behind a user and a group.

    Raises
    ------
    WrongValueError
        One of them does not exist, or a user without an entry has no group.
    """
    gid = group_number(group) if group is not None else None
    if user is None:
        return Identity(None, gid, () if gid is None else (gid,))
    uid, own_gid, name = _user(user)
    gid = own_gid if gid is None else gid
    if gid is None:
        raise WrongValueError(f"the user {user} has no entry, so that its group must be given, too")
    groups = tuple(os.getgrouplist(name, gid)) if name is not None else (gid,)
    return Identity(uid, gid, tuple(sorted(groups)))


def unchanged(who: Identity) -> bool:
    """Tell whether a process that may not change users already is who it shall become."""
    return os.geteuid() != 0 and who.uid in (None, os.geteuid()) and who.gid in (None, os.getegid())


def owner(text: str) -> tuple[int | None, int | None]:
    """Return the numbers of ``USER``, ``USER:GROUP`` or ``:GROUP``; None where one is not named.

    Raises
    ------
    WrongValueError
        One of them does not exist.
    """
    user, _, group = text.partition(":")
    return _user(user)[0] if user else None, group_number(group) if group else None


# ---- descriptors ----

USUAL_DESCRIPTORS = 65536
"""Far more than a worker needs by itself, and few enough for programs that close all there could be."""


def descriptors() -> int:
    """Return how many descriptors a process is given where nobody says: the hard limit, within reason."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = USUAL_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, USUAL_DESCRIPTORS)
    return most if soft == resource.RLIM_INFINITY else max(most, min(soft, 1 << 20))


def descriptors_trouble(wanted: int) -> str | None:
    """Return why a process cannot be given so many descriptors, or None."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if wanted <= hard or hard == resource.RLIM_INFINITY or os.geteuid() == 0:
        return None
    return f"the hard limit is {hard} (ulimit -Hn), and only root can raise it"


# ---- files ----


def folder_trouble(path: str) -> str | None:
    """Return why a path cannot be used as a folder, or None."""
    if os.path.isdir(path):
        return None
    reason = "is not a folder" if os.path.exists(path) else "does not exist"
    return f'the folder "{path}" {reason}'


def output_trouble(path: str) -> str | None:
    """Return why a file cannot be written, or None."""
    parent = os.path.dirname(path)
    trouble = folder_trouble(parent)
    if trouble is not None:
        return trouble
    if os.path.isdir(path):
        return f'"{path}" is a folder'
    if not os.access(path if os.path.exists(path) else parent, os.W_OK):
        return f'"{path}" cannot be written: permission denied'
    return None


def input_trouble(path: str) -> str | None:
    """Return why a file cannot be read, or None."""
    if not os.path.exists(path):
        return f'the file "{path}" does not exist'
    if os.path.isdir(path):
        return f'"{path}" is a folder'
    if not os.access(path, os.R_OK):
        return f'"{path}" cannot be read: permission denied'
    return None


def python_of(venv: str) -> str:
    """Return the interpreter of a virtual environment (PEP 405).

    Raises
    ------
    WrongValueError
        There is none.
    """
    trouble = folder_trouble(venv)
    if trouble is not None:
        raise WrongValueError(trouble)
    python = os.path.join(venv, "bin", "python")
    if not os.access(python, os.X_OK) or os.path.isdir(python):
        raise WrongValueError(f'"{venv}" is no virtual environment: there is no {python} to run')
    return python
