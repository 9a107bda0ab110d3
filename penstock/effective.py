"""The effective configuration as TOML, with a comment that says where each value comes from."""

from __future__ import annotations

import json

from penstock.config import Configuration
from penstock.options import Value, settable, shown, table
from penstock.settings import Setting, Settings

COLUMN = 48


def _toml(name: str, value: Value) -> str:
    """Return a value as TOML; a JSON text is a TOML text as well."""
    option = table()[name]
    if value is None:
        return "false"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        if option.type == "octal":
            return f"0o{value:03o}"
        return str(value) if option.type == "int" else _text(shown(option, value))
    if isinstance(value, dict):
        pairs = (f"{_text(key)} = {_text(item)}" for key, item in value.items())
        return "{ " + ", ".join(pairs) + " }" if value else "{}"
    if isinstance(value, list):
        return "[" + ", ".join(_text(str(item)) for item in value) + "]"
    return _text(value)


def _text(text: str) -> str:
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _line(name: str, setting: Setting) -> str:
    """Return ``name = value  # where from``; an option without a value is a comment."""
    where = setting.where
    if setting.value is None and not table()[name].off:
        return f"# {name} is not set"
    return f"{f'{name} = {_toml(name, setting.value)}':<{COLUMN}} # {where}"


def _section(title: str, settings: Settings) -> list[str]:
    """Return a table with the options that a user can set."""
    names = settable("server", "app", "listen")
    lines = [_line(name, setting) for name, setting in settings.items() if name in names]
    return [title, *lines, ""]


def toml(configuration: Configuration) -> str:
    """Return the configuration as a file that means the same."""
    lines = _section("[server]", configuration.server)
    for listener in configuration.listen:
        lines += _section("[[listen]]", listener)
    for name, app in configuration.app.items():
        key = name if name.isascii() and "." not in name else _text(name)
        python = app["python"]
        lines += _section(f"[app.{key}]", app)
        lines.insert(-1, f"# runs in {python.value}")
    return "\n".join(lines).rstrip()
