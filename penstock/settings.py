"""Settings: a value and where it comes from; and problems: what is wrong and where it stands."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from penstock.options import Value


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that is wrong: the place, as ``penstock.toml:12`` or ``--workers``, and a sentence."""

    where: str
    text: str
    usage: bool = False

    def __str__(self) -> str:
        return f"{self.where}: {self.text}"


class Source(Enum):
    """Who said it, the one that counts most first."""

    COMMAND = "command line"
    ENVIRONMENT = "environment"
    FILE = "file"
    PLATFORM = "a variable of the platform"
    DEFAULT = "default"


@dataclass(frozen=True, slots=True)
class Setting:
    """A value and where it comes from.

    ``where`` is a place as in `Problem`; ``items`` are the places of a list's items where they have their own.
    """

    value: Value
    where: str = "default"
    source: Source = Source.DEFAULT
    items: tuple[str, ...] = ()

    def problem(self, text: str, item: int | None = None) -> Problem:
        """Return a problem with this setting, or with one item of its list."""
        where = self.items[item] if item is not None and item < len(self.items) else self.where
        return Problem(where, text, self.source is Source.COMMAND)

    def with_value(self, value: Value) -> Setting:
        """Return another value from the same place."""
        return Setting(value, self.where, self.source)


Settings = dict[str, Setting]


@dataclass(slots=True)
class Section:
    """The settings of one table of a file, or of a whole source, by the options' names.

    ``wrong`` names the options that stand there with a value that cannot be used.
    """

    where: str
    settings: Settings = field(default_factory=dict)
    wrong: set[str] = field(default_factory=set)


def in_order(problems: list[Problem]) -> list[Problem]:
    """Return problems without repeats, those of one file together and by line."""
    first: dict[str, int] = {}
    keys: dict[Problem, tuple[int, int]] = {}
    for problem in problems:
        place, _, line = problem.where.rpartition(":")
        place, number = (place, int(line)) if place and line.isdigit() else (problem.where, 0)
        keys.setdefault(problem, (first.setdefault(place, len(first)), number))
    return sorted(keys, key=keys.__getitem__)


class ConfigurationError(Exception):
    """The configuration cannot be used; it holds every problem that was found."""

    def __init__(self, problems: list[Problem]) -> None:
        self.problems = in_order(problems)
        super().__init__("\n".join(map(str, self.problems)))

    @property
    def status(self) -> int:
        """The exit status: 2 where the command line is wrong, else 1."""
        return 2 if any(problem.usage for problem in self.problems) else 1
