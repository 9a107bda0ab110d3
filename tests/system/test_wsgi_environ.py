"""What an application finds in environ (PEP 3333, "environ Variables")."""

import pytest
from http1 import Connection, fetch, request

pytestmark = [pytest.mark.sanitized, pytest.mark.extension]


def environ(server, target="/", **others):
    return fetch(server, target, **others).json()["environ"]


def test_the_request_line(echo):
    env = environ(echo, "/a%20b/%C3%A9/c?x=1%202&y", method="DELETE")
    assert env["REQUEST_METHOD"] == "DELETE"
    assert env["SCRIPT_NAME"] == ""
    assert env["PATH_INFO"] == "/a b/\u00c3\u00a9/c"  # the bytes of UTF-8 as latin-1
    assert env["QUERY_STRING"] == "x=1%202&y"
    assert env["REQUEST_URI"] == env["RAW_URI"] == "/a%20b/%C3%A9/c?x=1%202&y"
    assert env["SERVER_PROTOCOL"] == "HTTP/1.1"


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "OPTIONS", "PURGE", "get"])
def test_methods(echo, method):
    assert environ(echo, method=method)["REQUEST_METHOD"] == method


@pytest.mark.parametrize(
    ("target", "path", "query"),
    [
        ("/", "/", ""),
        ("/?", "/", ""),
        ("/??a=b?", "/", "?a=b?"),
        ("//a//b/../c", "//a//b/../c", ""),
        ("/%2F%2e%00", "//.\0", ""),
        ("/a+b%2B", "/a+b+", ""),
        ("http://elsewhere.example/x?y", "/x", "y"),
        ("/%ff", "/\u00ff", ""),
    ],
)
def test_targets(echo, target, path, query):
    env = environ(echo, target)
    assert (env["PATH_INFO"], env["QUERY_STRING"]) == (path, query)
    assert env["REQUEST_URI"] == target


def test_asterisk_has_no_path(echo):
    env = environ(echo, "*", method="OPTIONS")
    assert (env["PATH_INFO"], env["REQUEST_URI"]) == ("", "*")


def test_a_value_of_one_request_is_not_in_the_next(echo):
    """What differs from the template is set, and what was set once does not stay."""
    with Connection(echo) as client:
        body = b"content"
        client.send(
            request("POST", "/a?b", [("Cookie", "a=b"), ("X-Own", "1"), ("Accept", "x")], body)
        )
        first = client.response().json()["environ"]
        client.send(request("GET", "/"))
        second = client.response().json()["environ"]
    assert {"CONTENT_LENGTH", "HTTP_COOKIE", "HTTP_X_OWN", "HTTP_ACCEPT"} <= first.keys()
    assert not {"CONTENT_LENGTH", "HTTP_COOKIE", "HTTP_X_OWN", "HTTP_ACCEPT"} & second.keys()
    assert (second["REQUEST_METHOD"], second["QUERY_STRING"], second["PATH_INFO"]) == (
        "GET",
        "",
        "/",
    )


def test_http_1_0(echo):
    assert environ(echo, version="1.0")["SERVER_PROTOCOL"] == "HTTP/1.0"
    assert environ(echo)["SERVER_PROTOCOL"] == "HTTP/1.1"
    env = environ(echo, version="1.0", host=None)
    assert "HTTP_HOST" not in env
    assert env["SERVER_NAME"] == "127.0.0.1"


def test_addresses(echo):
    with Connection(echo) as client:
        host, port = client.sock.getsockname()
        client.send(request())
        env = client.response().json()["environ"]
    assert (env["REMOTE_ADDR"], env["REMOTE_PORT"]) == (host, str(port))
    assert (env["SERVER_NAME"], env["SERVER_PORT"]) == ("127.0.0.1", str(echo.port))
    assert env["SERVER_SOFTWARE"].startswith("penstock")


def test_addresses_of_many_connections(echo):
    """Texts of addresses are kept for a connection, and never given to another."""
    clients = [Connection(echo) for _ in range(300)]
    for _ in range(2):
        for client in clients:
            client.send(request())
        for client in clients:
            env = client.response().json()["environ"]
            assert env["REMOTE_PORT"] == str(client.sock.getsockname()[1])
    for client in clients:
        client.close()


@pytest.mark.parametrize(
    ("host", "name", "port"),
    [
        ("shop.example:8080", "shop.example", "8080"),
        ("shop.example", "shop.example", "80"),
        ("shop.example:", "shop.example", "80"),
        ("[::1]", "[::1]", "80"),
        ("[::1]:81", "[::1]", "81"),
    ],
)
def test_a_unix_socket_has_the_name_that_was_asked_for(unix_echo, host, name, port):
    env = environ(unix_echo, host=host)
    assert (env["SERVER_NAME"], env["SERVER_PORT"], env["REMOTE_ADDR"]) == (name, port, "")


def test_a_unix_socket_without_host(unix_echo):
    env = environ(unix_echo, version="1.0", host=None)
    assert (env["SERVER_NAME"], env["SERVER_PORT"]) == ("localhost", "80")


@pytest.fixture(scope="module")
def unix_echo(serve_module, tmp_path_factory):
    return serve_module("echo", bind=f"unix:{tmp_path_factory.mktemp('socket')}/s")


def test_fields(echo):
    headers = [
        ("Accept", "text/html"),
        ("accept-language", "de"),
        ("X-Unknown-To-All", "value"),
        ("X-" + "Long" * 50, "long"),
        ("User-Agent", "caf\u00e9 \u00ff"),
        ("Empty", ""),
    ]
    env = environ(echo, headers=headers)
    assert env["HTTP_HOST"] == "localhost"
    assert env["HTTP_ACCEPT"] == "text/html"
    assert env["HTTP_ACCEPT_LANGUAGE"] == "de"
    assert env["HTTP_X_UNKNOWN_TO_ALL"] == "value"
    assert env["HTTP_X_" + "LONG" * 50] == "long"
    assert env["HTTP_USER_AGENT"] == "caf\u00e9 \u00ff"
    assert env["HTTP_EMPTY"] == ""


@pytest.mark.parametrize(
    ("headers", "key", "value"),
    [
        ([("Accept", "a"), ("Accept", "b"), ("ACCEPT", "c")], "HTTP_ACCEPT", "a,b,c"),
        ([("Accept", "a"), ("Accept", "a")], "HTTP_ACCEPT", "a,a"),
        ([("X-Own", "a"), ("X-Own", "a"), ("X-OWN", "b")], "HTTP_X_OWN", "a,a,b"),
        ([("X-One", "1"), ("X-One", "1")], "HTTP_X_ONE", "1,1"),
        ([("X-None", ""), ("X-None", "")], "HTTP_X_NONE", ","),
        ([("Cookie", "a=1"), ("Cookie", "b=2")], "HTTP_COOKIE", "a=1; b=2"),
        ([("User-Agent", "a"), ("User-Agent", "b")], "HTTP_USER_AGENT", "a,b"),
    ],
)
def test_repeated_fields_are_joined(echo, headers, key, value):
    assert environ(echo, headers=headers)[key] == value


@pytest.mark.parametrize(
    "name", ["X_Own", "X-Real_IP", "Content_Length", "Content_Type", "_", "Proxy", "proxy"]
)
def test_dropped_fields(echo, name):
    """Names with an underscore could pass for others; Proxy becomes the name of a variable that programs obey."""
    plain = environ(echo)
    env = environ(echo, headers=[(name, "5")])
    del plain["REMOTE_PORT"], env["REMOTE_PORT"]
    assert env == plain


def test_content_fields_have_no_prefix(echo):
    env = environ(echo, method="POST", headers=[("Content-Type", "text/x")], body=b"12345")
    assert (env["CONTENT_TYPE"], env["CONTENT_LENGTH"]) == ("text/x", "5")
    assert not {"HTTP_CONTENT_TYPE", "HTTP_CONTENT_LENGTH"} & env.keys()
    assert not {"CONTENT_TYPE", "CONTENT_LENGTH"} & environ(echo).keys()


@pytest.mark.parametrize("count", [90])
def test_many_fields(echo, count):
    env = environ(echo, headers=[(f"X-Field-{i}", str(i)) for i in range(count)])
    assert all(env[f"HTTP_X_FIELD_{i}"] == str(i) for i in range(count))


@pytest.mark.parametrize(("workers", "threads"), [("1", "1"), ("2", "1"), ("1", "8"), ("2", "2")])
def test_wsgi_keys(serve, workers, threads):
    server = serve("wsgi_keys", "-w", workers, "--threads", threads)
    keys = fetch(server, "/").json()
    assert keys == {
        "wsgi.version": [1, 0],
        "wsgi.url_scheme": "http",
        "wsgi.multithread": threads != "1",
        "wsgi.multiprocess": workers != "1",
        "wsgi.run_once": False,
        "wsgi.input_terminated": True,
        "types": ["Input", "Errors", "type", "dict"],
        "changed": True,
    }
    assert fetch(server, "/").json() == keys  # what one request changed, the next does not see


@pytest.mark.parametrize(
    ("target", "script", "path"),
    [
        ("/shop", "/shop", ""),
        ("/shop/", "/shop", "/"),
        ("/shop/a", "/shop", "/a"),
        ("/shopping", "/shop", "/shopping"),
        ("/other", "/shop", "/other"),
        ("/%73hop/a", "/shop", "/a"),
    ],
)
def test_root_path(rooted, target, script, path):
    env = environ(rooted, target)
    assert (env["SCRIPT_NAME"], env["PATH_INFO"], env["REQUEST_URI"]) == (script, path, target)


@pytest.fixture(scope="module")
def rooted(serve_module):
    return serve_module("echo", "--root-path", "/shop")
