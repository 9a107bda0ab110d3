"""wsgiref.validate around every example and the well-behaved applications of the tests."""

from pathlib import Path

import pytest
from http1 import Connection, fetch, request

pytestmark = pytest.mark.extension

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


@pytest.fixture(scope="module")
def server(serve_module):
    return serve_module("validated")


@pytest.mark.parametrize(
    "target",
    [
        "/hello/",
        "/echo/",
        "/echo/path%20with?query=1",
        "/pep3333/returns?what=iterator+of+list",
        "/pep3333/write_first",
        "/pep3333/bytes_io",
        "/pep3333/only_read",
        "/pep3333/iterate_input",
        "/pep3333/complain",
        "/pep3333/start_again",
        "/pep3333/content_length_of_head",
    ],
)
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
def test_the_tests_applications(server, target, method):
    """What it answers is what it answers without the validator, and neither side is at fault."""
    before = len(server.log())
    body = b"one\ntwo" if method == "POST" else None
    with Connection(server) as client:
        client.send(request(method, target, body=body))
        assert client.response(method).status == (500 if "again" in target else 200)
    said = server.log()[before:]
    assert "AssertionError" not in said
    assert "WSGIWarning" not in said


@pytest.mark.parametrize(
    "arguments", ["read:3,read:3,read:3", "readline:3,readline:9", "readlines:1"]
)
def test_input(server, arguments):
    before = len(server.log())
    response = fetch(server, f"/pep3333/read_in_ways?calls={arguments}", "POST", body=b"one\ntwo")
    assert response.status == 200
    assert "AssertionError" not in server.log()[before:]


@pytest.mark.parametrize("example", sorted(path.parent.name for path in EXAMPLES.glob("*/wsgi.py")))
def test_examples(serve, tmp_path, example):
    (tmp_path / "wrapping.py").write_text(
        "from wsgiref.validate import validator\n"
        "from wsgi import application\n"
        "application = validator(application)\n"
    )
    server = serve("wrapping", "--app-dir", str(EXAMPLES / example), "--app-dir", str(tmp_path))
    for method in ("GET", "HEAD"):
        assert fetch(server, "/", method).status == 200
    assert "AssertionError" not in server.log()
