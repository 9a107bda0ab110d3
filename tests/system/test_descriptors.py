"""Out of descriptors: who comes is told so, who is there is served, and it is over by itself."""

import resource
from contextlib import ExitStack

import pytest
from harness import wait_until
from http1 import Connection, fetch, request
from proc import limits

pytestmark = [pytest.mark.sanitized, pytest.mark.extension]

LIMIT = 64


def get(client):
    client.send(request())
    return client.response()


def fill(stack, server):
    """Open connections, each asked once, until one is refused; return those that were served."""
    clients = []
    for _ in range(LIMIT):
        client = stack.enter_context(Connection(server))
        answer = get(client)
        if answer.status == 503:
            return clients, client, answer
        clients.append(client)
    raise AssertionError("the limit was not reached")


def test_at_the_limit(serve):
    server = serve("echo", "--max-descriptors", str(LIMIT))
    (worker,) = server.workers()
    assert limits(worker)[0] == LIMIT
    with ExitStack() as stack:
        clients, refused, answer = fill(stack, server)
        assert answer.header("Retry-After") == "1"
        assert answer.header("Connection") == "close"
        assert answer.text == "503 Service Unavailable\n"
        assert refused.closed()
        for _ in range(50):
            assert fetch(server).status == 503
        assert all(get(client).status == 200 for client in clients)
        server.wait_log(r'error .*connections cannot be accepted.*error="Too many open files"')
        assert server.log().count("cannot be accepted") == 1
        clients.pop().close()
        wait_until(lambda: fetch(server).status == 200, "one is served again")
    wait_until(lambda: fetch(server).status == 200, "all is well")
    with ExitStack() as stack:
        assert len(fill(stack, server)[0]) == len(clients) + 1


def test_a_client_that_says_nothing_is_refused_as_well(serve):
    server = serve("echo", "--max-descriptors", str(LIMIT))
    with ExitStack() as stack:
        fill(stack, server)
        silent = stack.enter_context(Connection(server))
        assert silent.response().status == 503
        assert silent.closed()


def test_workers_may_have_what_the_system_allows(serve):
    server = serve("echo", "-w", "2")
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    usual = 65536 if hard == resource.RLIM_INFINITY else min(hard, 65536)
    wait_until(lambda: len(server.workers()) == 2, "two workers")
    for worker in server.workers():
        assert limits(worker)[0] >= usual
