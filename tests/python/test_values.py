"""Values of every type, as text and as TOML."""

import re
from pathlib import Path

import pytest

from penstock.options import WrongValueError, from_text, from_toml, from_variable, shown, table

BASE = Path("/base")


def text(name, value):
    return from_text(table()[name], value, BASE)


def toml(name, value):
    return from_toml(table()[name], value, BASE)


@pytest.mark.parametrize(
    ("value", "milliseconds"),
    [
        ("500ms", 500),
        ("30", 30_000),
        ("30s", 30_000),
        ("0.25", 250),
        ("1.5m", 90_000),
        ("2h", 7_200_000),
        ("10 s", 10_000),
        (" 1s ", 1000),
    ],
)
def test_durations(value, milliseconds):
    assert text("keep-alive", value) == milliseconds
    assert toml("keep-alive", value) == milliseconds


@pytest.mark.parametrize(
    ("value", "bytes_"),
    [
        ("0", 0),
        ("512", 512),
        ("64K", 65536),
        ("64k", 65536),
        ("64KiB", 65536),
        ("1.5M", 3 << 19),
        ("1G", 1 << 30),
    ],
)
def test_sizes(value, bytes_):
    assert text("max-body", value) == bytes_
    assert toml("max-body", value) == bytes_


@pytest.mark.parametrize(
    ("name", "value", "result"),
    [
        ("keep-alive", 3, 3000),
        ("keep-alive", 0.5, 500),
        ("keep-alive", 0.1, 100),
        ("max-body", 1_000, 1000),
        ("workers", 1_0, 10),
        ("workers", "auto", "auto"),
        ("umask", 0o022, 0o022),
        ("umask", "022", 0o022),
        ("umask", "0o022", 0o022),
        ("debug", True, True),
        ("preload", True, "always"),
        ("preload", "never", "never"),
        ("access-log", False, None),
        ("access-log", True, "-"),
        ("access-log", "off", None),
        ("access-log", "logs/a", "/base/logs/a"),
        ("error-log", "-", "-"),
        ("server-header", False, None),
        ("log-level", "warning", "warn"),
        ("venv", "../.venv", "/.venv"),
        ("app-dir", "src", ["/base/src"]),
        ("app-dir", ["src", "/lib"], ["/base/src", "/lib"]),
        ("environment", {"A": "b=c"}, {"A": "b=c"}),
        ("mounts", {"/": "a:b", "/x": "c"}, {"/": "a:b", "/x": "c"}),
    ],
)
def test_toml(name, value, result):
    assert toml(name, value) == result


WRONG = [
    ("keep-alive", "fast", "is not a duration"),
    ("keep-alive", "30x", 'unknown unit "x"'),
    ("keep-alive", "30S", 'unknown unit "S"'),
    ("keep-alive", "-1s", "is not a duration"),
    ("keep-alive", "1m30s", "is not a duration"),
    ("keep-alive", "0.0001s", "finer than a millisecond"),
    ("keep-alive", "0", "too small; the least is 1ms"),
    ("keep-alive", "25h", "too large; the most is 24h"),
    ("keep-alive", "٣s", "is not a duration"),
    ("max-body", "64KB", "KB is ambiguous"),
    ("max-body", "0.5", "whole number of bytes"),
    ("max-body", "1025G", "too large; the most is 1024G"),
    ("workers", "0", "too small; the least is 1"),
    ("workers", "1025", "too large; the most is 1024"),
    ("workers", "two", '"two" is not a whole number or auto'),
    ("workers", "1.5", "is not a whole number or auto"),
    ("umask", "8", "is not an octal number"),
    ("umask", "7777", "too large; the most is 777"),
    ("debug", "maybe", "is not true or false"),
    ("log-level", "inof", 'not one of debug, info, warn, error, critical; did you mean "info"?'),
    ("preload", "alway", 'did you mean "always"?'),
    ("module", "1a", "is not package.module:object"),
    ("module", "a:b(1)", "is not package.module:object"),
    ("module", "a b", "is not package.module:object"),
    ("module", "", "is not package.module:object"),
    ("middleware", "wrap", "is not package.module:callable"),
    ("root-path", "admin", "begins with /"),
    ("root-path", "/admin/", "begins with /"),
    ("root-path", "/a?b", "begins with /"),
    ("mounts", "x=a:b", "is not a path such as"),
    ("mounts", "/x=a:", "is not package.module:object"),
    ("mounts", "/x", "is not PATH=MODULE"),
    ("environment", "=b", "a name without ="),
    ("environment", "A", "is not NAME=VALUE"),
    ("environment", "A=b\0", "NUL"),
    ("environment", "A=\udcff", "not valid UTF-8"),
    ("venv", "", "must not be empty"),
    ("server-header", "a\r\nb", "printable ASCII"),
    ("name", "x" * 65, "1 to 64 characters"),
    ("access-log-format", "a\nb", "one line"),
    ("access-log-format", "%(h)s" + "x" * 1020, "one line of at most 1024 characters"),
    ("access-log-format", "comon", 'a format with atoms; did you mean "combined"?'),
    ("access-log-format", "%(hh)s", 'unknown atom "%(hh)s"; did you mean "%(h)s"?'),
    ("access-log-format", "%()s", 'unknown atom "%()s"'),
    ("access-log-format", "%({}i)s", 'unknown atom "%({}i)s"'),
    ("access-log-format", "%({x}x)s", 'unknown atom "%({x}x)s"'),
    ("access-log-format", "%(h)s %h", '%(name)s or %% is expected at "%h"'),
    ("access-log-format", "%(h)s %", '%(name)s or %% is expected at "%"'),
]


@pytest.mark.parametrize(("name", "value", "message"), WRONG)
def test_wrong_texts(name, value, message):
    with pytest.raises(WrongValueError) as error:
        text(name, value)
    assert message in str(error.value)
    assert str(error.value).isprintable()


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("workers", True, 'a whole number or "auto" is expected, not true or false'),
        ("workers", 1.5, "a whole number"),
        ("workers", [1], "a whole number"),
        ("keep-alive", -1, "too small"),
        ("keep-alive", float("inf"), "is not a duration"),
        ("keep-alive", {}, "a duration is expected, not a table"),
        ("module", 3, "a text is expected, not a number"),
        ("debug", "yes", "true or false is expected, not a text"),
        ("middleware", ["a:b", 3], "a text is expected, not a number"),
        ("environment", {"A": 1}, '"A": a text is expected, not a number'),
        ("error-log", False, "a text is expected, not true or false"),
    ],
)
def test_wrong_toml(name, value, message):
    with pytest.raises(WrongValueError) as error:
        toml(name, value)
    assert message in str(error.value)


@pytest.mark.parametrize(
    "value", ["combined", "json", "%(h)s", "%% %({X-Y}i)s", "%({a}o)s%({B}e)s %(read)s"]
)
def test_formats_of_the_access_log(value):
    assert text("access-log-format", value) == value


def test_the_table_has_the_atoms_that_the_access_log_writes():
    source = Path(__file__).parents[2].joinpath("src/http/accesslog.c").read_text()
    written = re.findall(r'\{"(\w+)", put_\w+\}', source)
    assert sorted(written) == sorted(table()["access-log-format"].atoms)


def test_variables_hold_lists():
    options = table()
    assert from_variable(options["bind"], ":80, :81", BASE) == [":80", ":81"]
    assert from_variable(options["app-dir"], "a,b", BASE) == ["/base/a", "/base/b"]
    assert from_variable(options["environment"], "A=1,B=2", BASE) == {"A": "1", "B": "2"}


@pytest.mark.parametrize("value", [1, 999, 1000, 60_000, 90_000, 3_600_000, 86_400_000])
def test_durations_are_shown_as_they_are_read(value):
    option = table()["keep-alive"]
    assert text("keep-alive", shown(option, value)) == value


@pytest.mark.parametrize("value", [0, 1, 1023, 1024, 1536, 1 << 20, 1 << 30])
def test_sizes_are_shown_as_they_are_read(value):
    assert text("max-body", shown(table()["max-body"], value)) == value
