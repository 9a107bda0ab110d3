"""Connections are kept and requests pipelined as RFC 9112 section 9 says; responses without content have none."""

import socket
import struct

import pytest
from harness import wait_until
from http1 import Connection, request

pytestmark = pytest.mark.sanitized


@pytest.fixture(scope="module")
def shapes(serve_module):
    return serve_module("shapes")


def test_many_requests_on_one_connection(echo):
    with Connection(echo) as client:
        for i in range(200):
            client.send(request(target=f"/{i}"))
            response = client.response()
            assert response.json()["environ"]["PATH_INFO"] == f"/{i}"
            assert response.header("Connection") is None


def test_pipelined_requests_are_answered_in_order(echo):
    with Connection(echo) as client:
        client.send(
            b"".join(request("POST", f"/{i}", body=str(i).encode() * (i % 50)) for i in range(300))
        )
        for i in range(300):
            answer = client.response().json()
            assert answer["environ"]["PATH_INFO"] == f"/{i}"
            assert answer["body"] == str(i) * (i % 50)


def test_pipelined_requests_cut_anywhere(echo):
    whole = (
        request("POST", "/1", body=b"hello")
        + request(target="/2")
        + request("POST", "/3", body=b"x")
    )
    for cut in range(1, len(whole), 7):
        with Connection(echo) as client:
            client.send(whole[:cut], whole[cut:])
            assert [client.response().json()["environ"]["PATH_INFO"] for _ in range(3)] == [
                "/1",
                "/2",
                "/3",
            ]


def test_a_client_that_sends_much_before_it_reads(echo):
    """More answers than all buffers hold: the server stops reading instead of growing, and goes on later."""
    one = request(target="/" + "x" * 1000)
    count = 20000
    with Connection(echo) as client:
        client.sock.setblocking(False)
        left = memoryview(one * count)
        answers = 0
        stalled = False
        while answers < count:
            try:
                left = left[client.sock.send(left[: 1 << 20]) :] if left else left
            except BlockingIOError:
                stalled = True
                client.sock.settimeout(20)
                assert client.response().status == 200
                answers += 1
                client.sock.setblocking(False)
                continue
            if not left:
                client.sock.settimeout(20)
                assert client.response().status == 200
                answers += 1
        assert stalled, "the server read all of it without being read itself"


def data_segments(sock: socket.socket) -> int:
    """Return how many segments with data have come (tcpi_data_segs_in of linux/tcp.h)."""
    info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 160)
    return struct.unpack_from("I", info, 152)[0]


def test_answers_of_one_batch_share_a_write(echo):
    with Connection(echo) as client:
        client.send(request())
        client.response()
        before = data_segments(client.sock)
        client.send(request() * 10)
        for _ in range(10):
            client.response()
        assert data_segments(client.sock) == before + 1


def test_head_and_content_share_a_write(shapes):
    for path in ("/length", "/one", "/many", "/empty"):
        with Connection(shapes) as client:
            client.send(request(target=path))
            client.response()
            assert data_segments(client.sock) == 1, path


def test_connection_close(echo):
    for value in ("close", "Close", "keep-alive, close", "close, TE", "TE,close"):
        with Connection(echo) as client:
            client.send(request(headers=[("Connection", value)]) + request(target="/2"))
            assert client.response().header("Connection") == "close"
            assert client.closed()


def test_a_field_named_by_connection_close_is_no_reason_to_close(echo):
    with Connection(echo) as client:
        client.send(request(headers=[("Connection", "closed, not-close")]) * 2)
        assert client.response().header("Connection") is None
        assert client.response().status == 200


def test_http_1_0_closes(shapes):
    for path in ("/length", "/one", "/many", "/pieces", "/written"):
        with Connection(shapes) as client:
            client.send(request(target=path, version="1.0"))
            response = client.response()
            assert response.header("Connection") == "close"
            assert response.header("Transfer-Encoding") is None
            assert response.body.startswith(b"hello")
            assert client.closed()


def test_http_1_0_keep_alive(shapes):
    keep = [("Connection", "Keep-Alive")]
    with Connection(shapes) as client:
        for path in ("/length", "/one", "/empty"):
            client.send(request(target=path, version="1.0", headers=keep))
            response = client.response()
            assert response.header("Connection").lower() == "keep-alive"
            assert response.header("Content-Length") is not None
        # A length that is not known ends with the connection.
        client.send(request(target="/pieces", version="1.0", headers=keep))
        response = client.response()
        assert response.header("Connection") == "close"
        assert (response.header("Content-Length"), response.header("Transfer-Encoding")) == (
            None,
            None,
        )
        assert response.body == b"hello"


def test_a_half_closed_client_gets_its_answers(echo):
    for count in (1, 3):
        with Connection(echo) as client:
            client.send(request("POST", "/", body=b"hello") * count)
            client.shutdown()
            for _ in range(count):
                assert client.response().json()["body"] == "hello"
            assert client.closed()


@pytest.mark.parametrize(
    "rest",
    [b"G", b"GET /2 HTTP/1.1\r\nHost: x\r\n", request("POST", "/", body=b"hello")[:-1]],
    ids=["line", "head", "body"],
)
def test_a_half_closed_client_gets_the_answers_before_what_it_did_not_finish(echo, rest):
    with Connection(echo) as client:
        client.send(request(target="/1") * 3 + rest)
        client.shutdown()
        for _ in range(3):
            assert client.response().json()["environ"]["PATH_INFO"] == "/1"
        assert client.closed()


def test_a_half_closed_client_gets_a_large_answer(shapes):
    with Connection(shapes) as client:
        client.send(request(target="/blocks?count=50"))
        client.shutdown()
        assert len(client.response().body) == 50 * 65536


@pytest.mark.parametrize(
    "path", ["/length", "/one", "/many", "/pieces", "/written", "/empty", "/blocks?count=3"]
)
def test_head_has_no_content(shapes, path):
    with Connection(shapes) as client:
        client.send(request("HEAD", path) + request(target="/one"))
        response = client.response("HEAD")
        assert response.status == 200
        if path in ("/length", "/one"):
            assert response.header("Content-Length") == "5"
        assert client.response().body == b"hello", "what follows is not the next response"


@pytest.mark.parametrize("status", ["204 No Content", "304 Not Modified"])
@pytest.mark.parametrize("empty", ["", "&empty=1"])
def test_statuses_without_content(shapes, status, empty):
    target = f"/status?status={status.replace(' ', '+')}{empty}"
    with Connection(shapes) as client:
        client.send(request(target=target) + request(target="/one"))
        response = client.response()
        assert f"{response.status} {response.reason}" == status
        assert response.header("X-Answer") == "yes"
        assert response.header("Transfer-Encoding") is None
        if response.status == 204:
            assert response.header("Content-Length") is None
        assert client.response().body == b"hello", "what follows is not the next response"


def test_clients_that_come_and_go(echo):
    """Connections without a request, and with a part of one, cost nothing that lasts."""
    for data in (
        b"",
        b"G",
        b"GET / HT",
        b"\r\n",
        request("POST", "/", [("Content-Length", "100")]) + b"x",
    ):
        for _ in range(20):
            with Connection(echo) as client:
                client.send(data)
    with Connection(echo) as client:
        client.send(request())
        assert client.response().status == 200
    worker = echo.workers()[0]

    def sockets() -> int:
        import os

        links = []
        for name in os.listdir(f"/proc/{worker}/fd"):
            try:
                links.append(os.readlink(f"/proc/{worker}/fd/{name}"))
            except OSError:
                continue
        return sum(link.startswith("socket:") for link in links)

    wait_until(lambda: sockets() < 10, "connections of clients that are gone to be closed")
