"""Nothing of a request stays behind, whatever becomes of it."""

import itertools

import pytest
from http1 import Connection, fetch, request

pytestmark = pytest.mark.extension

BODY = b"one\ntwo" * 500

KINDS = {
    "list": request(target="/returns?what=tuple"),
    "generator": request(target="/start_late"),
    "write": request(target="/write_first"),
    "input": request("POST", "/read_in_ways?calls=read:3,readline,readlines", body=BODY),
    "chunked": request("POST", "/body_size", [("Transfer-Encoding", "chunked")])
    + b"5\r\nhello\r\n0\r\n\r\n",
    "fields": request(
        target="/body_size",
        headers=[("Cookie", "a=b"), ("Cookie", "c"), ("X-A", "1"), ("X-A", "1"), ("X_B", "1")],
    ),
    "large": request(target="/many_small?count=2000"),
    "wrapper": request(target="/bytes_io"),
    "file": request(target=f"/file?path={__file__}"),
    "head": request("HEAD", f"/file?path={__file__}"),
    "replaced": request(target="/start_again"),
    "kept": request("POST", "/keep", body=BODY),
    "closing": request(target="/sized?len=1"),
    "raising": request(target="/raises?what=ValueError"),
    "refused": request("POST", "/start", body=b"('200 OK', [('A', 'b'), ('B', 5)])"),
    "wrong": request(target="/returns?what=list+of+str"),
}


def run(server, kind, count):
    method = KINDS[kind].split(b" ", 1)[0].decode()
    with Connection(server) as client:
        for _ in range(count // 10):
            client.send(KINDS[kind] * 10)
            for _ in range(10):
                client.response(method)


@pytest.fixture(scope="module")
def server(serve_module):
    return serve_module("pep3333", "--threads", "1", environment={"PYTHONHASHSEED": "0"})


def growth(server, what):
    """Return by how many blocks the quietest of six rounds grew: caches fill, leaks go on."""
    sizes = []
    for _ in range(7):
        what()
        sizes.append(fetch(server, "/blocks").json())
    return min(after - before for before, after in itertools.pairwise(sizes))


@pytest.mark.parametrize("kind", KINDS)
def test_no_block_of_memory_stays(server, kind):
    assert growth(server, lambda: run(server, kind, 400)) < 40


def test_clients_that_leave(server):
    """In the middle of a response that never ends; each leaves one name in the list of the closed."""

    def leave():
        with Connection(server) as client:
            client.send(request(target="/closes_generator"))
            client.head()

    assert growth(server, lambda: [leave() for _ in range(50)]) < 40


@pytest.mark.soak
def test_memory_is_flat(serve):
    """A hundred thousand requests of every kind but those that write to the log."""
    server = serve("pep3333")
    kinds = [kind for kind in KINDS if kind not in ("raising", "refused", "wrong")]

    def resident():
        (pid,) = server.workers()
        with open(f"/proc/{pid}/statm") as statm:
            return int(statm.read().split()[1]) * 4096

    for kind in kinds:
        run(server, kind, 1000)
    before = resident()
    for _ in range(8):
        for kind in kinds:
            run(server, kind, 1000)
    assert resident() - before < 2 << 20
