"""A corpus of HTTP/1 requests: good ones, and mutations of them from a seeded generator.

The same seed gives the same requests on every Python, so that a difference once found stays found.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

CHUNKED_FIELDS = b"Host: a\r\nTransfer-Encoding: chunked"
CHUNKED = b"POST / HTTP/1.1\r\n" + CHUNKED_FIELDS + b"\r\n\r\n"

GOOD = [
    b"GET / HTTP/1.1\r\nHost: localhost:8000\r\n\r\n",
    b"GET /a/b%20c?x=1&y=%41 HTTP/1.1\r\nHost: example.com\r\nAccept: */*\r\n\r\n",
    b"GET / HTTP/1.0\r\n\r\n",
    b"GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n",
    b"HEAD /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET http://b.example:81/c?d HTTP/1.1\r\nHost: a\r\n\r\n",
    b"POST /form HTTP/1.1\r\nHost: a\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello",
    b"POST / HTTP/1.0\r\nContent-Length: 3\r\n\r\nabc",
    b"PUT /x HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nhi",
    CHUNKED + b"5\r\nhello\r\n6\r\n, body\r\n0\r\n\r\n",
    CHUNKED + b'1;a=b;c="d e"\r\nx\r\n0\r\nX: y\r\n\r\n',
    b"GET / HTTP/1.1\r\nHost: a\r\nCookie: a=b; c=d\r\nCookie: e=f\r\nX-Empty:\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: [::1]:8000\r\nUser-Agent: curl/7.88.1\r\n\r\n",
    b"DELETE /x HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, keep-alive\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\n\r\nGET /next HTTP/1.1\r\nHost: a\r\n\r\n",
]

#: What mutations seldom find.
ODD = [
    *(
        CHUNKED.replace(b"chunked", v) + b"0\r\n\r\n"
        for v in (b"Chunked", b"chunked\t", b",chunked")
    ),
    CHUNKED.replace(b": chunked", b":\r\n chunked") + b"0\r\n\r\n",
    CHUNKED + b"0\r\nContent-Length: x\r\n\r\n",
    CHUNKED + b"1;a\rb\r\nx\r\n0\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1844674407370955161\r\n\r\nx",
    b"CONNECT \r\na:443 HTTP/1.1\r\nHost: a\r\n\r\n",
    b"\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
]

#: Field lines that are put in, or in the place of another.
LINES = [
    *(
        b"Content-Length: " + v
        for v in (b"0", b"5", b"+5", b"-1", b"5, 5", b"5,6", b"0x5", b"", b"05")
    ),
    *(
        b"Content-Length: " + v
        for v in (b"5 5", b"5.0", b"18446744073709551621", b"9" * 18, b"1_0")
    ),
    *(b"Transfer-Encoding: " + v for v in (b"chunked", b"Chunked", b"gzip, chunked", b"identity")),
    *(
        b"Transfer-Encoding: " + v
        for v in (b"chunked, chunked", b"xchunked", b"chunked, gzip", b"")
    ),
    *(b"Transfer-Encoding: " + v for v in (b",chunked", b"chunked,", b'"chunked"', b"chunked;a=b")),
    *(
        b"Host: " + v
        for v in (b"b", b"", b"a b", b"u@a", b"a:b", b"a:65536", b"::1", b"[::1", b"a/b")
    ),
    *(b"Connection: " + v for v in (b"close", b"keep-alive", b"Close , x", b"upgrade", b"", b",,")),
    *(b"Expect: " + v for v in (b"100-continue", b"x", b"100-continue, x", b"")),
    b"Transfer-Encoding : chunked",
    b"Content-Length : 5",
    b"Transfer_Encoding: chunked",
    b" folded: x",
    b"\tfolded",
    b"X y: z",
    b": no name",
    b"no colon",
    b"X: \xc3\xa9",
    b"X: a\tb",
    b"X:\x0bb",
    b"Upgrade: websocket",
    b"Upgrade: h2c",
]

#: Request lines that take the place of another.
FIRST = [
    *(
        b"GET / HTTP/" + v
        for v in (b"1.2", b"1.9", b"2.0", b"0.9", b"1", b"1.10", b"01.1", b"1.1 ", b"1.x")
    ),
    *(
        b"GET " + t + b" HTTP/1.1"
        for t in (b"*", b"a", b"//a", b"/#", b"/a#b", b"/%zz", b"/%", b"/a|b")
    ),
    *(
        b"GET " + t + b" HTTP/1.1"
        for t in (b"/?%", b"/\\", b"/?q={}", b"/{", b'/"', b"/<", b"/\xe9", b"?")
    ),
    *(
        b"GET " + t + b" HTTP/1.1"
        for t in (b"http://a", b"http://", b"http://u@a/", b"ftp://a/", b"HTTP://A/")
    ),
    *(m + b" / HTTP/1.1" for m in (b"get", b"FOO", b"G(T", b"PATCH", b"M" * 65, b"PROPFIND", b"")),
    b"CONNECT a:443 HTTP/1.1",
    b"GET  / HTTP/1.1",
    b"GET /  HTTP/1.1",
    b"GET\t/\tHTTP/1.1",
    b"GET /a b HTTP/1.1",
    b"GET /",
    b"GET",
    b"get / http/1.1",
    b"PRI * HTTP/2.0",
    b"",
    b" GET / HTTP/1.1",
]

#: What stands for a chunk's size and its extensions.
SIZES = [
    *(b"", b"x", b" 1", b"1 ", b"+1", b"-1", b"0x1", b"1_0", b"01", b"0000000000000001", b"1h"),
    *(
        b"00000000000000001",
        b"8000000000000000",
        b"fffffffffffffffff",
        b"1;",
        b"1;a",
        b"1;a=",
        b"1;;a",
    ),
    *(
        b"1 ;a",
        b"1; a",
        b"1;a =b",
        b"1;a= b",
        b'1;a="b',
        b'1;a="b" ',
        b'1;a="\\""',
        b"1;a=b c",
        b"2",
        b"0",
    ),
]

#: What stands behind the last chunk.
TRAILERS = [
    *(
        b"",
        b"A: b",
        b"A:",
        b"A",
        b": b",
        b"A : b",
        b" A: b",
        b"A: b\r\n c",
        b"A: \x01",
        b"A: \x7f",
        b"A(: b",
    ),
    *(b"Content-Length: 5", b"A: b\r\nA: c", b"A: \xe9"),
]

BYTES = [
    b"\r",
    b"\n",
    b"\r\n",
    b"\0",
    b"\t",
    b" ",
    b":",
    b",",
    b";",
    b'"',
    b"\x7f",
    b"\x80",
    b"0",
    b"x",
    b"%",
]


def mutate_byte(rng: random.Random, data: bytes) -> bytes:
    """Put a byte in, take one away, or put one in another's place."""
    at = rng.randrange(len(data))
    byte = rng.choice(BYTES)
    kind = rng.randrange(3)
    if kind == 0:
        return data[:at] + byte + data[at:]
    return data[:at] + (byte if kind == 1 else b"") + data[at + 1 :]


def mutate_line(rng: random.Random, data: bytes) -> bytes:
    """Put a field line in, repeat one, take one away, or put one in another's place."""
    head, end, body = data.partition(b"\r\n\r\n")
    first, *lines = head.split(b"\r\n")
    at = rng.randrange(len(lines) + 1)
    kind = rng.randrange(4)
    if kind == 0:
        lines.insert(at, rng.choice(LINES))
    elif kind == 1:
        lines[at : at + 1] = lines[at : at + 1] * 2
    elif kind == 2:
        lines[at : at + 1] = []
    else:
        lines[at : at + 1] = [rng.choice(LINES)]
    return b"\r\n".join([first, *lines]) + end + body


def mutate_first_line(rng: random.Random, data: bytes) -> bytes:
    """Put another request line in the place of this one."""
    return rng.choice(FIRST) + data[data.find(b"\r\n") :]


def mutate_body(rng: random.Random, data: bytes) -> bytes:
    """Send a body in chunks, of which one line is odd, behind the same request line."""
    first = data.partition(b"\r\n")[0] if rng.randrange(4) == 0 else b"POST / HTTP/1.1"
    sizes, trailers = rng.choice([(SIZES, [b""]), ([b"1"], TRAILERS)])
    size, trailer = rng.choice(sizes), [t for t in [rng.choice(trailers)] if t]
    return b"\r\n".join([first, CHUNKED_FIELDS, b"", size, b"x", b"0", *trailer, b"", b""])


def mutate_end(rng: random.Random, data: bytes) -> bytes:
    """Cut the end off, or put something behind it."""
    if rng.randrange(2):
        return data[: rng.randrange(len(data))]
    return data + rng.choice([b"\r\n", b"0", b"GET / HTTP/1.1\r\n", b"\0"])


MUTATIONS = [
    *(mutate_byte, mutate_byte, mutate_byte, mutate_line, mutate_line, mutate_line),
    *(mutate_first_line, mutate_first_line, mutate_body, mutate_end),
]


def requests(count: int, seed: int) -> Iterator[bytes]:
    """Yield the good and the odd requests, then so many good ones with one to three mutations."""
    rng = random.Random(seed)
    yield from GOOD + ODD
    for _ in range(count):
        data = rng.choice(GOOD)
        for _ in range(rng.choice([1, 1, 1, 2, 3])):
            data = rng.choice(MUTATIONS)(rng, data) or b"\r\n"
        yield data
