"""request-buffering = false: the application reads the body from the client, while it comes."""

import hashlib

import pytest
from harness import wait_until
from http1 import Closed, Connection, Cut, fetch, request

pytestmark = pytest.mark.sanitized

BODY = b"".join(b"line %d\n" % n for n in range(20_000))


@pytest.fixture(scope="module")
def server(serve_module):
    return serve_module("streams", "--no-request-buffering", "--max-body", "8M")


def chunks(body: bytes, size: int) -> bytes:
    cut = (body[at : at + size] for at in range(0, len(body), size))
    return b"".join(b"%x;a=b\r\n%s\r\n" % (len(piece), piece) for piece in cut)


def answer_of(body: bytes) -> list[str]:
    return [hashlib.sha256(body).hexdigest(), str(len(body))]


@pytest.mark.parametrize(
    "way", ["read", "1", "1000", "65536", "100000", "readline", "readlines", "iterate"]
)
@pytest.mark.parametrize("coding", ["length", "chunked"])
@pytest.mark.parametrize("body", [BODY, b"a", b"\n", b"a\n"], ids=["large", "a", "LF", "line"])
def test_ways_to_read(server, way, coding, body):
    body = body[:5000] if way == "1" else body
    with Connection(server) as client:
        for _ in range(2):
            if coding == "length":
                head = request("POST", f"/digest/{way}", [("Content-Length", str(len(body)))])
                client.send(head, body)
                said = [str(len(body)), "None"]
            else:
                head = request("POST", f"/digest/{way}", [("Transfer-Encoding", "chunked")])
                client.send(head, chunks(body, 1234), b"0\r\nTrailer: x\r\n\r\n")
                said = ["None", "chunked"]
            answer = client.response().text.split()
            assert answer[:2] == answer_of(body)
            assert answer[3:] == said


def test_the_body_and_the_next_request_in_one_piece(server):
    with Connection(server) as client:
        both = request("POST", "/digest/read", [("Content-Length", "5")]) + b"hello"
        client.send(both * 3 + request())
        for _ in range(3):
            assert client.response().text.split()[:2] == answer_of(b"hello")
        assert client.response().status == 200


def test_the_application_is_called_before_the_body_is_here(server):
    with Connection(server) as client:
        client.send(request("POST", "/some/5", [("Content-Length", "1000")]), b"hello")
        assert client.response().body == b"hello"


def test_continue_goes_out_with_the_first_read(server):
    expect = [("Content-Length", "5"), ("Expect", "100-continue")]
    with Connection(server) as client:
        client.send(request("POST", "/digest/read", expect))
        assert client.interim().status == 100
        client.send(b"hello")
        assert client.response().text.split()[:2] == answer_of(b"hello")
    with Connection(server) as client:
        client.send(request("POST", "/nothing", expect))
        answer = client.rest()
        assert answer.startswith(b"HTTP/1.1 200 ")
        assert b"\r\nConnection: close\r\n" in answer


@pytest.mark.parametrize(("size", "kept"), [(10, True), (60_000, True), (2_000_000, False)])
def test_what_is_not_read_is_dropped_or_ends_the_connection(server, size, kept):
    with Connection(server) as client:
        client.send(request("POST", "/some/5", [("Content-Length", str(size))]), b"x" * (size // 2))
        response = client.response()
        assert response.body == b"xxxxx"
        assert (response.header("Connection") != "close") == kept
        client.send(b"x" * (size - size // 2))
        if kept:
            client.send(request("POST", "/digest/read", body=b"next"))
            assert client.response().text.split()[:2] == answer_of(b"next")
        else:
            assert client.closed()


@pytest.mark.parametrize("size", [100_000, 3_000_000])
def test_chunks_that_are_not_read(server, size):
    with Connection(server) as client:
        client.send(request("POST", "/nothing", [("Transfer-Encoding", "chunked")]))
        assert client.response().status == 200
        try:
            client.send(chunks(b"x" * size, 10_000) + b"0\r\n\r\n", request())
            assert client.response().status == 200
            assert size == 100_000
        except (Closed, Cut, ConnectionError):
            assert size == 3_000_000


def test_too_large(server):
    with Connection(server) as client:
        client.send(request("POST", "/digest/read", [("Content-Length", str((8 << 20) + 1))]))
        assert client.response().status == 413
    with Connection(server) as client:
        client.send(request("POST", "/digest/65536", [("Transfer-Encoding", "chunked")]))
        client.send(chunks(b"x" * (8 << 20), 65536), b"1\r\n")
        response = client.response()
        assert (response.status, response.header("Connection")) == (413, "close")
    server.wait_log("request body is larger than max-body")
    assert "Traceback" not in server.log()


def test_a_client_that_sends_nothing_more(serve):
    server = serve("streams", "--no-request-buffering", "--body-timeout", "300ms")
    head = request("POST", "/digest/read", [("Content-Length", "10")])
    with Connection(server) as client:
        client.send(head, b"hello")
        assert client.response().status == 408
        assert client.closed()
    with Connection(server) as client:  # the answer has begun: it can only be cut
        client.send(request("POST", "/echoes", [("Content-Length", "10")]), b"line\nmore")
        with pytest.raises((Cut, ConnectionResetError)):
            client.response()
    with Connection(server) as client:
        client.send(request("POST", "/caught/read", [("Content-Length", "10")]), b"hello")
        assert client.response().text == (
            "TimeoutError True TimeoutError: the request body took too long"
        )


def test_a_rest_that_does_not_come(serve):
    """The answer is whole and stays so; the connection ends without a reset."""
    server = serve("streams", "--no-request-buffering", "--body-timeout", "300ms")
    with Connection(server) as client:
        client.send(request("POST", "/some/5", [("Content-Length", "10")]), b"hello")
        assert client.response().body == b"hello"
        assert client.closed()


def test_a_client_that_ends_too_early(server):
    with Connection(server) as client:
        client.send(request("POST", "/caught/read", [("Content-Length", "10")]), b"hello")
        client.shutdown()
        assert client.response().text.startswith("ConnectionResetError True ConnectionResetError")
    with Connection(server) as client:
        client.send(request("POST", "/digest/read", [("Content-Length", "10")]), b"hello")
        client.shutdown()
        assert client.response().status == 400


def test_malformed_chunks(server):
    with Connection(server) as client:
        client.send(request("POST", "/digest/read", [("Transfer-Encoding", "chunked")]))
        client.send(b"5\r\nhello\r\nx\r\n")
        assert client.response().status == 400
        assert client.closed()


def test_only_the_thread_of_the_call_reads(server):
    answer = fetch(server, "/in_thread/read", "POST", body=b"hello").text
    assert answer.startswith("RuntimeError: without request-buffering")


def test_backpressure(serve, tmp_path):
    """What the application does not read stays with the client, once the kernel's buffers are full."""
    server = serve("streams", "--no-request-buffering")
    go_on = tmp_path / "go-on"
    size = 100 << 20
    with Connection(server) as client:
        client.send(request("POST", f"/late{go_on}", [("Content-Length", str(size))]))
        client.sock.setblocking(False)
        sent, piece = 0, b"x" * (1 << 20)

        def is_stuck() -> bool:
            nonlocal sent
            try:
                sent += client.sock.send(piece[: size - sent])
            except BlockingIOError:
                return True
            return False

        wait_until(is_stuck, "the client cannot send more")
        assert sent < size // 2
        assert fetch(server, "/one").status == 200
        go_on.touch()
        client.sock.settimeout(20)
        while sent < size:
            sent += client.sock.send(piece[: size - sent])
        assert client.response().text.split()[1] == str(size)
