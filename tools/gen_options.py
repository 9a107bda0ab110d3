"""Writes the C side of the options table.

    gen_options.py options.toml options.h options.def

``options.h`` holds ``struct server_options``, ``struct listen_options`` and ``struct app_options`` with one commented
field for each option, and the enums of its choices. ``options.def`` lists the same fields as X-macros, from which
``config.c`` fills the structures. Which keys the table has is said at its head.
"""

from __future__ import annotations

import sys
import textwrap
import tomllib
from decimal import Decimal
from pathlib import Path
from typing import Any

SCOPES = ("server", "listen", "app")
STRUCT_COMMENTS = {
    "server": "What holds for the whole server.",
    "listen": "One listener: [[listen]], or one value of bind.",
    "app": "One application: [app.NAME] with the defaults of [server].",
}
C_TYPES = {
    "bool": "bool ",
    "int": "int64_t ",
    "duration": "int64_t ",
    "size": "int64_t ",
    "octal": "int64_t ",
    "text": "const char *",
    "path": "const char *",
    "log": "const char *",
    "list": "struct text_list ",
    "table": "struct text_table ",
    "ints": "struct int_list ",
}
KINDS = {
    "bool": "BOOL",
    "int": "INT",
    "duration": "INT",
    "size": "INT",
    "octal": "INT",
    "text": "TEXT",
    "path": "TEXT",
    "log": "TEXT",
    "list": "LIST",
    "table": "TABLE",
    "ints": "INTS",
    "choice": "CHOICE",
}
UNITS = {
    "ms": 1,
    "s": 1000,
    "m": 60_000,
    "h": 3_600_000,
    "K": 1 << 10,
    "M": 1 << 20,
    "G": 1 << 30,
}

Option = dict[str, Any]


def c_name(name: str) -> str:
    """Return an option's name as a C identifier."""
    return name.replace("-", "_")


def enum_of(name: str, option: Option) -> tuple[str, str]:
    """Return the name of a choice's enum and the prefix of its values."""
    given = option.get("enum", {})
    return (
        given.get("name", f"option_{c_name(name)}"),
        given.get("prefix", c_name(name).upper() + "_"),
    )


def enumerator(name: str, option: Option, choice: str) -> str:
    """Return the C name of one value of a choice."""
    return enum_of(name, option)[1] + c_name(choice).upper()


def number(option: Option, key: str) -> int:
    """Return the bound ``min`` or ``max`` in milliseconds, bytes or as it is."""
    value = option.get(key)
    if value is None:
        return 0
    if option["type"] == "octal":
        return int(str(value), 8)
    text = str(value)
    digits = text.rstrip("".join(UNITS))
    unit = text[len(digits) :]
    return int(Decimal(digits) * UNITS.get(unit, 1))


def can_be_empty(option: Option) -> bool:
    """Tell whether the canonical configuration may hold null for an option."""
    if option.get("filled") or option.get("required"):
        return False
    return "default" not in option or bool(option.get("off"))


def comment(option: Option) -> str:
    """Return what stands above a field: the first sentence of the help, the unit, and what empty means."""
    text = " ".join(option["help"].split()).split(". ")[0].rstrip(".")
    notes = []
    if option["type"] == "duration":
        notes.append("milliseconds")
    if option["type"] == "size":
        notes.append("bytes")
    if can_be_empty(option):
        notes.append("NULL: none" if KINDS[option["type"]] == "TEXT" else "-1: none")
    return text + (f" ({'; '.join(notes)})." if notes else ".")


def in_scope(table: dict[str, Option], scope: str) -> list[tuple[str, str, Option]]:
    """Return (name, name in the JSON, option) of what the canonical configuration holds in a scope."""
    return [
        (name, option.get("json", name), option)
        for name, option in table.items()
        if option["scope"] == scope and "becomes" not in option
    ]


def field_lines(name: str, key: str, option: Option) -> list[str]:
    """Return a field with its comment."""
    if option["type"] == "choice":
        c_type = f"enum {enum_of(name, option)[0]} "
    else:
        c_type = C_TYPES[option["type"]]
    text = textwrap.wrap(f"/* {comment(option)} */", 94, subsequent_indent="   ")
    return [*(f"    {line}" for line in text), f"    {c_type}{c_name(key)};"]


def enum_lines(table: dict[str, Option]) -> list[str]:
    """Return the enums of the choices that have none elsewhere."""
    lines = []
    for name, option in table.items():
        if option["type"] != "choice" or "header" in option.get("enum", {}):
            continue
        values = ", ".join(enumerator(name, option, choice) for choice in option["choices"])
        lines.append(f"enum {enum_of(name, option)[0]} {{ {values} }};")
    return lines


def header_text(table: dict[str, Option]) -> str:
    """Return options.h."""
    headers = {o["enum"]["header"] for o in table.values() if "header" in o.get("enum", {})}
    headers.add("config/types.h")
    lines = [
        "/* The options as C structures. Made from penstock/options.toml. */",
        "#ifndef PENSTOCK_CONFIG_OPTIONS_H",
        "#define PENSTOCK_CONFIG_OPTIONS_H",
        "",
        *(f'#include "{header}"' for header in sorted(headers)),
        "",
        *enum_lines(table),
    ]
    for scope in SCOPES:
        lines += ["", f"/* {STRUCT_COMMENTS[scope]} */", f"struct {scope}_options {{"]
        if scope == "app":
            lines += ["    /* NAME of [app.NAME]. */", "    const char *name;"]
        for name, key, option in in_scope(table, scope):
            lines += field_lines(name, key, option)
        lines.append("};")
    return "\n".join([*lines, "", "#endif", ""])


def def_text(table: dict[str, Option]) -> str:
    """Return options.def."""
    lines = [
        "/* The fields of options.h. Made from penstock/options.toml.",
        " * SERVER_OPTION, LISTEN_OPTION, APP_OPTION(field, key, kind, null allowed, min, max);",
        " * OPTION_CHOICE(key, text, value). What the includer does not define is left out. */",
    ]
    macros = [f"{scope.upper()}_OPTION" for scope in SCOPES]
    for macro in macros:
        lines += [
            f"#ifndef {macro}",
            f"#define {macro}(field, key, kind, empty, min, max)",
            "#endif",
        ]
    lines += ["#ifndef OPTION_CHOICE", "#define OPTION_CHOICE(key, text, value)", "#endif"]
    for scope, macro in zip(SCOPES, macros, strict=True):
        for _, key, option in in_scope(table, scope):
            empty = "true" if can_be_empty(option) else "false"
            low, high = number(option, "min"), number(option, "max")
            kind = KINDS[option["type"]]
            lines.append(f'{macro}({c_name(key)}, "{key}", {kind}, {empty}, {low}, {high})')
    for name, option in table.items():
        for choice in option.get("choices", []):
            key = option.get("json", name)
            lines.append(f'OPTION_CHOICE("{key}", "{choice}", {enumerator(name, option, choice)})')
    lines += [f"#undef {macro}" for macro in macros]
    return "\n".join([*lines, "#undef OPTION_CHOICE", ""])


def main(arguments: list[str]) -> int:
    """Read the table and write both files."""
    if len(arguments) != 3:
        print(__doc__, file=sys.stderr)
        return 2
    source, header, definitions = map(Path, arguments)
    table = tomllib.loads(source.read_text(encoding="utf-8"))["option"]
    header.write_text(header_text(table), encoding="utf-8")
    definitions.write_text(def_text(table), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
