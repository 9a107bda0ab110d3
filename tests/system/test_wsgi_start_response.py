"""start_response and write() (PEP 3333, "The start_response() Callable")."""

import pytest
from http1 import Connection, Cut, fetch, request

pytestmark = [pytest.mark.sanitized, pytest.mark.extension]


@pytest.fixture(scope="module")
def server(serve_module):
    return serve_module("pep3333")


def start(server, arguments):
    """Call start_response with these arguments; what it raised, or the response."""
    response = fetch(server, "/start", "POST", body=arguments.encode())
    return response.json() if response.header("Content-Type") == "application/json" else response


@pytest.mark.parametrize(
    "arguments",
    [
        "(b'200 OK', [])",
        "(200, [])",
        "(None, [])",
        "(type('Own', (str,), {})('200 OK'), [])",
        "('200 OK', ())",
        "('200 OK', {})",
        "('200 OK', iter([]))",
        "('200 OK', [['A', 'b']])",
        "('200 OK', [('A',)])",
        "('200 OK', [('A', 'b', 'c')])",
        "('200 OK', ['Ab'])",
        "('200 OK', [(b'A', 'b')])",
        "('200 OK', [('A', b'b')])",
        "('200 OK', [('A', 5)])",
        "('200 OK', [('A', None)])",
        "('200 OK', [('A', type('Own', (str,), {})('b'))])",
        "('200 OK', [], 5)",
        "('200 OK', [], (1, 2))",
        "()",
        "('200 OK',)",
        "('200 OK', [], None, None)",
    ],
)
def test_wrong_types(server, arguments):
    assert start(server, arguments).startswith("TypeError: ")


@pytest.mark.parametrize(
    "status",
    ["", "200", "20 OK", "2000 OK", "200OK", "abc OK", " 200 OK", "199 Early", "100 Continue",
     "000 No", "099 No", "-20 OK", "200 O\r\nX: y", "200 O\n", "200 \0", "200 \u20ac", "2\u00b20 OK"],
)  # fmt: skip
def test_bad_statuses(server, status):
    assert start(server, f"({status!a}, [])").startswith("ValueError: the status ")


@pytest.mark.parametrize("status", ["200 OK", "999 Odd", "404 Not  Found", "200 caf\u00e9", "599 "])
def test_good_statuses(server, status):
    response = start(server, f"({status!a}, [])")
    assert (response.status, response.reason) == (int(status[:3]), status[4:])
    assert response.text == "started"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("A", "b\r\nSet-Cookie: c"),
        ("A", "b\rc"),
        ("A", "b\nc"),
        ("A", "\0"),
        ("A", "\x01"),
        ("A", "\x7f"),
        ("A", "\u20ac"),
        ("A\r\nB", "c"),
        ("A:", "c"),
        ("A B", "c"),
        ("", "c"),
        ("\u00e9", "c"),
        ("A\0", "c"),
        ("Content-Length", "five"),
        ("Content-Length", "-1"),
        ("Content-Length", "+1"),
        ("Content-Length", " 1"),
        ("Content-Length", "1, 1"),
        ("Content-Length", "0x10"),
        ("Content-Length", ""),
        ("Content-Length", "9" * 30),
        ("Content-Length", "\u0661"),
    ],
)
def test_bad_headers(server, name, value):
    assert start(server, f"('200 OK', [({name!a}, {value!a})])").startswith("ValueError: ")


def test_lengths_that_differ(server):
    arguments = "('200 OK', [('Content-Length', '7'), ('content-length', '8')])"
    assert start(server, arguments).startswith("ValueError: Content-Length has to be one number")
    response = start(server, "('200 OK', [('Content-Length', '7'), ('content-length', '7')])")
    assert response.all("Content-Length") == ["7"]


def test_headers_that_are_too_many(server):
    assert "too large" in start(server, "('200 OK', [('A', 'b')] * 100_000)")
    assert "too large" in start(server, "('200 OK', [('A', 'b' * 2_000_000)])")


def test_headers_arrive_as_they_are(server):
    headers = [
        ("X-A", "1"),
        ("Set-Cookie", "a=b"),
        ("Set-Cookie", "c=d"),
        ("x-lower", "\u00e9 \t z"),
    ]
    response = start(server, f"('200 OK', {headers!a})")
    got = [(name, value) for name, value in response.headers if (name, value) in headers]
    assert got == headers


def test_own_date_and_server(server):
    response = start(server, "('200 OK', [('Date', 'now'), ('Server', 'own')])")
    assert (response.all("Date"), response.all("Server")) == (["now"], ["own"])


def test_a_refused_head_is_a_500(server):
    response = fetch(server, "/start_badly")
    assert response.status == 500
    assert "X" not in dict(response.headers)
    server.wait_log(r"^  ValueError: the status has to read like '200 OK', not '200 OK\\r\\nX: y'")


def test_a_head_that_was_refused_can_be_followed_by_another(server):
    """The application got the exception, and said something else instead."""
    assert start(server, "('nonsense', [])") == (
        "ValueError: the status has to read like '200 OK', not 'nonsense'"
    )


def test_twice(server):
    assert fetch(server, "/start_twice").status == 500
    server.wait_log("AssertionError: start_response was called twice without exc_info")


def test_again_before_the_head_was_sent(server):
    response = fetch(server, "/start_again")
    assert (response.status, response.reason, response.text) == (500, "Oh", "replaced")
    assert response.header("X-Second") == "yes"
    assert response.header("Content-Length") == "8"  # the first head's is forgotten
    assert fetch(server, "/start_again_by_name").reason == "Named"


def test_again_after_the_head_was_sent(server):
    with Connection(server) as client:
        client.send(request(target="/start_again_late"))
        with pytest.raises((Cut, ConnectionResetError)):
            client.response()
    server.wait_log(r"raise ValueError\(\"too late\"\)\n.*\n?.*ValueError: too late")


def test_late(server):
    assert fetch(server, "/start_late").text == "late"


@pytest.mark.parametrize("target", ["/start_never", "/start_never_iterated", "/start_never_empty"])
def test_never(server, target):
    assert fetch(server, target).status == 500
    server.wait_log("AssertionError: the application did not call start_response")


def test_a_head_without_content(server):
    response = fetch(server, "/head_of_none")
    assert (response.status, response.header("Content-Length"), response.body) == (200, "0", b"")


def test_hop_by_hop_fields_are_dropped_and_that_is_said_once(serve):
    server = serve("pep3333")
    with Connection(server) as client:
        for _ in range(3):
            client.send(request(target="/hop_by_hop"))
            response = client.response()
            assert response.text == "dropped"
            assert not response.all("Keep-Alive")
            assert not response.all("Connection")
    for name in ("Connection", "Keep-Alive"):
        server.wait_log(f"a hop-by-hop header of the application was dropped header={name}")
        assert server.log().count(f"header={name}") == 1


def test_connection_close_is_honoured(server):
    with Connection(server) as client:
        client.send(request(target="/connection_close"))
        response = client.response()
        assert (response.text, response.header("Connection")) == ("closes", "close")
        assert client.closed()


def test_write(server):
    assert fetch(server, "/write_first").text == "one,two,three"
    errors = fetch(server, "/write_wrongly").json()
    assert errors == [
        "write() takes bytes, not str",
        "write() takes bytes, not bytearray",
        "write() takes exactly one argument",
        "write() takes exactly one argument",
    ]


def test_write_in_another_thread(server):
    """Waiting for a slow client there, it would outlive its call."""
    expected = "write() can be called only by the thread in which the application was called"
    assert fetch(server, "/write_elsewhere").text == expected
