"""A response that was cut never looks whole, whatever frames it."""

import os
import socket
import struct

import pytest
from http1 import Connection, request

pytestmark = pytest.mark.sanitized

TCP_INFO_STATE = 0
SIZE = 65536


@pytest.fixture(scope="module")
def server(serve_module):
    return serve_module("streams")


def take(client: Connection) -> tuple[bytes, bool]:
    """Read to the end; tell whether that was a reset."""
    data = b""
    while True:
        try:
            piece = client.sock.recv(1 << 16)
        except ConnectionResetError:
            return data, True
        if not piece:
            # The bytes that came before a reset hide it from recv(); the state of the socket does not lie.
            info = client.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 8)
            return data, struct.unpack_from("B", info)[TCP_INFO_STATE] == 7
        data += piece


@pytest.mark.parametrize("count", [1, 3, 200])
def test_chunks_lack_their_end(server, count):
    with Connection(server) as client:
        client.send(request(target=f"/fail/{count}"))
        data, reset = take(client)
    assert b"Transfer-Encoding: chunked" in data
    assert not data.endswith(b"0\r\n\r\n")
    assert reset


@pytest.mark.parametrize("count", [1, 3, 200])
def test_fewer_bytes_than_announced(server, count):
    with Connection(server) as client:
        client.send(request(target=f"/blocks/{count}?{count * SIZE + 1}"))
        data, reset = take(client)
    head, _, body = data.partition(b"\r\n\r\n")
    assert b"Content-Length: %d" % (count * SIZE + 1) in head
    assert len(body) <= count * SIZE
    assert reset


@pytest.mark.parametrize("count", [1, 3, 200])
def test_a_response_that_ends_with_the_connection(server, count):
    """HTTP/1.0 has no other sign than the reset."""
    with Connection(server) as client:
        client.send(b"GET /fail/%d HTTP/1.0\r\n\r\n" % count)
        data, reset = take(client)
    assert b"Content-Length" not in data
    assert reset


def test_a_whole_response_of_the_same_kind_is_not_reset(server):
    with Connection(server) as client:
        client.send(b"GET /blocks/3 HTTP/1.0\r\n\r\n")
        data, reset = take(client)
    assert len(data.partition(b"\r\n\r\n")[2]) == 3 * SIZE
    assert not reset


def test_a_file_that_is_truncated_while_it_is_sent(serve, tmp_path):
    server = serve("streams")
    path = tmp_path / "file"
    path.write_bytes(b"x" * (40 << 20))
    with Connection(server) as client:
        client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        client.send(request(target=f"/file{path}?{40 << 20}"))
        head = client.head()
        assert head.header("Content-Length") == str(40 << 20)
        os.truncate(path, 1 << 20)
        data, reset = take(client)
    assert len(data) < 40 << 20
    assert reset
    server.wait_log("a file that is being sent became shorter")


def test_a_unix_socket_shows_it_by_the_frame_alone(serve, tmp_path):
    """There is no reset on a Unix socket: see "Facing the internet"."""
    server = serve("streams", bind=f"unix:{tmp_path}/s")
    with Connection(server) as client:
        client.send(request(target="/fail/3"))
        data = b"".join(iter(lambda: client.sock.recv(65536), b""))
    assert b"chunked" in data
    assert not data.endswith(b"0\r\n\r\n")
