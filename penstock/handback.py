"""Handing the configuration back to a running master, for a reload.

A master that reloads runs the command that started it again. Its environment then holds :data:`VARIABLE`: the launcher
checks everything as ever, writes the canonical configuration into the descriptor that the master left it, and ends.
The variable names the listeners that penstock was once started with (``fd://3 fd://4``): the master has them still, and
finds them by these names in what it is given.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping

VARIABLE = "_PENSTOCK_HAND_BACK"
RESULT = 3
"""The descriptor that takes the configuration (CHECKER_RESULT in src/master/checker.h)."""

TERMINAL = 4
"""The master's own standard error: ours only gathers what it is to log."""


def is_wanted() -> bool:
    """Tell whether a master waits for the configuration."""
    return VARIABLE in os.environ


def passed(environment: Mapping[str, str]) -> list[str]:
    """Return the listeners that penstock was started with, when a master says so."""
    return environment.get(VARIABLE, "").split()


def terminal() -> bool:
    """Tell whether the server's standard error is a terminal."""
    return os.isatty(TERMINAL if is_wanted() else 2)


def command() -> list[str]:
    """Return the command that runs this launcher again."""
    return [sys.executable, *sys.orig_argv[1:]]


def directory(environment: Mapping[str, str]) -> str:
    """Return the folder in which it was started, as its user named it: a link in it may lead elsewhere by then."""
    named = environment.get("PWD", "")
    try:
        if os.path.isabs(named) and os.path.samefile(named, "."):
            return named
    except OSError:
        pass
    return os.getcwd()


def write(content: bytes) -> None:
    """Give the master its configuration."""
    with open(RESULT, "wb", closefd=False) as stream:
        stream.write(content)
