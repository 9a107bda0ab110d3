"""Whose turn it is: what clients do while their calls wait for a thread, and those that take more than their turn."""

from contextlib import ExitStack

import pytest
from gates import waiting
from http1 import Connection, request

pytestmark = [pytest.mark.sanitized, pytest.mark.extension]


def see_all(server):
    """Return when the loop has seen what was sent before: it answers this without a thread."""
    with Connection(server) as probe:
        probe.send(b"GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n")
        assert probe.response().status == 400


def test_a_request_that_comes_while_the_one_before_waits_for_a_thread(serve_gate, gates):
    server = serve_gate("--threads", "1")
    with ExitStack() as stack:
        (slow,) = waiting(stack, server, gates, 1)
        client = stack.enter_context(Connection(server))
        for _ in range(2):
            client.send(request())
            see_all(server)
        gates.open("g0")
        assert slow.response().status == 200
        assert [client.response().status for _ in range(2)] == [200, 200]


def test_a_client_that_ends_sending_while_it_waits_for_a_thread(serve_gate, gates):
    server = serve_gate("--threads", "1")
    with ExitStack() as stack:
        (slow,) = waiting(stack, server, gates, 1)
        client = stack.enter_context(Connection(server))
        client.send(request())
        see_all(server)
        client.shutdown()
        see_all(server)
        gates.open("g0")
        assert slow.response().status == 200
        assert client.response().status == 200
        assert client.closed()


def arrived(client):
    """Count the responses that are here, without waiting for more."""
    client.sock.setblocking(False)
    try:
        while data := client.sock.recv(65536):
            client.pending += data
    except BlockingIOError:
        return client.pending.count(b"HTTP/1.1 200 ")
    finally:
        client.sock.setblocking(True)
    raise AssertionError("the connection ended")


def test_many_pipelined_requests_hold_up_nobody(serve_gate):
    count = 500
    server = serve_gate("--threads", "1")
    with Connection(server) as greedy, Connection(server) as other:
        greedy.send(request(target="/burn/0.001") * count)
        assert greedy.response().status == 200
        other.send(request())
        assert other.response().status == 200
        left = count - 1 - arrived(greedy)
        assert left > count / 2
        for _ in range(count - 1):
            assert greedy.response().status == 200
