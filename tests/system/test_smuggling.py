"""What one program reads as one request and another as two: no second request is ever served from a doubtful first.

Each case is a request whose end could be in doubt, with a request for /smuggled in it or behind it. It must be refused
and the connection closed, or be read in the one way that the RFCs allow (RFC 9112 section 11.2).
"""

import re

import pytest
from http1 import Connection, fetch, request

pytestmark = pytest.mark.sanitized

SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n"
END = b"0\r\n\r\n"


def post(*lines: bytes, body: bytes = b"", first: bytes = b"POST / HTTP/1.1") -> bytes:
    return b"\r\n".join([first, b"Host: localhost", *lines, b"", b""]) + body


CASES = {
    "CL.TE": post(b"Content-Length: 6", b"Transfer-Encoding: chunked", body=END + b"G"),
    "TE.CL": post(b"Transfer-Encoding: chunked", b"Content-Length: 4", body=b"5c\r\n"),
    "CL.TE, the request behind": post(b"Content-Length: 5", b"Transfer-Encoding: chunked", body=END),
    "CL 0 and TE": post(b"Content-Length: 0", b"Transfer-Encoding: chunked", body=END),
    "CL.CL": post(b"Content-Length: 0", b"Content-Length: 44"),
    "CL.CL in reverse": post(b"Content-Length: 44", b"Content-Length: 0"),
    "CL twice the same": post(b"Content-Length: 5", b"Content-Length: 5", body=b"hello"),
    "CL as a list": post(b"Content-Length: 0, 44"),
    "CL as a list of the same": post(b"Content-Length: 5, 5", body=b"hello"),
    "CL with a sign": post(b"Content-Length: +0"),
    "CL with a minus": post(b"Content-Length: -1"),
    "CL in hexadecimal": post(b"Content-Length: 0x0"),
    "CL that wraps around": post(b"Content-Length: 18446744073709551616"),
    "CL with a vertical tab": post(b"Content-Length: \x0b0"),
    "CL with a space before the colon": post(b"Content-Length : 44"),
    "CL folded": post(b"Content-Length:\r\n 44"),
    "CL behind a NUL": post(b"X: a\x00\r\nContent-Length: 0"),
    "CL in a name with a NUL": post(b"Content-Length\x00: 44"),
    "TE with a space before the colon": post(b"Transfer-Encoding : chunked", b"Content-Length: 0"),
    "TE with a tab before the colon": post(b"Transfer-Encoding\t: chunked", b"Content-Length: 0"),
    "TE folded": post(b"Transfer-Encoding:\r\n chunked", b"Content-Length: 0"),
    "TE in a folded line": post(b"X: x\r\n Transfer-Encoding: chunked", b"Content-Length: 0"),
    "TE behind a bare CR": post(b"X: x\rTransfer-Encoding: chunked", b"Content-Length: 0"),
    "TE behind a bare LF": post(b"X: x\nTransfer-Encoding: chunked", b"Content-Length: 0"),
    "TE behind CR CR LF": post(b"X: x\r\r\nTransfer-Encoding: chunked", b"Content-Length: 0"),
    "TE with a control byte": post(b"Transfer-Encoding: \x0bchunked", b"Content-Length: 0"),
    "TE with 0x85": post(b"Transfer-Encoding: \x85chunked", b"Content-Length: 0"),
    "TE with a no-break space": post(b"Transfer-Encoding: \xa0chunked", body=END),
    "TE with a NUL": post(b"Transfer-Encoding: chunked\x00", b"Content-Length: 0"),
    "TE with a bare CR": post(b"Transfer-Encoding: chunked\r", b"Content-Length: 0"),
    "TE quoted": post(b'Transfer-Encoding: "chunked"', b"Content-Length: 0"),
    "TE xchunked": post(b"Transfer-Encoding: xchunked", body=END),
    "TE chunked twice": post(b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked", body=END),
    "TE chunked, then another": post(b"Transfer-Encoding: chunked", b"Transfer-Encoding: cow", body=END),
    "TE another, then chunked": post(b"Transfer-Encoding: cow", b"Transfer-Encoding: chunked", body=END),
    "TE chunked, identity": post(b"Transfer-Encoding: chunked, identity", body=END),
    "TE identity": post(b"Transfer-Encoding: identity", body=END),
    "TE identity and CL": post(b"Transfer-Encoding: identity", b"Content-Length: 0"),
    "TE gzip": post(b"Transfer-Encoding: gzip", body=END),
    "TE empty": post(b"Transfer-Encoding:", b"Content-Length: 0"),
    "TE with a parameter": post(b"Transfer-Encoding: chunked;a=b", body=END),
    "TE in HTTP/1.0": post(b"Transfer-Encoding: chunked", body=END, first=b"POST / HTTP/1.0"),
    "TE in HTTP/1.0 kept alive": post(b"Connection: keep-alive", b"Transfer-Encoding: chunked", b"Content-Length: 5",
                                      body=END, first=b"POST / HTTP/1.0"),
    "TE in GET with CL": post(b"Transfer-Encoding: chunked", b"Content-Length: 5", body=END, first=b"GET / HTTP/1.1"),
    "chunk size that wraps around": post(b"Transfer-Encoding: chunked", body=b"10000000000000000\r\n" + END),
    "chunk size with a sign": post(b"Transfer-Encoding: chunked", body=b"-1\r\n" + END),
    "chunk size with a prefix": post(b"Transfer-Encoding: chunked", body=b"0x0\r\n\r\n"),
    "chunk size with a space before": post(b"Transfer-Encoding: chunked", body=b" 0\r\n\r\n"),
    "chunk size with an underscore": post(b"Transfer-Encoding: chunked", body=b"0_0\r\n\r\n"),
    "chunk size that ends in LF": post(b"Transfer-Encoding: chunked", body=b"0\n\r\n"),
    "chunk size that ends in CR": post(b"Transfer-Encoding: chunked", body=b"0\r\rX\r\n"),
    "last chunk that ends in LF": post(b"Transfer-Encoding: chunked", body=b"0\r\n\n"),
    "chunk extension that ends in LF": post(b"Transfer-Encoding: chunked", body=b"1;a\nx\r\n" + END),
    "chunk extension with a CR": post(b"Transfer-Encoding: chunked", body=b"1;a\rb\r\nx\r\n" + END),
    "chunk that is longer than its size": post(b"Transfer-Encoding: chunked", body=b"2\r\nabc\r\n" + END),
    "chunk with any two bytes behind it": post(b"Transfer-Encoding: chunked", body=b"1\r\nxXX0\r\n\r\n"),
    "chunk with LF behind it": post(b"Transfer-Encoding: chunked", body=b"1\r\nx\n" + END),
    "trailer that is folded": post(b"Transfer-Encoding: chunked", body=b"0\r\nX: y\r\n z\r\n\r\n"),
    "trailer with a space before the colon": post(b"Transfer-Encoding: chunked", body=b"0\r\nX : y\r\n\r\n"),
    "line that ends in LF": b"GET / HTTP/1.1\nHost: localhost\n\n",
    "line with two spaces": b"GET  / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "line with a tab": b"GET\t/\tHTTP/1.1\r\nHost: localhost\r\n\r\n",
    "HTTP/0.9": b"GET /\r\n",
    "HTTP/2.0": b"GET / HTTP/2.0\r\nHost: localhost\r\n\r\n",
    "first field folded": b"GET / HTTP/1.1\r\n X: y\r\nHost: localhost\r\n\r\n",
    "two hosts": b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: example.com\r\n\r\n",
    "Expect unknown": post(b"Expect: a-pony", b"Content-Length: 44"),
    "body too large": post(b"Content-Length: 1073741825"),
    "Upgrade by CONNECT": b"CONNECT localhost:80 HTTP/1.1\r\nHost: localhost:80\r\n\r\n",
    "request line too long": b"GET /" + b"a" * 17000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
}  # fmt: skip


@pytest.mark.parametrize("data", CASES.values(), ids=CASES)
def test_nothing_is_served_behind_a_doubtful_request(echo, data):
    before = int(fetch(echo, "/calls").text)
    with Connection(echo) as client:
        client.send(data + SMUGGLED * 3)
        answer = client.rest()
    assert len(re.findall(rb"HTTP/1\.1 \d\d\d ", answer)) == 1, answer
    assert re.match(rb"HTTP/1\.1 (400|413|414|417|501|505) ", answer), answer
    assert b"smuggled" not in answer
    assert int(fetch(echo, "/calls").text) == before + 1


def test_a_doubtful_request_behind_good_ones(echo):
    """Those before it are answered, in order; it is refused; nothing behind it is served."""
    with Connection(echo) as client:
        client.send(request(target="/1") + request(target="/2") + CASES["CL.TE"] + SMUGGLED)
        assert client.response().json()["environ"]["PATH_INFO"] == "/1"
        assert client.response().json()["environ"]["PATH_INFO"] == "/2"
        assert client.response().status == 400
        assert client.closed()


def test_a_body_is_never_a_request(echo):
    with Connection(echo) as client:
        client.send(request("POST", "/1", body=SMUGGLED) + request(target="/2"))
        assert client.response().json()["body"] == SMUGGLED.decode()
        assert client.response().json()["environ"]["PATH_INFO"] == "/2"


def test_a_chunked_body_is_never_a_request(echo):
    body = b"%x\r\n%s\r\n0\r\nX-Trailer: GET /smuggled HTTP/1.1\r\n\r\n" % (len(SMUGGLED), SMUGGLED)
    with Connection(echo) as client:
        client.send(post(b"Transfer-Encoding: chunked", body=body) + request(target="/2"))
        assert client.response().json()["body"] == SMUGGLED.decode()
        assert client.response().json()["environ"]["PATH_INFO"] == "/2"


def test_a_body_of_get_is_not_the_next_request(echo):
    """Servers that ignore a body where they expect none would serve what is in it."""
    for method in ("GET", "HEAD", "DELETE", "OPTIONS"):
        with Connection(echo) as client:
            client.send(request(method, "/1", body=SMUGGLED) + request(target="/2"))
            assert client.response(method).status == 200
            assert client.response().json()["environ"]["PATH_INFO"] == "/2"


def test_a_body_that_the_application_ignores_is_not_the_next_request(serve):
    server = serve("hello")
    with Connection(server) as client:
        client.send(request("POST", "/", body=SMUGGLED * 1000) + request(target="/2"))
        assert client.response().status == 200
        assert client.response().status == 200
        client.shutdown()
        assert client.closed()


def test_trailers_do_not_become_fields(echo):
    trailers = b"0\r\nHost: example.com\r\nContent-Length: 44\r\nX-Forwarded-For: 1.2.3.4\r\nCookie: a=b\r\n\r\n"
    with Connection(echo) as client:
        client.send(post(b"Transfer-Encoding: chunked", body=trailers) + request(target="/2"))
        environ = client.response().json()["environ"]
        assert environ["HTTP_HOST"] == "localhost"
        assert environ["CONTENT_LENGTH"] == "0"
        assert not {"HTTP_COOKIE", "HTTP_X_FORWARDED_FOR"} & environ.keys()
        assert client.response().json()["environ"]["PATH_INFO"] == "/2"


def test_underscores_do_not_become_hyphens(echo):
    """X_FORWARDED_FOR and X-Forwarded-For would be one variable to an application."""
    fields = [
        ("X_Forwarded_For", "1.2.3.4"),
        ("X-Forwarded_For", "1.2.3.4"),
        ("Content_Length", "5"),
        ("X-One-Two", "5"),
    ]
    answer = fetch(echo, "/", headers=fields).json()["environ"]
    assert answer["HTTP_X_ONE_TWO"] == "5"
    assert "HTTP_X_FORWARDED_FOR" not in answer
    assert answer.get("CONTENT_LENGTH", "") == ""
    assert "HTTP_CONTENT_LENGTH" not in answer


def test_the_proxy_field_does_not_become_an_environment_variable(echo):
    """HTTP_PROXY is a setting to many programs that an application may start (httpoxy)."""
    assert (
        "HTTP_PROXY"
        not in fetch(echo, "/", headers=[("Proxy", "http://evil.example/")]).json()["environ"]
    )
