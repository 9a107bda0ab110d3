"""wsgiref.validate finds nothing to object to in what applications are given and how they are called (PEP 3333)."""

from pathlib import Path

import pytest
from http1 import Connection, fetch, request

pytestmark = [pytest.mark.sanitized, pytest.mark.extension]

EXAMPLES = Path(__file__).parents[2] / "examples"
VALIDATOR = ("--middleware", "wsgiref.validate:validator")


def check(server) -> None:
    """Fail if the validator raised, or found an iterable that was not closed."""
    assert server.stop() == 0
    assert "AssertionError" not in server.log()
    assert "without being closed" not in server.log()
    assert "WSGIWarning" not in server.log()


REQUESTS = [
    request(target="/"),
    request(target="/a%20b/c?x=1&y=2"),
    request("HEAD", "/"),
    request("POST", "/", body=b"hello"),
    request("POST", "/echo", body=b"x" * 100_000),
    request("POST", "/", [("Content-Type", "text/plain")], body=b""),
    request("POST", "/", [("Transfer-Encoding", "chunked")]) + b"5\r\nhello\r\n0\r\n\r\n",
    request("OPTIONS", "*"),
    request("DELETE", "/"),
    request(target="/", version="1.0"),
    request(target="/", version="1.0", host=None),
    request(target="http://example.com:81/a"),
    request(headers=[("X", "\xe9"), ("X", "2"), ("Cookie", "a=b"), ("Cookie", "c=d")]),
]


def send_all(server, answers: set[int]) -> None:
    for data in REQUESTS:
        with Connection(server) as client:
            client.send(data)
            assert client.response(data.split()[0].decode()).status in answers, data


@pytest.mark.parametrize("workers", ["1", "2"])
def test_plain_applications(serve, workers):
    server = serve("typed:echo", *VALIDATOR, "-w", workers)
    send_all(server, {200})
    check(server)


@pytest.mark.parametrize(
    "target",
    ["/length", "/pieces", "/written", "/empty", "/blocks?count=3", "/list_of_blocks?count=3"],
)
def test_shapes(serve, target):
    server = serve("typed:shapes", *VALIDATOR)
    for method in ("GET", "HEAD"):
        for version in ("1.0", "1.1"):
            assert fetch(server, target, method, version=version).status == 200
    check(server)


@pytest.mark.parametrize("name", ["flask", "django", "bottle", "pyramid"])
def test_frameworks(serve, name):
    pytest.importorskip(name)
    server = serve(f"site_{name}", *VALIDATOR)
    assert fetch(server, "/hello/you").text == "Hello, you"
    if name != "flask":  # which reads without a size once it knows that the input ends
        headers = [("Content-Type", "application/json")]
        assert fetch(server, "/json", "POST", headers=headers, body=b"{}").json() == {}
    assert fetch(server, "/stream").status == 200
    assert fetch(server, "/redirect").status in (302, 303)
    check(server)


@pytest.mark.parametrize("name", sorted(path.parent.name for path in EXAMPLES.glob("*/wsgi.py")))
def test_examples(serve, name):
    """Each example, as its folder is; an application there may read without a size, which the validator refuses."""
    server = serve("wsgi:application", *VALIDATOR, cwd=EXAMPLES / name, app_dir=EXAMPLES / name)
    for data in (request(target="/"), request("HEAD", "/"), request(target="/nothing")):
        with Connection(server) as client:
            client.send(data)
            assert client.response(data.split()[0].decode()).status in (200, 404)
    check(server)
