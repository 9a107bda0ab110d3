"""What applications return, and how it ends (PEP 3333, "Specification Details")."""

import pytest
from harness import wait_until
from http1 import Connection, Cut, fetch, request

pytestmark = [pytest.mark.sanitized, pytest.mark.extension]


@pytest.fixture(scope="module")
def server(serve_module):
    return serve_module("pep3333")


@pytest.mark.parametrize(
    ("what", "text", "length"),
    [
        ("tuple", "tuple", "5"),
        ("iterator of list", "iterator", None),
        ("iterator of one", "one", "3"),
        ("set", "set", "3"),
        ("subclass", "own", "3"),
    ],
)
def test_results(server, what, text, length):
    response = fetch(server, f"/returns?what={what.replace(' ', '+')}")
    assert (response.status, response.text) == (200, text)
    assert response.header("Content-Length") == length
    assert response.header("Transfer-Encoding") == (None if length else "chunked")


@pytest.mark.parametrize(
    ("what", "reason"),
    [
        ("str", "the application returned str where an iterable of bytes is wanted"),
        ("bytes", "the application returned bytes where an iterable of bytes is wanted"),
        ("none", "the application returned NoneType where an iterable of bytes is wanted"),
        ("int", "'int' object is not iterable"),
        ("list of str", "the application yielded str where bytes are wanted"),
        ("list of int", "the application yielded int where bytes are wanted"),
        ("list of bytearray", "the application yielded bytearray where bytes are wanted"),
        ("list of memoryview", "the application yielded memoryview where bytes are wanted"),
        ("generator of str", "the application yielded str where bytes are wanted"),
    ],
)
def test_wrong_results(server, what, reason):
    assert fetch(server, f"/returns?what={what.replace(' ', '+')}").status == 500
    server.wait_log(f"TypeError: {reason}")


def test_an_iterable_that_says_it_has_one_chunk(server):
    assert fetch(server, "/sized?len=1").header("Content-Length") == "3"
    assert fetch(server, "/sized?len=2").header("Transfer-Encoding") == "chunked"


def test_many_small_chunks(server):
    response = fetch(server, "/many_small?count=200000")
    assert response.body == b"".join(b"%d," % i for i in range(200_000))
    assert response.header("Content-Length") == str(len(response.body))


def test_head_gets_the_length_that_get_would(server):
    with Connection(server) as client:
        for method in ("HEAD", "GET", "HEAD"):
            client.send(request(method, "/content_length_of_head"))
            assert client.response(method).header("Content-Length") == "7"


def closings(server):
    return fetch(server, "/closed_names").json()


@pytest.mark.parametrize(
    ("how", "status"),
    [
        ("returned", 200),
        ("empty", 200),
        ("raises at once", 500),
        ("not bytes", 500),
        ("no start", 500),
        ("raises", None),
    ],
)
def test_close_is_called_once(server, how, status):
    name = f"{how}-{status}".replace(" ", "-")
    with Connection(server) as client:
        client.send(request(target=f"/closes?how={how.replace(' ', '+')}&name={name}"))
        if status is None:
            with pytest.raises((Cut, ConnectionResetError)):
                client.response()
        else:
            assert client.response().status == status
    assert closings(server).count(name) == 1


def test_close_is_called_for_head(server):
    with Connection(server) as client:
        client.send(request("HEAD", "/closes?how=head&name=of-head"))
        assert client.response("HEAD").status == 200
    assert closings(server).count("of-head") == 1


@pytest.mark.parametrize(
    ("target", "name"),
    [
        ("/closes?how=endless&name=endless", "endless"),
        ("/closes_generator", "generator"),
        ("/write_until_gone", "ConnectionResetError"),
    ],
)
def test_close_is_called_when_the_client_is_gone(server, target, name):
    before = server.log().count("the application failed")
    with Connection(server) as client:
        client.send(request(target=target))
        client.head()
    wait_until(lambda: name in closings(server), f"close() of {name}")
    assert closings(server).count(name) == 1
    assert server.log().count("the application failed") == before, "nobody failed"


def test_a_close_that_raises(server):
    with Connection(server) as client:
        for _ in range(2):
            client.send(request(target="/close_raises"))
            assert client.response().text == "sent"
    server.wait_log(r"close\(\) of the application failed request=\"GET /close_raises HTTP/1.1\"")
    server.wait_log("ValueError: close itself")


@pytest.mark.parametrize(
    "what",
    ["ValueError", "SystemExit", "KeyboardInterrupt", "GeneratorExit", "MemoryError", "surrogate",
     "RecursionError"],
)  # fmt: skip
@pytest.mark.parametrize("started", ["", "&started=1"])
def test_exceptions(server, what, started):
    """They are a 500 and a traceback; the worker goes on."""
    before = server.workers()
    response = fetch(server, f"/raises?what={what}{started}")
    assert response.status == 500
    assert "Traceback" not in response.text
    kind = "ValueError" if what == "surrogate" else what
    server.wait_log(
        rf'the application failed request="GET /raises\?what={what}{started} HTTP/1.1" '
        r"id=[0-9a-f]{16}\n  Traceback \(most recent call last\):\n"
        rf'  .*pep3333.py", line \d+, in application\n(  .*\n)*?  {kind}'
    )
    assert server.workers() == before


def test_an_exception_after_the_head(server):
    with Connection(server) as client:
        client.send(request(target="/raises_late"))
        with pytest.raises((Cut, ConnectionResetError)):
            client.response()
    server.wait_log(r"the application failed request=\"GET /raises_late HTTP/1.1\"")


def test_debug_shows_the_traceback(serve):
    server = serve("pep3333", "--debug")
    response = fetch(server, "/raises?what=ValueError")
    assert response.status == 500
    assert "Traceback (most recent call last):" in response.text
    assert "ValueError: a value" in response.text
    assert response.header("Content-Type") == "text/plain; charset=utf-8"
