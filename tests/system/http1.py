"""A raw HTTP/1.1 client: sends exactly the bytes it is given and believes nothing that it gets.

Its parser of responses is strict (RFC 9112): line ends are CRLF, framing fields come once, chunks are well formed.
Anything else is an AssertionError, and a response that ends early is a :class:`Cut`.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Iterable
from dataclasses import dataclass, field

from harness import LIMIT, Server

STATUS_LINE = re.compile(rb"HTTP/1\.([01]) ([1-9]\d\d) ([\t\x20-\x7e\x80-\xff]*)")
FIELD_LINE = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([\t\x20-\x7e\x80-\xff]*?)[ \t]*")


class Closed(Exception):
    """The connection ended where a response could have begun."""


class Cut(Exception):
    """The connection ended within a response."""


@dataclass
class Response:
    """One response."""

    status: int
    reason: str
    minor: int
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: bytes = b""
    chunks: list[bytes] = field(default_factory=list)

    def all(self, name: str) -> list[str]:
        """Return the values of a field."""
        return [value for key, value in self.headers if key.lower() == name.lower()]

    def header(self, name: str) -> str | None:
        """Return the value of a field that comes at most once."""
        values = self.all(name)
        assert len(values) <= 1, (name, values)
        return values[0] if values else None

    @property
    def text(self) -> str:
        """The body as UTF-8."""
        return self.body.decode()

    def json(self):
        """Return the body as JSON."""
        import json

        return json.loads(self.body)


class Connection:
    """One connection of a client that may do anything."""

    def __init__(self, server: Server, timeout: float = LIMIT):
        self.sock = server.connect(timeout)
        self.pending = b""

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    @property
    def name(self) -> str:
        """The client's end as the server's log writes it."""
        host, port = self.sock.getsockname()
        return f"{host}:{port}"

    def close(self) -> None:
        """Close the connection."""
        self.sock.close()

    def send(self, *parts: bytes) -> Connection:
        """Send each part with a call of its own."""
        for part in parts:
            self.sock.sendall(part)
        return self

    def shutdown(self) -> None:
        """End sending; answers can still be read."""
        self.sock.shutdown(socket.SHUT_WR)

    def _more(self) -> bool:
        data = self.sock.recv(65536)
        self.pending += data
        return bool(data)

    def _line(self) -> bytes:
        while b"\n" not in self.pending:
            if not self._more():
                raise Cut(self.pending) if self.pending else Closed
        line, _, self.pending = self.pending.partition(b"\n")
        assert line.endswith(b"\r"), line
        assert b"\r" not in line[:-1], line
        return line[:-1]

    def _exactly(self, count: int) -> bytes:
        parts = [self.pending]
        have = len(self.pending)
        while have < count:
            data = self.sock.recv(min(1 << 20, count - have + 65536))
            if not data:
                self.pending = b"".join(parts)
                raise Cut(f"{have} of {count} bytes")
            parts.append(data)
            have += len(data)
        whole = b"".join(parts)
        self.pending = whole[count:]
        return whole[:count]

    def _head(self) -> Response:
        match = STATUS_LINE.fullmatch(line := self._line())
        assert match, line
        response = Response(int(match[2]), match[3].decode("latin-1"), int(match[1]))
        while line := self._within(self._line):
            match = FIELD_LINE.fullmatch(line)
            assert match, line
            response.headers.append((match[1].decode(), match[2].decode("latin-1")))
        return response

    def _within(self, read, *args):
        """Call a reading function; the end of the connection is a cut here."""
        try:
            return read(*args)
        except Closed:
            raise Cut("the connection ended") from None

    def interim(self) -> Response:
        """Read one interim response (1xx)."""
        response = self._head()
        assert 100 <= response.status < 200, response
        return response

    def head(self) -> Response:
        """Read the head of the next final response, and nothing of its content."""
        while (response := self._head()).status < 200:
            pass
        return response

    def chunk(self) -> bytes:
        """Read one chunk; empty for the last, whose (empty) trailer section is read, too."""
        size = self._within(self._line)
        assert re.fullmatch(rb"[0-9A-Fa-f]{1,16}", size), size
        data = self._exactly(int(size, 16))
        assert self._within(self._line) == b"", "no CRLF behind a chunk"
        return data

    def response(self, method: str = "GET") -> Response:
        """Read the next final response in whole."""
        response = self.head()
        length = response.header("Content-Length")
        coding = response.header("Transfer-Encoding")
        assert length is None or coding is None, response
        if method == "HEAD" or response.status in (204, 304):
            return response
        if coding is not None:
            assert coding == "chunked", response
            while chunk := self.chunk():
                response.chunks.append(chunk)
            response.body = b"".join(response.chunks)
        elif length is not None:
            assert re.fullmatch(r"\d+", length), response
            response.body = self._exactly(int(length))
        else:
            response.body = self.rest()
        return response

    def rest(self) -> bytes:
        """Read until the server closes."""
        parts = [self.pending]
        self.pending = b""
        while data := self.sock.recv(1 << 20):
            parts.append(data)
        return b"".join(parts)

    def closed(self) -> bool:
        """Whether nothing more comes but the end of the connection. Waits for it."""
        return self.rest() == b""


def request(
    method: str = "GET",
    target: str = "/",
    headers: Iterable[tuple[str, str]] = (),
    body: bytes | None = None,
    host: str | None = "localhost",
    version: str = "1.1",
) -> bytes:
    """Return a request; Host and Content-Length are added."""
    lines = [f"{method} {target} HTTP/{version}"]
    if host is not None:
        lines.append(f"Host: {host}")
    lines += [f"{name}: {value}" for name, value in headers]
    if body is not None:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + (body or b"")


def fetch(server: Server, target: str = "/", method: str = "GET", **others) -> Response:
    """Make one request on a connection of its own."""
    with Connection(server) as client:
        client.send(request(method, target, **others))
        return client.response(method)
