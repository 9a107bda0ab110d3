"""What people write after ``--bind``, and what the master binds."""

from __future__ import annotations

import ipaddress
import os
import re
import socket
from dataclasses import dataclass
from pathlib import Path

from penstock.options import WrongValueError, absolute

UNIX_PATH_MAX = 107
"""Bytes in a Unix socket's path: sun_path of sockaddr_un has 108 with its NUL (unix(7))."""

FORMS = "HOST:PORT, :PORT, [IPV6]:PORT, unix:/PATH, unix:@NAME or fd://N"
SUPPORTED = f"an address is {FORMS}"


@dataclass(frozen=True, slots=True)
class Address:
    """One place to listen.

    ``kind`` is ``tcp4``, ``tcp6``, ``unix`` or ``fd``; ``host`` is numeric, without brackets; ``path`` of an abstract
    Unix socket begins with ``@``; ``descriptor`` is the number or name behind ``fd://``.
    """

    kind: str
    host: str | None = None
    port: int = 0
    path: str | None = None
    descriptor: str | None = None

    def __str__(self) -> str:
        if self.kind == "unix":
            return f"unix:{self.path}"
        if self.kind == "fd":
            return f"fd://{self.descriptor}"
        return f"[{self.host}]:{self.port}" if self.kind == "tcp6" else f"{self.host}:{self.port}"


def parse(text: str, base: Path) -> Address:
    """Return the address that a text means; a host name is looked up.

    Parameters
    ----------
    text
        As written after ``--bind``.
    base
        The folder from which a relative path of a Unix socket is seen.

    Raises
    ------
    WrongValueError
        It is no address of the kinds that are supported, or the name cannot be looked up.
    """
    if text.startswith("unix:"):
        return _unix(text, base)
    if text.startswith("fd:"):
        return _descriptor(text)
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", text):
        raise WrongValueError(f'"{text}" names a protocol; {SUPPORTED}')
    if text.startswith("["):
        return _bracketed(text)
    host, colon, port = text.rpartition(":")
    if not colon:
        hint = f'; did you mean ":{text}"?' if text.isdigit() else f"; {SUPPORTED}"
        raise WrongValueError(f'"{text}" has no port{hint}')
    if ":" in host:
        raise WrongValueError(
            f'"{text}" is ambiguous: write an IPv6 address in brackets, [::1]:8000'
        )
    return _named(host, _port(text, port))


def _unix(text: str, base: Path) -> Address:
    """Return the address of a Unix socket."""
    path = text.removeprefix("unix:")
    path = path[2:] if path.startswith("///") else path
    if path in ("", "@") or path.startswith("//") or path.endswith("/") or "\0" in path:
        raise WrongValueError(f'"{text}" names no path of a Unix socket; {SUPPORTED}')
    if not path.startswith("@"):
        path = absolute(path, base)
    length = len(os.fsencode(path))
    if length > UNIX_PATH_MAX:
        raise WrongValueError(
            f'the path "{path}" has {length} bytes; a Unix socket can have {UNIX_PATH_MAX}'
        )
    return Address("unix", path=path)


def _descriptor(text: str) -> Address:
    """Return the address of a socket that the program was started with, by number or name."""
    match = re.fullmatch(r"fd://([0-9]{1,7}|(?![0-9]+$)[^\x00-\x20\x7f:/]{1,255})", text, re.ASCII)
    if match is None:
        raise WrongValueError(f'"{text}" is not fd://N or fd://NAME')
    word = match[1]
    return Address("fd", descriptor=str(int(word)) if word.isdigit() else word)


def _port(text: str, port: str) -> int:
    """Return the number of a port."""
    if not re.fullmatch(r"\d{1,5}", port, re.ASCII) or int(port) > 65535:
        raise WrongValueError(f'"{text}" has no port between 0 and 65535')
    return int(port)


def _bracketed(text: str) -> Address:
    """Return the address of ``[host]:port``."""
    match = re.fullmatch(r"\[([^\]]*)\]:(.*)", text)
    if match is None:
        raise WrongValueError(f'"{text}" is not [IPV6]:PORT')
    try:
        host = ipaddress.IPv6Address(match[1])
    except ValueError:
        raise WrongValueError(f'"{match[1]}" is not an IPv6 address') from None
    if host.scope_id is not None:
        raise WrongValueError(
            f'"{text}": an address with a zone (%{host.scope_id}) is not supported'
        )
    return Address("tcp6", str(host), _port(text, match[2]))


def network(text: str) -> str:
    """Return a network of peers as the workers read it.

    Raises
    ------
    WrongValueError
        It is neither an address nor a network, ``unix`` or ``*``.
    """
    if text in ("*", "unix"):
        return text
    try:
        found = ipaddress.ip_network(text)
    except ValueError:
        pass
    else:
        if "%" not in text:
            return str(found)
    try:
        wider = ipaddress.ip_network(text, strict=False)
    except ValueError:
        hint = "an address, a network such as 10.0.0.0/8, unix or *"
        raise WrongValueError(f'"{text}" is not {hint}') from None
    raise WrongValueError(f'"{text}" has bits behind its prefix; did you mean "{wider}"?')


def _named(host: str, port: int) -> Address:
    """Return the address of a host by name or IPv4 number."""
    if host in ("", "*"):
        return Address("tcp4", "0.0.0.0", port)
    try:
        return Address("tcp4", str(ipaddress.IPv4Address(host)), port)
    except ValueError:
        pass
    if re.fullmatch(r"[0-9.]+", host):
        raise WrongValueError(f'"{host}" is not an IPv4 address')
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not a host name"
        raise WrongValueError(f'the host "{host}" cannot be looked up: {reason}') from None
    found.sort(key=lambda entry: entry[0] != socket.AF_INET)
    family, address = found[0][0], str(found[0][4][0])
    return Address("tcp4" if family == socket.AF_INET else "tcp6", address.partition("%")[0], port)
