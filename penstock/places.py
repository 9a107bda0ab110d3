"""Where things stand in a TOML file.

``tomllib`` gives values without their lines. This walks the text of a document that ``tomllib`` has already accepted
and notes the line of each key, table header and array item, under the path that leads to its value in what
``tomllib`` returns: ``("listen", 0, "address")``. It relies on the document being valid, and reads no values but keys.
"""

from __future__ import annotations

import re
import tomllib

Path = tuple[str | int, ...]

BLANK = re.compile(r"(?:[ \t\r\n]+|#[^\n]*)*")
SPACE = re.compile(r"[ \t]*")
BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
STRING = re.compile(
    r'"""(?:[^"\\]|\\.|"(?!""))*"""(?:"{1,2}(?!"))?'
    r"|'''(?:[^']|'(?!''))*'''(?:'{1,2}(?!'))?"
    r'|"(?:[^"\\\n]|\\.)*"'
    r"|'[^'\n]*'",
    re.DOTALL,
)
PLAIN = re.compile(r"[^\s,\]}#]+(?: \d\d:[^\s,\]}#]+)?")


class _Walk:
    """One walk through a document."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.lines: dict[Path, int] = {}
        self.counts: dict[Path, int] = {}
        self.table: Path = ()

    def note(self, path: Path, at: int) -> None:
        """Note where a path begins; the first place counts."""
        self.lines.setdefault(path, self.text.count("\n", 0, at) + 1)

    def skip(self, pattern: re.Pattern[str]) -> str:
        """Step over what the pattern matches and return it."""
        match = pattern.match(self.text, self.at)
        if match is None:
            raise ValueError(f"unexpected text at offset {self.at}")
        self.at = match.end()
        return match[0]

    def here(self, text: str) -> bool:
        """Tell whether the rest begins with a text, and step over it then."""
        found = self.text.startswith(text, self.at)
        self.at += len(text) if found else 0
        return found

    def key(self) -> list[tuple[str, int]]:
        """Read a dotted key: its parts and where they begin."""
        parts = []
        while True:
            self.skip(SPACE)
            start = self.at
            if self.text[self.at] in "\"'":
                parts.append((_unquoted(self.skip(STRING)), start))
            else:
                parts.append((self.skip(BARE_KEY), start))
            self.skip(SPACE)
            if not self.here("."):
                return parts

    def document(self) -> None:
        """Read everything."""
        self.skip(BLANK)
        while self.at < len(self.text):
            if self.here("[["):
                self.header("]]")
            elif self.here("["):
                self.header("]")
            else:
                self.assignment(self.table)
            self.skip(BLANK)

    def header(self, end: str) -> None:
        """Read what is left of ``[a.b]`` or ``[[a.b]]``."""
        start = self.at
        parts = self.key()
        self.here(end)
        path: Path = ()
        for name, _ in parts[:-1]:
            path = self.entered((*path, name))
            self.note(path, start)
        last: Path = (*path, parts[-1][0])
        self.note(last, start)
        if end == "]]":
            self.counts[last] = self.counts.get(last, -1) + 1
        self.table = self.entered(last)
        self.note(self.table, start)

    def entered(self, path: Path) -> Path:
        """Return the path of the last element where it is an array of tables."""
        return (*path, self.counts[path]) if path in self.counts else path

    def assignment(self, table: Path) -> None:
        """Read ``a.b = value`` in a table."""
        path = table
        for name, start in self.key():
            path = (*path, name)
            self.note(path, start)
        self.here("=")
        self.skip(SPACE)
        self.value(path)

    def value(self, path: Path) -> None:
        """Step over a value, and note what is inside it."""
        if self.here("["):
            self.array(path)
        elif self.here("{"):
            self.inline_table(path)
        elif self.text[self.at] in "\"'":
            self.skip(STRING)
        else:
            self.skip(PLAIN)

    def array(self, path: Path) -> None:
        index = 0
        self.skip(BLANK)
        while not self.here("]"):
            self.note((*path, index), self.at)
            self.value((*path, index))
            index += 1
            self.skip(BLANK)
            self.here(",")
            self.skip(BLANK)

    def inline_table(self, path: Path) -> None:
        self.skip(BLANK)
        while not self.here("}"):
            self.assignment(path)
            self.skip(BLANK)
            self.here(",")
            self.skip(BLANK)


def _unquoted(text: str) -> str:
    """Return the key that a quoted key stands for."""
    return next(iter(tomllib.loads(f"{text} = 0")))


def find(text: str) -> dict[Path, int]:
    """Return the line (from 1) of every key, table and array item of a valid TOML document.

    Parameters
    ----------
    text
        A document that ``tomllib.loads`` accepts (TOML 1.0).
    """
    walk = _Walk(text.replace("\r\n", "\n"))
    walk.document()
    return walk.lines


def line_of(lines: dict[Path, int], path: Path) -> int:
    """Return the line of a path, or of the nearest thing around it that has one."""
    while path and path not in lines:
        path = path[:-1]
    return lines.get(path, 1)
