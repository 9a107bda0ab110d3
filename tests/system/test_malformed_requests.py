"""Malformed requests get the status that the RFCs name, a line in the log, and a close; odd but valid ones are served.

Statuses: RFC 9110 sections 15.5 and 15.6, RFC 9112 sections 2 to 7, RFC 6585 section 5.
"""

from __future__ import annotations

import contextlib
import re

import pytest
from http1 import Connection, fetch

pytestmark = pytest.mark.sanitized


def head(
    *lines: bytes, first: bytes = b"GET / HTTP/1.1", host: bytes = b"Host: localhost"
) -> bytes:
    return b"\r\n".join([first, *([host] if host else []), *lines, b"", b""])


def chunked(body: bytes) -> bytes:
    return head(b"Transfer-Encoding: chunked", first=b"POST / HTTP/1.1") + body


def with_length(*values: bytes) -> bytes:
    return head(*(b"Content-Length: " + v for v in values), first=b"POST / HTTP/1.1") + b"12345"


def with_coding(*values: bytes, version: bytes = b"1.1") -> bytes:
    lines = (b"Transfer-Encoding: " + v for v in values)
    return head(*lines, first=b"POST / HTTP/" + version) + b"0\r\n\r\n"


CASES: list[tuple[str, bytes, set[int]]] = []


def bad(name: str, data: bytes, *statuses: int) -> None:
    CASES.append((name, data, set(statuses or (400,))))


# The request line (RFC 9112 section 3)
for name, line in {
    "nothing but a word": b"hello",
    "HTTP/0.9": b"GET /",
    "two spaces behind the method": b"GET  / HTTP/1.1",
    "two spaces before the version": b"GET /  HTTP/1.1",
    "a space in front": b" GET / HTTP/1.1",
    "a tab in front": b"\tGET / HTTP/1.1",
    "a space at the end": b"GET / HTTP/1.1 ",
    "a tab at the end": b"GET / HTTP/1.1\t",
    "a tab for a space": b"GET\t/ HTTP/1.1",
    "a tab before the version": b"GET /\tHTTP/1.1",
    "a fourth word": b"GET / HTTP/1.1 now",
    "a space in the target": b"GET /a b HTTP/1.1",
    "no target": b"GET HTTP/1.1",
    "an empty target": b"GET  HTTP/1.1",
    "no method": b"/ HTTP/1.1",
    "the version in lower case": b"GET / http/1.1",
    "no minor version": b"GET / HTTP/1",
    "an empty minor version": b"GET / HTTP/1.",
    "no major version": b"GET / HTTP/.1",
    "no point in the version": b"GET / HTTP/11",
    "two digits of minor version": b"GET / HTTP/1.10",
    "two digits of major version": b"GET / HTTP/11.1",
    "a leading zero in the version": b"GET / HTTP/01.1",
    "a space in the version": b"GET / HTTP/ 1.1",
    "a comma in the version": b"GET / HTTP/1,1",
    "a sign in the version": b"GET / HTTP/+1.1",
    "a letter behind the version": b"GET / HTTP/1.1x",
    "a letter in the version": b"GET / HTTP/1.x",
    "another protocol": b"GET / HTTPS/1.1",
    "ICY": b"GET / ICY/1.1",
    "a NUL behind the version": b"GET / HTTP/1.1\x00",
    "a CR in the line": b"GET /\r HTTP/1.1",
    "a CR behind the method": b"GET\r / HTTP/1.1",
    "a CR before the CRLF": b"GET / HTTP/1.1\r",
}.items():
    bad(f"line: {name}", head(first=line))
for version in (b"0.0", b"0.9", b"2.0", b"2.1", b"3.0", b"9.9"):
    bad(f"line: HTTP/{version.decode()}", head(first=b"GET / HTTP/" + version), 505)
bad("line: the preface of HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505)
bad("line: a TLS client hello", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(100))
bad("line: a TLS client hello of one byte", b"\x16")
bad("line: a PROXY header", b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n" + head())
bad("line: two empty lines before it", b"\r\n\r\n" + head())
bad("line: an empty line of LF before it", b"\n" + head())
bad("line: a lone CR before it", b"\r" + head())
bad("line: SSH", b"SSH-2.0-OpenSSH_9.2\r\n")

# The method (RFC 9110 section 9.1: a token)
for byte in b'"(),/:;<=>?@[\\]{}\x00\x01\x08\x0b\x0c\x1b\x7f\x80\xe9\xff':
    bad(f"method: byte {byte:#04x}", head(first=b"GE" + bytes([byte]) + b"T / HTTP/1.1"))
bad("method: 65 bytes", head(first=b"M" * 65 + b" / HTTP/1.1"), 501)
bad("method: 1000 bytes", head(first=b"M" * 1000 + b" / HTTP/1.1"), 501)
bad("method: CONNECT", head(first=b"CONNECT localhost:80 HTTP/1.1"), 501)
bad("method: CONNECT in HTTP/1.0", head(first=b"CONNECT localhost:80 HTTP/1.0"), 501)

# The target (RFC 9112 section 3.2, RFC 3986)
for byte in b'"<>\\#\x00\x01\x09\x0b\x0c\x1f\x7f\x80\xc3\xff':
    bad(f"path: byte {byte:#04x}", head(first=b"GET /a" + bytes([byte]) + b"b HTTP/1.1"))
    bad(f"query: byte {byte:#04x}", head(first=b"GET /?a" + bytes([byte]) + b"b HTTP/1.1"))
for name, target in {
    "a relative path": b"a/b",
    "a query alone": b"?a=b",
    "a fragment": b"/a#b",
    "a fragment alone": b"#b",
    "half a percent sign": b"/%",
    "half an escape": b"/%4",
    "an escape that is none": b"/%zz",
    "an escape with a sign": b"/%+1",
    "an authority": b"localhost:80",
    "an asterisk": b"*",
    "an asterisk and more": b"*/a",
    "a scheme alone": b"http:",
    "no host": b"http://",
    "no host but a path": b"http:///a",
    "one slash": b"http:/localhost/",
    "another scheme": b"ftp://localhost/",
    "file": b"file:///etc/passwd",
    "javascript": b"javascript:alert(1)",
    "user information": b"http://user@localhost/",
    "user and password": b"http://user:secret@localhost/",
    "letters for a port": b"http://localhost:http/",
    "an open bracket": b"http://[::1/",
    "a host with a space": b"http://local%20host :80/",
    "a backslash for a slash": b"http:\\\\localhost\\",
    "a host with a backslash": b"http://local\\host/",
    "a host that is not ASCII": b"http://loc\xc3\xa4lhost/",
}.items():
    bad(f"target: {name}", head(first=b"GET " + target + b" HTTP/1.1"))
bad("target: OPTIONS and more than an asterisk", head(first=b"OPTIONS *a HTTP/1.1"))
bad("target: POST *", head(first=b"POST * HTTP/1.1", host=b"Host: localhost"))

# Host (RFC 9112 section 3.2, RFC 9110 section 7.2)
bad("host: missing", head(host=b""))
bad(
    "host: missing with an absolute target", head(first=b"GET http://localhost/ HTTP/1.1", host=b"")
)
bad("host: missing in HTTP/1.9", head(first=b"GET / HTTP/1.9", host=b""))
bad("host: empty", head(host=b"Host:"))
bad("host: blank", head(host=b"Host:  \t "))
bad("host: twice", head(b"Host: localhost"))
bad("host: two of them", head(b"Host: example.com"))
bad("host: two of them in another case", head(b"HOST: example.com"))
bad("host: twice in HTTP/1.0", head(b"Host: example.com", first=b"GET / HTTP/1.0"))
bad(
    "host: twice with an absolute target", head(b"Host: b", first=b"GET http://localhost/ HTTP/1.1")
)
for name, host in {
    "a space": b"local host",
    "a tab": b"local\thost",
    "a list": b"localhost, localhost",
    "a comma": b"a,b:80,c:80",
    "a path": b"localhost/a",
    "a backslash": b"local\\host",
    "user information": b"user@localhost",
    "a scheme": b"http://localhost",
    "a query": b"localhost?a",
    "a fragment": b"localhost#a",
    "a quote": b'"localhost"',
    "angle brackets": b"<localhost>",
    "letters for a port": b"localhost:http",
    "a signed port": b"localhost:-1",
    "a port with a plus": b"localhost:+80",
    "a port with a space": b"localhost: 80",
    "two ports": b"localhost:80:90",
    "a port alone": b":80",
    "a bare IPv6 address": b"::1",
    "an open bracket": b"[::1",
    "a closing bracket": b"::1]",
    "empty brackets": b"[]",
    "bytes behind the bracket": b"[::1]a",
    "bytes before the bracket": b"a[::1]",
    "no address in brackets": b"[localhost]",
    "a hexadecimal digit too far": b"[::g]",
    "nine groups": b"[1:2:3:4:5:6:7:8:9]",
    "a long group": b"[12345::]",
    "two gaps": b"[1::2::3]",
    "half an escape": b"local%4",
    "not ASCII": b"loc\xc3\xa4lhost",
    "a byte above 0x7f": b"local\xffhost",
}.items():
    bad(f"host: {name}", head(host=b"Host: " + host))
    if (
        b" " not in host
        and b"/" not in host
        and b"?" not in host
        and b"#" not in host
        and b"\t" not in host
    ):
        bad(f"host: {name} in the target", head(first=b"GET http://" + host + b"/ HTTP/1.1"))

# Field lines (RFC 9112 section 5, RFC 9110 section 5)
for byte in b'"(),/;<=>?@[\\]{}\x00\x01\x08\x0b\x0c\x1b\x7f\x80\xe9\xff':
    bad(f"name: byte {byte:#04x}", head(b"X-" + bytes([byte]) + b"Y: 1"))
for byte in (*range(0x09), 0x0B, 0x0C, *range(0x0E, 0x20), 0x7F):
    bad(f"value: byte {byte:#04x}", head(b"X: a" + bytes([byte]) + b"b"))
for name, line in {
    "a space before the colon": b"X : 1",
    "a tab before the colon": b"X\t: 1",
    "a space in the name": b"X Y: 1",
    "an empty name": b": 1",
    "no colon": b"X-Y",
    "a colon alone": b":",
    "folded by a space": b"X: 1\r\n 2",
    "folded by a tab": b"X: 1\r\n\t2",
    "folded and empty": b"X: 1\r\n \r\nY: 2",
    "folded Content-Length": b"Content-Length: 1\r\n 0",
    "folded Transfer-Encoding": b"Transfer-Encoding:\r\n chunked",
    "a bare CR in the value": b"X: a\rb",
    "a bare CR at the start of the value": b"X:\r1",
    "a bare CR before the CRLF": b"X: a\r",
    "a bare CR in the name": b"X\rY: 1",
    "a bare LF for the end": b"X: 1\nY: 2",
    "a bare LF and a space": b"X: 1\n Y: 2",
    "LF CR": b"X: 1\n\rY: 2",
}.items():
    bad(f"field: {name}", head(line))
bad("field: the first is folded", head(host=b" Host: localhost"))
bad("field: the first is folded by a tab", head(host=b"\tHost: localhost"))
bad("line end: LF behind the request line", b"GET / HTTP/1.1\nHost: localhost\r\n\r\n")
bad("line end: LF behind a field", b"GET / HTTP/1.1\r\nHost: localhost\n\r\n")
bad("line end: LF for the empty line", b"GET / HTTP/1.1\r\nHost: localhost\r\n\n")
bad("line end: LF everywhere", b"GET / HTTP/1.1\nHost: localhost\n\n")
bad("line end: CR everywhere", b"GET / HTTP/1.1\rHost: localhost\r\r")
bad("line end: CR CR LF", b"GET / HTTP/1.1\r\r\nHost: localhost\r\r\n\r\r\n")

# Expect (RFC 9110 section 10.1.1)
for value in (b"200-ok", b"100-continue, 200-ok", b"100", b"100-continued", b"x=y"):
    bad(
        f"expect: {value.decode()}",
        head(b"Expect: " + value, b"Content-Length: 1", first=b"POST / HTTP/1.1"),
        417,
    )

# Content-Length (RFC 9112 section 6.3, RFC 9110 section 8.6)
for value in (b"", b"+5", b"-5", b"-0", b"5 5", b"5,5", b"5, 5", b"5,6", b"0x5", b"5h", b"5.0", b"5.", b"5;", b"5;a",
              b"1e1", b"five", b"\xef\xbc\x95", b"0b1", b"1_0", b"'5'", b'"5"', b"5\t5",
              b"18446744073709551616", b"18446744073709551621", b"99999999999999999999999999"):  # fmt: skip
    bad(f"length: {value.decode()!r}", with_length(value))
bad("length: past 63 bits", with_length(b"9223372036854775808"), 400, 413)
bad("length: of 19 digits", with_length(b"9223372036854775807"), 400, 413)
bad("length: of 18 digits", with_length(b"999999999999999999"), 413)
bad("length: larger than max-body", with_length(b"1073741825"), 413)
bad("length: twice the same", with_length(b"5", b"5"))
bad("length: two of them", with_length(b"5", b"6"))
bad("length: two of them, one empty", with_length(b"5", b""))
bad("length: two of them in GET", head(b"Content-Length: 0", b"Content-Length: 5") + b"12345")

# Transfer-Encoding (RFC 9112 sections 6.1 and 6.3)
both = (b"Transfer-Encoding: chunked", b"Content-Length: 5")
bad("coding: with a length", head(*both, first=b"POST / HTTP/1.1") + b"0\r\n\r\n")
bad("coding: with a length before it", head(*both[::-1], first=b"POST / HTTP/1.1") + b"0\r\n\r\n")
bad(
    "coding: with a length of 0",
    head(both[0], b"Content-Length: 0", first=b"POST / HTTP/1.1") + b"0\r\n\r\n",
)
bad("coding: with a length in GET", head(*both) + b"0\r\n\r\n")
bad("coding: in HTTP/1.0", with_coding(b"chunked", version=b"1.0"))
bad("coding: in HTTP/1.0 with a length", head(*both, first=b"POST / HTTP/1.0") + b"0\r\n\r\n")
bad("coding: chunked twice", with_coding(b"chunked, chunked"))
bad("coding: chunked in two lines", with_coding(b"chunked", b"chunked"))
bad("coding: chunked is not the last", with_coding(b"chunked, gzip"))
bad("coding: chunked is not the last of two lines", with_coding(b"chunked", b"gzip"))
bad("coding: empty", with_coding(b""))
bad("coding: not a list", with_coding(b"chunked chunked"))
bad("coding: quoted", with_coding(b'"chunked"'))
bad("coding: a control byte before it", with_coding(b"\x0bchunked"))
bad("coding: NUL behind it", with_coding(b"chunked\x00"))
for value in (b"gzip", b"identity", b"xchunked", b"chunkedx", b"x-chunked", b"chunked; a=b", b"chunked;", b"cow",
              b"chunk", b"deflate", b"compress", b",", b"chunked,,gzip"):  # fmt: skip
    bad(f"coding: {value.decode()}", with_coding(value), 400, 501)
bad("coding: gzip, chunked", with_coding(b"gzip, chunked"), 501)
bad("coding: gzip and chunked in two lines", with_coding(b"gzip", b"chunked"), 501)
bad("coding: identity, chunked", with_coding(b"identity, chunked"), 501)

# Chunks (RFC 9112 section 7.1)
for name, body in {
    "an empty size": b"\r\nhello\r\n0\r\n\r\n",
    "no hexadecimal digit": b"g\r\nhello\r\n0\r\n\r\n",
    "a letter behind the size": b"5g\r\nhello\r\n0\r\n\r\n",
    "a signed size": b"+5\r\nhello\r\n0\r\n\r\n",
    "a negative size": b"-5\r\nhello\r\n0\r\n\r\n",
    "a prefix": b"0x5\r\nhello\r\n0\r\n\r\n",
    "a space before the size": b" 5\r\nhello\r\n0\r\n\r\n",
    "an underscore": b"1_0\r\n0123456789abcdef\r\n0\r\n\r\n",
    "a size in a quote": b'"5"\r\nhello\r\n0\r\n\r\n',
    "a comma": b"5,5\r\nhello\r\n0\r\n\r\n",
    "a bare LF behind the size": b"5\nhello\r\n0\r\n\r\n",
    "a bare CR behind the size": b"5\rhello\r\n0\r\n\r\n",
    "CR CR LF behind the size": b"5\r\r\nhello\r\n0\r\n\r\n",
    "a NUL behind the size": b"5\x00\r\nhello\r\n0\r\n\r\n",
    "data that is longer": b"5\r\nhello!\r\n0\r\n\r\n",
    "data that is shorter": b"5\r\nhell\r\n0\r\n\r\n",
    "LF behind the data": b"5\r\nhello\n0\r\n\r\n",
    "CR behind the data": b"5\r\nhello\r0\r\n\r\n",
    "nothing behind the data": b"5\r\nhello0\r\n\r\n",
    "a bare LF behind the last size": b"0\n\r\n",
    "a bare LF at the end": b"0\r\n\n",
    "a bare CR at the end": b"0\r\n\rX",
    "a negative last size": b"-0\r\n\r\n",
    "an extension with a NUL": b"5;a\x00\r\nhello\r\n0\r\n\r\n",
    "an extension with a control byte": b"5;a=\x01\r\nhello\r\n0\r\n\r\n",
    "an extension without a name": b"5;=b\r\nhello\r\n0\r\n\r\n",
    "an extension that is empty": b"5;\r\nhello\r\n0\r\n\r\n",
    "an extension with an empty value": b"5;a=\r\nhello\r\n0\r\n\r\n",
    "an extension with an open quote": b'5;a="b\r\nhello\r\n0\r\n\r\n',
    "an extension of two words": b"5;a b\r\nhello\r\n0\r\n\r\n",
    "an extension without a semicolon": b"5 a=b\r\nhello\r\n0\r\n\r\n",
    "an extension that ends in LF": b"5;a=b\nhello\r\n0\r\n\r\n",
    "an extension with a bare CR": b"5;a=\rb\r\nhello\r\n0\r\n\r\n",
    "a trailer without a colon": b"0\r\ntrailer\r\n\r\n",
    "a trailer with a space before the colon": b"0\r\nX : 1\r\n\r\n",
    "a trailer that is folded": b"0\r\nX: 1\r\n 2\r\n\r\n",
    "a trailer that begins with a space": b"0\r\n X: 1\r\n\r\n",
    "a trailer with an empty name": b"0\r\n: 1\r\n\r\n",
    "a trailer with a NUL": b"0\r\nX: \x00\r\n\r\n",
    "a trailer that ends in LF": b"0\r\nX: 1\n\r\n",
    "a trailer with a bare CR": b"0\r\nX: a\rb\r\n\r\n",
}.items():
    bad(f"chunk: {name}", chunked(body))
for size in (b"10000000000000000", b"ffffffffffffffff", b"8000000000000000", b"fffffffffffffffff"):
    bad(f"chunk: size {size.decode()}", chunked(size + b"\r\nhello"), 400, 413)
bad("chunk: larger than max-body", chunked(b"40000001\r\n" + b"x" * 1000), 413)
bad(
    "chunk: an extension of 5000 bytes",
    chunked(b"5;a=" + b"b" * 5000 + b"\r\nhello\r\n0\r\n\r\n"),
    400,
)
bad(
    "chunk: extensions of 5000 bytes in all",
    chunked(b"1;aaaa=bbbb\r\nx\r\n" * 500 + b"0\r\n\r\n"),
    400,
)
bad("chunk: a trailer of 5000 bytes", chunked(b"0\r\nX: " + b"y" * 5000 + b"\r\n\r\n"), 431)
bad(
    "chunk: trailers of 5000 bytes in all",
    chunked(b"0\r\n" + b"X-Y: 123456\r\n" * 400 + b"\r\n"),
    431,
)

# Sizes
bad("size: a request line of 20000 bytes", head(first=b"GET /" + b"a" * 20000 + b" HTTP/1.1"), 414)
bad("size: a field of 70000 bytes", head(b"X: " + b"y" * 70000), 431)
bad("size: a field name of 70000 bytes", head(b"X" * 70000 + b": 1"), 431)
bad("size: 200 fields", head(*(b"X-%d: 1" % i for i in range(200))), 431)


def calls(server) -> int:
    return int(fetch(server, "/calls").text)


@pytest.mark.parametrize(
    ("data", "statuses"), [pytest.param(*case[1:], id=case[0]) for case in CASES]
)
def test_malformed(echo, data, statuses):
    before = calls(echo)
    with Connection(echo) as client:
        client.send(data)
        response = client.response()
        assert response.status in statuses
        assert response.header("Connection") == "close"
        assert client.closed()
        echo.wait_log(
            rf"request refused .*reason=\"?\S.*status={response.status}\b.*peer={re.escape(client.name)}\b"
        )
    assert calls(echo) == before + 1


@pytest.mark.parametrize(
    "data", [pytest.param(case[1], id=case[0]) for case in CASES if len(case[1]) < 80][::7]
)
def test_malformed_byte_by_byte(echo, data):
    before = calls(echo)
    with Connection(echo) as client:
        # Refused before the end: what it says must arrive all the same.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            client.send(*(data[i : i + 1] for i in range(len(data))))
        assert 400 <= client.response().status < 600
    assert calls(echo) == before + 1


@pytest.mark.parametrize(
    "data",
    [
        head(host=b""),
        with_length(b"+5"),
        with_length(b"1073741825"),
        head(first=b"GET / HTTP/2.0"),
        head(first=b"GET /" + b"a" * 20000 + b" HTTP/1.1"),
        chunked(b"x\r\n"),
    ],
    ids=["host", "length", "too large", "version", "line", "chunk"],
)
def test_the_answer_arrives_though_the_client_goes_on_sending(echo, data):
    """A close with unread bytes would be a reset that can overtake the answer (RFC 9112 section 9.6).

    On one machine a reset comes in time to be seen by who sends on, but not before the answer.
    """
    with Connection(echo) as client:
        client.send(data, b"x" * 300_000)
        assert client.response().status >= 400
        assert client.closed()
        for _ in range(20):
            client.send(b"x" * 1000)


def test_an_unfinished_head_of_a_client_that_left_costs_nothing(echo):
    before = calls(echo)
    for cut in (1, 10, 30):
        with Connection(echo) as client:
            client.send(head()[:cut])
            client.shutdown()
            assert client.closed()
    assert calls(echo) == before + 1


# Odd, but valid ----------------------------------------------------------------------------------------------------

GOOD: list[tuple[str, bytes, dict[str, str | None], str]] = []


def good(name: str, data: bytes, body: str = "", **environ: str | None) -> None:
    GOOD.append((name, data, environ, body))


good("an empty line before it", b"\r\n" + head())
for minor in range(1, 10):
    good(f"HTTP/1.{minor}", head(first=b"GET / HTTP/1.%d" % minor), PATH_INFO="/")
good("HTTP/1.0", head(first=b"GET / HTTP/1.0"), SERVER_PROTOCOL="HTTP/1.0")
good(
    "HTTP/1.0 without Host",
    head(first=b"GET /a HTTP/1.0", host=b""),
    PATH_INFO="/a",
    HTTP_HOST=None,
)
good("a method in lower case", head(first=b"get / HTTP/1.1"), REQUEST_METHOD="get")
good("an unknown method", head(first=b"BREW / HTTP/1.1"), REQUEST_METHOD="BREW")
good("a method of all that a token may be", head(first=b"!#$%&'*+-.^_`|~09az / HTTP/1.1"),
     REQUEST_METHOD="!#$%&'*+-.^_`|~09az")  # fmt: skip
good("a method of 64 bytes", head(first=b"M" * 64 + b" / HTTP/1.1"), REQUEST_METHOD="M" * 64)
good("an absolute target", head(first=b"GET http://example.com/a?b HTTP/1.1"), PATH_INFO="/a", QUERY_STRING="b",
     HTTP_HOST="example.com")  # fmt: skip
good(
    "an absolute target with a port",
    head(first=b"GET http://example.com:81/ HTTP/1.1"),
    HTTP_HOST="example.com:81",
)
good(
    "an absolute target in HTTP/1.0",
    head(first=b"GET http://example.com/a HTTP/1.0", host=b""),
    PATH_INFO="/a",
)
good("a scheme in upper case", head(first=b"GET HTTP://example.com/a HTTP/1.1"), PATH_INFO="/a")
good(
    "an absolute target without a path",
    head(first=b"GET http://example.com HTTP/1.1"),
    PATH_INFO="/",
)
good("an absolute target with a query alone", head(first=b"GET http://example.com?a HTTP/1.1"), PATH_INFO="/",
     QUERY_STRING="a")  # fmt: skip
good("OPTIONS *", head(first=b"OPTIONS * HTTP/1.1"), PATH_INFO="", REQUEST_METHOD="OPTIONS")
good("escapes in the path", head(first=b"GET /%41%c3%a9%2f%20 HTTP/1.1"), PATH_INFO="/A\xc3\xa9/ ",
     REQUEST_URI="/%41%c3%a9%2f%20")  # fmt: skip
good(
    "all that a path may hold",
    head(first=b"GET /a-._~!$&'()*+,;=:@/ HTTP/1.1"),
    PATH_INFO="/a-._~!$&'()*+,;=:@/",
)
good("double slashes", head(first=b"GET //a//b HTTP/1.1"), PATH_INFO="//a//b")
good("dots", head(first=b"GET /a/../b/./c HTTP/1.1"), PATH_INFO="/a/../b/./c")
good("an empty query", head(first=b"GET /? HTTP/1.1"), QUERY_STRING="", REQUEST_URI="/?")
good("a query of many marks", head(first=b"GET /?a=b&c[]=/?:@!$'()*+,;%20 HTTP/1.1"),
     QUERY_STRING="a=b&c[]=/?:@!$'()*+,;%20")  # fmt: skip
for host in (b"localhost:8000", b"127.0.0.1", b"127.0.0.1:80", b"[::1]", b"[::1]:8000", b"a.b-c.example", b"a_b",
             b"xn--bcher-kva.example", b"[2001:db8::1.2.3.4]", b"EXAMPLE.com", b"example.com."):  # fmt: skip
    good(f"Host: {host.decode()}", head(host=b"Host: " + host), HTTP_HOST=host.decode())
good(
    "no space behind the colon",
    head(b"X:1", host=b"Host:localhost"),
    HTTP_HOST="localhost",
    HTTP_X="1",
)
good("spaces and tabs around the value", head(b"X: \t 1 2 \t "), HTTP_X="1 2")
good("an empty value", head(b"X:"), HTTP_X="")
good("bytes above 0x7f in a value", head(b"X: \xe9\xff"), HTTP_X="\xe9\xff")
good(
    "quotes and separators in a value",
    head(b'X: "a";b=(c),<d>[e]{f}\\'),
    HTTP_X='"a";b=(c),<d>[e]{f}\\',
)
good("names in any case", head(b"x-sOmE: 1"), HTTP_X_SOME="1")
good("a repeated field", head(b"X: 1", b"X: 2", b"x: 3"), HTTP_X="1,2,3")
good("two cookies", head(b"Cookie: a=1", b"Cookie: b=2"), HTTP_COOKIE="a=1; b=2")
good("an underscore in a name", head(b"X_Y: 1"), HTTP_X_Y=None)
good("an underscore beside a hyphen", head(b"X_Y: 1", b"X-Y: 2"), HTTP_X_Y="2")
good("a value of 8000 bytes", head(b"X: " + b"y" * 8000), HTTP_X="y" * 8000)
good("a value of 60000 bytes", head(b"X: " + b"y" * 60000), HTTP_X="y" * 60000)
good(
    "a path of 16000 bytes",
    head(first=b"GET /" + b"a" * 16000 + b" HTTP/1.1"),
    PATH_INFO="/" + "a" * 16000,
)
good("99 fields", head(*(b"X-%d: 1" % i for i in range(98))), HTTP_X_97="1")
good("a body of GET", head(b"Content-Length: 5") + b"hello", "hello", CONTENT_LENGTH="5")
good(
    "a body of an unknown method",
    head(b"Content-Length: 5", first=b"BREW / HTTP/1.1") + b"hello",
    "hello",
)
good("a body of length 0", head(b"Content-Length: 0", first=b"POST / HTTP/1.1"), "")
good("POST without a body", head(first=b"POST / HTTP/1.1"), "")
good(
    "spaces around the length",
    head(b"Content-Length: \t5 ", first=b"POST / HTTP/1.1") + b"hello",
    "hello",
)
good("Expect without a body", head(b"Expect: 100-continue"))
good(
    "Expect in HTTP/1.0",
    head(b"Expect: 100-continue", b"Content-Length: 1", first=b"POST / HTTP/1.0") + b"x",
    "x",
)
good(
    "an upgrade that is not taken",
    head(b"Upgrade: h2c", b"Connection: Upgrade, HTTP2-Settings", b"HTTP2-Settings: x"),
)
good(
    "chunks",
    chunked(b"5\r\nhello\r\n1\r\n!\r\n0\r\n\r\n"),
    "hello!",
    CONTENT_LENGTH="6",
    HTTP_TRANSFER_ENCODING=None,
)
good("no chunks", chunked(b"0\r\n\r\n"), "")
good("chunks and a coding in upper case", with_coding(b"CHUNKED"), "")
good(
    "sizes in upper case and with zeros",
    chunked(b"00000A\r\n0123456789\r\n0000\r\n\r\n"),
    "0123456789",
)
good("chunk extensions", chunked(b'5;a;b=c;d="e\\"f;g"\r\nhello\r\n0;x\r\n\r\n'), "hello")
good(
    "a chunk extension of 4000 bytes",
    chunked(b"5;a=" + b"b" * 4000 + b"\r\nhello\r\n0\r\n\r\n"),
    "hello",
)
good("trailers", chunked(b"5\r\nhello\r\n0\r\nX-Trailer: 1\r\nContent-Length: 7\r\n\r\n"), "hello",
     HTTP_X_TRAILER=None, CONTENT_LENGTH="5")  # fmt: skip
good(
    "trailers of 4000 bytes",
    chunked(b"5\r\nhello\r\n0\r\nX: " + b"y" * 3980 + b"\r\n\r\n"),
    "hello",
)
good("chunks in GET", head(b"Transfer-Encoding: chunked") + b"5\r\nhello\r\n0\r\n\r\n", "hello")


@pytest.mark.extension
@pytest.mark.parametrize(
    ("data", "environ", "body"), [pytest.param(*case[1:], id=case[0]) for case in GOOD]
)
def test_odd_but_valid(echo, data, environ, body):
    with Connection(echo) as client:
        client.send(data)
        response = client.response()
        assert response.status == 200, response
        answer = response.json()
        assert {name: answer["environ"].get(name) for name in environ} == environ
        assert answer["body"] == body
