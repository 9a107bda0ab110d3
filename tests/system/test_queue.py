"""More requests than there is room for: what waits, what is refused, what is not even accepted, and the end of it."""

import select
from contextlib import ExitStack

import pytest
from gates import waiting
from harness import LIMIT, wait_until
from http1 import Connection, fetch, request
from proc import sockets

pytestmark = [pytest.mark.sanitized, pytest.mark.extension]


def get(client, path="/"):
    client.send(request(target=path))
    return client.response()


def assert_busy(response):
    assert response.status == 503
    assert response.header("Retry-After") == "1"


def opened(stack, server, count):
    """Open connections that have been served once: the worker has accepted them."""
    clients = [stack.enter_context(Connection(server)) for _ in range(count)]
    assert all(get(client).status == 200 for client in clients)
    return clients


def test_limit_concurrency(serve_gate, gates):
    server = serve_gate("--threads", "8", "--limit-concurrency", "2")
    (worker,) = server.workers()
    with ExitStack() as stack:
        held = opened(stack, server, 20)
        slow = waiting(stack, server, gates, 2)
        first, second = (stack.enter_context(gates.hold(name)) for name in ("g0", "g1"))
        before = sockets(worker)
        late = [stack.enter_context(Connection(server)) for _ in range(5)]
        for client in late:
            client.send(request())
        for client in held[1:]:  # each a turn of the loop, in which it could have accepted
            assert_busy(get(client))
            assert client.closed()
            client.close()
        wait_until(lambda: sockets(worker) == before - len(held[1:]), "refused ones are closed")
        assert not select.select([client.sock for client in late], [], [], 0)[0]
        first.close()
        assert slow[0].response().status == 200
        assert all(client.response().status in (200, 503) for client in late)
        second.close()
        assert slow[1].response().status == 200
        assert get(held[0]).status == 200
    assert fetch(server).status == 200
    server.wait_log(r"too many requests.*status=503")


def refused_of(clients, size):
    """Send a request on each connection; return those that were refused: all but so many, which wait."""
    for client in clients:
        client.send(request())
    refused = []
    while len(clients) - len(refused) > size:
        left = [client for client in clients if client not in refused]
        ready = select.select([client.sock for client in left], [], [], LIMIT)[0]
        assert ready
        refused += [client for client in left if client.sock in ready]
    return refused


def test_queue_size(serve_gate, gates):
    server = serve_gate("--threads", "1", "--queue-size", "2")
    (worker,) = server.workers()
    with ExitStack() as stack:
        held = opened(stack, server, 20)
        slow = waiting(stack, server, gates, 1)
        gate = stack.enter_context(gates.hold("g0"))
        before = sockets(worker)
        refused = refused_of(held[1:], 2)
        assert len(refused) == len(held) - 3
        for client in refused:
            assert_busy(client.response())
            assert client.closed()
            client.close()
        late = [stack.enter_context(Connection(server)) for _ in range(5)]
        for client in late:
            client.send(request())
        assert_busy(get(held[0]))
        held[0].close()
        wait_until(lambda: sockets(worker) == before - len(refused) - 1, "refused ones are closed")
        assert not select.select([client.sock for client in late], [], [], 0)[0]
        gate.close()
        assert slow[0].response().status == 200
        for client in [*(c for c in held[1:] if c not in refused), *late]:
            assert client.response().status == 200
    assert fetch(server, "/most").text == "1"


def test_queue_timeout(serve_gate, gates):
    server = serve_gate("--threads", "1", "--queue-timeout", "100ms")
    with ExitStack() as stack:
        held = opened(stack, server, 3)
        slow = waiting(stack, server, gates, 1)
        gate = stack.enter_context(gates.hold("g0"))
        for client in held:
            client.send(request())
        for client in held:
            assert_busy(client.response())
        server.wait_log(r"waited too long for a thread.*status=503")
        gate.close()
        assert slow[0].response().status == 200
    assert fetch(server).status == 200


def test_a_full_worker_leaves_connections_to_the_others(serve_gate, gates):
    server = serve_gate("-w", "2", "--threads", "8", "--limit-concurrency", "1")
    server.wait_log("serving")
    with ExitStack() as stack:
        waiting(stack, server, gates, 1)
        stack.enter_context(gates.hold("g0"))
        for _ in range(50):
            assert fetch(server).status == 200
