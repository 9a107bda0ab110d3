"""Makes configurations as the command does, without a process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from penstock import config, words
from penstock.settings import ConfigurationError


def make(
    cwd: Path, *arguments: str, file: str | None = None, environment: dict[str, str] | None = None
) -> config.Configuration:
    """The configuration of a command line in a folder, with a penstock.toml there where one is given."""
    if file is not None:
        (cwd / "penstock.toml").write_text(file)
    line = words.read(list(arguments), cwd)
    if line.problems:
        raise ConfigurationError(line.problems)
    return config.make(line.settings, environment or {}, cwd)


def canonical(cwd: Path, *arguments: str, **more: Any) -> Any:
    return make(cwd, *arguments, **more).canonical()


def problems(cwd: Path, *arguments: str, **more: Any) -> list[str]:
    """What is wrong with a configuration."""
    try:
        make(cwd, *arguments, **more)
    except ConfigurationError as error:
        return [str(problem) for problem in error.problems]
    return []
