"""What the table of options says, for people: --help, ``penstock options``, the manual's page."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable

from penstock import __version__
from penstock.options import Option, by_word, default, settable, shown, suggestion, table
from penstock.words import COMMANDS, EVERYWHERE

WIDTH = 100
GAP = 30
SERVERS = {
    "gunicorn": "Gunicorn",
    "uvicorn": "Uvicorn",
    "granian": "Granian",
    "uwsgi": "uWSGI",
    "unit": "NGINX Unit",
    "mod_wsgi": "mod_wsgi",
}
PLACES = {
    "server": "[server]",
    "app": "[app.NAME]; [server] for all",
    "listen": "[[listen]]; [server] for all",
    "command": "the command line only",
}
NOTATIONS = {
    "bool": "true or false",
    "int": "a whole number",
    "duration": "a duration: ms, s, m or h; seconds without a unit",
    "size": "a size: K, M or G, multiples of 1024; bytes without a unit",
    "octal": "an octal number",
    "text": "text",
    "path": "a path",
    "log": "a path, or -",
    "list": "a list",
    "table": "a table",
}


def spelling(option: Option) -> str:
    """Return how an option is written on the command line: ``-w, --workers N``."""
    short = f"-{option.short}, " if option.short else ""
    value = f" {option.metavar or 'VALUE'}" if option.takes_value else ""
    if option.flag is not None:
        value = f"[={'|'.join(option.choices)}]"
    if option.type == "choice" and option.takes_value and not option.metavar:
        value = f" {'|'.join(option.choices)}"
    return f"{short}--{option.name}{value}"


def default_text(option: Option) -> str:
    """Return an option's default in words, empty where it has none."""
    if option.default is None:
        return ""
    text = shown(option, default(option, in_file=False)) or "empty"
    if isinstance(option.default, str) and option.default:
        text = option.default
    if option.default_in_file is not None:
        text += f"; {option.default_in_file} with a file"
    return text


def help_text() -> str:
    """Return what ``penstock --help`` prints."""
    lines = [f"Penstock {__version__}: an application server for Python.", "", "Commands"]
    for command in COMMANDS.values():
        lines += _row(f"penstock {command.usage}", command.summary)
    groups: dict[str, list[Option]] = {}
    for option in table().values():
        if option.on_command_line:
            groups.setdefault(option.group, []).append(option)
    for group, options in groups.items():
        lines += ["", group]
        for option in options:
            text = default_text(option) if option.default else ""
            lines += _row(spelling(option), option.summary + (f" [{text}]" if text else ""))
    lines += [
        "",
        "An option is written the same way in penstock.toml and, as PENSTOCK_WORKERS for --workers,",
        "in the environment. penstock options NAME tells more about one.",
    ]
    return "\n".join(lines)


def _row(left: str, right: str) -> list[str]:
    """Return a row of two columns."""
    wrapped = textwrap.wrap(right, WIDTH - GAP - 2)
    if len(left) > GAP - 2:
        return [f"  {left}", *(" " * (GAP + 2) + line for line in wrapped)]
    first = f"  {left:<{GAP}}{wrapped[0]}"
    return [first, *(" " * (GAP + 2) + line for line in wrapped[1:])]


def facts(option: Option) -> list[tuple[str, str]]:
    """Return what there is to know about an option beside its help: (title, text)."""
    kind = NOTATIONS.get(option.type) or "one of " + ", ".join(option.choices)
    if option.auto:
        kind += ", or auto"
    if option.off:
        kind += ", or off"
    if option.low is not None and option.high is not None:
        kind += f"; from {shown(option, option.low)} to {shown(option, option.high)}"
    place = PLACES[option.scope] if option.inherit else PLACES[option.scope].split(";")[0]
    rows = [("Value", kind), ("Default", default_text(option)), ("Stands in", place)]
    if option.on_command_line:
        also = "".join(f", --{alias}" for alias in option.aliases)
        again = "; may be repeated" if option.repeat else ""
        rows.append(("Command line", spelling(option) + also + again))
    variables = " or ".join(name for name in (option.variable, option.environment) if name)
    rows.append(("Environment", variables))
    elsewhere = "; ".join(f"{SERVERS[key]}: {name}" for key, name in option.elsewhere.items())
    rows.append(("Elsewhere", elsewhere))
    return [(title, text) for title, text in rows if text]


def explained(option: Option) -> str:
    """Return everything about one option."""
    lines = [option.name, "", *textwrap.wrap(option.help, WIDTH - 2), ""]
    for title, text in facts(option):
        lines += textwrap.wrap(f"{title + ':':<14}{text}", WIDTH - 2, subsequent_indent=" " * 14)
    return "\n".join([lines[0], *(f"  {line}".rstrip() for line in lines[1:])])


def documented() -> Iterable[Option]:
    """Return the options that the reference describes."""
    return settable("server", "app", "listen", "command").values()


def options_text(names: list[str]) -> tuple[str, list[str]]:
    """Return the explanations of some options, or of all, and what is wrong with the names."""
    words = by_word() | {option.name: option for option in documented()}
    wrong = []
    found: dict[str, Option] = {}
    for name in names:
        option = words.get(name.lstrip("-").replace("_", "-"))
        if option is None:
            wrong.append(f'there is no option "{name}"{suggestion(name.lstrip("-"), words)}')
        else:
            found[option.name] = option
    chosen = found.values() if names else documented()
    return "\n\n".join(explained(option) for option in chosen), wrong


def rst() -> str:
    """Return the manual's page of options, in reStructuredText."""
    lines = [
        "Options",
        "=======",
        "",
        "One name everywhere: on the command line, in ``penstock.toml`` and, in capitals behind",
        "``PENSTOCK_``, in the environment. Where several say something, the command line counts most,",
        "then the environment, the file, the variables ``PORT`` and ``WEB_CONCURRENCY``, the default.",
    ]
    group = ""
    for option in documented():
        if option.name in EVERYWHERE:
            continue
        if option.group != group:
            group = option.group
            lines += ["", group, "-" * len(group)]
        lines += ["", f".. _option-{option.name}:", "", option.name, "~" * len(option.name), ""]
        lines += textwrap.wrap(_escaped(option.help), WIDTH)
        lines.append("")
        for title, text in facts(option):
            lines.append(f":{title}: {_escaped(text)}")
    return "\n".join([*lines, ""])


def _escaped(text: str) -> str:
    """Return text in which nothing is markup."""
    return "".join(f"\\{char}" if char in "\\*`|_" else char for char in text)
