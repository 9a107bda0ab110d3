"""Applications that make another interpreter: Python can then not tell any more who has the GIL."""

import pytest
from harness import wait_until
from http1 import Connection, fetch, request

pytestmark = [pytest.mark.sanitized, pytest.mark.extension]


def test_chunks_are_let_go_with_the_gil(serve):
    server = serve("interpreters")
    workers = server.workers()
    with Connection(server) as client:
        client.send(request())
        assert len(client.response().body) == 20 << 20
    wait_until(lambda: fetch(server, "/gone").text == "20", "all chunks are gone")
    assert server.workers() == workers
