"""Processes that an application forks and that come back out of it: they end there, and touch no connection."""

import pytest
from harness import descendants, wait_until
from http1 import Connection, request

pytestmark = [pytest.mark.sanitized, pytest.mark.extension]


@pytest.mark.parametrize("where", ["from_close", "from_write", "from_iterating"])
def test_a_child_ends_where_it_comes_back(serve, where):
    server = serve("forks")
    with Connection(server) as client:
        for _ in range(2):
            client.send(request(target=f"/{where}"))
            assert client.response().text == "ok"
    server.wait_log(r"pid=(\d+) a process that the application forked returned")
    wait_until(lambda: len(descendants(server.pid)) == 1, "only the worker is left")
    assert "the loop failed" not in server.log()
