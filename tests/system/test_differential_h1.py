"""What our HTTP/1 codec makes of a corpus, compared with httptools (llhttp) and h11.

Ours is asked through `h1_dump`, which meson builds with the unit tests (`-Dtests=true`). PENSTOCK_BUILD names the
build folder; without it `./build` is looked at, then the folders in it, newest first.

Each difference has to be explained by a rule below: what was sent is looked at again, by other means than the
codec's, and must show what the rule says. A difference without a rule fails, and so does a rule without a difference.
"""

from __future__ import annotations

import ipaddress
import json
import os
import re
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import corpus_h1
import h11
import httptools
import pytest

COUNT = 8000
SEED = 9112
DUMP = Path("tests/differential/h1_dump")
TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"


@dataclass
class Outcome:
    """What a parser made of a connection's first request."""

    verdict: str  # "ok", "more" or "refused"
    why: str = ""
    method: bytes = b""
    target: bytes = b""
    minor: int = -1
    fields: list[tuple[bytes, bytes]] = field(default_factory=list)
    body: bytes = b""
    whole: bool = False

    @property
    def final(self) -> bool:
        """Whether more bytes would change nothing."""
        return self.verdict == "refused" or self.whole

    def same(self, other: Outcome) -> bool:
        """Equal but for the reason of a refusal."""
        return replace(self, why="") == replace(other, why="")


# ---- the three parsers


def find_dump() -> Path:
    if "PENSTOCK_BUILD" in os.environ:
        return Path(os.environ["PENSTOCK_BUILD"]) / DUMP
    build = Path(__file__).parents[2] / "build"
    found = [p for p in (build / DUMP, *build.glob(f"*/{DUMP}")) if p.exists()]
    if not found:
        pytest.skip("no h1_dump: build with -Dtests=true, name the folder in PENSTOCK_BUILD")
    return max(found, key=lambda p: p.stat().st_mtime)


def latin(text: str) -> bytes:
    return text.encode("latin-1")


def from_json(line: bytes) -> Outcome:
    o = json.loads(line)
    if "error" in o:
        return Outcome("refused", o["error"])
    if "more" in o:
        return Outcome("more")
    fields = [(latin(n).lower(), latin(v)) for n, v in o["fields"]]
    method, target, body = (latin(o[name]) for name in ("method", "target", "body"))
    return Outcome("ok", "", method, target, o["minor"], fields, body, o["whole"])


def ours(requests: list[bytes]) -> list[Outcome]:
    records = b"".join(b"%d\n%s" % (len(r), r) for r in requests)
    run = subprocess.run([find_dump()], input=records, capture_output=True, check=True, timeout=120)
    outcomes = [from_json(line) for line in run.stdout.splitlines()]
    assert len(outcomes) == len(requests)
    return outcomes


class Collector:
    """What httptools calls back with, of the first request."""

    def __init__(self) -> None:
        self.outcome = Outcome("more")
        self.parser = httptools.HttpRequestParser(self)

    def on_url(self, url: bytes) -> None:
        if not self.outcome.whole:
            self.outcome.target += url

    def on_header(self, name: bytes, value: bytes | None) -> None:
        if self.outcome.verdict == "more":
            self.outcome.fields.append((name.lower(), value or b""))

    def on_headers_complete(self) -> None:
        if self.outcome.verdict == "more":
            self.outcome.verdict = "ok"
            self.outcome.method = self.parser.get_method()
            self.outcome.minor = int(self.parser.get_http_version()[-1])

    def on_body(self, body: bytes) -> None:
        if not self.outcome.whole:
            self.outcome.body += body

    def on_message_complete(self) -> None:
        self.outcome.whole = True


def by_httptools(request: bytes) -> Outcome:
    collector = Collector()
    try:
        collector.parser.feed_data(request)
    except httptools.HttpParserUpgrade:
        pass
    except httptools.HttpParserError as error:
        if not collector.outcome.whole:
            return Outcome("refused", str(error))
    return collector.outcome if collector.outcome.verdict == "ok" else Outcome("more")


def by_h11(request: bytes) -> Outcome:
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=1 << 16)
    connection.receive_data(request)
    outcome = Outcome("more")
    try:
        while not outcome.whole:
            event = connection.next_event()
            if isinstance(event, h11.Request):
                fields = [(bytes(n), bytes(v)) for n, v in event.headers]
                minor = int(event.http_version[-1:])
                outcome = Outcome("ok", "", event.method, event.target, minor, fields)
            elif isinstance(event, h11.Data):
                outcome.body += bytes(event.data)
            elif isinstance(event, h11.EndOfMessage):
                outcome.whole = True
            else:
                break
    except h11.RemoteProtocolError as error:
        return Outcome("refused", str(error))
    return outcome


# ---- what was sent, looked at by other means


def first_line(raw: bytes) -> bytes:
    return raw.removeprefix(b"\r\n").partition(b"\n")[0].removesuffix(b"\r")


def words(raw: bytes) -> list[bytes]:
    return [*first_line(raw).split(b" "), b"", b"", b""][:3]


def head(raw: bytes) -> bytes:
    return re.split(rb"\n\r?\n", raw, maxsplit=1)[0]


def values(raw: bytes, name: bytes) -> list[bytes]:
    lines = (line.partition(b":") for line in head(raw).split(b"\n")[1:])
    return [v.strip(b" \t\r") for n, _, v in lines if n.lower() == name]


def version(raw: bytes) -> bytes:
    return words(raw)[2]


def host_is_good(host: bytes) -> bool:
    name = rb"(?:[\w.~!$&'()*+,;=-]|%[0-9A-Fa-f]{2})+"
    match = re.fullmatch(rb"(\[.*\]|" + name + rb")(?::(\d*))?", host, re.ASCII)
    if not match or int(match[2] or 0) > 65535:
        return False
    if match[1].startswith(b"["):
        try:
            ipaddress.IPv6Address(match[1][1:-1].decode())
        except ValueError:
            return False
    return True


def host_is_bad(raw: bytes) -> bool:
    absolute = re.match(rb"https?://([^/?]*)", words(raw)[1], re.IGNORECASE)
    return bool(absolute and not host_is_good(absolute[1])) or any(
        not host_is_good(v) for v in values(raw, b"host")
    )


def target_is_good(raw: bytes) -> bool:
    method, target, _ = words(raw)
    path = rb"(?:[\w.~!$&'()*+,;=:@/\[\]^|-]|%[0-9A-Fa-f]{2})*"
    query = rb"(?:\?[\w.~!$&'()*+,;=:@/\[\]^|`{}%?-]*)?"
    origin, absolute = rb"/" + path, rb"(?i:https?)://[^/?]+(?:/" + path + rb")?"
    if target == b"*":
        return method == b"OPTIONS"
    return bool(re.fullmatch(rb"(?:" + origin + rb"|" + absolute + rb")" + query, target, re.ASCII))


def codings(raw: bytes) -> list[bytes]:
    return [
        c.strip(b" \t").lower() for v in values(raw, b"transfer-encoding") for c in v.split(b",")
    ]


def after_head(raw: bytes) -> bytes:
    return re.split(rb"\n\r?\n", raw, maxsplit=1)[-1]


def sizes(raw: bytes) -> list[bytes]:
    return re.findall(rb"(?:^|\n)([0-9A-Fa-f]+)", after_head(raw))


def bad_extension(raw: bytes) -> bool:
    quoted = rb'"(?:[^"\\\x00-\x08\x0a-\x1f\x7f]|\\[^\x00-\x08\x0a-\x1f\x7f])*"'
    one = rb"[ \t]*;[ \t]*" + TOKEN + rb"(?:[ \t]*=[ \t]*(?:" + TOKEN + rb"|" + quoted + rb"))?"
    lines = re.findall(rb"(?:^|\n)[0-9A-Fa-f]+([^0-9A-Fa-f\r\n][^\r\n]*)", after_head(raw))
    return any(not re.fullmatch(rb"(?:" + one + rb")*", line) for line in lines)


# ---- the rules


@dataclass(frozen=True)
class Rule:
    """A difference that is meant: ours refuses with `name` what `others` take, or says so later."""

    name: str
    others: str
    shows: Callable[[bytes], bool]
    why: str


REFUSED = [
    Rule(
        "TARGET",
        "httptools h11",
        lambda r: not target_is_good(r),
        "RFC 9112 3.2, RFC 3986: the target's grammar",
    ),
    Rule(
        "VERSION_BAD",
        "httptools",
        lambda r: not re.fullmatch(rb"HTTP/\d\.\d", version(r)),
        "RFC 9112 3: no HTTP/0.9",
    ),
    Rule(
        "VERSION_UNKNOWN",
        "httptools h11",
        lambda r: bool(re.fullmatch(rb"HTTP/[^1]\.\d", version(r))),
        "505 for all but 1.x",
    ),
    Rule("CONNECT", "httptools h11", lambda r: words(r)[0] == b"CONNECT", "501: this is no proxy"),
    Rule("METHOD_TOO_LONG", "h11", lambda r: len(words(r)[0]) > 64, "RFC 9112 3: 501"),
    Rule(
        "METHOD",
        "httptools",
        lambda r: r.startswith(b"\r\n\r\n") or first_line(r) == b"CONNECT ",
        "RFC 9112 2.2: one empty line, not more, and no line's end within a request line",
    ),
    Rule("HOST_BAD", "httptools h11", host_is_bad, "RFC 9112 3.2: an invalid Host is 400"),
    Rule(
        "HOST_MISSING",
        "httptools h11",
        lambda r: not values(r, b"host"),
        "RFC 9112 3.2: 1.1 and later without Host is 400",
    ),
    Rule(
        "HOST_REPEATED",
        "httptools",
        lambda r: len(values(r, b"host")) > 1,
        "RFC 9112 3.2: more than one Host is 400",
    ),
    Rule(
        "EXPECTATION",
        "httptools h11",
        lambda r: any(v not in (b"", b"100-continue") for v in values(r, b"expect")),
        "RFC 9110 10.1.1: 417",
    ),
    Rule(
        "BARE_LF",
        "httptools h11",
        lambda r: bool(re.search(rb"(?<!\r)\n", r)),
        "RFC 9112 2.2: LF alone may end a line, need not",
    ),
    Rule(
        "BARE_CR",
        "httptools h11",
        lambda r: bool(re.search(rb"\r(?!\n)", r)),
        "RFC 9112 2.2: CR alone is invalid",
    ),
    Rule(
        "OBS_FOLD",
        "h11",
        lambda r: bool(re.search(rb"\n[ \t]", r)),
        "RFC 9112 5.2: folding is refused",
    ),
    Rule(
        "FIELD_VALUE",
        "h11",
        lambda r: bool(re.search(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]", head(r))),
        "RFC 9110 5.5: control bytes",
    ),
    Rule(
        "LENGTH_BAD",
        "httptools h11",
        lambda r: any(not re.fullmatch(rb"\d{1,18}", v) for v in values(r, b"content-length")),
        "RFC 9112 6.3: a list may be refused",
    ),
    Rule(
        "LENGTH_REPEATED",
        "h11",
        lambda r: len(values(r, b"content-length")) > 1,
        "RFC 9112 6.3: may be refused even when equal",
    ),
    Rule(
        "LENGTH_AND_CODING",
        "h11",
        lambda r: bool(values(r, b"content-length") and values(r, b"transfer-encoding")),
        "RFC 9112 6.1: may be refused",
    ),
    Rule(
        "CODING_IN_1_0",
        "httptools h11",
        lambda r: version(r) == b"HTTP/1.0" and bool(codings(r)),
        "RFC 9112 6.1: a faulty frame",
    ),
    Rule(
        "CODING_UNKNOWN",
        "httptools",
        lambda r: any(c != b"chunked" for c in codings(r)),
        "RFC 9112 6.1: 501",
    ),
    Rule(
        "CODING_BAD",
        "httptools h11",
        lambda r: any(not re.fullmatch(TOKEN, c) for c in codings(r)),
        "no empty elements, no parameters of chunked",
    ),
    Rule(
        "CHUNK_EXTENSION",
        "httptools h11",
        bad_extension,
        "RFC 9112 7.1.1: the extension's grammar",
    ),
    Rule(
        "CHUNK_SIZE",
        "httptools h11",
        lambda r: any(len(s) > 16 or int(s, 16) >= 1 << 63 for s in sizes(r)),
        "RFC 9112 7.1: sizes have a limit: 16 digits, 63 bits",
    ),
    Rule(
        "TRAILER",
        "h11",
        lambda r: bool(re.search(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]|\n[ \t]", after_head(r))),
        "RFC 9112 7.1.2: trailers are field lines: no control bytes, no folding",
    ),
]


def space_in_extension(raw: bytes, mine: Outcome, other: Outcome) -> bool:
    space = re.search(rb"\w[ \t]+[;=]|[;=][ \t]", after_head(raw))
    return other.verdict == "refused" and "chunk" in other.why and bool(space)


def length_in_trailers(raw: bytes, mine: Outcome, other: Outcome) -> bool:
    return "Content-Length" in other.why and b"Content-Length" in after_head(raw)


def tab_behind_coding(raw: bytes, mine: Outcome, other: Outcome) -> bool:
    return "`Transfer-Encoding`" in other.why and b"\t" in head(raw)


def unknown_method(raw: bytes, mine: Outcome, other: Outcome) -> bool:
    known = other.why.startswith(("Invalid method", "Expected space after method"))
    return other.verdict == "refused" and known and bool(re.fullmatch(TOKEN, mine.method))


def later_minor(raw: bytes, mine: Outcome, other: Outcome) -> bool:
    alike = replace(mine, minor=other.minor).same(other) or other.verdict == "refused"
    return alike and bool(re.fullmatch(rb"HTTP/1\.[2-9]", version(raw)))


def spaces_kept(raw: bytes, mine: Outcome, other: Outcome) -> bool:
    return mine.same(replace(other, fields=[(n, v.strip(b" \t")) for n, v in other.fields]))


def coding_lowered(raw: bytes, mine: Outcome, other: Outcome) -> bool:
    lowered = [(n, v.lower() if n == b"transfer-encoding" else v) for n, v in mine.fields]
    return replace(mine, fields=lowered).same(other)


def empty_line_first(raw: bytes, mine: Outcome, other: Outcome) -> bool:
    return other.verdict == "refused" and raw.startswith(b"\r\n")


#: What ours takes: (name, other, what must show, why).
TAKEN = [
    (
        "length in trailers",
        "httptools h11",
        length_in_trailers,
        "RFC 9110 6.5.1: what may not be a trailer is dropped; both take it for a header",
    ),
    (
        "tab behind coding",
        "httptools",
        tab_behind_coding,
        "RFC 9110 5.5: a tab at a value's end is not its part; llhttp takes it for one",
    ),
    (
        "space in extension",
        "httptools h11",
        space_in_extension,
        "RFC 9110 5.6.3: bad white space has to be taken; llhttp refuses it, h11 before the semicolon",
    ),
    (
        "unknown method",
        "httptools",
        unknown_method,
        "RFC 9110 9.1: any token is a method; llhttp has a list",
    ),
    (
        "later minor",
        "httptools h11",
        later_minor,
        "RFC 9110 6.2: 1.2 to 1.9 are read as 1.1; llhttp refuses, h11 reports them",
    ),
    (
        "spaces kept",
        "httptools",
        spaces_kept,
        "RFC 9110 5.5: white space at a value's end is not its part; llhttp keeps some",
    ),
    ("coding lowered", "h11", coding_lowered, "h11 writes the coding in lower case"),
    (
        "empty line first",
        "h11",
        empty_line_first,
        "RFC 9112 2.2: one empty line is skipped; h11 refuses",
    ),
]


def explain(name: str, raw: bytes, mine: Outcome, other: Outcome) -> str | None:
    """Name the rule that explains a difference, or None."""
    if mine.verdict == "refused":
        rules = (r for r in REFUSED if r.name == mine.why and name in r.others)
        fitting = (r.name for r in rules if r.shows(raw))
    else:
        fitting = (r for r, names, shows, _ in TAKEN if name in names and shows(raw, mine, other))
    return next(fitting, None)


def completed(raw: bytes) -> bytes:
    """Give what is cut an end: a line without one, llhttp judges earlier and h11 later than at a line's end."""
    return raw + b"\r\nHost: a\r\n\r\n"


PARSERS = {"httptools": by_httptools, "h11": by_h11}


def differences(name: str, requests: list[bytes]) -> list[tuple[bytes, Outcome, Outcome]]:
    pairs = zip(requests, ours(requests), strict=True)
    outcomes = [(raw, mine, PARSERS[name](raw)) for raw, mine in pairs]
    return [(raw, mine, other) for raw, mine, other in outcomes if not mine.same(other)]


@pytest.fixture(scope="module", params=PARSERS)
def compared(request):
    """All differences between ours and one other parser, those of cut requests replaced by those of ended ones."""
    name = request.param
    corpus = list(dict.fromkeys(corpus_h1.requests(COUNT, SEED)))
    found = differences(name, corpus)
    cut = [raw for raw, mine, other in found if not (mine.final and other.final)]
    found = [d for d in found if d[0] not in cut] + differences(
        name, [completed(raw) for raw in cut]
    )
    return name, len(corpus), found


def test_every_difference_has_a_rule(compared):
    name, count, found = compared
    left = [d for d in found if not explain(name, *d)]
    shown = "\n".join(
        f"{raw!r}\n   ours {mine}\n   {name} {other}" for raw, mine, other in left[:10]
    )
    assert not left, f"{len(left)} of {count} requests differ from {name} without a rule:\n{shown}"


def test_every_rule_has_a_difference(compared):
    name, _, found = compared
    used = {explain(name, *d) for d in found}
    named = {r.name for r in REFUSED if name in r.others} | {t[0] for t in TAKEN if name in t[1]}
    assert named <= used, f"rules that explain nothing: {named - used}"


def test_most_requests_are_read_alike(compared):
    _, count, found = compared
    assert count > COUNT / 2
    assert len(found) < count / 2
