"""wsgi.input (PEP 3333, "Input and Error Streams"), and what of a call outlives it."""

import pytest
from http1 import Connection, fetch, request

pytestmark = [pytest.mark.sanitized, pytest.mark.extension]

LINES = b"one\ntwo\n\nthree"


@pytest.fixture(scope="module")
def server(serve_module):
    return serve_module("pep3333")


def post(server, target, body=LINES):
    return fetch(server, target, "POST", body=body).json()


@pytest.mark.parametrize(
    ("calls", "expected"),
    [
        ("read", ["one\ntwo\n\nthree"]),
        ("read:-1,read", ["one\ntwo\n\nthree", ""]),
        ("read:None", ["one\ntwo\n\nthree"]),
        ("read:-7", ["one\ntwo\n\nthree"]),
        ("read:0,read:4,read:100,read:1", ["", "one\n", "two\n\nthree", ""]),
        ("readline,readline,readline,readline,readline", ["one\n", "two\n", "\n", "three", ""]),
        ("readline:2,readline:2,readline:2", ["on", "e\n", "tw"]),
        ("readline:0,readline:None,readline:-1", ["", "one\n", "two\n"]),
        ("readline:4", ["one\n"]),
        ("readlines", [["one\n", "two\n", "\n", "three"]]),
        ("readlines:1,readlines:5,readlines", [["one\n"], ["two\n", "\n"], ["three"]]),
        ("readlines:0", [["one\n", "two\n", "\n", "three"]]),
        ("readlines:-1,readlines", [["one\n", "two\n", "\n", "three"], []]),
        ("readlines:None", [["one\n", "two\n", "\n", "three"]]),
        ("read:5,readline,readlines", ["one\nt", "wo\n", ["\n", "three"]]),
    ],
)
def test_methods(server, calls, expected):
    assert post(server, f"/read_in_ways?calls={calls}") == expected


def test_without_a_body(server):
    assert fetch(server, "/read_in_ways?calls=read,readline,readlines").json() == ["", "", []]
    assert post(server, "/read_in_ways?calls=read,readline", b"") == ["", ""]


def test_iteration(server):
    assert post(server, "/iterate_input") == ["one\n", "two\n", "\n", "three"]
    assert fetch(server, "/iterate_input").json() == []


def test_wrong_arguments(server):
    expected = ["TypeError", "TypeError", "TypeError", "OverflowError"]
    assert post(server, "/input_errors") == expected


@pytest.mark.parametrize("size", [0, 1, 16384, 65536, 1 << 20])
def test_sizes(server, size):
    assert post(server, "/body_size", b"x" * size) == [size, str(size), None]


def test_a_chunked_body_has_a_length(server):
    """It was taken in whole; Django reads nothing without CONTENT_LENGTH."""
    with Connection(server) as client:
        client.send(
            request("POST", "/body_size", [("Transfer-Encoding", "chunked")]),
            b"5\r\nhello\r\n",
            b"7;ext=1\r\n, world\r\n0\r\n\r\n",
        )
        assert client.response().json() == [12, "12", None]
        client.send(request("GET", "/body_size"))
        assert client.response().json() == [0, None, None]


def test_what_was_kept_is_detached(server):
    """Later use raises, and never touches memory that is another request's by now."""
    with Connection(server) as client:
        client.send(request("POST", "/keep", body=b"secret"))
        assert client.response().text == "kept"
        client.send(request("POST", "/kept_is_other", body=b"other"))
        assert client.response().json() == [False, False]
        client.send(request("POST", "/use_kept", body=b"other"))
        errors = client.response().json()
        client.send(request("POST", "/read_in_ways?calls=read", body=b"mine"))
        assert client.response().json() == ["mine"]
    ended = "after its request had ended"
    assert errors == [
        f"ValueError: wsgi.input was used {ended}",
        f"ValueError: wsgi.input was used {ended}",
        f"ValueError: wsgi.input was used {ended}",
        f"ValueError: wsgi.input was used {ended}",
        f"RuntimeError: start_response was called {ended}",
        f"RuntimeError: write() was called {ended}",
    ]
