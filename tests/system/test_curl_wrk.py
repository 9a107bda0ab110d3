"""Other people's clients: curl in both versions and with every kind of body, wrk with load."""

import re
import shutil
import subprocess

import pytest
from harness import client_environment


def run(*command: str) -> str:
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=60, env=client_environment()
    )
    assert done.returncode == 0, (done.returncode, done.stdout, done.stderr)
    return done.stdout


def curl(*options: str) -> str:
    if not shutil.which("curl"):
        pytest.skip("curl is not installed")
    return run("curl", "-sS", "--max-time", "30", *options)


@pytest.fixture(scope="module")
def digest(serve_module):
    return serve_module("digest", "--max-body", "1M")


@pytest.mark.parametrize("version", ["--http1.0", "--http1.1"])
def test_curl(echo, version):
    head, _, body = curl(version, "-i", echo.url("/a%20b?c=d")).partition("\n\n")
    assert head.startswith("HTTP/1.1 200 OK")
    assert '"PATH_INFO": "/a b"' in body
    assert f'"SERVER_PROTOCOL": "HTTP/{version[-3:]}"' in body


def test_curl_head(echo):
    assert curl("-I", echo.url()).startswith("HTTP/1.1 200 OK")


@pytest.mark.parametrize("size", [10, 500_000, 1 << 20])
def test_curl_uploads(digest, tmp_path, size):
    path = tmp_path / "body"
    path.write_bytes(b"x" * size)
    announced = curl("--data-binary", f"@{path}", digest.url())
    invited = curl("-H", "Expect: 100-continue", "--data-binary", f"@{path}", digest.url())
    chunked = curl("-H", "Transfer-Encoding: chunked", "--data-binary", f"@{path}", digest.url())
    put = curl("-T", str(path), digest.url())
    assert announced == invited == chunked == put
    assert announced.startswith(f"[{size}, ")


def test_curl_too_large(digest, tmp_path):
    path = tmp_path / "body"
    path.write_bytes(b"x" * ((1 << 20) + 1))
    for options in ([], ["-H", "Transfer-Encoding: chunked"], ["-H", "Expect: 100-continue"]):
        answer = curl(
            "-o",
            "/dev/null",
            "-w",
            "%{http_code}",
            *options,
            "--data-binary",
            f"@{path}",
            digest.url(),
        )
        assert answer == "413"


def test_curl_forms(serve):
    pytest.importorskip("flask")
    server = serve("site_flask")
    assert curl(
        "-F", "note=n", "-F", "file=@/dev/null;filename=a", server.url("/upload")
    ).startswith('["a",')
    assert curl("-L", server.url("/redirect")) == "Hello, you"


def test_curl_keeps_its_connection(echo):
    log = curl(
        "-o",
        "/dev/null",
        "-w",
        "%{num_connects}\n",
        echo.url("/1"),
        "-o",
        "/dev/null",
        echo.url("/2"),
    )
    assert log.split() == ["1", "0"]


def test_curl_over_a_unix_socket(serve, tmp_path):
    path = tmp_path / "s"
    serve("hello", bind=f"unix:{path}")
    assert curl("--unix-socket", str(path), "http://localhost/") == "Hello, world\n"


@pytest.mark.parametrize("workers", ["1", "2"])
def test_wrk(serve, workers):
    if not shutil.which("wrk"):
        pytest.skip("wrk is not installed")
    server = serve("hello", "-w", workers)
    report = run("wrk", "-t", "1", "-c", "32", "-d", "2s", server.url())
    assert "Non-2xx" not in report
    assert "Socket errors" not in report
    assert int(re.search(r"(\d+) requests in", report)[1]) > 100
