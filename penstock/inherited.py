"""Listening sockets that penstock was started with: by systemd, by another service manager, or by a shell.

systemd passes them from descriptor 3 on and says so in three variables (sd_listen_fds(3)): ``LISTEN_PID``, for whom
they are; ``LISTEN_FDS``, how many; ``LISTEN_FDNAMES``, what they are called.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass

from penstock.options import suggestion
from penstock.settings import ConfigurationError, Problem, Settings

FIRST = 3
"""The first descriptor that systemd passes (SD_LISTEN_FDS_START)."""

LEAST = 10
"""Sockets are moved here and above, out of the way of what the master needs below."""

VARIABLES = ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES")


@dataclass(frozen=True, slots=True)
class Passed:
    """A descriptor that systemd passed, and what it is called there."""

    number: int
    name: str


def passed(environment: Mapping[str, str]) -> list[Passed]:
    """Return the descriptors that systemd passed to this very process."""
    count = environment.get("LISTEN_FDS", "")
    if environment.get("LISTEN_PID") != str(os.getpid()) or not count.isdigit():
        return []
    names = environment.get("LISTEN_FDNAMES", "").split(":")
    names += ["unknown"] * int(count)
    return [Passed(FIRST + i, names[i] or "unknown") for i in range(min(int(count), 1024))]


def _is_open(number: int) -> bool:
    try:
        fcntl.fcntl(number, fcntl.F_GETFD)
    except (OSError, OverflowError):
        return False
    return True


def _numbers(word: str, there: list[Passed]) -> list[int]:
    """Return the descriptors that ``fd://WORD`` means; ValueError with a sentence where it means none."""
    if not word.isdigit():
        numbers = [one.number for one in there if one.name == word]
        if numbers:
            return numbers
        names = list(dict.fromkeys(one.name for one in there))
        hint = suggestion(word, names) or f"; it passed {', '.join(names)}"
        raise ValueError(
            f'systemd passed no socket "{word}"{hint if names else ": it passed none"}'
        )
    if word in ("1", "2"):
        raise ValueError(f"descriptor {word} is a standard stream")
    if not _is_open(int(word)):
        raise ValueError(f"descriptor {word} is not open: penstock was not started with it")
    return [int(word)]


def _find(listen: list[Settings], there: list[Passed]) -> list[tuple[Settings, int | None]]:
    """Return each listener with its descriptor; one that stands for several is repeated."""
    found: list[tuple[Settings, int | None]] = []
    problems: list[Problem] = []
    taken: dict[int, str] = {}
    for listener in listen:
        address = listener["address"]
        if listener["kind"].value != "fd":
            found.append((listener, None))
            continue
        try:
            numbers = _numbers(str(address.value).removeprefix("fd://"), there)
        except ValueError as error:
            problems.append(address.problem(str(error)))
            continue
        for number in numbers:
            if number in taken:
                text = f"descriptor {number} is listened on already ({taken[number]})"
                problems.append(address.problem(text))
            taken.setdefault(number, address.where)
            found.append((listener, number))
    if problems:
        raise ConfigurationError(problems)
    return found


def _let_go(number: int) -> None:
    """Close a descriptor; the standard input becomes /dev/null instead, lest a file take its number."""
    if number > 2:
        os.close(number)
        return
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, number)
    os.close(null)


def take(
    listen: list[Settings], environment: MutableMapping[str, str]
) -> tuple[list[Settings], list[Passed]]:
    """Fill in the descriptors of all listeners ``fd://…``, and let go of what systemd passed otherwise.

    The descriptors are moved to where the master leaves them, and survive ``execv``; the variables that told of them
    are taken out of the environment, so that no other program believes they are meant for it.

    Returns
    -------
    tuple
        The listeners, and what was passed without a listener for it, which is closed.

    Raises
    ------
    ConfigurationError
        A listener's descriptor is not there, or is named twice.
    """
    there = [one for one in passed(environment) if _is_open(one.number)]
    found = _find(listen, there)
    moved: list[Settings] = []
    for listener, number in found:
        if number is not None:
            place = fcntl.fcntl(number, fcntl.F_DUPFD, LEAST)
            listener = {**listener, "listen-fd": listener["address"].with_value(place)}
        moved.append(listener)
    used = {number for _, number in found if number is not None}
    unused = [one for one in there if one.number not in used]
    for number in used.union(one.number for one in unused):
        _let_go(number)
    for name in VARIABLES:
        environment.pop(name, None)
    return moved, unused
