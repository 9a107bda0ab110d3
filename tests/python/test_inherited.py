"""Listening sockets that penstock was started with."""

import fcntl
import os
import socket

import pytest

from penstock.inherited import LEAST, Passed, passed, take
from penstock.settings import ConfigurationError, Setting

HERE = str(os.getpid())


def listener(kind, address, where="-b"):
    return {"kind": Setting(kind), "address": Setting(address, where), "listen-fd": Setting(None)}


FIRST = 200


@pytest.fixture
def sockets(monkeypatch):
    """Three listening sockets as systemd passes them, but from 200 on: below, pytest has its own."""
    monkeypatch.setattr("penstock.inherited.FIRST", FIRST)
    made = []
    for number in range(FIRST, FIRST + 3):
        with socket.socket() as one:
            one.bind(("127.0.0.1", 0))
            one.listen()
            made.append(one.getsockname()[1])
            os.dup2(one.fileno(), number)
    yield made
    for number in filter(is_open, range(FIRST, FIRST + 3)):
        os.close(number)


def is_open(number):
    try:
        fcntl.fcntl(number, fcntl.F_GETFD)
    except OSError:
        return False
    return True


def ports(listeners):
    found = []
    for one in listeners:
        number = one["listen-fd"].value
        assert number >= LEAST
        assert not fcntl.fcntl(number, fcntl.F_GETFD) & fcntl.FD_CLOEXEC
        with socket.socket(fileno=number) as sock:
            found.append(sock.getsockname()[1])
    return found


def variables(names, pid=HERE, count=3):
    return {"LISTEN_PID": pid, "LISTEN_FDS": str(count), "LISTEN_FDNAMES": names, "OTHER": "1"}


def test_what_systemd_says():
    three = [Passed(3, "web"), Passed(4, "unknown"), Passed(5, "unknown")]
    assert passed(variables("web")) == three
    assert passed({"LISTEN_PID": HERE, "LISTEN_FDS": "1"}) == [Passed(3, "unknown")]


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"LISTEN_FDS": "1"},
        {"LISTEN_PID": "1", "LISTEN_FDS": "1"},
        {"LISTEN_PID": HERE, "LISTEN_FDS": "x"},
        {"LISTEN_PID": HERE, "LISTEN_FDS": "-1"},
        {"LISTEN_PID": HERE, "LISTEN_FDS": "0"},
    ],
)
def test_what_is_not_for_this_process(environment):
    assert passed(environment) == []


def test_sockets_by_number_and_by_name(sockets):
    environment = variables("web:api:web")
    wanted = [
        listener("fd", "fd://web"),
        listener("tcp4", "127.0.0.1:80"),
        listener("fd", f"fd://{FIRST + 1}"),
    ]
    found, unused = take(wanted, environment)
    assert environment == {"OTHER": "1"}
    assert [one["address"].value for one in found] == [
        "fd://web",
        "fd://web",
        "127.0.0.1:80",
        f"fd://{FIRST + 1}",
    ]
    assert unused == []
    assert not any(map(is_open, range(FIRST, FIRST + 3)))
    assert ports([found[0], found[1], found[3]]) == [sockets[0], sockets[2], sockets[1]]


def test_what_nobody_takes_is_closed_and_told(sockets):
    found, unused = take([listener("fd", f"fd://{FIRST}")], variables("a:b:c"))
    assert unused == [Passed(FIRST + 1, "b"), Passed(FIRST + 2, "c")]
    assert not any(map(is_open, range(FIRST, FIRST + 3)))
    assert ports(found) == sockets[:1]


@pytest.mark.parametrize(
    ("addresses", "environment", "message"),
    [
        (["fd://wab"], variables("web:api:x"), 'no socket "wab"; did you mean "web"?'),
        (["fd://zzz"], variables("web:api:x"), 'no socket "zzz"; it passed web, api, x'),
        (["fd://web"], {}, 'no socket "web": it passed none'),
        (["fd://1"], {}, "descriptor 1 is a standard stream"),
        (["fd://999999"], {}, "descriptor 999999 is not open"),
        (
            [f"fd://{FIRST}", "fd://web"],
            variables("web:api:x"),
            f"descriptor {FIRST} is listened on already (-b)",
        ),
    ],
)
@pytest.mark.usefixtures("sockets")
def test_sockets_that_are_not_there(addresses, environment, message):
    with pytest.raises(ConfigurationError) as error:
        take([listener("fd", one) for one in addresses], environment)
    assert message in str(error.value)
    assert all(map(is_open, range(FIRST, FIRST + 3)))
