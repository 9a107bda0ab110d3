"""Clients that are slow on purpose or by nature: they cost a descriptor and some bytes, never a thread."""

import shutil
import socket
import subprocess
import threading
import time

import pytest
from harness import client_environment, wait_until
from http1 import Connection, Cut, fetch, request

pytestmark = pytest.mark.sanitized


def drip(client: Connection, every: float, limit: float = 20) -> bytes:
    """Send a byte every so often until something is answered; return its beginning."""
    client.sock.settimeout(every)
    end = time.monotonic() + limit
    while time.monotonic() < end:
        try:
            client.send(b"x")
            return client.sock.recv(4096)
        except TimeoutError:
            continue
    return b""


def test_a_body_below_the_least_rate_gets_408(serve):
    """It never pauses for body-timeout, but after the first of it the average counts."""
    server = serve("streams", "--body-timeout", "500ms", "--body-min-rate", "1000")
    with Connection(server) as client:
        client.send(request("POST", "/digest/read", [("Content-Length", "100000")]))
        begun = time.monotonic()
        assert drip(client, 0.05).startswith(b"HTTP/1.1 408 ")
        assert time.monotonic() - begun > 0.4
    server.wait_log("request body took too long")


def test_a_body_above_the_least_rate_is_taken(serve):
    server = serve("streams", "--body-timeout", "500ms", "--body-min-rate", "1000")
    with Connection(server) as client:
        client.send(request("POST", "/digest/read", [("Content-Length", "20000")]))
        for _ in range(20):
            client.send(b"x" * 1000)
            time.sleep(0.1)  # the client's slowness, longer in all than the limit
        assert client.response().text.split()[1] == "20000"


@pytest.mark.parametrize("options", [[], ["--no-request-buffering"]])
def test_many_slow_bodies_hold_no_thread(serve, options):
    """Taken in whole before the application is called; read by it, they do hold one: so one is left."""
    server = serve("streams", "--threads", "2" if options else "1", *options)
    clients = [Connection(server) for _ in range(1 if options else 50)]
    for client in clients:
        client.send(request("POST", "/digest/read", [("Content-Length", "1000")]), b"x" * 500)
    for _ in range(20):
        assert fetch(server, "/one").status == 200
    for client in clients:
        client.send(b"x" * 500)
        assert client.response().text.split()[1] == "1000"
        client.close()


def read_slowly(client: Connection, size: int) -> None:
    """Take a little at a time, never pausing for long."""
    taken = 0
    while taken < size:
        piece = client.sock.recv(4096)
        if not piece:
            raise Cut
        taken += len(piece)
        time.sleep(0.01)  # the client's slowness


@pytest.mark.parametrize("spool", ["64M", "0"])
def test_taking_below_the_least_rate_is_cut(serve, spool):
    """In the loop, and in a call that waits."""
    server = serve("streams", "--send-timeout", "500ms", "--send-min-rate", "10M",
                   "--max-response-spool", spool)  # fmt: skip
    with Connection(server) as client:
        client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.send(request(target="/blocks/800"))
        with pytest.raises((Cut, ConnectionResetError)):
            read_slowly(client, 800 * 65536)
        server.wait_log(rf"client does not take the response.*peer={client.name}")
    assert fetch(server, "/one").status == 200


def test_a_slow_reader_above_the_least_rate_gets_all(serve):
    """A third of the socket's queue may take longer than send-timeout: what is acknowledged counts."""
    server = serve("streams", "--send-timeout", "700ms", "--send-min-rate", "1000")
    with Connection(server) as client:
        client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16384)
        client.send(request(target="/blocks/80"))
        client.head()
        end = time.monotonic() + 4
        data = client.pending
        while time.monotonic() < end:
            data += client.sock.recv(16384)
            time.sleep(0.05)
        client.pending = data
        client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        assert len(b"".join(iter(client.chunk, b""))) == 80 * 65536


@pytest.mark.parametrize(
    ("sent", "answer"),
    [
        (b"", b""),
        (request(), b"HTTP/1.1 200 "),
        (b"GET / HTTP/1.1\r\n", b"HTTP/1.1 408 "),
        (request("POST", "/", [("Content-Length", "9")]), b"HTTP/1.1 408 "),
    ],
    ids=["new", "idle", "head", "body"],
)
def test_a_connection_lasts_no_longer_than_it_may(serve, sent, answer):
    server = serve("streams", "--connection-timeout", "600ms")
    with Connection(server) as client:
        client.send(sent)
        assert client.rest().startswith(answer)


def test_what_the_application_works_at_is_still_answered(serve, tmp_path):
    server = serve("shapes", "--connection-timeout", "600ms")
    until = tmp_path / "go on"
    with Connection(server) as client:
        client.send(request(target=f"/waiting?until={str(until).replace(' ', '+')}"))
        client.head()
        assert client.chunk() == b"first"
        time.sleep(0.8)  # the application's slowness: the limit passes
        until.touch()
        assert client.chunk() == b"second"
        assert client.chunk() == b""
        assert client.closed()


ATTACKS = {
    "slow head": ["-H", "-i", "1"],
    "slow body": ["-B", "-i", "1", "-s", "8192"],
    "slow read": ["-X", "-w", "512", "-y", "1024", "-n", "1", "-z", "32", "-k", "3"],
    "range": ["-R"],
}


@pytest.mark.soak
@pytest.mark.parametrize("attack", list(ATTACKS))
def test_slowhttptest_while_good_requests_are_answered(serve, attack):
    """400 hostile connections; 200 good requests a second for 20 seconds, every one of them answered."""
    if not shutil.which("slowhttptest"):
        pytest.skip("slowhttptest is not installed")
    server = serve(
        "streams", "--head-timeout", "5s", "--body-timeout", "5s", "--send-timeout", "5s"
    )
    url = server.url("/list/16" if attack == "slow read" else "/one")
    command = ["slowhttptest", "-c", "400", "-r", "200", "-l", "20", "-u", url, *ATTACKS[attack]]
    with subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=client_environment()
    ) as attacker:
        failures, answered = [], 0
        begun = time.monotonic()

        def good(count: int) -> None:
            nonlocal answered
            try:
                with Connection(server) as client:
                    for _ in range(count):
                        client.send(request(target="/one"))
                        assert client.response().status == 200
                        answered += 1
            except Exception as error:
                failures.append(repr(error))

        for second in range(20):
            threads = [threading.Thread(target=good, args=(20,)) for _ in range(10)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            left = begun + second + 1 - time.monotonic()
            if left > 0:
                time.sleep(left)
        attacker.kill()
    assert failures == []
    assert answered == 4000
    assert time.monotonic() - begun < 30
    wait_until(lambda: fetch(server, "/one").status == 200, "it still serves")
