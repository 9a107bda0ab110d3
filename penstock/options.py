"""The table of options (``options.toml``), and how a value of each type is read.

A value comes as text (command line, environment) or as a TOML object. Either way it becomes the same thing: durations
are whole milliseconds, sizes whole bytes, paths absolute.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from functools import cache
from pathlib import Path
from typing import Any

Value = None | bool | int | str | list[str] | list[int] | dict[str, str]

AUTO = "auto"
OFF_WORDS = ("off", "false", "no", "none")
BOOL_WORDS = {
    **dict.fromkeys(("true", "yes", "on", "1"), True),
    **dict.fromkeys(("false", "no", "off", "0"), False),
}
DURATION_UNITS = {"": 1000, "ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000}
SIZE_UNITS = {"": 1, "b": 1}
for _power, _letter in enumerate("kmg", start=1):
    SIZE_UNITS |= {_letter: 1024**_power, f"{_letter}ib": 1024**_power}

NUMBER = re.compile(r"(\d+(?:\.\d+)?)\s*([A-Za-z]*)", re.ASCII)


class WrongValueError(ValueError):
    """A value that an option cannot take; the message says why, without naming the option.

    Parameters
    ----------
    message
        Why.
    at
        The index or key of the item that is wrong in a list or table.
    """

    def __init__(self, message: str, at: int | str | None = None) -> None:
        super().__init__(message)
        self.at = at


def suggestion(word: str, words: Iterable[str], shape: str = '"{}"') -> str:
    """Return ``; did you mean "..."?`` with the nearest of some words, or an empty text."""
    import difflib

    near = difflib.get_close_matches(word, list(words), 1, 0.6)
    return f"; did you mean {shape.format(near[0])}?" if near else ""


@dataclass(frozen=True, slots=True)
class Option:
    """One row of the table; its head explains each key.

    ``low`` and ``high`` are the bounds in milliseconds, bytes or as they are.
    """

    name: str
    scope: str
    type: str
    help: str
    default: Any = None
    default_in_file: Any = None
    low: int | None = None
    high: int | None = None
    choices: tuple[str, ...] = ()
    synonyms: dict[str, str] = field(default_factory=dict)
    items: str = "text"
    auto: bool = False
    off: bool = False
    flag: str | None = None
    pattern: str | None = None
    pattern_text: str = ""
    atoms: tuple[str, ...] = ()
    short: str | None = None
    aliases: tuple[str, ...] = ()
    repeat: bool = False
    inherit: bool = True
    unset_environment: bool = False
    environment: str | None = None
    computed: bool = False
    filled: bool = False
    required: bool = False
    json: str = ""
    becomes: str | None = None
    metavar: str = ""
    group: str = ""
    enum: dict[str, str] = field(default_factory=dict)
    elsewhere: dict[str, str] = field(default_factory=dict)
    commands: tuple[str, ...] = ()

    @property
    def variable(self) -> str | None:
        """The environment variable that sets it, or None."""
        if self.computed or self.unset_environment or self.name in ("address", "app"):
            return None
        return "PENSTOCK_" + self.name.upper().replace("-", "_")

    @property
    def on_command_line(self) -> bool:
        """Whether the command line has it."""
        return not self.computed and self.name not in ("address", "app")

    @property
    def takes_value(self) -> bool:
        """Whether its value may follow as the next word of the command line."""
        return self.type != "bool" and self.flag is None

    @property
    def summary(self) -> str:
        """The first sentence of the help."""
        return re.split(r"\. (?=[A-Z])", self.help)[0].rstrip(".") + "."


def _bound(row: dict[str, Any], key: str) -> int | None:
    """Return a bound of a row as a number."""
    if key not in row:
        return None
    text = str(row[key])
    if row["type"] == "octal":
        return int(text, 8)
    if row["type"] == "duration":
        return _scaled(text, DURATION_UNITS)
    return _scaled(text, SIZE_UNITS)


def _option(name: str, row: dict[str, Any]) -> Option:
    """Make an option of a row."""
    known = {key.replace("-", "_"): value for key, value in row.items()}
    for key in ("choices", "aliases", "commands", "atoms"):
        known[key] = tuple(known.get(key, ()))
    known["low"], known["high"] = _bound(row, "min"), _bound(row, "max")
    known.pop("min", None)
    known.pop("max", None)
    known["help"] = " ".join(known["help"].split())
    return Option(name=name, **{"json": name, **known})


@cache
def table() -> dict[str, Option]:
    """Return every option by name, in the order of the table."""
    text = Path(__file__).with_name("options.toml").read_text(encoding="utf-8")
    rows: dict[str, dict[str, Any]] = tomllib.loads(text)["option"]
    return {name: _option(name, row) for name, row in rows.items()}


def settable(*scopes: str) -> dict[str, Option]:
    """Return the options of the scopes that a user can set."""
    return {n: o for n, o in table().items() if o.scope in scopes and not o.computed}


def by_word() -> dict[str, Option]:
    """Return the options of the command line by every long name they have there."""
    words: dict[str, Option] = {}
    for option in table().values():
        if option.on_command_line:
            words |= dict.fromkeys((option.name, *option.aliases), option)
    return words


# ---- numbers ----


def _scaled(text: str, units: dict[str, int]) -> int:
    """Return a number with a unit as a whole number of the smallest unit.

    Raises
    ------
    WrongValueError
        It is no number, the unit is unknown, or it is no whole number of the smallest unit.
    """
    match = NUMBER.fullmatch(text.strip())
    if match is None:
        raise WrongValueError("not a number")
    unit = match[2].lower() if units is SIZE_UNITS else match[2]
    if unit not in units:
        raise WrongValueError(f'unknown unit "{match[2]}"')
    try:
        number = Decimal(match[1]) * units[unit]
        whole = int(number)
    except (InvalidOperation, OverflowError) as error:
        raise WrongValueError("not a number") from error
    if whole != number:
        raise WrongValueError("too fine")
    return whole


def _quoted(value: object) -> str:
    """Return a value as a message shows it."""
    if isinstance(value, bool):
        return str(value).lower()
    text = str(value)
    text = text if len(text) <= 80 else text[:77] + "..."
    printable = text if text.isprintable() else ascii(text)[1:-1]
    return f'"{printable}"' if isinstance(value, str) else printable


def _duration(text: str) -> int:
    try:
        return _scaled(text, DURATION_UNITS)
    except WrongValueError as error:
        if str(error) == "too fine":
            raise WrongValueError(f"{_quoted(text)} is finer than a millisecond") from None
        raise WrongValueError(
            f"{_quoted(text)} is not a duration such as 500ms, 30s, 1.5m or 2h ({error})"
        ) from None


def _size(text: str) -> int:
    try:
        return _scaled(text, SIZE_UNITS)
    except WrongValueError as error:
        if str(error) == "too fine":
            raise WrongValueError(f"{_quoted(text)} is not a whole number of bytes") from None
        hint = str(error)
        if re.fullmatch(r".*[kmg]b", text.strip(), re.IGNORECASE):
            hint = "K, M and G are multiples of 1024; KB is ambiguous"
        raise WrongValueError(
            f"{_quoted(text)} is not a size such as 512, 64K, 1.5M or 1G ({hint})"
        ) from None


def _int(text: str) -> int:
    if not re.fullmatch(r"-?\d{1,18}", text.strip(), re.ASCII):
        raise WrongValueError(f"{_quoted(text)} is not a whole number")
    return int(text)


def _octal(text: str) -> int:
    if not re.fullmatch(r"(0o)?[0-7]{1,6}", text.strip()):
        raise WrongValueError(f"{_quoted(text)} is not an octal number such as 660")
    return int(text, 8)


NUMBERS = {"duration": _duration, "size": _size, "int": _int, "octal": _octal}


def shown(option: Option, value: Value) -> str:
    """Return a value as a user would write it on the command line."""
    if value is None:
        return "off" if option.off else ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return _shown_number(option.type, value)
    if isinstance(value, dict):
        return ", ".join(f"{key}={item}" for key, item in value.items())
    if isinstance(value, list):
        return ", ".join(str(item) for item in value)
    return value


def _shown_number(kind: str, value: int) -> str:
    if kind == "octal":
        return f"{value:03o}"
    units = {"duration": DURATION_UNITS, "size": {"G": 1 << 30, "M": 1 << 20, "K": 1 << 10}}
    for unit, factor in sorted(units.get(kind, {}).items(), key=lambda item: -item[1]):
        if unit and value and value % factor == 0:
            return f"{value // factor}{unit}"
    return f"{value}s" if kind == "duration" else str(value)


def _in_range(option: Option, value: int) -> int:
    """Return the value.

    Raises
    ------
    WrongValueError
        It is out of the option's range.
    """
    if option.low is not None and value < option.low:
        raise WrongValueError(
            f"{shown(option, value)} is too small; the least is {shown(option, option.low)}"
        )
    if option.high is not None and value > option.high:
        raise WrongValueError(
            f"{shown(option, value)} is too large; the most is {shown(option, option.high)}"
        )
    return value


# ---- texts ----


def _clean(text: str) -> str:
    """Return a text that can be handed over: UTF-8 without NUL."""
    if "\0" in text:
        raise WrongValueError("it holds a NUL")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise WrongValueError(f"{_quoted(text)} is not valid UTF-8") from None
    return text


def _matching(option: Option, text: str) -> str:
    """Return a text that is as the option's pattern wants it."""
    _clean(text)
    if option.pattern is not None and not re.fullmatch(option.pattern, text):
        raise WrongValueError(f"{_quoted(text)} is not {option.pattern_text}")
    if option.atoms:
        _log_format(option, text)
    return text


def _log_format(option: Option, text: str) -> None:
    """Refuse a format of log lines with an atom that is not known, or with none at all."""
    if text in ("combined", "json"):
        return
    found = 0
    for match in re.finditer(r"%(?:%|\(([^)]*)\)s|.{0,8})", text):
        name = match[1]
        found += name is not None
        if name is None and match[0] != "%%":
            raise WrongValueError(f"%(name)s or %% is expected at {_quoted(match[0])}")
        if name is not None and name not in option.atoms and not re.fullmatch(r"\{.+\}[ioe]", name):
            near = suggestion(name, option.atoms, '"%({})s"')
            raise WrongValueError(f'unknown atom "%({name})s"{near}')
    if not found:
        hint = suggestion(text, ("combined", "json"))
        raise WrongValueError(f"{_quoted(text)} is not combined, json or a format with atoms{hint}")


def absolute(path: str, base: Path) -> str:
    """Return a path seen from a folder as an absolute path; symbolic links stay."""
    return os.path.normpath(base / path)


def looks_like_object(text: str) -> bool:
    """Tell whether a text may stand behind the colon of module:object."""
    return text.removesuffix("()").replace(".", "").isidentifier()


def _path(option: Option, text: str, base: Path) -> str:
    _matching(option, text)
    if not text:
        raise WrongValueError("a path must not be empty")
    if option.type == "log" and text == "-":
        return text
    return absolute(text, base)


def _choice(option: Option, text: str) -> str:
    word = option.synonyms.get(text, text)
    if word not in option.choices:
        hint = suggestion(text, [*option.choices, *option.synonyms])
        raise WrongValueError(f"{_quoted(text)} is not one of {', '.join(option.choices)}{hint}")
    return word


def _pair(option: Option, text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals:
        raise WrongValueError(f"{_quoted(text)} is not {option.metavar}")
    return _matching(option, key), _item(option, value)


def _item(option: Option, text: str) -> str:
    """Return the value of one pair of a table."""
    if option.name == "mounts":
        return _matching(table()["module"], text)
    return _clean(text)


def _one_text(option: Option, text: str, base: Path) -> str:
    """Return one item of a list."""
    if option.items == "path":
        return _path(option, text, base)
    return _matching(option, text)


# ---- whole values ----


def from_text(option: Option, text: str, base: Path) -> Value:
    """Return the value that a text stands for.

    Parameters
    ----------
    option
        Whose value it is.
    text
        A word of the command line or an environment variable's value.
    base
        The folder from which relative paths are seen.

    Raises
    ------
    WrongValueError
        The option cannot take it.
    """
    if option.type == "bool":
        if text.lower() not in BOOL_WORDS:
            raise WrongValueError(f"{_quoted(text)} is not true or false")
        return BOOL_WORDS[text.lower()]
    if option.off and text.lower() in OFF_WORDS:
        return None
    if option.auto and text == AUTO:
        return AUTO
    if option.type in NUMBERS:
        return _in_range(option, _number_from_text(option, text))
    if option.type == "choice":
        return _choice(option, text)
    if option.type == "list":
        return [_one_text(option, text, base)]
    if option.type == "table":
        return dict([_pair(option, text)])
    if option.type in ("path", "log"):
        return _path(option, text, base)
    return _matching(option, text)


def _number_from_text(option: Option, text: str) -> int:
    try:
        return NUMBERS[option.type](text)
    except WrongValueError as error:
        raise WrongValueError(str(error) + (" or auto" if option.auto else "")) from None


def from_variable(option: Option, text: str, base: Path) -> Value:
    """Return the value of an environment variable; the items of lists and tables stand between commas."""
    if option.type not in ("list", "table"):
        return from_text(option, text, base)
    parts = [part.strip() for part in text.split(",") if part.strip()]
    values = [from_text(option, part, base) for part in parts]
    if option.type == "list":
        return [item for value in values if isinstance(value, list) for item in map(str, value)]
    return {k: v for value in values if isinstance(value, dict) for k, v in value.items()}


TOML_TYPES: dict[type, str] = {
    bool: "true or false",
    int: "a number",
    float: "a number",
    str: "a text",
    list: "a list",
    dict: "a table",
}
EXPECTED = {
    "bool": "true or false",
    "int": "a whole number",
    "duration": "a duration",
    "size": "a size",
    "octal": "an octal number such as 0o660",
    "list": "a list of texts",
    "table": "a table of texts",
}


def _toml_type(value: object) -> str:
    return TOML_TYPES.get(type(value), "a date or time")


def _wrong_type(option: Option, value: object) -> WrongValueError:
    expected = EXPECTED.get(option.type, "a text")
    if option.auto:
        expected += ' or "auto"'
    if option.off:
        expected += " or false"
    return WrongValueError(f"{expected} is expected, not {_toml_type(value)}")


def from_toml(option: Option, value: object, base: Path) -> Value:
    """Return the value that a TOML object stands for.

    Raises
    ------
    WrongValueError
        The option cannot take it.
    """
    if option.type == "bool":
        if not isinstance(value, bool):
            raise _wrong_type(option, value)
        return value
    if isinstance(value, bool):
        return _bool_from_toml(option, value, base)
    if option.type == "list":
        return _list_from_toml(option, value, base)
    if option.type == "table":
        return _table_from_toml(option, value)
    if option.type in NUMBERS and isinstance(value, int | float):
        return _number_from_toml(option, value)
    if not isinstance(value, str):
        raise _wrong_type(option, value)
    return from_text(option, value, base)


def _bool_from_toml(option: Option, value: bool, base: Path) -> Value:
    """Return what true or false stands for where an option has words for them."""
    if option.off and not value:
        return None
    if option.type == "log" and value:
        return "-"
    if str(value).lower() in option.synonyms:
        return from_text(option, str(value).lower(), base)
    raise _wrong_type(option, value)


def _number_from_toml(option: Option, value: int | float) -> int:
    if isinstance(value, int):
        factor = DURATION_UNITS["s"] if option.type == "duration" else 1
        return _in_range(option, value * factor)
    if option.type in ("int", "octal"):
        raise _wrong_type(option, value)
    return _in_range(option, NUMBERS[option.type](format(Decimal(repr(value)), "f")))


def _list_from_toml(option: Option, value: object, base: Path) -> list[str]:
    if isinstance(value, str):
        value = [value]
    if not isinstance(value, list):
        raise _wrong_type(option, value)
    items = []
    for index, item in enumerate(value):
        if not isinstance(item, str):
            raise WrongValueError(f"a text is expected, not {_toml_type(item)}", index)
        try:
            items.append(_one_text(option, item, base))
        except WrongValueError as error:
            raise WrongValueError(str(error), index) from None
    return items


def _table_from_toml(option: Option, value: object) -> dict[str, str]:
    if not isinstance(value, dict):
        raise _wrong_type(option, value)
    for key, item in value.items():
        if not isinstance(item, str):
            raise WrongValueError(f'"{key}": a text is expected, not {_toml_type(item)}', key)
        try:
            _matching(option, key)
            _item(option, item)
        except WrongValueError as error:
            raise WrongValueError(str(error), key) from None
    return dict(value)


def default(option: Option, in_file: bool) -> Value:
    """Return an option's default, None where it has none.

    Parameters
    ----------
    option
        Whose default it is.
    in_file
        Whether there is a configuration file, with which some defaults differ.
    """
    given = option.default
    if in_file and option.default_in_file is not None:
        given = option.default_in_file
    if given is None:
        return False if option.type == "bool" else None
    return from_toml(option, given, Path("/"))
