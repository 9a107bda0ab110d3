"""The command line: words into a command, its arguments and settings."""

from __future__ import annotations

from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path

from penstock.options import (
    Option,
    Value,
    WrongValueError,
    by_word,
    from_text,
    looks_like_object,
    suggestion,
    table,
)
from penstock.settings import Problem, Setting, Settings, Source


@dataclass(frozen=True, slots=True)
class Command:
    """A command: how it is written, what it does, and whether it takes the server's options."""

    usage: str
    summary: str
    configures: bool = False
    most: int = 0


COMMANDS = {
    "run": Command("[run] [MODULE] [OPTION...]", "serves an application", True, 1),
    "check": Command(
        "check [MODULE] [OPTION...]",
        "checks configuration and application, starts nothing",
        True,
        1,
    ),
    "options": Command("options [NAME...]", "explains the options", most=1000),
    "completion": Command("completion bash|zsh|fish", "prints a shell's completion", most=1),
}
EVERYWHERE = ("help", "version", "verbose")


@dataclass(slots=True)
class CommandLine:
    """What a command line says."""

    command: str = "run"
    arguments: list[str] = field(default_factory=list)
    settings: Settings = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def flag(self, name: str) -> bool:
        """Tell whether an option of type bool was given."""
        return name in self.settings and self.settings[name].value is True


def allowed(option: Option, command: str) -> bool:
    """Tell whether a command takes an option."""
    if option.name in EVERYWHERE:
        return True
    if option.commands:
        return command in option.commands
    return COMMANDS[command].configures


class _Reader:
    """Reads one command line."""

    def __init__(self, words: list[str], base: Path) -> None:
        self.words = words
        self.base = base
        self.at = 0
        self.line = CommandLine()
        self.long = by_word()
        self.short = {o.short: o for o in table().values() if o.short and o.on_command_line}
        self.given: list[tuple[Option, str]] = []

    def wrong(self, word: str, text: str) -> None:
        self.line.problems.append(Problem(word, text, usage=True))

    def read(self) -> CommandLine:
        named = False
        while self.at < len(self.words):
            word = self.words[self.at]
            self.at += 1
            if word == "--":
                self.line.arguments += self.words[self.at :]
                break
            if word.startswith("--"):
                self.long_option(word)
            elif word.startswith("-") and word != "-":
                self.short_options(word)
            elif not named and not self.line.arguments and word in COMMANDS:
                self.line.command, named = word, True
            else:
                self.line.arguments.append(word)
        self.check()
        return self.line

    def next_word(self, shown: str, option: Option) -> str | None:
        """Return the value that follows an option."""
        if self.at < len(self.words):
            self.at += 1
            return self.words[self.at - 1]
        self.wrong(shown, f"{option.metavar or 'a value'} is missing")
        return None

    def long_option(self, word: str) -> None:
        name, equals, text = word[2:].partition("=")
        option, value = self.long.get(name), text if equals else None
        if option is None and name.startswith("no-") and not equals:
            option = self.long.get(name[3:])
            value = "false"
            if option is not None and option.type != "bool" and not option.off:
                option = None
        if option is None:
            self.unknown(name, bool(equals))
            return
        if value is None:
            value = self.next_word(f"--{name}", option) if option.takes_value else self.bare(option)
        if value is not None:
            self.put(option, value, f"--{name}")

    def unknown(self, name: str, has_value: bool) -> None:
        """Refuse an option, and step over its value where the option that was meant would have one."""
        nearest = get_close_matches(name, self.long, 1)
        hint = f"; did you mean --{nearest[0]}?" if nearest else ""
        self.wrong(f"--{name}", f"unknown option{hint}")
        follows = self.at < len(self.words) and not self.words[self.at].startswith("-")
        if nearest and self.long[nearest[0]].takes_value and follows and not has_value:
            self.at += 1

    @staticmethod
    def bare(option: Option) -> str:
        """Return what an option without a value means."""
        return "true" if option.flag is None else option.flag

    def short_options(self, word: str) -> None:
        """Read ``-w 4``, ``-w4`` or letters of options without values, ``-Vv``."""
        rest = word[1:]
        while rest:
            shown, option, rest = f"-{rest[0]}", self.short.get(rest[0]), rest[1:]
            if option is None:
                self.wrong(shown, "unknown option")
                return
            value: str | None = self.bare(option)
            if option.takes_value:
                value = rest.removeprefix("=") if rest else self.next_word(shown, option)
                rest = ""
            if value is not None:
                self.put(option, value, shown)

    def put(self, option: Option, text: str, shown: str) -> None:
        """Note an option's value; what may be repeated adds up."""
        self.given.append((option, shown))
        try:
            value = from_text(option, text, self.base)
        except WrongValueError as error:
            self.wrong(shown, str(error))
            return
        before = self.line.settings.get(option.name)
        if before is not None and option.repeat:
            value = _joined(before.value, value)
        self.line.settings[option.name] = Setting(value, shown, Source.COMMAND)

    def check(self) -> None:
        """Refuse what the command does not take."""
        command = self.line.command
        for option, shown in self.given:
            if not allowed(option, command):
                self.wrong(shown, f"not an option of penstock {command}")
        for word in self.line.arguments[COMMANDS[command].most :]:
            self.wrong(word, "unexpected word" + suggestion(word, COMMANDS))


def _joined(before: Value, after: Value) -> Value:
    """Return two values of an option that may be repeated as one."""
    if isinstance(before, dict) and isinstance(after, dict):
        return before | after
    if isinstance(before, list) and isinstance(after, list):
        return [*map(str, before), *map(str, after)]
    return after


def read(words: list[str], base: Path) -> CommandLine:
    """Read a command line.

    Parameters
    ----------
    words
        What follows the program's name.
    base
        The folder from which relative paths are seen.

    Returns
    -------
    CommandLine
        With a problem for each word that is wrong.
    """
    line = _Reader(words, base).read()
    if line.command in ("run", "check") and line.arguments:
        _name_application(line, line.arguments[0], base)
    return line


def _name_application(line: CommandLine, word: str, base: Path) -> None:
    """Take the word without an option's name as the application: a module, or a file where it looks like one."""
    head, _, name = word.rpartition(":")
    path = head if head and looks_like_object(name) else word
    looks_like_file = "/" in path or path.endswith(".py")
    if path.endswith(".wsgi"):  # a script of mod_wsgi's, or the module wsgi of a package
        looks_like_file |= (base / path).is_file()
    option = table()["file" if looks_like_file else "module"]
    for taken in ("module", "file", "mounts"):
        if taken in line.settings:
            where = line.settings[taken].where
            line.problems.append(Problem(word, f"the application is named by {where}, too", True))
            return
    try:
        value = from_text(option, word, base)
    except WrongValueError as error:
        line.problems.append(Problem(word, str(error), usage=True))
        return
    line.settings[option.name] = Setting(value, word, Source.COMMAND)
