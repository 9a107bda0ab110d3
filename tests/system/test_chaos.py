"""Good clients among bad ones: every good answer is right to the byte, and nothing is left behind.

Threads do one act after another, each drawn from a seeded generator. Good acts fail the test at the first byte that is
wrong. Bad ones (cut, slow, deaf, oversized, smuggling, random) may end in any way that a socket can end; what they
may not do is to harm the others, the workers or the log. The same test runs a number of acts, or for five minutes.
"""

from __future__ import annotations

import hashlib
import itertools
import os
import random
import re
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from corpus_h1 import requests as odd_requests
from harness import Server, wait_until
from http1 import Connection, request
from proc import connections, descriptors
from test_smuggling import CASES, SMUGGLED

pytestmark = pytest.mark.sanitized

BLOCK = bytes(range(256)) * 256  # what the application calls so
THREADS = 6
HELD = 8  # slow connections of each thread
ODD = [data for data in odd_requests(3000, seed=5) if b"?" not in data]
OPTIONS = (
    *("-w", "2", "--threads", "4", "--max-body", "1M"),
    *("--head-timeout", "2s", "--body-timeout", "2s", "--send-timeout", "2s"),
)
EXPECTED = re.compile(r" info | warn .* request refused ")
MB = 1 << 20


class Client:
    """One thread's clients: what they do follows from the seed."""

    def __init__(self, server: Server, seed: int) -> None:
        self.server = server
        self.seed = seed
        self.rng = random.Random(seed)
        self.done: Counter[str] = Counter()
        self.failures: list[str] = []
        self.held: list[tuple[Connection, bytes]] = []
        self.good = [self.keeps_alive, self.pipelines, self.uploads, self.downloads]
        self.bad = [
            *(self.cuts_a_request, self.cuts_an_answer, self.is_slow, self.does_not_read),
            *(self.is_oversized, self.smuggles, self.is_odd, self.is_random),
        ]

    def run(self, more: Callable[[int], bool]) -> None:
        """Act until there are no more acts, or until a good one fails."""
        acts = 0
        while not self.failures and more(acts):
            acts += 1
            good = self.rng.randrange(2)
            act = self.rng.choice(self.good if good else self.bad)
            self.done[act.__name__] += 1
            try:
                act()
                self.drip()
            except Exception as error:
                if good or not isinstance(error, OSError):
                    what = f"{act.__name__} of seed {self.seed}, act {acts}: {error!r}"
                    self.failures.append(what)
        for connection, _ in self.held:
            connection.close()

    # Good

    def question(self, most: int) -> tuple[bytes, Callable[[bytes], bool]]:
        """Return a request of any kind, and what tells whether its answer is right."""
        if self.rng.randrange(3) == 0:
            count = self.rng.randrange(most // len(BLOCK) + 1)
            name = self.rng.choice(["blocks", "list"])
            return request(target=f"/{name}/{count}"), lambda body: body == BLOCK * count
        data = self.rng.randbytes(self.rng.randrange(most))
        said = f"{hashlib.sha256(data).hexdigest()} {len(data)} ".encode()
        way = self.rng.choice(["read", "65536", "iterate"])
        if self.rng.randrange(2):
            whole = request("POST", f"/digest/{way}", body=data)
        else:
            whole = request("POST", f"/digest/{way}", [("Transfer-Encoding", "chunked")])
            whole += self.chunked(data)
        return whole, lambda body: body.startswith(said)

    def chunked(self, data: bytes) -> bytes:
        """Return a body in chunks of random sizes."""
        parts = []
        while data:
            size = self.rng.randrange(1, 20_000)
            parts.append(b"%x\r\n%s\r\n" % (len(data[:size]), data[:size]))
            data = data[size:]
        return b"".join(parts) + b"0\r\n\r\n"

    def pieces(self, data: bytes, most: int) -> list[bytes]:
        """Cut bytes at random places."""
        cuts = sorted(self.rng.randrange(len(data) + 1) for _ in range(self.rng.randrange(most)))
        edges = [0, *cuts, len(data)]
        return [data[a:b] for a, b in itertools.pairwise(edges) if b > a]

    def check(self, client: Connection, right: Callable[[bytes], bool]) -> None:
        answer = client.response()
        assert answer.status == 200, (answer.status, answer.headers)
        assert right(answer.body), (len(answer.body), answer.body[:200])

    def keeps_alive(self) -> None:
        with Connection(self.server) as client:
            for _ in range(self.rng.randrange(1, 12)):
                data, right = self.question(2 * len(BLOCK))
                client.send(*self.pieces(data, 4))
                self.check(client, right)

    def pipelines(self) -> None:
        """Send all questions before the first answer is read."""
        asked = [self.question(3000) for _ in range(self.rng.randrange(2, 20))]
        with Connection(self.server) as client:
            client.send(*self.pieces(b"".join(data for data, _ in asked), 10))
            for _, right in asked:
                self.check(client, right)

    def uploads(self) -> None:
        """Send a body that is spooled, after asking whether it is welcome."""
        data = self.rng.randbytes(self.rng.randrange(60_000, 900_000))
        fields = [("Expect", "100-continue"), ("Content-Length", str(len(data)))]
        with Connection(self.server) as client:
            client.send(request("POST", "/digest/65536", fields))
            assert client.interim().status == 100
            client.send(*self.pieces(data, 10))
            said = f"{hashlib.sha256(data).hexdigest()} {len(data)} ".encode()
            self.check(client, lambda body: body.startswith(said))

    def downloads(self) -> None:
        count = self.rng.randrange(8, 64)
        target = f"/blocks/{count}" + self.rng.choice(["", f"?{count * len(BLOCK)}"])
        with Connection(self.server) as client:
            client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
            client.send(request(target=target))
            self.check(client, lambda body: body == BLOCK * count)

    # Bad

    def ends(self, client: Connection) -> None:
        """Go away, half the time without a word of farewell."""
        if self.rng.randrange(2):
            linger = struct.pack("ii", 1, 0)
            client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        client.close()

    def cuts_a_request(self) -> None:
        client = Connection(self.server)
        data, _ = self.question(200_000)
        client.send(data[: self.rng.randrange(len(data))])
        self.ends(client)

    def cuts_an_answer(self) -> None:
        client = Connection(self.server)
        client.send(request(target=f"/blocks/{self.rng.randrange(1, 64)}"))
        client.sock.recv(self.rng.randrange(1, 200_000))
        self.ends(client)

    def is_slow(self) -> None:
        """Begin a request, and go on by a byte with each act that follows."""
        data = request("POST", "/digest/read", body=b"x" * 1000)
        at = self.rng.randrange(len(data) - 500)
        client = Connection(self.server)
        client.send(data[:at])
        self.held.append((client, data[at:]))
        if len(self.held) > HELD:
            self.held.pop(0)[0].close()

    def drip(self) -> None:
        """Let each slow client send a byte; those that the server has given up are dropped."""
        left = []
        for client, rest in self.held:
            try:
                client.send(rest[:1])
                left.append((client, rest[1:]))
            except OSError:
                client.close()
        self.held = left

    def does_not_read(self) -> None:
        """Ask for much, and take nothing of it."""
        client = Connection(self.server)
        client.send(request(target="/blocks/16") * self.rng.randrange(1, 20))
        self.held.append((client, request(target="/blocks/16") * 100))

    def is_oversized(self) -> None:
        many = [(f"X-{i}", "y" * 100) for i in range(2000)]
        data = self.rng.choice(
            [
                request(target="/" + "a" * 200_000),
                request(headers=[("X", "y" * 1_000_000)]),
                request(headers=many),
                request("POST", headers=[("Content-Length", "9" * 18)]),
                request("POST", headers=[("Transfer-Encoding", "chunked")])
                + b"100000\r\n%s\r\n" % (b"x" * (1 << 20)) * 2,
                b"GET" * 500_000,
            ]
        )
        with Connection(self.server) as client:
            try:
                client.send(data)
            finally:
                assert b"HTTP/1.1 200" not in client.rest()

    def smuggles(self) -> None:
        with Connection(self.server) as client:
            client.send(self.rng.choice(list(CASES.values())) + SMUGGLED * 3)
            assert b"HTTP/1.1 200" not in client.rest()

    def is_odd(self) -> None:
        client = Connection(self.server)
        client.send(*self.pieces(self.rng.choice(ODD), 3))
        if self.rng.randrange(2):
            client.shutdown()
            client.rest()
        self.ends(client)

    def is_random(self) -> None:
        client = Connection(self.server)
        data = self.rng.randbytes(self.rng.randrange(1, 5000))
        client.send(*self.pieces(data, 3))
        if self.rng.randrange(2):
            client.shutdown()
            client.rest()
        self.ends(client)


def act_all(server: Server, seed: int, more: Callable[[int], bool]) -> Counter[str]:
    """Let all threads act, fail with what went wrong, and return how often each act was done."""
    clients = [Client(server, seed + i) for i in range(THREADS)]
    threads = [threading.Thread(target=client.run, args=(more,)) for client in clients]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    failures = [failure for client in clients for failure in client.failures]
    assert not failures, "\n".join(failures)
    return sum((client.done for client in clients), Counter())


def open_files(server: Server) -> int:
    """Count the workers' descriptors once they have closed what their clients left."""
    wait_until(lambda: connections(server.port) == 0, "connections that are closed")
    return sum(len(descriptors(pid)) for pid in server.workers())


def resident(server: Server) -> int:
    """Return the bytes that the workers alone make the machine keep."""
    rollups = [Path(f"/proc/{pid}/smaps_rollup").read_text() for pid in server.workers()]
    lines = [line for text in rollups for line in text.splitlines() if line.startswith("Private_")]
    return 1024 * sum(int(line.split()[1]) for line in lines)


def acts(count: int) -> Callable[[int], bool]:
    return lambda done: done < count


def for_seconds(seconds: float) -> Callable[[int], bool]:
    end = time.monotonic() + seconds
    return lambda done: time.monotonic() < end


@pytest.mark.parametrize(
    ("warm_up", "limit", "growth"),
    [
        pytest.param(lambda: acts(40), lambda: acts(200), 16 * MB, id="acts"),
        pytest.param(
            lambda: for_seconds(120),
            lambda: for_seconds(180),
            4 * MB,
            id="minutes",
            marks=pytest.mark.soak,
        ),
    ],
)
def test_good_clients_among_bad_ones(serve, warm_up, limit, growth):
    """The first acts fill pools, caches and the allocator: memory is flat after two minutes of them."""
    server = serve("streams", *OPTIONS)
    workers = sorted(server.workers())
    act_all(server, 1000, warm_up())
    files, memory = open_files(server), resident(server)
    done = act_all(server, 0, limit())
    assert len(done) == 12, done
    assert sorted(server.workers()) == workers
    wait_until(lambda: open_files(server) <= files, f"{files} descriptors")
    if "LD_PRELOAD" not in os.environ:  # AddressSanitizer keeps what was freed for a while
        assert resident(server) - memory < growth
    assert server.stop() == 0
    events = server.log().splitlines()
    assert any("request refused" in line for line in events)
    assert not [line for line in events if not EXPECTED.search(line)]
