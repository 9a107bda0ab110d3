"""A first application is served: on TCP over IPv4 and IPv6 and on a Unix socket, by one worker and by several."""

import os
import socket

import pytest
from http1 import Connection, fetch, request

pytestmark = [pytest.mark.sanitized, pytest.mark.extension]


def test_hello(serve):
    server = serve("hello:application")
    response = fetch(server, "/")
    assert (response.status, response.reason, response.minor) == (200, "OK", 1)
    assert response.text == "Hello, world\n"
    assert response.header("Content-Type") == "text/plain"
    assert response.header("Content-Length") == "13"
    assert server.stop() == 0


def test_application_is_the_default_name(serve):
    assert fetch(serve("hello"), "/").text == "Hello, world\n"


def test_unix_socket(serve, tmp_path):
    path = tmp_path / "hello.sock"
    server = serve("hello", bind=f"unix:{path}")
    assert fetch(server, "/").text == "Hello, world\n"
    assert server.stop() == 0
    assert not path.exists(), "the socket's file was left behind"


def test_ipv6(serve):
    server = serve("hello", "-b", "[::1]:{port}")
    with socket.create_connection(("::1", server.port), timeout=10) as sock:
        sock.sendall(request(headers=[("Connection", "close")]))
        answer = b"".join(iter(lambda: sock.recv(4096), b""))
    assert answer.endswith(b"Hello, world\n")


def test_two_listeners(serve, tmp_path):
    path = tmp_path / "second.sock"
    server = serve("hello", "-b", f"unix:{path}")
    assert fetch(server, "/").status == 200
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(10)
        sock.connect(str(path))
        sock.sendall(request(headers=[("Connection", "close")]))
        answer = b"".join(iter(lambda: sock.recv(4096), b""))
    assert answer.endswith(b"Hello, world\n")


def test_several_workers(serve):
    server = serve("hello:pid", "-w", "3")
    seen = {int(fetch(server, "/").text)}
    for _ in range(2000):
        if len(seen) == 3:
            break
        with Connection(server) as one, Connection(server) as two:
            one.send(request())
            two.send(request())
            seen |= {int(one.response().text), int(two.response().text)}
    assert seen <= set(server.workers())
    assert server.pid not in seen
    assert os.getpid() not in seen
    assert server.stop() == 0


def test_requests_in_any_split(serve):
    server = serve("echo")
    whole = request("POST", "/split?x=1", body=b"0123456789")
    for cut in range(1, len(whole)):
        with Connection(server) as client:
            client.send(whole[:cut], whole[cut:])
            answer = client.response().json()
        assert answer["body"] == "0123456789"
        assert answer["environ"]["QUERY_STRING"] == "x=1"


def test_byte_by_byte(serve):
    server = serve("echo")
    whole = request("POST", "/", headers=[("X-One", "1")], body=b"0123456789")
    with Connection(server) as client:
        client.send(*(whole[i : i + 1] for i in range(len(whole))))
        assert client.response().json()["environ"]["HTTP_X_ONE"] == "1"
