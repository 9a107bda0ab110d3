"""Clients that keep the server waiting: in the head, in the body, between requests, while they are being sent to.

Every test waits for what the server does, with a limit; that it does nothing too early is shown by a slow client
who stays within the limits. Speed on a busy machine decides nothing.
"""

import socket
import time

import pytest
from http1 import Connection, Cut, fetch, request

pytestmark = pytest.mark.sanitized

LONG = "60s"


def limits(**given: str) -> list[str]:
    """Return options: the given time limit, the others far away."""
    names = ("head-timeout", "body-timeout", "keep-alive", "send-timeout")
    values = {name: given.get(name.replace("-", "_"), LONG) for name in names}
    return [word for name, value in values.items() for word in (f"--{name}", value)]


@pytest.mark.parametrize("data", [b"G", b"GET / HTTP/1.1\r\n", request()[:-2], request()[:-1]])
def test_an_unfinished_head_gets_408(serve, data):
    server = serve("echo", *limits(head_timeout="300ms"))
    with Connection(server) as client:
        client.send(data)
        response = client.response()
        assert response.status == 408
        assert response.header("Connection") == "close"
        assert client.closed()
        server.wait_log(rf"request head took too long.*peer={client.name}")
    assert fetch(server, "/calls").text == "1"


def test_dripping_does_not_extend_the_head(serve):
    """A byte every now and then (Slowloris) ends like silence: the limit is for the whole head."""
    server = serve("echo", *limits(head_timeout="500ms"))
    with Connection(server) as client:
        client.send(b"GET / HTTP/1.1\r\nX: ")
        client.sock.settimeout(0.05)
        end = time.monotonic() + 20
        answer = b""
        while not answer and time.monotonic() < end:
            try:
                client.send(b"x")
                answer = client.sock.recv(4096)
            except TimeoutError:
                continue
        assert answer.startswith(b"HTTP/1.1 408 ")


def test_the_second_head_has_the_limit_too(serve):
    server = serve("echo", *limits(head_timeout="300ms"))
    with Connection(server) as client:
        client.send(request(), b"GET /second HT")
        assert client.response().status == 200
        assert client.response().status == 408
        assert client.closed()


@pytest.mark.parametrize("data", [b"", b"\r\n"])
def test_a_connection_without_a_request_is_closed(serve, data):
    server = serve("echo", *limits(head_timeout="300ms"))
    with Connection(server) as client:
        client.send(data)
        assert client.closed()


@pytest.mark.parametrize(
    "data",
    [
        request("POST", "/", [("Content-Length", "100")]),
        request("POST", "/", [("Content-Length", "100")]) + b"hello",
        request("POST", "/", [("Transfer-Encoding", "chunked")]) + b"5\r\nhello\r\n",
        request("POST", "/", [("Transfer-Encoding", "chunked")]) + b"5\r\nhello\r\n0\r\n",
    ],
)
def test_an_unfinished_body_gets_408(serve, data):
    server = serve("echo", *limits(body_timeout="300ms"))
    with Connection(server) as client:
        client.send(data)
        response = client.response()
        assert response.status == 408
        assert client.closed()
        server.wait_log(rf"request body took too long.*peer={client.name}")
    assert fetch(server, "/calls").text == "1"


def test_a_slow_body_is_taken_as_long_as_it_goes_on(serve):
    server = serve("echo", *limits(body_timeout="2s"), "--body-min-rate", "0")
    with Connection(server) as client:
        client.send(request("POST", "/", [("Content-Length", "30")]))
        for _ in range(30):
            client.send(b"x")
            time.sleep(0.1)  # the client's slowness, longer in all than the limit
        assert client.response().json()["body"] == "x" * 30


def test_an_idle_connection_is_closed_without_a_word(serve):
    server = serve("echo", *limits(keep_alive="300ms"))
    with Connection(server) as client:
        client.send(request())
        assert client.response().status == 200
        assert client.closed()


def test_the_idle_time_begins_anew_with_each_request(serve):
    server = serve("echo", *limits(keep_alive="2s"))
    with Connection(server) as client:
        for _ in range(12):
            client.send(request())
            assert client.response().status == 200
            time.sleep(0.25)  # the client's pauses, longer in all than the limit
        assert client.closed()


def test_a_slow_application_is_not_an_idle_client(serve, tmp_path):
    """While the server itself is at work, no limit on the client counts."""
    server = serve(
        "shapes", *limits(head_timeout="200ms", body_timeout="200ms", keep_alive="200ms")
    )
    until = tmp_path / "go on"
    with Connection(server) as client:
        client.send(request(target=f"/waiting?until={str(until).replace(' ', '+')}"))
        client.head()
        assert client.chunk() == b"first"
        time.sleep(0.6)  # the application's slowness
        until.touch()
        assert client.chunk() == b"second"
        assert client.chunk() == b""


@pytest.mark.parametrize("target", ["/blocks?count=800", "/list_of_blocks?count=800"])
def test_a_client_that_does_not_read_is_cut(serve, target):
    """50 MB are more than the kernel's buffers hold. The worker serves others meanwhile; the cut can be seen."""
    server = serve("shapes", *limits(send_timeout="500ms"))
    with Connection(server) as client:
        client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.send(request(target=target))
        assert fetch(server, "/one").body == b"hello"
        server.wait_log(rf"client does not take the response.*peer={client.name}")
        with pytest.raises((Cut, ConnectionResetError)):
            client.response()


def test_a_slow_reader_gets_all_of_it(serve):
    server = serve("shapes", *limits(send_timeout="2s"))
    with Connection(server) as client:
        client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        client.send(request(target="/list_of_blocks?count=160"))
        response = client.head()
        left = int(response.header("Content-Length")) - len(client.pending)
        pauses = 30
        while left:
            left -= len(client.sock.recv(min(left, 262144)))
            if pauses:
                pauses -= 1
                time.sleep(0.1)  # the client's slowness, longer in all than the limit
