"""wsgi.errors goes to the error log, whenever and whatever is written."""

import pytest
from http1 import fetch

pytestmark = [pytest.mark.sanitized, pytest.mark.extension]

STAMP = (
    r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z error app=pep3333 worker=1 pid=\d+ wsgi.errors id="
)


@pytest.fixture(scope="module")
def server(serve_module):
    return serve_module("pep3333")


def test_lines(server):
    assert fetch(server, "/complain").json() == 2
    server.wait_log(STAMP + r'[0-9a-f]{16} text="a line of the application"$')
    server.wait_log(STAMP + r'[0-9a-f]{16} text="half a line"$')
    server.wait_log(STAMP + r'[0-9a-f]{16} text="first of several"$')
    server.wait_log(STAMP + r"[0-9a-f]{16} text=second$")
    server.wait_log(STAMP + r"[0-9a-f]{16}\n  printed\n  in two lines$")


def test_nobody_forges_a_line(server):
    fetch(server, "/complain")
    server.wait_log(r"^  2026-01-01T00:00:00Z error forged")
    assert "\n2026-01-01" not in server.log()
    assert "\x1b" not in server.log()
    assert "\\udcff" in server.log()


def test_between_requests_and_from_threads(server):
    fetch(server, "/complain")
    fetch(server, "/complain_in_thread")
    server.wait_log(STAMP + r'- text="from a thread between requests"$')


def test_wrong_types(server):
    assert fetch(server, "/complain_wrongly").json() == [
        "wsgi.errors takes str, not bytes",
        "wsgi.errors takes str, not int",
        "'int' object is not iterable",
    ]


def test_long_text(server):
    """It is cut, but nothing breaks."""
    assert fetch(server, "/complain_at_length").status == 200
    server.wait_log("x{1000}")
