"""Connections over workers that share a listener: as many for each, and none for one that has no thread free."""

import collections
import os
import signal
import socket
from contextlib import ExitStack

import pytest
from harness import wait_until
from http1 import Connection, fetch, request
from proc import connections

pytestmark = pytest.mark.extension

WORKERS, CONNECTIONS = 4, 64
MOST = CONNECTIONS // WORKERS * 1.25


class Burst:
    """Connections that were begun without waiting for each other."""

    def __init__(self, server, count):
        self.socks = []
        for _ in range(count):
            sock = socket.socket()
            sock.setblocking(False)
            sock.connect_ex(("127.0.0.1", server.port))
            self.socks.append(sock)

    def connect(self, timeout):
        sock = self.socks.pop()
        sock.settimeout(timeout)
        return sock


def ask(clients):
    for client in clients:
        client.send(request())
    return collections.Counter(client.response().json()["pid"] for client in clients)


def open_connections(stack, server, count=CONNECTIONS):
    return [stack.enter_context(Connection(server)) for _ in range(count)]


def settle(server):
    """Wait until no worker has a connection of a client left."""
    wait_until(lambda: connections(server.port) == 0, "idle workers")


@pytest.fixture(scope="module")
def four(serve_module):
    server = serve_module("whoami", "-w", str(WORKERS))
    wait_until(lambda: len(server.workers()) == WORKERS, "four workers")
    server.wait_log("serving")
    return server


@pytest.mark.parametrize("attempt", range(5))
def test_one_after_another(four, attempt):
    settle(four)
    with ExitStack() as stack:
        counts = ask(open_connections(stack, four))
    assert max(counts.values()) <= MOST, counts
    assert len(counts) == WORKERS


@pytest.mark.parametrize("attempt", range(5))
def test_all_at_once(four, attempt):
    settle(four)
    burst = Burst(four, CONNECTIONS)
    with ExitStack() as stack:
        counts = ask(open_connections(stack, burst))
    assert max(counts.values()) <= MOST, counts
    assert len(counts) == WORKERS


def test_each_asked_before_the_next_comes(four):
    settle(four)
    with ExitStack() as stack:
        counts = collections.Counter()
        for _ in range(CONNECTIONS):
            counts += ask(open_connections(stack, four, 1))
    assert max(counts.values()) <= MOST, counts


def test_a_new_worker_catches_up(serve):
    """The place of a dead worker does not keep connections away, and its successor gets its share."""
    server = serve("whoami", "-w", str(WORKERS))
    wait_until(lambda: len(server.workers()) == WORKERS, "four workers")
    with ExitStack() as stack:
        counts = ask(open_connections(stack, server, CONNECTIONS // 2))
        dead = max(counts)
        os.kill(dead, signal.SIGKILL)
        del counts[dead]

        def successor_serves():
            counts.update(ask(open_connections(stack, server, 1)))
            return len(counts) == WORKERS

        wait_until(successor_serves, "a successor that serves")
        counts += ask(open_connections(stack, server, CONNECTIONS))
    assert max(counts.values()) <= 1.25 * sum(counts.values()) / WORKERS, counts


def pid_of(server):
    return fetch(server, "/pid").text


def all_accept(server, count):
    """Wait until so many workers have answered: they begin to accept one after the other."""
    pids = set()

    def have_answered():
        pids.add(pid_of(server))
        return len(pids) == count

    wait_until(have_answered, f"answers of {count} workers")


def occupy(stack, server, gates, name):
    """Start a call that waits; return its connection and its gate once it waits there."""
    client = stack.enter_context(Connection(server))
    client.send(request(target=f"/wait/{gates.make(name)}"))
    return client, stack.enter_context(gates.hold(name))


def test_a_worker_without_a_free_thread_gets_no_connection(serve_gate, gates):
    """A call that lasts holds up nobody: while it does, all other connections go to other workers."""
    server = serve_gate("-w", "3", "--threads", "1")
    all_accept(server, 3)
    with ExitStack() as stack:
        for name in ("g0", "g1"):
            occupy(stack, server, gates, name)
        kept = [stack.enter_context(Connection(server)) for _ in range(100)]
        assert len({get(client, "/pid") for client in kept}) == 1
        assert len({pid_of(server) for _ in range(100)}) == 1


def get(client, path):
    client.send(request(target=path))
    return client.response().text


def test_connections_are_taken_when_no_thread_is_free_anywhere(serve_gate, gates):
    server = serve_gate("-w", "2", "--threads", "1")
    all_accept(server, 2)
    with ExitStack() as stack:
        calls = [occupy(stack, server, gates, name) for name in ("g0", "g1")]
        late = [stack.enter_context(Connection(server)) for _ in range(20)]
        for client in late:
            client.send(request(target="/pid"))
        for client, gate in calls:
            gate.close()
            assert client.response().text == "opened by "
        assert {client.response().status for client in late} == {200}
