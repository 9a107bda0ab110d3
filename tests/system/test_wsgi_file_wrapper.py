"""wsgi.file_wrapper (PEP 3333, "Optional Platform-Specific File Handling")."""

import pytest
from http1 import Connection, Cut, fetch, request

pytestmark = [pytest.mark.sanitized, pytest.mark.extension]

CONTENT = bytes(i * 7 % 251 for i in range(100_000))


@pytest.fixture(scope="module")
def server(serve_module):
    return serve_module("pep3333")


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(CONTENT)
    return path


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ("", CONTENT),
        ("&seek=99990", CONTENT[99990:]),
        ("&seek=100000", b""),
        ("&seek=200000", b""),
        ("&read=10", CONTENT[10:]),  # the file's own buffer has read further than its position
        ("&length=5", CONTENT[:5]),
        ("&seek=10&length=5", CONTENT[10:15]),
        ("&length=0", b""),
        ("&buffering=0&seek=3", CONTENT[3:]),
    ],
)
def test_real_files(server, path, options, expected):
    with Connection(server) as client:
        for _ in range(2):
            client.send(request(target=f"/file?path={path}{options}"))
            response = client.response()
            assert response.body == expected
            assert response.header("Content-Length") == str(len(expected))
        client.send(request(target="/file_is_closed"))
        assert client.response().json() is True


def test_head(server, path):
    with Connection(server) as client:
        client.send(request("HEAD", f"/file?path={path}"))
        assert client.response("HEAD").header("Content-Length") == "100000"
        client.send(request(target="/file_is_closed"))
        assert client.response().json() is True


def test_a_file_that_is_too_short(server, path):
    with Connection(server) as client:
        client.send(request(target=f"/file?path={path}&length=100001"))
        with pytest.raises((Cut, ConnectionResetError)):
            client.response()
    server.wait_log("the application sent fewer bytes than its Content-Length says")


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("/temporary", b" content"[1:]),
        ("/bytes_io", b"0123456789" * 1000),
        ("/pipe", b"through a pipe"),
        ("/only_read", b"no fileno"),
    ],
)
def test_other_files(server, target, expected):
    assert fetch(server, target).body == expected


def test_what_is_read_is_what_is_sent(server, tmp_path):
    """The descriptor of a GzipFile is that of the compressed file."""
    assert fetch(server, f"/gzip_file?path={tmp_path}/x.gz").body == b"uncompressed"


def test_wrong_files(server, path):
    assert fetch(server, f"/text_file?path={path}").status == 500
    assert fetch(server, f"/closed_file?path={path}").status == 500
    server.wait_log("ValueError: I/O operation on closed file")


def test_the_wrapper_as_an_iterable(server):
    assert fetch(server, "/wrapper_itself").json() == [
        ["abcd", "ef"],
        ["TypeError", "ValueError", "TypeError"],
        None,
    ]


def test_no_descriptor_is_left_open(server, path):
    fetch(server, f"/file?path={path}")
    before = fetch(server, "/descriptors").json()
    for _ in range(20):
        fetch(server, f"/file?path={path}")
        with Connection(server) as client:
            client.send(request("HEAD", f"/file?path={path}"))
            client.response("HEAD")
    assert fetch(server, "/descriptors").json() <= before + 2
