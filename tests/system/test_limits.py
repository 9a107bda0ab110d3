"""Each limit on a request's head, reached and crossed."""

import pytest
from http1 import Connection, fetch, request

pytestmark = pytest.mark.sanitized


def status_of(server, data: bytes) -> int:
    with Connection(server) as client:
        client.send(data)
        return client.response().status


@pytest.mark.parametrize("limit", [256, 1000, 16384, 65536, 1 << 20])
def test_request_line(serve, limit):
    server = serve("echo", "--max-request-line", str(limit), "--max-header-size", "1M")
    fixed = len("GET / HTTP/1.1")
    room = (
        4096 if limit == 1 << 20 else 0
    )  # the line is a part of the head, which has its own limit
    whole = request(target="/" + "a" * (limit - fixed - room))
    assert status_of(server, whole) == 200
    if not room:
        assert status_of(server, request(target="/" + "a" * (limit - fixed + 1))) == 414
        assert status_of(server, b"GET /" + b"a" * (limit + 100)) == 414
        server.wait_log(r"max-request-line.*status=414")
    assert fetch(server, "/").status == 200


@pytest.mark.parametrize("limit", [1024, 5000, 65536, 1 << 20])
def test_header_size(serve, limit):
    server = serve("echo", "--max-header-size", str(limit))
    empty = len(request(headers=[("X", "")]))
    assert status_of(server, request(headers=[("X", "y" * (limit - empty))])) == 200
    assert status_of(server, request(headers=[("X", "y" * (limit - empty + 1))])) == 431
    assert status_of(server, request()[:-2] + b"X: " + b"y" * (limit + 100)) == 431
    many = [(f"X-{i}", "y" * 50) for i in range(limit // 50)][:99]
    assert status_of(server, request(headers=many)) == (431 if limit < 6000 else 200)
    server.wait_log(r"max-header-size.*status=431")
    assert fetch(server, "/").status == 200


@pytest.mark.parametrize("limit", [1, 2, 10, 100, 1000, 10000])
def test_header_fields(serve, limit):
    server = serve("echo", "--max-header-fields", str(limit), "--max-header-size", "1M")
    assert status_of(server, request(headers=[(f"X-{i}", "") for i in range(limit - 1)])) == 200
    assert status_of(server, request(headers=[(f"X-{i}", "") for i in range(limit)])) == 431
    assert status_of(server, request(headers=[("X", "")] * limit)) == 431
    server.wait_log(r"max-header-fields.*status=431")
    assert fetch(server, "/").status == 200


def test_an_endless_head_is_refused_while_it_comes(serve):
    """Nothing grows without end: the refusal does not wait for the end of the line or head."""
    server = serve("echo")
    for start in (
        b"GET /",
        b"GET / HTTP/1.1\r\nX: ",
        b"GET / HTTP/1.1\r\n" + b"X: 1\r\n" * 101,
        b"M" * 65,
    ):
        with Connection(server) as client:
            client.send(start + b"a" * 70_000)
            assert client.response().status in (414, 431, 501)


def test_heads_as_large_as_may_be_one_after_another(serve):
    server = serve("echo")
    whole = request(headers=[("X", "y" * 65_000)])
    with Connection(server) as client:
        client.send(whole * 20)
        for _ in range(20):
            assert len(client.response().json()["environ"]["HTTP_X"]) == 65_000
