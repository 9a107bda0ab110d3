"""What clients get for what applications do: fields, framing, streams, files, and cuts that can be seen."""

import email.utils
import hashlib
import time

import pytest
from http1 import Connection, Cut, fetch, request
from proc import descriptors

pytestmark = pytest.mark.extension

BLOCK = bytes(range(256)) * 256


@pytest.fixture(scope="module")
def shapes(serve_module):
    return serve_module("shapes")


@pytest.mark.sanitized
def test_date_and_server(shapes):
    before = int(time.time())
    response = fetch(shapes, "/one")
    date = email.utils.parsedate_to_datetime(response.header("Date"))
    assert before - 1 <= date.timestamp() <= time.time() + 1
    assert response.header("Date") == email.utils.format_datetime(date, usegmt=True)
    assert response.header("Server") == "penstock"


@pytest.mark.sanitized
def test_the_date_goes_on(shapes):
    first = fetch(shapes, "/one").header("Date")
    end = time.monotonic() + 10
    while fetch(shapes, "/one").header("Date") == first:
        assert time.monotonic() < end


@pytest.mark.sanitized
@pytest.mark.parametrize("value", ["off", "something else/1.0"])
def test_another_server_field(serve, value):
    server = serve("shapes", "--server-header", value)
    for target in ("/one", "/raising", "/%zz"):
        assert fetch(server, target).header("Server") == (None if value == "off" else value)


@pytest.mark.sanitized
def test_the_applications_own_date_and_server_win(shapes):
    response = fetch(
        shapes, "/headers?fields=Date:Sun,%2006%20Nov%201994%2008:49:37%20GMT|Server:mine"
    )
    assert response.header("Date") == "Sun, 06 Nov 1994 08:49:37 GMT"
    assert response.header("Server") == "mine"


@pytest.mark.sanitized
@pytest.mark.parametrize(
    ("path", "framing"),
    [
        ("/length", "length"),
        ("/one", "length"),
        ("/empty", "length"),
        ("/pieces", "chunks"),
        ("/written", "chunks"),
    ],
)
def test_framing(shapes, path, framing):
    response = fetch(shapes, path)
    assert response.header("Transfer-Encoding") == ("chunked" if framing == "chunks" else None)
    assert (response.header("Content-Length") is not None) == (framing == "length")
    assert response.body == {"/empty": b"", "/written": b"hello!"}.get(path, b"hello")


@pytest.mark.sanitized
def test_chunks_are_the_applications(shapes):
    assert fetch(shapes, "/pieces").chunks == [b"he", b"llo"]


@pytest.mark.sanitized
@pytest.mark.parametrize("status", ["200 OK", "201 Made", "299 Anything at all", "404 Not Found", "418 I'm a teapot",
                                    "500 Oh no", "599 Last", "200 "])  # fmt: skip
def test_statuses_are_passed_on(shapes, status):
    response = fetch(shapes, f"/status?status={status.replace(' ', '+')}")
    assert response.status == int(status[:3])
    assert response.reason == status[4:] or status == "200 "
    assert response.body == b"content"


@pytest.mark.sanitized
def test_fields_are_passed_on(shapes):
    response = fetch(
        shapes, "/headers?fields=X-One:1|x-two:2|Set-Cookie:a=1|Set-Cookie:b=2|X-Empty:"
    )
    assert [pair for pair in response.headers if pair[0][0] in "Xx"] == [
        ("X-One", "1"),
        ("x-two", "2"),
        ("X-Empty", ""),
    ]
    assert response.all("Set-Cookie") == ["a=1", "b=2"]


@pytest.mark.sanitized
@pytest.mark.parametrize(
    "field",
    ["X:a%0d%0aSet-Cookie:b", "X:a%0aY:b", "X:a%0d", "X:a%00", "X%0d%0aY:b", "X%20Y:b", ":b"],
)
def test_a_response_is_never_split(shapes, field):
    with Connection(shapes) as client:
        client.send(request(target=f"/headers?fields={field}"))
        response = client.response()
        assert response.status == 500
        assert response.header("Set-Cookie") is None
        assert response.header("Y") is None


@pytest.mark.sanitized
def test_connection_close_of_the_application(shapes):
    with Connection(shapes) as client:
        client.send(request(target="/headers?fields=Connection:close"))
        assert client.response().header("Connection") == "close"
        assert client.closed()


@pytest.mark.sanitized
def test_a_stream_arrives_as_it_is_made(shapes, tmp_path):
    until = tmp_path / "until"
    with Connection(shapes) as client:
        client.send(request(target=f"/waiting?until={until}"))
        client.head()
        assert client.chunk() == b"first"
        assert not client.pending
        until.touch()
        assert client.chunk() == b"second"
        assert client.chunk() == b""


@pytest.mark.parametrize("target", ["/blocks?count=160", "/list_of_blocks?count=160"])
def test_ten_megabytes_to_a_slow_reader(shapes, target):
    with Connection(shapes) as client:
        client.send(request(target=target))
        response = client.response() if "list" in target else None
        if response:
            body = response.body
        else:
            client.head()
            parts = []
            while chunk := client.chunk():
                parts.append(chunk)
                if len(parts) % 40 == 0:
                    time.sleep(0.1)  # the reader's slowness
            body = b"".join(parts)
        assert body == BLOCK * 160


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    path = tmp_path_factory.mktemp("files") / "large"
    with open(path, "wb") as out:
        for i in range(800):
            out.write(hashlib.sha512(str(i).encode()).digest() * 1024)
    assert path.stat().st_size == 50 * 1 << 20
    return path


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize("length", ["all", "none"])
def test_a_large_file(shapes, large, length):
    target = f"/file?path={large}" + ("&length=none" if length == "none" else "")
    with Connection(shapes) as client:
        client.send(request(target=target) + request(target="/one"))
        response = client.response()
        assert response.header("Content-Length") == str(large.stat().st_size)
        assert digest(response.body) == digest(large.read_bytes())
        assert client.response().body == b"hello"


def test_a_large_file_does_not_pass_through_memory(shapes, large):
    """By sendfile: the worker's peak memory stays where it was."""
    worker = shapes.workers()[0]

    def peak() -> int:
        with open(f"/proc/{worker}/status") as status:
            return next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))

    fetch(shapes, f"/file?path={large}")
    before = peak()
    assert len(fetch(shapes, f"/file?path={large}").body) == large.stat().st_size
    assert peak() - before < 4096


@pytest.mark.sanitized
def test_a_file_from_the_middle(shapes, tmp_path):
    path = tmp_path / "file"
    path.write_bytes(BLOCK)
    assert fetch(shapes, f"/file_from_the_middle?path={path}&at=1000").body == BLOCK[1000:]


@pytest.mark.sanitized
def test_a_part_of_a_file(shapes, tmp_path):
    """PEP 3333: no more than Content-Length is sent of a file."""
    path = tmp_path / "file"
    path.write_bytes(BLOCK)
    with Connection(shapes) as client:
        client.send(request(target=f"/file?path={path}&length=1000") + request(target="/one"))
        assert client.response().body == BLOCK[:1000]
        assert client.response().body == b"hello"


@pytest.mark.sanitized
def test_an_empty_file(shapes, tmp_path):
    path = tmp_path / "file"
    path.touch()
    with Connection(shapes) as client:
        client.send(request(target=f"/file?path={path}") + request(target="/one"))
        assert client.response().body == b""
        assert client.response().body == b"hello"


@pytest.mark.sanitized
def test_head_of_a_file(shapes, tmp_path):
    path = tmp_path / "file"
    path.write_bytes(BLOCK)
    with Connection(shapes) as client:
        client.send(request("HEAD", f"/file?path={path}") + request(target="/one"))
        assert client.response("HEAD").header("Content-Length") == str(len(BLOCK))
        assert client.response().body == b"hello"


@pytest.mark.sanitized
def test_a_file_over_http_1_0(shapes, tmp_path):
    path = tmp_path / "file"
    path.write_bytes(BLOCK)
    for length in ("", "&length=none"):
        assert fetch(shapes, f"/file?path={path}{length}", version="1.0").body == BLOCK


@pytest.mark.sanitized
def test_a_file_that_is_shorter_than_announced_is_a_cut(shapes, tmp_path):
    path = tmp_path / "file"
    path.write_bytes(BLOCK)
    with Connection(shapes) as client:
        client.send(request(target=f"/file?path={path}&length=100000"))
        with pytest.raises((Cut, ConnectionResetError)):
            client.response()


@pytest.mark.sanitized
def test_fewer_bytes_than_announced_are_a_cut(shapes):
    with Connection(shapes) as client:
        client.send(request(target="/short"))
        with pytest.raises((Cut, ConnectionResetError)):
            client.response()


@pytest.mark.sanitized
def test_more_bytes_than_announced_are_left_out_and_logged(shapes):
    with Connection(shapes) as client:
        client.send(request(target="/long"))
        assert client.response().body == b"hello"
    shapes.wait_log(r"Content-Length")


@pytest.mark.sanitized
@pytest.mark.parametrize("path", ["/raising_late", "/raising_within_length"])
@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_an_exception_within_the_response_is_a_cut(serve, path, version):
    server = serve("shapes")
    with Connection(server) as client:
        client.send(request(target=path, version=version))
        # HTTP/1.0 without a length can show a cut by nothing but a reset.
        with pytest.raises((Cut, ConnectionResetError)):
            client.response()
    server.wait_log(r"ValueError: raised late by the application")


@pytest.mark.sanitized
def test_an_exception_before_the_response(serve):
    server = serve("shapes")
    with Connection(server) as client:
        client.send(request(target="/raising") + request(target="/one"))
        response = client.response()
        assert response.status == 500
        assert "raised by the application" not in response.text, "strangers see what went wrong"
        assert "Traceback" not in response.text
        assert client.response().body == b"hello", "the connection is as good as before"
    server.wait_log(r"Traceback \(most recent call last\)")
    server.wait_log(r"ValueError: raised by the application")
    server.wait_log(r"GET /raising")


@pytest.mark.sanitized
def test_debug_shows_the_traceback(serve):
    server = serve("shapes", "--debug")
    response = fetch(server, "/raising")
    assert response.status == 500
    assert "ValueError: raised by the application" in response.text


@pytest.mark.sanitized
def test_a_client_that_leaves_in_the_middle(serve):
    """Its response is given up, the next is served, the iterable's close() is the application's business."""
    server = serve("shapes")
    for target in ("/blocks?count=2000", "/list_of_blocks?count=500"):
        with Connection(server) as client:
            client.send(request(target=target))
            client.head()
        assert fetch(server, "/one").body == b"hello"


@pytest.mark.sanitized
def test_a_client_that_leaves_within_a_file(serve, large):
    server = serve("shapes")
    worker = server.workers()[0]
    for _ in range(5):
        with Connection(server) as client:
            client.send(request(target=f"/file?path={large}"))
            client.head()
        assert fetch(server, "/one").body == b"hello"
    assert str(large) not in descriptors(worker), "the file stayed open"
