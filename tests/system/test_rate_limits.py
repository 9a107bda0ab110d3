"""Limits for each address: connections at the same time, and requests a second, over all workers."""

import os
import re
import signal
import socket
from contextlib import suppress

import pytest
from harness import wait_until
from http1 import Closed, Connection, Cut, request

pytestmark = [pytest.mark.sanitized, pytest.mark.extension]

OTHER = "127.0.0.9"


def connect(server, source="127.0.0.1"):
    """Connect from an address of our choice: all of 127.0.0.0/8 is ours."""
    client = Connection.__new__(Connection)
    client.pending = b""
    client.sock = socket.create_connection(
        ("127.0.0.1", server.port), timeout=20, source_address=(source, 0)
    )
    return client


def ask(server, source="127.0.0.1", headers=(), before=b""):
    """Make one request on a connection of its own."""
    with connect(server, source) as client:
        client.send(before + request(headers=headers))
        return client.response()


def statuses(server, count, **others):
    return [ask(server, **others).status for _ in range(count)]


# ---- requests ----


@pytest.fixture
def limited(serve):
    """One request a second for each address, five at once."""
    options = ["--limit-requests", "1", "--limit-requests-burst", "5", "-w", "3"]
    return serve("hello", *options, "--forwarded-allow-ips", "127.0.0.2")


def test_too_many_requests(limited):
    found = statuses(limited, 30)
    assert found[:5] == [200] * 5
    assert found.count(200) <= 8
    assert set(found) == {200, 429}
    response = ask(limited)
    assert response.status == 429
    assert response.header("Retry-After") == "1"
    assert ask(limited, OTHER).status == 200
    wait_until(lambda: ask(limited).status == 200, "a token after a second")


def test_the_log_is_told_once_a_second_and_worker(limited):
    refused = statuses(limited, 60).count(429)
    assert refused > 40
    line = limited.wait_log(r"warn .*a client is over a limit .*")[0]
    assert 'reason="more requests from one address than limit-requests"' in line
    assert "peer=127.0.0.1 " in line
    seconds = {stamp[:19] for stamp in re.findall(r"^20\S+", limited.log(), re.MULTILINE)}
    assert limited.log().count("over a limit") <= 3 * (len(seconds) + 1)
    assert "request refused" not in limited.log()


def test_several_requests_of_one_connection_count(limited):
    with connect(limited) as client:
        client.send(request() * 6)
        found = [client.response().status for _ in range(6)]
    assert found == [200] * 5 + [429]


def test_clients_behind_a_proxy_are_told_apart(limited):
    def told(address):
        return {"source": "127.0.0.2", "headers": [("X-Forwarded-For", address)]}

    assert 429 in statuses(limited, 20, **told("203.0.113.7"))
    assert statuses(limited, 5, **told("203.0.113.8")) == [200] * 5
    # a stranger does not get out of it by telling something else each time
    found = [ask(limited, OTHER, [("X-Forwarded-For", f"203.0.113.{i}")]).status for i in range(20)]
    assert 429 in found


def test_ipv6_addresses_count_by_their_network(limited):
    def told(address):
        return {"source": "127.0.0.2", "headers": [("X-Forwarded-For", address)]}

    found = [ask(limited, **told(f"2001:db8:0:1::{i:x}")).status for i in range(20)]
    assert 429 in found
    assert ask(limited, **told("2001:db8:0:2::1")).status == 200


def test_burst_is_the_rate_by_itself(serve):
    server = serve("hello", "--limit-requests", "10")
    found = statuses(server, 60)
    assert found[:10] == [200] * 10
    assert 429 in found


def test_unix_sockets_have_no_address(serve, tmp_path):
    server = serve("hello", "--limit-requests", "1", bind=f"unix:{tmp_path}/s")
    with Connection(server) as client:
        client.send(request() * 10)
        assert [client.response().status for _ in range(10)] == [200] * 10


def test_no_limit_by_itself(serve):
    server = serve("hello")
    with connect(server) as client:
        client.send(request() * 200)
        assert {client.response().status for _ in range(200)} == {200}


# ---- connections ----


def is_served(client):
    """Tell whether a connection is served; the one that is not has got 429."""
    with suppress(BrokenPipeError, ConnectionResetError):  # closed already: the answer is there
        client.send(request())
    response = client.response()
    if response.status == 429:
        assert response.header("Retry-After") == "1"
        assert response.header("Connection") == "close"
    return response.status == 200


def may_enter(server, source="127.0.0.1", before=b""):
    """Tell whether one more connection is served."""
    with connect(server, source) as client:
        client.send(before)
        try:
            return is_served(client)
        except (Closed, Cut, ConnectionResetError):
            return False


@pytest.fixture
def crowded(serve):
    """Three connections for each address."""
    options = ["--limit-connections-per-ip", "3", "-w", "2", "--forwarded-allow-ips", "127.0.0.2"]
    return serve("hello", *options)


@pytest.fixture
def clients():
    """Connections that stay until the end of the test."""
    opened = []
    yield opened
    for client in opened:
        client.close()


def fill(server, clients, count=3, **others):
    for _ in range(count):
        client = connect(server, **others)
        clients.append(client)
        wait_until(lambda client=client: is_served(client), "it is served")


def test_too_many_connections(crowded, clients):
    fill(crowded, clients)
    client = connect(crowded)
    clients.append(client)
    response = client.response()  # it need not even ask
    assert response.status == 429
    assert client.closed()
    assert may_enter(crowded, OTHER)
    assert crowded.wait_log(
        'reason="more connections from one address than limit-connections-per-ip"'
    )
    assert all(is_served(one) for one in clients[:3])


def test_a_connection_that_ends_makes_room(crowded, clients):
    fill(crowded, clients)
    assert not may_enter(crowded)
    clients.pop().close()
    wait_until(lambda: may_enter(crowded), "there is room again")


def test_many_one_after_another(crowded):
    for _ in range(50):
        wait_until(lambda: may_enter(crowded), "it is served")


def test_a_worker_that_dies_leaves_no_count(crowded, clients):
    fill(crowded, clients)
    assert not may_enter(crowded)
    for pid in crowded.workers():
        os.kill(pid, signal.SIGKILL)
    fresh = []
    try:
        wait_until(lambda: may_enter(crowded), "there is room again")
        fill(crowded, fresh)
        assert not may_enter(crowded)
    finally:
        for client in fresh:
            client.close()


def test_proxies_are_not_counted(crowded, clients):
    fill(crowded, clients, count=10, source="127.0.0.2")


def test_clients_behind_the_proxy_protocol_are_counted(serve, clients):
    server = serve(
        "hello",
        *("--limit-connections-per-ip", "2", "--proxy-protocol"),
        *("--forwarded-allow-ips", "127.0.0.1"),
    )
    for _ in range(2):
        client = connect(server)
        clients.append(client)
        client.send(b"PROXY TCP4 203.0.113.7 127.0.0.1 1 2\r\n")
        assert is_served(client)
    assert not may_enter(server, before=b"PROXY TCP4 203.0.113.7 127.0.0.1 1 2\r\n")
    assert may_enter(server, before=b"PROXY TCP4 203.0.113.8 127.0.0.1 1 2\r\n")


def test_every_connection_is_counted_out(crowded):
    """Connections of every fate leave nothing behind."""
    for end in range(40):
        client = connect(crowded)
        if end % 4 == 1:
            client.send(b"GET / HT")
        elif end % 4 == 2:
            client.send(b"\0\0\0\r\n\r\n")
        elif end % 4 == 3:
            client.send(request())
        client.close()
    wait_until(lambda: all(may_enter(crowded) for _ in range(3)), "there is room")
