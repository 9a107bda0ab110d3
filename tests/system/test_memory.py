"""Memory: small for connections that do nothing, flat for whatever passes through."""

import resource
import socket
from pathlib import Path

import pytest
from harness import wait_until
from http1 import Connection, fetch, request

MB = 1 << 20


def resident(server) -> int:
    """Return the private and dirty bytes of the worker: what it alone makes the machine keep."""
    (worker,) = server.workers()
    text = Path(f"/proc/{worker}/smaps_rollup").read_text()
    return (
        sum(int(line.split()[1]) for line in text.splitlines() if line.startswith("Private_"))
        * 1024
    )


def descriptors(server, count: int) -> None:
    """Let the worker and this process have so many."""
    for pid in (0, *server.workers()):
        soft, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        if soft < count:
            try:
                resource.prlimit(pid, resource.RLIMIT_NOFILE, (count, max(count, hard)))
            except (PermissionError, ValueError):
                pytest.skip(f"{count} descriptors are not allowed here")


def open_idle(server, count: int) -> list[socket.socket]:
    """Return connections that were each served once and idle now."""
    opened = []
    for _ in range(count):
        sock = server.connect()
        sock.sendall(request())
        opened.append(sock)
        if len(opened) % 50 == 0:
            for one in opened[-50:]:
                assert one.recv(4096).startswith(b"HTTP/1.1 200 ")
    return opened


@pytest.mark.parametrize("count", [2000, pytest.param(10_000, marks=pytest.mark.soak)])
def test_idle_connections(serve, count):
    """At most 1 KiB of user-space memory each."""
    server = serve("hello", "--keep-alive", "10m")
    descriptors(server, count + 200)
    for sock in open_idle(server, 200):
        sock.close()
    before = resident(server)
    opened = open_idle(server, count)
    each = (resident(server) - before) / count
    for sock in opened:
        sock.close()
    assert each <= 1024


def upload(server, size: int, chunked: bool) -> None:
    with Connection(server) as client:
        if chunked:
            client.send(request("POST", "/digest/65536", [("Transfer-Encoding", "chunked")]))
            for _ in range(size // MB):
                client.send(b"100000\r\n", b"x" * MB, b"\r\n")
            client.send(b"0\r\n\r\n")
        else:
            client.send(request("POST", "/digest/65536", [("Content-Length", str(size))]))
            for _ in range(size // MB):
                client.send(b"x" * MB)
        assert client.response().text.split()[1] == str(size)


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("options", [[], ["--no-request-buffering"]])
def test_uploads_of_100_megabytes(serve, options, chunked):
    server = serve("streams", *options)
    upload(server, MB, chunked)
    before = resident(server)
    peak = 0
    for _ in range(2):
        upload(server, 100 * MB, chunked)
        peak = max(peak, resident(server))
    assert peak - before < 4 * MB


@pytest.mark.parametrize("size", [128, pytest.param(1024, marks=pytest.mark.soak)])
@pytest.mark.parametrize("what", ["blocks", "file"])
def test_a_download_by_a_slow_reader(serve, what, size, tmp_path):
    server = serve("streams")
    target = f"/blocks/{size * 16}"
    if what == "file":
        path = tmp_path / "sparse"
        path.touch()
        with open(path, "wb") as file:
            file.truncate(size * MB)
        target = f"/file{path}"
    assert len(fetch(server, "/blocks/16").body) == MB
    before, peak, taken = resident(server), 0, 0
    with Connection(server) as client:
        client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 256 * 1024)
        client.send(request(target=target, version="1.0"))
        for n in range(10**9):
            data = client.sock.recv(1 << 18)
            if not data:
                break
            taken += len(data)
            if n % 100 == 0:
                peak = max(peak, resident(server))
    assert taken > size * MB
    assert peak - before < 4 * MB


@pytest.mark.parametrize("count", [3000, pytest.param(100_000, marks=pytest.mark.soak)])
def test_connections_come_and_go(serve, count):
    server = serve("hello")

    def churn(times: int) -> None:
        for _ in range(times):
            with server.connect() as sock:
                sock.sendall(request(headers=[("Connection", "close")]))
                while sock.recv(4096):
                    pass

    churn(500)
    before = resident(server)
    churn(count)
    wait_until(lambda: fetch(server, "/").status == 200, "it serves")
    assert resident(server) - before < 512 * 1024
