"""Reads ``penstock.toml``: every key is checked against the table of options, every mistake has its line."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from penstock import places
from penstock.options import Option, Value, WrongValueError, from_toml, settable, suggestion, table
from penstock.settings import Problem, Section, Setting, Source

SECTIONS = {"server": "[server]", "listen": "[[listen]]", "app": "[app.NAME]"}
APP_NAME = re.compile(r"[\w-][\w.-]{0,63}")
FILE_MOST = 1 << 20


@dataclass(slots=True)
class File:
    """What a configuration file says, by section."""

    path: Path
    shown: str
    server: Section
    listen: list[Section] = field(default_factory=list)
    app: dict[str, Section] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)


class _Reader:
    """Reads one file."""

    def __init__(self, path: Path, shown: str) -> None:
        self.path = path
        self.shown = shown
        self.lines: dict[places.Path, int] = {}
        self.file = File(path, shown, Section(shown))

    def where(self, path: places.Path) -> str:
        return f"{self.shown}:{places.line_of(self.lines, path)}"

    def wrong(self, path: places.Path, text: str) -> None:
        self.file.problems.append(Problem(self.where(path), text))

    def text(self) -> str | None:
        """Return the text of the file, None where it cannot be read."""
        try:
            with self.path.open("rb") as stream:
                raw = stream.read(FILE_MOST + 1)
        except OSError as error:
            self.file.problems.append(Problem(self.shown, f"cannot be read: {error.strerror}"))
            return None
        if len(raw) > FILE_MOST:
            self.file.problems.append(Problem(self.shown, "is larger than 1 MiB"))
            return None
        try:
            return raw.decode().removeprefix("\ufeff")
        except UnicodeDecodeError as error:
            line = raw.count(b"\n", 0, error.start) + 1
            self.file.problems.append(Problem(f"{self.shown}:{line}", "is not UTF-8"))
            return None

    def document(self, text: str) -> dict[str, Any]:
        """Return the document; a syntax error is noted with its line."""
        try:
            document = tomllib.loads(text)
            self.lines = places.find(text)
        except tomllib.TOMLDecodeError as error:
            self.syntax_error(text, str(error))
            return {}
        except RecursionError:
            self.file.problems.append(Problem(self.shown, "is nested too deeply"))
            return {}
        return document

    def syntax_error(self, text: str, message: str) -> None:
        """Note what ``tomllib`` says; it puts the place at the end of its message."""
        reason, _, place = message.rpartition(" (at ")
        found = re.match(r"line (\d+), column (\d+)", place)
        line = int(found[1]) if found else max(1, len(text.splitlines()))
        column = f" (column {found[2]})" if found else " (at the end of the file)"
        twice = re.match(r"Cannot declare \((.*?),?\) twice", reason)
        if twice:
            reason = f"[{twice[1].replace(', ', '.').replace(chr(39), '')}] stands there twice"
        reason = reason.replace("Cannot overwrite a value", "this key has a value already")
        reason = reason[:1].lower() + reason[1:]
        self.file.problems.append(Problem(f"{self.shown}:{line}", f"not TOML: {reason}{column}"))

    def read(self) -> File:
        text = self.text()
        document = {} if text is None else self.document(text)
        readers: dict[str, Callable[[Any], None]] = {
            "server": self.read_server,
            "listen": self.read_listeners,
            "app": self.read_apps,
        }
        for key, value in document.items():
            if key in readers:
                readers[key](value)
            else:
                self.unknown_section(key, value)
        return self.file

    def unknown_section(self, key: str, value: object) -> None:
        if key in settable("server", "app", "listen") and not isinstance(value, dict):
            self.wrong((key,), f'option "{key}" stands outside of any section{self.home(key)}')
        elif isinstance(value, dict | list):
            nearest = suggestion(key, SECTIONS, "{}")
            for section, written in SECTIONS.items():
                nearest = nearest.replace(f"mean {section}?", f"mean {written}?")
            self.wrong((key,), f"unknown section [{key}]{nearest}")
        else:
            self.wrong(
                (key,), f'unknown key "{key}" outside of any section' + self.hint(key, "server")
            )

    @staticmethod
    def home(key: str) -> str:
        """Return where an option belongs."""
        scope = table()[key].scope
        both = {"app": "[app.NAME] or [server]", "listen": "[[listen]] or [server]"}
        inherit = table()[key].inherit
        return f"; it belongs in {both[scope] if inherit and scope in both else SECTIONS[scope]}"

    def read_server(self, value: object) -> None:
        if not isinstance(value, dict):
            self.wrong(("server",), "[server] is expected to be a table")
            return
        self.file.server = self.section("server", "[server]", value, ("server",))

    def read_listeners(self, value: object) -> None:
        if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
            self.wrong(("listen",), "a listener is written with two brackets: [[listen]]")
            return
        for index, item in enumerate(value):
            path = ("listen", index)
            self.file.listen.append(self.section("listen", "[[listen]]", item, path))
            if "address" not in item:
                self.wrong(path, "[[listen]] has no address")

    def read_apps(self, value: object) -> None:
        if not isinstance(value, dict):
            self.wrong(("app",), "an application is written as a table: [app.NAME]")
            return
        for name, item in value.items():
            self.read_app(name, item)

    def read_app(self, name: str, item: object) -> None:
        path = ("app", name)
        if not isinstance(item, dict):
            meant = f'option "{name}"' if name in settable("app") else f'"{name}"'
            self.wrong(path, f"{meant} stands in [app]; an application is a table: [app.NAME]")
            return
        if not APP_NAME.fullmatch(name):
            self.wrong(path, f'"{name}" cannot name an application: letters, digits, _ - and . can')
        self.file.app[name] = self.section("app", f"[app.{name}]", item, path)

    def section(self, scope: str, title: str, items: dict[str, Any], path: places.Path) -> Section:
        """Return the settings of one table."""
        section = Section(self.where(path))
        for key, value in items.items():
            option = self.option(scope, title, key, (*path, key))
            if option is None:
                continue
            try:
                found = from_toml(option, value, self.path.parent)
            except WrongValueError as error:
                at = (*path, key) if error.at is None else (*path, key, error.at)
                self.wrong(at, f"{key}: {error}")
                section.wrong.add(key)
            else:
                section.settings[key] = self.setting(found, (*path, key))
        return section

    def setting(self, value: Value, path: places.Path) -> Setting:
        """Return a setting with its place, and those of its items."""
        items: tuple[str, ...] = ()
        if isinstance(value, list):
            items = tuple(self.where((*path, index)) for index in range(len(value)))
        return Setting(value, self.where(path), Source.FILE, items)

    def option(self, scope: str, title: str, key: str, path: places.Path) -> Option | None:
        """Return the option of a key in a section; None, and a problem, where it has none."""
        option = settable("server", "listen", "app", "command").get(key)
        if option is None:
            self.wrong(path, f'unknown option "{key}" in {title}{self.hint(key, scope)}')
            return None
        if option.scope == scope or (
            scope == "server" and option.inherit and option.scope != "command"
        ):
            return option
        if option.scope == "command":
            self.wrong(path, f'"{key}" is an option of the command line, not of a file')
        else:
            self.wrong(path, f'option "{key}" does not belong in {title}{self.home(key)}')
        return None

    @staticmethod
    def hint(key: str, scope: str) -> str:
        """Return what an unknown key may have meant: another server's word, or the nearest one."""
        scopes = ("server", "app", "listen") if scope == "server" else (scope,)
        names = settable(*scopes)
        plain = key.replace("_", "-")
        for option in names.values():
            if plain in (option.name, *option.aliases):
                return f'; here it is called "{option.name}"'
        return suggestion(plain, names)


def read(path: Path, shown: str) -> File:
    """Read a configuration file.

    Parameters
    ----------
    path
        Its absolute path; relative paths in it are seen from its folder.
    shown
        Its name in messages.

    Returns
    -------
    File
        With a problem for each mistake; what is right is there all the same.
    """
    return _Reader(path, shown).read()
