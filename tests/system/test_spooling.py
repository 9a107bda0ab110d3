"""Bodies too large for memory, and responses that their client is slow to take, go to files without names."""

import hashlib
import os
import resource
import socket
import time

import pytest
from harness import wait_until
from http1 import Connection, fetch, request

pytestmark = pytest.mark.sanitized

LINES = b"".join(b"line %d\n" % n for n in range(40_000))  # about 450 KB
LONG_LINE = b"x" * 200_000 + b"\n" + b"y" * 100


@pytest.fixture(scope="module")
def server(serve_module):
    return serve_module("streams", "--max-body", "8M")


def answer_of(body: bytes, count: int) -> str:
    return f"{hashlib.sha256(body).hexdigest()} {len(body)} {count} {len(body)} None"


def chunked(body: bytes, size: int) -> bytes:
    cut = (body[at : at + size] for at in range(0, len(body), size))
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in cut) + b"0\r\n\r\n"


def spools(server) -> list[str]:
    """Return the nameless files that the worker has open."""
    (worker,) = server.workers()
    links = []
    for fd in os.listdir(f"/proc/{worker}/fd"):
        try:
            links.append(os.readlink(f"/proc/{worker}/fd/{fd}"))
        except FileNotFoundError:
            continue
    return [link for link in links if link.endswith("(deleted)") and not link.startswith("/memfd")]


@pytest.mark.parametrize("size", [65535, 65536, 65537, 131_073, 1 << 20])
@pytest.mark.parametrize("coding", ["length", "chunked"])
def test_sizes_around_the_bound_of_memory(server, size, coding):
    body = os.urandom(size)
    with Connection(server) as client:
        for _ in range(2):  # what was left of the first would be found in the second
            if coding == "length":
                client.send(request("POST", "/digest/read", [("Content-Length", str(size))]), body)
            else:
                client.send(request("POST", "/digest/read", [("Transfer-Encoding", "chunked")]))
                client.send(chunked(body, 10_000))
            assert client.response().text == answer_of(body, 1)
    assert spools(server) == []


@pytest.mark.parametrize(
    ("way", "body", "count"),
    [
        ("1000", LINES, -(-len(LINES) // 1000)),
        ("100000", LINES, -(-len(LINES) // 100_000)),
        ("65536", LINES, -(-len(LINES) // 65536)),
        ("readline", LINES, 40_000),
        ("readlines", LINES, 40_000),
        ("iterate", LINES, 40_000),
        ("readline", LONG_LINE, 2),
        ("readline100", LONG_LINE, 2002),
        ("iterate", LONG_LINE, 2),
    ],
)
def test_reading_from_a_file(server, way, body, count):
    answer = fetch(server, f"/digest/{way}", "POST", body=body).text
    assert answer == answer_of(body, count)


def test_another_thread_may_read(server):
    assert fetch(server, "/in_thread/1000", "POST", body=LINES).text.startswith(
        hashlib.sha256(LINES).hexdigest()
    )


def test_the_largest_body_and_one_more(server):
    body = b"z" * (8 << 20)
    assert fetch(server, "/digest/read", "POST", body=body).text == answer_of(body, 1)
    with Connection(server) as client:
        client.send(request("POST", "/digest/read", [("Content-Length", str(len(body) + 1))]))
        assert client.response().status == 413
    with Connection(server) as client:
        client.send(request("POST", "/digest/read", [("Transfer-Encoding", "chunked")]))
        client.send(chunked(body + b"z", 65536)[:-7])
        assert client.response().status == 413
    wait_until(lambda: spools(server) == [], "files are closed")


def test_the_file_is_nameless_and_in_its_folder(serve, tmp_path):
    folder = tmp_path / "spool"
    folder.mkdir()
    server = serve("streams", "--spool-directory", str(folder))
    with Connection(server) as client:
        client.send(request("POST", "/digest/read", [("Content-Length", "200000")]), b"x" * 150_000)
        wait_until(lambda: any(link.startswith(str(folder)) for link in spools(server)), "a file")
        assert os.listdir(folder) == []
    wait_until(lambda: spools(server) == [], "it is closed with its client")


def test_the_limit_of_all_files_of_a_worker(serve):
    server = serve("streams", "--spool-limit", "1M")
    with Connection(server) as first, Connection(server) as second:
        first.send(request("POST", "/digest/read", [("Content-Length", "1000000")]), b"x" * 900_000)
        wait_until(lambda: spools(server), "the first is in a file")
        second.send(request("POST", "/digest/read", [("Content-Length", "500000")]), b"y" * 500_000)
        refused = second.response()
        assert (refused.status, refused.header("Retry-After")) == (503, "1")
        first.send(b"x" * 100_000)
        assert first.response().text == answer_of(b"x" * 1_000_000, 1)
    body = b"y" * 500_000
    assert fetch(server, "/digest/read", "POST", body=body).text == answer_of(body, 1)


def test_a_full_disk_costs_the_request_alone(serve, tmp_path):
    """RLIMIT_FSIZE stands for a full disk: the kernel refuses to let the file grow."""
    server = serve("streams")
    (worker,) = server.workers()
    resource.prlimit(worker, resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))
    for _ in range(3):
        assert fetch(server, "/digest/read", "POST", body=b"x" * 300_000).status == 500
        assert fetch(server, "/digest/read", "POST", body=b"x" * 60_000).status == 200
    assert server.log().count("a temporary file cannot be written") == 1
    resource.prlimit(worker, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
    assert fetch(server, "/digest/read", "POST", body=b"x" * 300_000).status == 200


def test_a_folder_that_is_gone_costs_the_request_alone(serve, tmp_path):
    folder = tmp_path / "spool"
    folder.mkdir()
    server = serve("streams", "--spool-directory", str(folder))
    folder.rmdir()
    assert fetch(server, "/digest/read", "POST", body=b"x" * 300_000).status == 500
    server.wait_log(rf"temporary file cannot be written.*No such file.*directory={folder}")
    assert fetch(server, "/digest/read").status == 200


@pytest.mark.parametrize("target", ["/blocks/640", "/list/640"])
def test_a_slow_client_holds_no_thread(serve, target):
    """40 MB for a client that reads nothing; with one thread, others are answered, and it still gets all."""
    server = serve("streams", "--threads", "1", "--access-log-format", "%(U)s app=%(app)s send=%(send)s",
                   "--access-log", "access.log")  # fmt: skip
    with Connection(server) as slow:
        slow.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        slow.send(request(target=target))
        for _ in range(3):
            assert fetch(server, "/one").status == 200
        response = slow.response()
        assert (
            hashlib.sha256(response.body).digest()
            == hashlib.sha256(bytes(range(256)) * 256 * 640).digest()
        )
        slow.send(request())
        assert slow.response().status == 200
    wait_until(lambda: spools(server) == [], "files are closed")


def test_past_its_cap_a_response_waits(serve, tmp_path):
    """The wait is the client's, so the log has it in the phase `send`, not in the application's."""
    log = tmp_path / "access.log"
    server = serve("streams", "--max-response-spool", "1M", "--access-log", str(log),
                   "--access-log-format", "%(U)s app=%(app)s send=%(send)s")  # fmt: skip
    with Connection(server) as slow:
        slow.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        slow.send(request(target="/blocks/320"))
        slow.head()
        time.sleep(1)  # the client's slowness
        assert f"{spools(server)}".count("deleted") == 1
        whole = b"".join(iter(slow.chunk, b""))
        assert len(whole) == 320 * 65536
    fetch(server, "/one")
    line = wait_until(lambda: [x for x in log.read_text().splitlines() if "blocks" in x], "a line")
    phases = dict(word.split("=") for word in line[0].split()[1:])
    assert int(phases["send"]) > 900_000
    assert int(phases["app"]) < 700_000


def test_without_a_file_a_response_waits_too(serve):
    server = serve("streams", "--max-response-spool", "0")
    with Connection(server) as slow:
        slow.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        slow.send(request(target="/blocks/160"))
        assert fetch(server, "/one").status == 200
        assert spools(server) == []
        assert len(slow.response().body) == 160 * 65536


def test_a_stream_passes_at_once(serve):
    server = serve("streams", "--no-request-buffering")
    with Connection(server) as client:
        client.send(request("POST", "/echoes", [("Transfer-Encoding", "chunked")]))
        for n in range(5):
            client.send(b"6\r\nline%d\n\r\n" % n)
            if n == 0:
                client.head()
            assert client.chunk() == b"got line%d\n" % n
        client.send(b"0\r\n\r\n")
        assert client.chunk() == b""
        client.send(request())
        assert client.response().status == 200
