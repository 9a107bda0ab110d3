"""Where keys stand in a TOML document, against what tomllib reads."""

import tomllib
from pathlib import Path

import pytest

from penstock.places import find, line_of

EVERY_FORM = '''# a comment = 1
a.b = 1
"x y".'q' = [1, # c ]
  2,
  {k = "}", l=[1,
 2]}]
s = """
a = 1
\\""" [x]
""""
d = 1979-05-27 07:32:00 # x
"" = '#'
t = \'\'\'[no]
'no'\'\'\'
[server]
workers = "au\\"to"
[[listen]]
address = "x"
[[listen]]
address = \'\'\'
zz\'\'\'
[listen.sub]
k=1
[[listen.deep]]
one = {}
[[listen.deep]]
two = []
[app.shop]
module = "x"
[ app . "a.b" ]
f=-inf
'''


def paths(value, path=()):
    if path:
        yield path
    if isinstance(value, dict):
        for key, item in value.items():
            yield from paths(item, (*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from paths(item, (*path, index))


DOCUMENTS = [
    EVERY_FORM,
    EVERY_FORM.replace("\n", "\r\n"),
    "",
    "a = 1",
    "[a]",
    Path(__file__).parents[2].joinpath("pyproject.toml").read_text(),
    Path(__file__).parents[2].joinpath("penstock", "options.toml").read_text(),
]


@pytest.mark.parametrize("text", DOCUMENTS)
def test_it_finds_exactly_what_tomllib_reads(text):
    assert set(find(text)) == set(paths(tomllib.loads(text)))


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_lines(newline):
    lines = find(EVERY_FORM.replace("\n", newline))
    assert lines["a", "b"] == 2
    assert lines["x y", "q", 1] == 4
    assert lines["x y", "q", 2, "l", 1] == 6
    assert lines["d",] == 11
    assert lines["server", "workers"] == 16
    assert lines["listen", 0] == 17
    assert lines["listen", 1, "address"] == 20
    assert lines["listen", 1, "deep", 1, "two"] == 27
    assert lines["app", "a.b", "f"] == 31


def test_the_nearest_place_around_what_is_not_there():
    lines = find("[a]\n[b]\nc = 1")
    assert line_of(lines, ("b", "missing", 3)) == 2
    assert line_of(lines, ("missing",)) == 1
