"""Sites made with Flask, Django, Bottle and Pyramid work as their users expect: the same site in each."""

import hashlib
from urllib.parse import quote

import pytest
from http1 import Connection, fetch, request

pytestmark = pytest.mark.extension

FORM = ("Content-Type", "application/x-www-form-urlencoded")


@pytest.fixture(scope="module", params=["flask", "django", "bottle", "pyramid"])
def site(request, serve_module):
    pytest.importorskip(request.param)
    return serve_module(f"site_{request.param}", "-w", "2")


def test_paths(site):
    assert fetch(site, "/hello/you").text == "Hello, you"
    assert fetch(site, "/hello/" + quote("Zoë & 東京")).text == "Hello, Zoë & 東京"


def test_query(site):
    assert fetch(site, "/query?q=" + quote("a b&ä=?")).text == "a b&ä=?"


def test_head(site):
    with Connection(site) as client:
        client.send(request("HEAD", "/hello/you") + request(target="/hello/you"))
        assert client.response("HEAD").header("Content-Length") == "10"
        assert client.response().text == "Hello, you"


def test_forms(site):
    body = b"name=Zo%C3%AB&text=a+b%26c"
    assert fetch(site, "/form", "POST", headers=[FORM], body=body).json() == {
        "name": "Zoë",
        "text": "a b&c",
    }


def test_forms_in_chunks(site):
    body = b"8\r\nname=Zo%\r\n5\r\nC3%AB\r\n0\r\n\r\n"
    with Connection(site) as client:
        client.send(request("POST", "/form", [FORM, ("Transfer-Encoding", "chunked")]) + body)
        assert client.response().json() == {"name": "Zoë"}


def multipart(content: bytes) -> tuple[list[tuple[str, str]], bytes]:
    body = (
        b'--boundary\r\nContent-Disposition: form-data; name="note"\r\n\r\nremember\r\n'
        b'--boundary\r\nContent-Disposition: form-data; name="file"; filename="a.bin"\r\n'
        b"Content-Type: application/octet-stream\r\n\r\n" + content + b"\r\n--boundary--\r\n"
    )
    return [("Content-Type", "multipart/form-data; boundary=boundary")], body


@pytest.mark.parametrize("size", [0, 10, 100_000, 900_000])
def test_uploads(site, size):
    content = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    headers, body = multipart(content)
    response = fetch(site, "/upload", "POST", headers=headers, body=body)
    assert response.json() == ["a.bin", hashlib.sha256(content).hexdigest(), "remember"]


def test_json(site):
    headers = [("Content-Type", "application/json")]
    answer = fetch(site, "/json", "POST", headers=headers, body='{"a": [1, "ä"]}'.encode())
    assert answer.json() == {"a": [1, "ä"]}


def test_raw_bodies_in_chunks(site):
    with Connection(site) as client:
        for _ in range(2):
            client.send(request("POST", "/raw", [("Transfer-Encoding", "chunked")]))
            client.send(b"186a0\r\n" + b"x" * 100_000 + b"\r\n0\r\n\r\n")
            assert client.response().json() == 100_000


def test_streams(site):
    response = fetch(site, "/stream")
    assert response.text == "".join(f"{i}\n" * 1000 for i in range(50))
    assert response.header("Transfer-Encoding") == "chunked"


def test_cookies(site):
    response = fetch(site, "/cookies", headers=[("Cookie", "a=b"), ("Cookie", "c=d")])
    assert response.json() == {"a": "b", "c": "d"}
    assert [value.split(";")[0] for value in response.all("Set-Cookie")] == ["one=1", "two=2"]


def test_redirects(site):
    response = fetch(site, "/redirect")
    assert response.status in (302, 303)
    assert response.header("Location") in ("/hello/you", "http://localhost/hello/you")


def test_not_found_and_not_allowed(site):
    assert fetch(site, "/nothing/here").status == 404
    assert fetch(site, "/form").status in (404, 405)


def test_errors(site):
    assert fetch(site, "/error").status == 500
    assert fetch(site, "/hello/again").text == "Hello, again"
    site.wait_log("RuntimeError: raised in a view")


def test_urls_of_their_own(site):
    assert fetch(site, "/url", host="shop.example:8080").text == "http://shop.example:8080/url"


def test_a_session_of_many_requests(site):
    headers, body = multipart(b"content")
    with Connection(site) as client:
        for i in range(50):
            client.send(request(target=f"/hello/{i}") + request("POST", "/upload", headers, body))
            assert client.response().text == f"Hello, {i}"
            assert client.response().json()[0] == "a.bin"
