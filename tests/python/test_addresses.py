"""What may follow --bind."""

import socket
from pathlib import Path

import pytest

from penstock.addresses import UNIX_PATH_MAX, Address, parse
from penstock.options import WrongValueError

BASE = Path("/base")


@pytest.mark.parametrize(
    ("text", "address", "written"),
    [
        ("127.0.0.1:8000", Address("tcp4", "127.0.0.1", 8000), "127.0.0.1:8000"),
        (":80", Address("tcp4", "0.0.0.0", 80), "0.0.0.0:80"),
        ("*:80", Address("tcp4", "0.0.0.0", 80), "0.0.0.0:80"),
        ("127.0.0.1:0", Address("tcp4", "127.0.0.1", 0), "127.0.0.1:0"),
        ("[::1]:8000", Address("tcp6", "::1", 8000), "[::1]:8000"),
        ("[0:0::0:1]:8000", Address("tcp6", "::1", 8000), "[::1]:8000"),
        ("unix:/run/a.sock", Address("unix", path="/run/a.sock"), "unix:/run/a.sock"),
        ("unix:///run/a.sock", Address("unix", path="/run/a.sock"), "unix:/run/a.sock"),
        ("unix:a.sock", Address("unix", path="/base/a.sock"), "unix:/base/a.sock"),
        ("unix:../a.sock", Address("unix", path="/a.sock"), "unix:/a.sock"),
        ("unix:@shop", Address("unix", path="@shop"), "unix:@shop"),
        ("unix:@a/b", Address("unix", path="@a/b"), "unix:@a/b"),
        ("fd://3", Address("fd", descriptor="3"), "fd://3"),
        ("fd://007", Address("fd", descriptor="7"), "fd://7"),
        ("fd://web", Address("fd", descriptor="web"), "fd://web"),
        ("fd://shop.socket", Address("fd", descriptor="shop.socket"), "fd://shop.socket"),
    ],
)
def test_addresses(text, address, written):
    assert parse(text, BASE) == address
    assert str(address) == written
    assert parse(written, BASE) == address


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "has no port"),
        ("8000", 'did you mean ":8000"?'),
        ("localhost", "has no port"),
        ("127.0.0.1:", "no port between 0 and 65535"),
        ("127.0.0.1:65536", "no port between 0 and 65535"),
        ("127.0.0.1:-1", "no port between 0 and 65535"),
        ("127.0.0.1:http", "no port between 0 and 65535"),
        ("127.0.0.1:٣", "no port between 0 and 65535"),
        ("256.0.0.1:80", '"256.0.0.1" is not an IPv4 address'),
        ("1.2.3:80", '"1.2.3" is not an IPv4 address'),
        ("::1:80", "brackets"),
        ("[::1]", "is not [IPV6]:PORT"),
        ("[::g]:80", '"::g" is not an IPv6 address'),
        ("[fe80::1%eth0]:80", "zone"),
        ("uwsgi://127.0.0.1:3031", "names a protocol"),
        ("fd://", "is not fd://N or fd://NAME"),
        ("fd:3", "is not fd://N or fd://NAME"),
        ("fd://a b", "is not fd://N or fd://NAME"),
        ("fd://a:b", "is not fd://N or fd://NAME"),
        ("fd://12345678", "is not fd://N or fd://NAME"),
        ("http://127.0.0.1:80", "names a protocol"),
        ("unix:", "names no path"),
        ("unix:@", "names no path"),
        ("unix:@a\0b", "names no path"),
        ("unix:@" + "x" * UNIX_PATH_MAX, f"has {UNIX_PATH_MAX + 1} bytes"),
        ("unix:/run/", "names no path"),
        ("unix:/" + "x" * UNIX_PATH_MAX, f"has {UNIX_PATH_MAX + 1} bytes"),
        ("no.such.host.invalid:80", "cannot be looked up"),
    ],
)
def test_wrong_addresses(text, message):
    with pytest.raises(WrongValueError) as error:
        parse(text, BASE)
    assert message in str(error.value)


def test_the_longest_unix_path_can_be_bound(tmp_path):
    path = tmp_path / ("x" * (UNIX_PATH_MAX - len(str(tmp_path)) - 1))
    address = parse(f"unix:{path}", BASE)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(address.path)


def test_a_name_is_one_address_an_ipv4_one_first():
    assert parse("localhost:80", BASE).kind == "tcp4"
