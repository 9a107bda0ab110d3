"""The error log and the access log: their forms, what they say, and that nothing about them holds up a request."""

import fcntl
import json
import os
import re
import signal
import time

import pytest
from harness import wait_until
from http1 import Connection, fetch, request

pytestmark = pytest.mark.sanitized

EVENT = re.compile(
    r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z (debug|info|warn|error|critical) .*|  .*"
)


def test_error_log_has_one_form(serve):
    server = serve("shapes", "-w", "2")
    fetch(server, "/raising")
    fetch(server, "/%zz")
    assert server.stop() == 0
    lines = server.log().splitlines()
    assert not [line for line in lines if not EVENT.fullmatch(line)]
    assert not [line for line in lines if any(ord(c) < 0x20 or ord(c) == 0x7F for c in line)]


def test_error_log_says_who_and_where(serve):
    server = serve("shapes")
    with Connection(server) as client:
        client.send(b"GET /%zz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert client.response().status == 400
        line = server.wait_log(r"^.*request refused.*$")[0]
        worker = server.workers()[0]
        assert f"pid={worker}" in line
        assert "worker=" in line
        assert f"peer={client.name}" in line
        assert "target=/%zz" in line
        assert " warn " in line


def test_error_log_as_json(serve):
    server = serve("shapes", "--log-format", "json")
    fetch(server, "/raising")
    fetch(server, '/"%zz')
    assert server.stop() == 0
    events = [json.loads(line) for line in server.log().splitlines()]
    assert any("raised by the application" in json.dumps(event) for event in events)
    assert any(event.get("status") == 400 for event in events)
    assert all(
        re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", event["time"]) for event in events
    )


def test_log_level(serve):
    server = serve("shapes", "--log-level", "error")
    fetch(server, "/%zz")
    fetch(server, "/raising")
    assert server.stop() == 0
    assert "raised by the application" in server.log()
    assert " warn " not in server.log()
    assert " info " not in server.log()


@pytest.mark.extension
def test_wsgi_errors_and_prints(serve):
    """What an application says on wsgi.errors, sys.stderr and by print() is not lost."""
    server = serve("speaking")
    assert fetch(server, "/").status == 200
    server.wait_log("said on wsgi.errors")
    server.wait_log("said on stderr")
    server.wait_log("said by print", name="stdout")


def test_error_log_in_a_file(serve, tmp_path):
    path = tmp_path / "error.log"
    server = serve("shapes", "--error-log", str(path))
    fetch(server, "/raising")
    wait_until(lambda: "raised by the application" in path.read_text(), "the traceback in the file")
    assert "raised by the application" not in server.log()


def test_a_client_cannot_forge_lines(serve, tmp_path):
    """Control bytes, quotes and escape sequences of terminals are escaped in both logs."""
    path = tmp_path / "access.log"
    server = serve(
        "shapes", "--access-log", str(path), "--access-log-format", '%(r)s "%(a)s" "%({x}i)s"'
    )
    evil = 'a"b\x80\x9b31m\\'
    fetch(server, "/one", headers=[("User-Agent", evil), ("X", "\xe9")])
    with Connection(server) as client:
        client.send(b'GET /"\x1b[31m"2026-11-22 HTTP/1.1\r\nHost: localhost\r\n\r\n')
        assert client.response().status == 400
    with Connection(server) as client:
        client.send(
            b"GET /a\rb\n2026-01-01T00:00:00.000Z error forged\nX: HTTP/1.1\r\nHost: localhost\r\n\r\n"
        )
        assert client.response().status == 400
    assert server.stop() == 0
    lines = path.read_text().splitlines()
    assert lines[0] == 'GET /one HTTP/1.1 "a\\x22b\\x80\\x9B31m\\x5C" "\\xE9"'
    assert all(re.fullmatch(r'[\x20-\x7e]* "-" "-"', line) for line in lines[1:])
    assert len(lines) == 3, "a refused request has its line, too"
    log = server.log()
    assert "\x1b" not in log
    assert not re.search("^2026-01-01", log, re.MULTILINE)


def test_access_log_is_off_without_a_terminal(serve):
    server = serve("echo")
    fetch(server, "/secret-path")
    assert server.stop() == 0
    assert "secret-path" not in server.log() + server.read("stdout")


def test_combined(serve, tmp_path):
    path = tmp_path / "access.log"
    server = serve("shapes", "--access-log", str(path))
    fields = [
        ("User-Agent", "Test/1.0"),
        ("Referer", "http://localhost/"),
        ("Authorization", "Basic YWxpY2U6c2VjcmV0"),
    ]
    fetch(server, "/one?a=b", headers=fields)
    fetch(server, "/empty", "HEAD")
    fetch(server, "/pieces")
    fetch(server, "/status?status=404+Not+Found")
    assert server.stop() == 0
    stamp = r"\[\d\d/[A-Z][a-z][a-z]/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}\]"
    expected = [
        rf'127\.0\.0\.1 - alice {stamp} "GET /one\?a=b HTTP/1\.1" 200 5 "http://localhost/" "Test/1\.0"',
        rf'127\.0\.0\.1 - - {stamp} "HEAD /empty HTTP/1\.1" 200 - "-" "-"',
        rf'127\.0\.0\.1 - - {stamp} "GET /pieces HTTP/1\.1" 200 5 "-" "-"',
        rf'127\.0\.0\.1 - - {stamp} "GET /status\?status=404\+Not\+Found HTTP/1\.1" 404 7 "-" "-"',
    ]
    lines = path.read_text().splitlines()
    assert len(lines) == len(expected)
    for line, pattern in zip(lines, expected, strict=True):
        assert re.fullmatch(pattern, line), line


def test_json(serve, tmp_path):
    path = tmp_path / "access.log"
    server = serve("shapes", "--access-log", str(path), "--access-log-format", "json")
    before = time.time()
    fetch(server, "/one?a=%22b", headers=[("User-Agent", 'caf\xc3\xa9 \xe9 "')])
    fetch(server, "/raising")
    assert server.stop() == 0
    first, second = (json.loads(line) for line in path.read_text(encoding="utf-8").splitlines())
    assert first["method"] == "GET"
    assert first["path"] == "/one"
    assert first["query"] == "a=%22b"
    assert first["status"] == 200
    assert first["bytes"] == 5
    assert first["peer"] == "127.0.0.1"
    assert first["host"] == "localhost"
    assert first["protocol"] == "HTTP/1.1"
    assert first["user_agent"] == 'caf\xe9 \xe9 "'
    assert first["referer"] is None
    assert all(
        first[name] >= 0 for name in ("read_us", "queue_us", "app_us", "send_us", "duration_us")
    )
    assert first["duration_us"] < (time.time() - before) * 1e6
    assert second["status"] == 500
    assert first["id"] != second["id"]


def test_atoms(serve, tmp_path):
    path = tmp_path / "access.log"
    form = (
        "%(h)s|%(l)s|%(u)s|%(r)s|%(m)s|%(U)s|%(q)s|%(H)s|%(s)s|%(B)s|%(b)s|%(f)s|%(a)s|%(T)s|%(M)s|%(D)s|%(L)s|%(p)s"
        "|%({x-one}i)s|%({X-Two}o)s|%({MARK}e)s|%(read)s|%(queue)s|%(app)s|%(send)s|%(id)s|%(S)s|100%%"
    )
    server = serve(
        "shapes",
        "--access-log",
        str(path),
        "--access-log-format",
        form,
        environment={"MARK": "of the environment"},
    )
    fetch(server, "/headers?fields=X-Two:2", headers=[("X-One", "1")])
    worker = server.workers()[0]
    assert server.stop() == 0
    words = path.read_text().rstrip("\n").split("|")
    assert words[:6] == [
        "127.0.0.1",
        "-",
        "-",
        "GET /headers?fields=X-Two:2 HTTP/1.1",
        "GET",
        "/headers",
    ]
    assert words[6:13] == ["fields=X-Two:2", "HTTP/1.1", "200", "5", "5", "-", "-"]
    assert words[13] == "0"
    assert words[17:21] == [f"<{worker}>", "1", "2", "of the environment"]
    assert all(word.isdigit() for word in words[14:16] + words[21:25])
    assert re.fullmatch(r"0\.\d{6}", words[16])
    assert re.fullmatch(r"[0-9a-f]{16}", words[25])
    assert words[26:] == ["http", "100%"]


SECRET = "swordfish"
FIELDS = "%({authorization}i)s|%({Proxy-Authorization}i)s|%({COOKIE}i)s|%({set-cookie}o)s|%({x-key}i)s|%({x-key}o)s"


def ask_with_secrets(server) -> None:
    """Give a server secrets in every way that some log could show."""
    fields = [
        ("Authorization", f"Bearer {SECRET}"),
        ("Proxy-Authorization", f"Basic {SECRET}"),
        ("cookie", f"session={SECRET}"),
    ]
    answer = fetch(server, f"/headers?fields=Set-Cookie:s={SECRET}|X-Key:k", headers=fields)
    assert answer.header("Set-Cookie") == f"s={SECRET}"
    fetch(server, "/raising", headers=fields)
    fetch(server, f"/headers?fields=Set-Cookie:s=%01{SECRET}", headers=fields)
    with Connection(server) as client:
        client.send(request(headers=[*fields, ("Content-Length", "x")]))
        assert client.response().status == 400


def test_secrets_are_in_no_log(serve, tmp_path):
    path = tmp_path / "access.log"
    server = serve("shapes", "--access-log", str(path), "--access-log-format", FIELDS)
    ask_with_secrets(server)
    assert server.stop() == 0
    line = path.read_text().splitlines()[0]
    assert line == "[redacted]|[redacted]|[redacted]|[redacted]|-|k"
    assert SECRET not in path.read_text()
    log = server.log()
    assert "raised by the application" in log
    assert "request refused" in log
    assert "holds control characters: 'Set-Cookie'" in log
    shown = [line for line in log.splitlines() if SECRET in line]
    assert all("GET /headers?fields=" in line for line in shown), "only in the query"
    assert f"session={SECRET}" not in log
    assert f"Bearer {SECRET}" not in log


def test_redact_names_other_fields(serve, tmp_path):
    path = tmp_path / "access.log"
    options = ("--redact", "X-KEY", "--redact", "user-agent")
    server = serve(
        "shapes",
        *("--access-log", str(path), "--access-log-format", f"{FIELDS}|%(a)s"),
        *options,
    )
    fields = [("X-Key", SECRET), ("Cookie", "a=b"), ("User-Agent", SECRET)]
    fetch(server, "/headers?fields=Set-Cookie:s|X-Key:k", headers=fields)
    assert server.stop() == 0
    assert path.read_text() == "-|-|a=b|s|[redacted]|[redacted]|[redacted]\n"


@pytest.mark.parametrize("form", ["combined", "json", "%(r)s|%(U)s|%(q)s|%(f)s|%({Referer}i)s"])
def test_queries_are_left_out(serve, tmp_path, form):
    path = tmp_path / "access.log"
    server = serve(
        "shapes", "--redact-query", "--access-log", str(path), "--access-log-format", form
    )
    fields = [("Referer", f"http://localhost/start?key={SECRET}")]
    assert fetch(server, f"/one?key={SECRET}", headers=fields).body == b"hello"
    assert fetch(server, f"/raising?key={SECRET}", headers=fields).status == 500
    with Connection(server) as client:
        client.send(request(target=f"/one?key={SECRET}", headers=[("Content-Length", "x")]))
        assert client.response().status == 400
    with Connection(server) as client:
        client.send(request(target=f"/%zz?key={SECRET}"))
        assert client.response().status == 400
    assert server.stop() == 0
    log = server.log()
    assert 'request="GET /raising HTTP/1.1"' in log
    assert "target=/%zz" in log
    assert SECRET not in log + path.read_text()
    assert path.read_text().count("\n") == 4
    assert "http://localhost/start" in path.read_text()


def test_queries_are_shown_by_default(serve, tmp_path):
    path = tmp_path / "access.log"
    server = serve("shapes", "--access-log", str(path))
    fetch(server, "/raising?key=of-the-query")
    assert server.stop() == 0
    assert "GET /raising?key=of-the-query HTTP/1.1" in path.read_text()
    assert "GET /raising?key=of-the-query HTTP/1.1" in server.log()


def test_a_mistake_in_the_format_is_told_and_nothing_is_served(serve):
    server = serve(
        "echo", "--access-log", "-", "--access-log-format", "%(h)s %(nothing)s", ends=True
    )
    assert server.process.returncode == 2
    assert "%(nothing)s" in server.log()


def test_access_log_of_many_workers_is_whole(serve, tmp_path):
    """Every request has its line, and no line is torn by another process's."""
    path = tmp_path / "access.log"
    server = serve(
        "echo", "-w", "3", "--access-log", str(path), "--access-log-format", "<%(U)s %(a)s>"
    )
    agent = "x" * 300
    clients = [Connection(server) for _ in range(12)]
    for i, client in enumerate(clients):
        client.send(
            *(request(target=f"/{i}/{j}", headers=[("User-Agent", agent)]) for j in range(50))
        )
    for client in clients:
        for _ in range(50):
            assert client.response().status == 200
        client.close()
    assert server.stop() == 0
    lines = sorted(path.read_text().splitlines())
    assert lines == sorted(f"</{i}/{j} {agent}>" for i in range(12) for j in range(50))


def test_a_pipe_that_nobody_reads(serve, tmp_path):
    """Requests go on at once; what does not fit is dropped and counted; the inherited end stays blocking for others."""
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
    os.set_blocking(writer, True)
    with os.fdopen(reader, "rb"), os.fdopen(writer, "wb") as end:
        server = serve("shapes", "--access-log", "-", stderr=end, stdout=end)
        for _ in range(10):
            with Connection(server) as client:
                client.send(request(target="/one", headers=[("User-Agent", "x" * 1000)]) * 100)
                assert all(client.response().body == b"hello" for _ in range(100))
            assert fetch(server, "/raising").status == 500
        assert os.get_blocking(writer), "an inherited description was made non-blocking"
        assert server.stop() == 0


def test_lost_lines_are_counted(serve, tmp_path):
    fifo = tmp_path / "access.fifo"
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    try:
        fcntl.fcntl(reader, fcntl.F_SETPIPE_SZ, 4096)
        server = serve("shapes", "--access-log", str(fifo))
        line = request(target="/one?" + "x" * 3000)
        with Connection(server) as client:
            for _ in range(30):
                client.send(line * 20)
                for _ in range(20):
                    assert client.response().status == 200
        lost = int(server.wait_log(r"access log lines were lost.*lines=(\d+)")[1])
        assert 0 < lost <= 600
    finally:
        os.close(reader)


def test_a_reader_that_comes_back_gets_what_waited(serve, tmp_path):
    fifo = tmp_path / "access.fifo"
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    try:
        fcntl.fcntl(reader, fcntl.F_SETPIPE_SZ, 4096)
        server = serve("shapes", "--access-log", str(fifo), "--access-log-format", "%(q)s")
        for i in range(20):
            fetch(server, f"/one?{i:04}" + "x" * 1000)
        seen = b""
        end = time.monotonic() + 20
        while seen.count(b"\n") < 20 and time.monotonic() < end:
            try:
                seen += os.read(reader, 65536)
            except BlockingIOError:
                time.sleep(0.01)
        assert [line[:4] for line in seen.splitlines()] == [f"{i:04}".encode() for i in range(20)]
    finally:
        os.close(reader)


@pytest.mark.parametrize("option", ["--access-log", "--error-log"])
def test_a_full_disk(serve, option):
    """The server goes on serving, and says so where it can."""
    server = serve("shapes", option, "/dev/full")
    for _ in range(50):
        assert fetch(server, "/one").body == b"hello"
        assert fetch(server, "/raising").status == 500
    if option == "--access-log":
        server.wait_log(r"access log lines were lost")
    assert server.stop() == 0


def test_standard_error_that_was_closed(serve, tmp_path):
    reader, writer = os.pipe()
    with os.fdopen(writer, "wb") as end:
        server = serve("shapes", stderr=end)
    os.close(reader)
    for _ in range(20):
        assert fetch(server, "/raising").status == 500
    assert server.stop() == 0


def test_reopening_after_rotation(serve, tmp_path):
    path = tmp_path / "access.log"
    server = serve("shapes", "--access-log", str(path), "--access-log-format", "%(U)s")
    fetch(server, "/one")
    wait_until(lambda: path.exists() and path.read_text() == "/one\n", "the first line")
    path.rename(tmp_path / "access.log.1")
    server.kill(signal.SIGUSR1)
    wait_until(path.exists, "the new file")

    def arrives() -> bool:
        fetch(server, "/many")
        return "/many\n" in path.read_text()

    wait_until(arrives, "lines in the new file")
    assert server.stop() == 0
    assert set((tmp_path / "access.log.1").read_text().split()) <= {"/one", "/many"}
