"""Our codecs for uwsgi, SCGI and FastCGI at the other end of real programs.

nginx, Apache, lighttpd and cgi-fcgi send requests to a recorder that decodes them; php-cgi and uWSGI answer what our
encoders send.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
from contextlib import ExitStack

import pytest
from gateways import PROTOCOLS, Codecs, Recorder, Way, find_program, listens, program, web_server
from harness import LIMIT, free_port, wait_until

MADE = b"Status: 201 Made\r\nX-B: c\r\nContent-Length: 5\r\n\r\nhello"
ANSWER = {
    "uwsgi": MADE.replace(b"Status:", b"HTTP/1.1", 1),
    "scgi": MADE,
    "fastcgi": MADE,
}

ROOT = '"fix-root-scriptname" => "enable"'  # without it the first segment is lighttpd's SCRIPT_NAME
WAYS = {
    "nginx-uwsgi": Way("nginx", "uwsgi"),
    "nginx-scgi": Way("nginx", "scgi"),
    "nginx-fastcgi": Way("nginx", "fastcgi"),
    "nginx-kept": Way("nginx", "fastcgi", "fastcgi_keep_conn on; fastcgi_request_buffering off;"),
    "nginx-mounted": Way("nginx", "uwsgi", "uwsgi_modifier1 30; uwsgi_param SCRIPT_NAME /shop;"),
    "apache-uwsgi": Way("apache", "uwsgi"),
    "apache-scgi": Way("apache", "scgi"),
    "apache-fastcgi": Way("apache", "fastcgi"),
    "lighttpd-scgi": Way("lighttpd", "scgi", ROOT),
    "lighttpd-fastcgi": Way("lighttpd", "fastcgi", ROOT),
    "lighttpd-authorizer": Way("lighttpd", "fastcgi", '"mode" => "authorizer", "docroot" => "/"'),
}
WITH_BODY = [name for name in WAYS if name != "lighttpd-authorizer"]


@pytest.fixture(scope="module")
def codecs():
    codecs = Codecs()
    yield codecs
    codecs.close()


# ---- web servers ask


class Fronts:
    """Web servers, each started when it is first asked for, with a recorder for each of its ways."""

    def __init__(self, codecs: Codecs, make_folder, stack: ExitStack):
        self.codecs, self.make_folder, self.stack = codecs, make_folder, stack
        self.found: dict[str, tuple[int, Recorder]] = {}

    def start(self, server: str) -> None:
        folder, sites = self.make_folder(server), []
        for name, way in WAYS.items():
            if way.server == server:
                path = folder / name
                recorder = Recorder(self.codecs, way.protocol, path, ANSWER[way.protocol])
                self.stack.callback(recorder.close)
                path.chmod(0o777)
                self.found[name] = (free_port(), recorder)
                sites.append((way, self.found[name][0], path))
        self.stack.enter_context(web_server(server, folder, sites))

    def __getitem__(self, name: str) -> tuple[int, Recorder]:
        if name not in self.found:
            self.start(WAYS[name].server)
        return self.found[name]


@pytest.fixture(scope="module")
def fronts(codecs, tmp_path_factory):
    with ExitStack() as stack:
        yield Fronts(codecs, tmp_path_factory.mktemp, stack)


def send(port: int, request: bytes) -> tuple[bytes, int]:
    """Send bytes; return what comes back and from which port they went."""
    with socket.create_connection(("127.0.0.1", port), LIMIT) as client:
        client.sendall(request)
        own = client.getsockname()[1]
        answer = b""
        while piece := client.recv(65536):
            answer += piece
    return answer, own


def head(line: str, *fields: str) -> bytes:
    return "\r\n".join([line, "Host: example.org", "Connection: close", *fields, "", ""]).encode()


def field(request: dict, name: str) -> list[str]:
    return [value for n, value in request["fields"] if n == name]


@pytest.mark.parametrize("way", WAYS)
def test_get(fronts, way):
    port, recorder = fronts[way]
    slash = "/" if way.startswith("apache") else "%2F"  # which Apache answers with 404
    path = f"/a%20b//c{slash}d%C3%A4"
    answer, own = send(port, head(f"GET {path}?x=1&y=%2F HTTP/1.1", "X-A: one", "Proxy: evil"))
    request = recorder.requests[-1]
    assert answer.startswith(b"HTTP/1.1 201 ")
    assert b"\r\nX-B: c\r\n" in answer
    assert b"hello" in answer  # Apache does not trust our Content-Length and may send it in chunks
    assert (request["method"], request["target"]) == ("GET", f"{path}?x=1&y=%2F")
    assert (request["path"], request["query"]) == (path, "x=1&y=%2F")
    assert (request["scheme"], request["authority"]) == ("http", "example.org")
    assert (request["major"], request["minor"]) == (1, 1)
    assert (request["remote_addr"], request["remote_port"]) == ("127.0.0.1", own)
    assert request["server_port"] == str(port)
    assert field(request, "Host") == ["example.org"]
    assert field(request, "X-A") == ["one"]
    assert field(request, "Proxy") == []
    assert request["withheld"] == ""


GIVEN = {"nginx-uwsgi", "nginx-mounted", "apache-uwsgi", "lighttpd-scgi", "lighttpd-fastcgi"}


@pytest.mark.parametrize("way", WAYS)
def test_path(fronts, way):
    """Who sends a PATH_INFO has merged slashes in it; for the others it is made from the target."""
    port, recorder = fronts[way]
    send(port, head("GET /a%20b//c%C3%A4 HTTP/1.1"))
    request = recorder.requests[-1]
    assert request["path_given"] == (way in GIVEN)
    assert request["script"] == ("/shop" if way == "nginx-mounted" else "")
    slash = "/" if way in GIVEN else "//"
    assert request["path_info"].encode("latin-1").decode() == f"/a b{slash}cä"


def test_mount(fronts):
    """By modifier 30 the web server tells what lies before the path that the application has."""
    port, recorder = fronts["nginx-mounted"]
    for path, rest in (("/shop/a%20b", "/a b"), ("/shop", ""), ("/shopping", "/shopping")):
        send(port, head(f"GET {path} HTTP/1.1"))
        request = recorder.requests[-1]
        assert (request["script"], request["path_info"]) == ("/shop", rest)


@pytest.mark.parametrize("way", WAYS)
def test_no_body(fronts, way):
    port, recorder = fronts[way]
    send(port, head("GET / HTTP/1.1"))
    told = WAYS[way].protocol == "scgi" or way == "lighttpd-fastcgi"
    assert recorder.requests[-1]["length"] == (0 if told else -1)
    assert recorder.requests[-1]["body"] == ""


@pytest.mark.parametrize("way", WITH_BODY)
@pytest.mark.parametrize("size", [0, 1, 100_000])
def test_body(fronts, way, size):
    port, recorder = fronts[way]
    body = os.urandom(size)
    fields = (f"Content-Length: {size}", "Content-Type: a/b")
    answer, _ = send(port, head("POST / HTTP/1.1", *fields) + body)
    request = recorder.requests[-1]
    assert answer.startswith(b"HTTP/1.1 201 ")
    assert request["body"].encode("latin-1") == body
    assert request["length"] == size
    assert field(request, "Content-Length") == [str(size)]
    assert field(request, "Content-Type") == ["a/b"]


@pytest.mark.parametrize("way", WITH_BODY)
def test_chunks(fronts, way):
    """What comes in chunks has a length behind a web server, but when it is passed on unbuffered."""
    port, recorder = fronts[way]
    begun, count = recorder.begun, len(recorder.requests)
    with socket.create_connection(("127.0.0.1", port), LIMIT) as client:
        client.sendall(head("POST / HTTP/1.1", "Transfer-Encoding: chunked") + b"3\r\nabc\r\n")
        if way == "nginx-kept":
            wait_until(lambda: recorder.begun > begun, "nginx has begun to pass the request on")
        client.sendall(b"2\r\nde\r\n0\r\n\r\n")
        answer = client.recv(65536)
    if way in ("apache-uwsgi", "apache-scgi"):
        assert answer.startswith(b"HTTP/1.1 411 ")
        assert len(recorder.requests) == count
        return
    request = recorder.requests[-1]
    assert answer.startswith(b"HTTP/1.1 201 ")
    assert request["body"] == "abcde"
    # Apache passes it on as it comes, by FastCGI, unless all of it is there
    assert request["length"] == (-1 if way == "nginx-kept" else 5) or way == "apache-fastcgi"
    assert field(request, "Transfer-Encoding") == []


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("size", [127, 128, 5000])
def test_long_fields(fronts, way, size):
    port, recorder = fronts[way]
    send(port, head("GET / HTTP/1.1", f"X-Long: {'x' * size}"))
    assert field(recorder.requests[-1], "X-Long") == ["x" * size]


@pytest.mark.parametrize("way", [name for name in WAYS if not name.startswith("apache")])
def test_many_fields(fronts, way):
    """More fields than we take are refused as in HTTP/1, not cut off; Apache refuses them itself."""
    port, recorder = fronts[way]
    send(port, head("GET / HTTP/1.1", *(f"X-{i}: {i}" for i in range(110))))
    assert recorder.requests[-1]["error"] == "TOO_MANY_FIELDS"
    assert recorder.requests[-1]["status"] == 431


def test_an_authorizer_is_asked_without_the_body(fronts):
    port, recorder = fronts["lighttpd-authorizer"]
    send(port, head("POST /x HTTP/1.1", "Content-Length: 3") + b"abc")
    request = recorder.requests[-1]
    assert request["role"] == 2
    assert (request["method"], request["target"], request["path_info"]) == ("POST", "/x", "/x")
    assert (request["length"], request["body"]) == (-1, "")


def test_nginx_keeps_fastcgi_connections(fronts):
    port, recorder = fronts["nginx-kept"]
    send(port, head("GET /one HTTP/1.1"))
    before = recorder.connections
    for i in range(20):
        answer, _ = send(port, head(f"POST /{i} HTTP/1.1", "Content-Length: 3") + b"abc")
        assert answer.endswith(b"hello")
        assert recorder.requests[-1]["target"] == f"/{i}"
        assert recorder.requests[-1]["keep"]
        assert recorder.requests[-1]["role"] == 1
    assert recorder.connections == before


def test_cgi_fcgi(codecs, tmp_path):
    """The specification's own client sends its environment."""
    binary = find_program("cgi-fcgi")
    recorder = Recorder(codecs, "fastcgi", tmp_path / "s", ANSWER["fastcgi"])
    environment = {
        "REQUEST_METHOD": "POST",
        "SCRIPT_NAME": "/app",
        "PATH_INFO": "/a b",
        "QUERY_STRING": "x=1",
        "CONTENT_LENGTH": "5",
        "SERVER_NAME": "example.org",
        "SERVER_PORT": "8080",
        "SERVER_PROTOCOL": "HTTP/1.0",
        "UWSGI_SCRIPT": "evil",
        "LONG": "x" * 1000,
    }
    command = [binary, "-bind", "-connect", str(tmp_path / "s")]
    done = subprocess.run(
        command, env=environment, input=b"hello", capture_output=True, check=True, timeout=LIMIT
    )
    recorder.close()
    request = recorder.requests[-1]
    assert done.stdout == ANSWER["fastcgi"]
    assert request["target"] == "/app/a%20b?x=1"
    assert (request["script"], request["path_info"]) == ("/app", "/a b")
    assert request["authority"] == "example.org:8080"
    assert request["body"] == "hello"
    assert ["LONG", "x" * 1000] in request["others"]
    assert request["withheld"] == "UWSGI_SCRIPT"


# ---- real backends answer


def exchange(codecs: Codecs, protocol: str, connection: socket.socket, question: bytes) -> dict:
    """Send a request; return what our codecs make of the answer."""
    connection.settimeout(LIMIT)
    connection.sendall(question)
    data = b""
    while piece := connection.recv(65536):
        data += piece
        if protocol == "fastcgi":
            outcome = codecs.call("answer", protocol, data)
            if "more" not in outcome:
                return outcome
    return codecs.call("answer", protocol, data)


def connect(path) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(str(path))
    return connection


PHP = """<?php
header('Content-Type: text/plain');
if ($_SERVER['QUERY_STRING'] == 'missing') { http_response_code(404); }
if ($_SERVER['QUERY_STRING'] == 'moved') { header('Location: /there'); exit; }
error_log('said aside');
echo $_SERVER['HTTP_X_LONG'] ?? '', file_get_contents('php://input');
"""


@pytest.fixture(scope="module")
def php(tmp_path_factory):
    """A php-cgi: the path of its socket."""
    folder = tmp_path_factory.mktemp("php")
    (folder / "a.php").write_text(PHP)
    arguments = [find_program("php-cgi"), "-n", "-b", "s", "-d", "fastcgi.logging=1"]
    with program(arguments, folder, env={}):
        wait_until((folder / "s").exists, "php-cgi listens")
        yield folder / "s"


def php_question(codecs: Codecs, path, query: str, body: bytes, *more: tuple[str, str]) -> bytes:
    variables = [
        ("REQUEST_METHOD", "POST"),
        ("SCRIPT_FILENAME", str(path.parent / "a.php")),
        ("QUERY_STRING", query),
        ("CONTENT_LENGTH", str(len(body))),
        ("CONTENT_TYPE", "application/octet-stream"),
        ("REDIRECT_STATUS", "200"),
        *more,
    ]
    return codecs.ask("fastcgi", variables, body)


def test_php_cgi(codecs, php):
    """Several requests on one connection, with contents and variables of all sizes."""
    with connect(php) as connection:
        for size in (0, 1, 127, 128, 5000, 65535, 65536, 200_000):
            body = os.urandom(size)
            long = ("HTTP_X_LONG", "x" * min(size, 60_000))
            question = php_question(codecs, php, "", body, long)
            answer = exchange(codecs, "fastcgi", connection, question)
            assert answer["status"] == 200
            assert ["Content-type", "text/plain;charset=UTF-8"] in answer["fields"]
            assert answer["body"].encode("latin-1") == long[1].encode() + body
            assert "said aside" in answer["stderr"]
            assert (answer["ended"], answer["app_status"], answer["left"]) == (0, 0, 0)


def test_php_cgi_statuses(codecs, php):
    with connect(php) as connection:
        question = php_question(codecs, php, "missing", b"")
        assert exchange(codecs, "fastcgi", connection, question)["status"] == 404
        question = php_question(codecs, php, "moved", b"")
        moved = exchange(codecs, "fastcgi", connection, question)
    assert moved["status"] == 302
    assert moved["local"] == ""  # PHP says Status itself
    assert ["Location", "/there"] in moved["fields"]


def test_php_cgi_says_what_it_can_do(codecs, php):
    with connect(php) as connection:
        connection.settimeout(LIMIT)
        connection.sendall(codecs.call("wonder", "fastcgi", b"")["bytes"].encode("latin-1"))
        data, outcome = b"", {"more": True}
        while "more" in outcome:
            data += connection.recv(65536)
            outcome = codecs.call("learn", "fastcgi", data)
    assert outcome == {"connections": 1, "requests": 1, "multiplexes": False}


APP = """
import json
def application(environ, start_response):
    body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    start_response("203 Fine", [("X-B", "c")])
    texts = {k: v for k, v in environ.items() if isinstance(v, str)}
    texts["body"] = body.decode("latin-1")
    return [json.dumps(texts).encode()]
"""


@pytest.fixture(scope="module")
def uwsgi(tmp_path_factory):
    """A uWSGI that speaks all three: the folder with a socket of each protocol's name."""
    folder = tmp_path_factory.mktemp("uwsgi")
    (folder / "app.py").write_text(APP)
    arguments = [find_program("uwsgi"), "--plugin", "python3", "--wsgi-file", "app.py"]
    arguments += ["--socket", "uwsgi", "--scgi-socket", "scgi", "--fastcgi-socket", "fastcgi"]
    arguments += ["--buffer-size", "65535", "--die-on-term", "--need-app"]
    with program(arguments, folder) as process:
        ready = b"spawned uWSGI worker"
        wait_until(
            lambda: process.poll() is not None or ready in (folder / "output").read_bytes(),
            "uWSGI has its application",
        )
        assert process.poll() is None, (folder / "output").read_text()
        assert all(listens(str(folder / protocol)) for protocol in PROTOCOLS)
        yield folder


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("size", [0, 1, 200, 40_000])
def test_uwsgi(codecs, uwsgi, protocol, size):
    body = os.urandom(size)
    variables = [
        ("REQUEST_METHOD", "POST"),
        ("REQUEST_URI", "/a%20b?c=d"),
        ("PATH_INFO", "/a b"),
        ("QUERY_STRING", "c=d"),
        ("SERVER_PROTOCOL", "HTTP/1.1"),
        ("SERVER_NAME", "example.org"),
        ("SERVER_PORT", "80"),
        ("HTTP_HOST", "example.org"),
        ("HTTP_X_LONG", "x" * size),
        ("CONTENT_LENGTH", str(size)),
    ]
    with connect(uwsgi / protocol) as connection:
        question = codecs.ask(protocol, variables, body)
        answer = exchange(codecs, protocol, connection, question)
    seen = json.loads(answer["body"].encode("latin-1"))
    assert answer["status"] == 203
    assert ["X-B", "c"] in answer["fields"]
    assert answer["raw"] == (protocol == "uwsgi")
    assert seen["body"].encode("latin-1") == body
    for name, value in variables:
        assert seen[name] == value
