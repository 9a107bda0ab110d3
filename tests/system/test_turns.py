"""Whose turn it is: what a client does while its call waits for a thread, and clients that take more than their turn."""

import time
from contextlib import ExitStack

import pytest
from gates import waiting
from http1 import Connection, request

pytestmark = [pytest.mark.sanitized, pytest.mark.extension]


def see_all(stack, server):
    """Return when the loop has seen what was sent before: it answers this without a thread."""
    probe = stack.enter_context(Connection(server))
    probe.send(b"GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n")
    assert probe.response().status == 400


def test_a_request_that_comes_while_the_one_before_waits_for_a_thread(serve_gate, gates):
    server = serve_gate("--threads", "1")
    with ExitStack() as stack:
        (slow,) = waiting(stack, server, gates, 1)
        client = stack.enter_context(Connection(server))
        for _ in range(2):
            client.send(request())
            see_all(stack, server)
        gates.open("g0")
        assert slow.response().status == 200
        assert [client.response().status for _ in range(2)] == [200, 200]


def test_a_client_that_ends_sending_while_it_waits_for_a_thread(serve_gate, gates):
    server = serve_gate("--threads", "1")
    with ExitStack() as stack:
        (slow,) = waiting(stack, server, gates, 1)
        client = stack.enter_context(Connection(server))
        client.send(request())
        see_all(stack, server)
        client.shutdown()
        see_all(stack, server)
        gates.open("g0")
        assert slow.response().status == 200
        assert client.response().status == 200
        assert client.closed()


def test_a_client_that_ends_sending_before_it_is_refused(serve_gate, gates):
    server = serve_gate("--threads", "1", "--queue-timeout", "300ms")
    with ExitStack() as stack:
        (slow,) = waiting(stack, server, gates, 1)
        client = stack.enter_context(Connection(server))
        client.send(request())
        see_all(stack, server)
        client.shutdown()
        begun = time.monotonic()
        assert client.response().status == 503
        assert client.closed()
        assert time.monotonic() - begun < 4  # not the 5 s that a client has who may still be sending
        gates.open("g0")
        assert slow.response().status == 200
