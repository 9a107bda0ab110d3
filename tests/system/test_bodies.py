"""Request bodies: announced, in chunks, invited by 100 (Continue), too large, and never finished."""

import hashlib

import pytest
from http1 import Connection, fetch, request

pytestmark = pytest.mark.sanitized

MAX = 1 << 20
CHUNKED = ("Transfer-Encoding", "chunked")


@pytest.fixture(scope="module")
def digest(serve_module):
    return serve_module("digest", "--max-body", str(MAX))


def pattern(size: int) -> bytes:
    return (b"0123456789abcdefghijklmnopqrstuvwxyz\r\n" * (size // 38 + 1))[:size]


def chunks(body: bytes, size: int) -> bytes:
    parts = (body[i : i + size] for i in range(0, len(body), size))
    return b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"


def check(response, body: bytes) -> None:
    assert response.status == 200, response
    assert response.json() == [len(body), str(len(body)), None, hashlib.sha256(body).hexdigest()]


SIZES = [0, 1, 100, 4095, 4096, 4097, 16000, 16384, 16385, 65535, 65536, 200_000, MAX - 1, MAX]


@pytest.mark.extension
@pytest.mark.parametrize("size", SIZES)
def test_content_length(digest, size):
    body = pattern(size)
    with Connection(digest) as client:
        for _ in range(2):
            client.send(request("POST", "/", body=body))
            check(client.response(), body)


@pytest.mark.extension
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("chunk", [1000, 16384, 100_000])
def test_chunked(digest, size, chunk):
    body = pattern(size)
    with Connection(digest) as client:
        for _ in range(2):
            client.send(request("POST", "/", [CHUNKED]), chunks(body, chunk))
            check(client.response(), body)


def test_chunks_of_one_byte(digest):
    body = pattern(20_000)
    with Connection(digest) as client:
        client.send(request("POST", "/", [CHUNKED]) + chunks(body, 1))
        check(client.response(), body)


def test_a_chunked_body_in_every_split(digest):
    body = pattern(40)
    whole = (
        request("POST", "/", [CHUNKED]) + b"A;x=y\r\n" + body[:10] + b"\r\n" + chunks(body[10:], 15)
    )
    for cut in range(1, len(whole)):
        with Connection(digest) as client:
            client.send(whole[:cut], whole[cut:])
            check(client.response(), body)


def test_a_body_in_pieces(digest):
    body = pattern(100_000)
    with Connection(digest) as client:
        client.send(request("POST", "/", [("Content-Length", "100000")]))
        client.send(*(body[i : i + 777] for i in range(0, len(body), 777)))
        check(client.response(), body)


def test_continue_is_sent_to_who_waits(digest):
    with Connection(digest) as client:
        client.send(request("POST", "/", [("Expect", "100-continue"), ("Content-Length", "5")]))
        interim = client.interim()
        assert (interim.status, interim.reason, interim.headers) == (100, "Continue", [])
        client.send(b"hello")
        check(client.response(), b"hello")
        # and again, on the same connection, in chunks
        client.send(request("POST", "/", [("expect", "100-Continue"), CHUNKED]))
        assert client.interim().status == 100
        client.send(chunks(b"hello", 2))
        check(client.response(), b"hello")


def test_continue_is_not_sent_in_vain(digest):
    with Connection(digest) as client:
        client.send(request("POST", "/", [("Expect", "100-continue")], body=b"hello"))
        assert client._head().status == 200, "the body was there already"
    with Connection(digest) as client:
        client.send(
            request(
                "POST", "/", [("Expect", "100-continue"), ("Content-Length", "5")], version="1.0"
            )
        )
        client.send(b"hello")
        assert client._head().status == 200, "HTTP/1.0 knows no interim responses"
    with Connection(digest) as client:
        client.send(request("GET", "/", [("Expect", "100-continue")]))
        assert client._head().status == 200, "there is no body to wait for"


def test_too_large_as_announced(digest):
    with Connection(digest) as client:
        client.send(request("POST", "/", [("Content-Length", str(MAX + 1))]))
        response = client.response()
        assert response.status == 413
        assert response.header("Connection") == "close"
        assert client.closed()
        digest.wait_log(rf"request refused .*max-body.*status=413.*peer={client.name}")


def test_too_large_is_not_invited(digest):
    with Connection(digest) as client:
        client.send(
            request("POST", "/", [("Expect", "100-continue"), ("Content-Length", str(MAX + 1))])
        )
        assert client._head().status == 413


def test_too_large_and_sent_all_the_same(digest):
    with Connection(digest) as client:
        client.send(request("POST", "/", body=bytes(MAX + 1)))
        assert client.response().status == 413
        assert client.closed()


@pytest.mark.parametrize("chunk", [1000, MAX, MAX + 1])
def test_too_large_as_found_while_reading(digest, chunk):
    with Connection(digest) as client:
        client.send(request("POST", "/", [CHUNKED]), chunks(bytes(MAX + 1), chunk))
        assert client.response().status == 413
        assert client.closed()


@pytest.mark.parametrize("limit", [0, 10, 20_000])
def test_another_limit(serve, limit):
    server = serve("digest", "--max-body", str(limit))
    check(fetch(server, "/", "POST", body=pattern(limit)), pattern(limit))
    assert fetch(server, "/", "POST", body=pattern(limit + 1)).status == 413
    with Connection(server) as client:
        client.send(request("POST", "/", [CHUNKED]), chunks(pattern(limit), 7))
        check(client.response(), pattern(limit))
        client.send(request("POST", "/", [CHUNKED]), chunks(pattern(limit + 1), 7))
        assert client.response().status == 413
    assert fetch(server, "/").status == 200


@pytest.mark.parametrize(
    "data",
    [
        request("POST", "/", [("Content-Length", "1000")]) + b"hello",
        request("POST", "/", [("Content-Length", "1000")]),
        request("POST", "/", [CHUNKED]) + b"5\r\nhello\r\n",
        request("POST", "/", [CHUNKED]) + b"5\r\nhel",
        request("POST", "/", [CHUNKED]) + b"5\r\nhello\r\n0\r\n",
    ],
)
def test_a_client_that_stops_in_the_middle(digest, data):
    """No application sees half a body."""
    before = int(fetch(digest, "/calls").text)
    with Connection(digest) as client:
        client.send(data)
        client.shutdown()
        assert client.closed()
    with Connection(digest) as client:
        client.send(data)
    assert int(fetch(digest, "/calls").text) == before + 1


def test_many_bodies_at_once(digest):
    bodies = [pattern(50_000 + i) for i in range(20)]
    clients = [Connection(digest) for _ in bodies]
    for client, body in zip(clients, bodies, strict=True):
        client.send(request("POST", "/", [("Content-Length", str(len(body)))]), body[:20_000])
    for client, body in zip(clients, bodies, strict=True):
        client.send(body[20_000:])
    for client, body in zip(clients, bodies, strict=True):
        check(client.response(), body)
        client.close()
