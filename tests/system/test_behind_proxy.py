"""Who the client is, behind nginx, HAProxy and proxies that we play: whom we believe, and what comes of it."""

import json
import socket
import struct
import sys
import time

import pytest
from fronts import haproxy, nginx
from harness import Server
from http1 import Connection, request

pytestmark = [pytest.mark.sanitized, pytest.mark.extension]

TRUSTED = "127.0.0.1"
STRANGER = "127.0.0.9"
SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"


def all_fields():
    """Return options that believe everything."""
    names = ("forwarded", *(f"x-forwarded-{n}" for n in ("for", "proto", "host", "port", "prefix")))
    return [word for name in names for word in ("--forwarded-fields", name)]


def connect(server, source=TRUSTED):
    """Connect from an address of our choice: all of 127.0.0.0/8 is ours."""
    client = Connection.__new__(Connection)
    client.pending = b""
    client.sock = socket.create_connection(
        ("127.0.0.1", server.port), timeout=20, source_address=(source, 0)
    )
    return client


def ask(server, headers=(), source=TRUSTED, before=b"", **others):
    """Make one request and return its environ."""
    with connect(server, source) as client:
        client.send(before + request(headers=headers, **others))
        response = client.response()
    assert response.status == 200, response
    return response.json()["environ"]


@pytest.fixture(scope="module")
def plain(serve_module):
    """Believes 127.0.0.1 and two networks, in the usual fields."""
    return serve_module(
        "echo",
        *("--forwarded-allow-ips", "127.0.0.1,10.0.0.0/8,2001:db8::/32"),
        *(
            "--access-log",
            "access",
            "--access-log-format",
            "%(h)s|%(proxy)s|%(id)s|%(queue)s|%(U)s",
        ),
    )


@pytest.fixture(scope="module")
def every(serve_module):
    """Believes 127.0.0.1 and 10.0.0.0/8, in every field."""
    return serve_module("echo", "--forwarded-allow-ips", "127.0.0.1,10.0.0.0/8", *all_fields())


# ---- X-Forwarded-For and -Proto ----


@pytest.mark.parametrize(
    ("value", "address", "port"),
    [
        ("203.0.113.7", "203.0.113.7", ""),
        ("203.0.113.7:4711", "203.0.113.7", "4711"),
        ("2001:db9::7", "2001:db9::7", ""),
        ("[2001:db9::7]:4711", "2001:db9::7", "4711"),
        ("::ffff:203.0.113.7", "203.0.113.7", ""),
        # the first hop from the right that is not named is the client
        ("198.51.100.1, 203.0.113.7", "203.0.113.7", ""),
        ("198.51.100.1, 203.0.113.7, 10.1.2.3", "203.0.113.7", ""),
        ("203.0.113.7,10.1.2.3 , 2001:db8::1", "203.0.113.7", ""),
        # all are named: the one farthest away
        ("10.0.0.1, 10.0.0.2", "10.0.0.1", ""),
        # what cannot be read ends the walk
        ("203.0.113.7, unknown, 10.0.0.2", "10.0.0.2", ""),
        ("203.0.113.7, garbage, 10.0.0.2", "10.0.0.2", ""),
        ("<script>, 203.0.113.7", "203.0.113.7", ""),
    ],
)
def test_x_forwarded_for(plain, value, address, port):
    environ = ask(plain, [("X-Forwarded-For", value)])
    assert environ["REMOTE_ADDR"] == address
    assert environ["REMOTE_PORT"] == port
    assert environ["HTTP_X_FORWARDED_FOR"] == value


@pytest.mark.parametrize("value", ["garbage", "_hidden", "", ",,", "1.2.3", "203.0.113.7, x"])
def test_nothing_readable_leaves_the_proxy(plain, value):
    assert ask(plain, [("X-Forwarded-For", value)])["REMOTE_ADDR"] == TRUSTED


def test_several_lines_are_one_list(plain):
    lines = [("X-Forwarded-For", "198.51.100.1, 203.0.113.7"), ("X-Forwarded-For", "10.0.0.1")]
    assert ask(plain, lines)["REMOTE_ADDR"] == "203.0.113.7"


@pytest.mark.parametrize(
    ("value", "scheme"),
    [
        ("https", "https"),
        ("HTTPS", "https"),
        ("http", "http"),
        ("https, http", "http"),
        ("x", "http"),
    ],
)
def test_x_forwarded_proto(plain, value, scheme):
    environ = ask(plain, [("X-Forwarded-Proto", value)])
    assert environ["wsgi.url_scheme"] == scheme
    assert environ.get("HTTPS") == ("on" if scheme == "https" else None)
    assert environ["REMOTE_ADDR"] == TRUSTED


def test_each_request_of_a_connection_has_its_own_client(plain):
    with connect(plain) as client:
        for address in ("203.0.113.7", "203.0.113.8"):
            client.send(request(headers=[("X-Forwarded-For", address)]))
            assert client.response().json()["environ"]["REMOTE_ADDR"] == address
        client.send(request())
        environ = client.response().json()["environ"]
    assert environ["REMOTE_ADDR"] == TRUSTED
    assert environ["REMOTE_PORT"] != ""


def test_only_named_fields_are_believed(plain):
    """A proxy that sets X-Forwarded-For passes a client's X-Forwarded-Host and Forwarded on."""
    fields = [
        ("X-Forwarded-Host", "evil.example"),
        ("X-Forwarded-Port", "666"),
        ("X-Forwarded-Prefix", "/evil"),
        ("Forwarded", "for=6.6.6.6;host=evil.example;proto=https"),
        ("X-Forwarded-For", "203.0.113.7"),
    ]
    environ = ask(plain, fields)
    assert environ["REMOTE_ADDR"] == "203.0.113.7"
    assert environ["HTTP_HOST"] == "localhost"
    assert environ["SERVER_PORT"] == str(plain.port)
    assert environ["SCRIPT_NAME"] == ""
    assert environ["wsgi.url_scheme"] == "http"
    assert environ["HTTP_X_FORWARDED_HOST"] == "evil.example"


# ---- those who are not believed ----

TELLING = [
    ("Forwarded", "for=6.6.6.6;proto=https;host=evil.example"),
    ("X-Forwarded-For", "6.6.6.6"),
    ("X-Forwarded-Proto", "https"),
    ("X-Forwarded-Host", "evil.example"),
    ("X-Forwarded-Port", "666"),
    ("X-Forwarded-Prefix", "/evil"),
    ("X-Forwarded-User", "root"),
    ("x-forwarded-anything", "1"),
    ("X-Real-IP", "6.6.6.6"),
    ("X-Forwarded", "stays"),
    ("X-Other", "stays"),
]


def is_untouched(environ):
    return (
        environ["REMOTE_ADDR"] == STRANGER
        and environ["REMOTE_PORT"] != ""
        and environ["HTTP_HOST"] == "localhost"
        and environ["wsgi.url_scheme"] == "http"
        and environ["SCRIPT_NAME"] == ""
        and "HTTPS" not in environ
    )


def test_a_stranger_is_not_believed(every):
    environ = ask(every, TELLING, source=STRANGER)
    assert is_untouched(environ)
    told = {name for name in environ if "FORWARDED" in name or "REAL_IP" in name}
    assert told == {"HTTP_X_FORWARDED"}
    assert environ["HTTP_X_FORWARDED"] == environ["HTTP_X_OTHER"] == "stays"


def test_keep_untrusted_forwarded(serve):
    server = serve("echo", "--keep-untrusted-forwarded", *all_fields())
    environ = ask(server, TELLING, source=STRANGER)
    assert is_untouched(environ)
    for name, value in TELLING:
        assert environ["HTTP_" + name.upper().replace("-", "_")] == value


def test_nobody_is_believed_over_tcp_by_default(serve):
    server = serve("echo")
    assert ask(server, [("X-Forwarded-For", "6.6.6.6")])["REMOTE_ADDR"] == TRUSTED


def test_unix_sockets_are_believed_by_default(serve, tmp_path):
    path = tmp_path / "s"
    server = serve("echo", bind=f"unix:{path}")
    with Connection(server) as client:
        client.send(
            request(headers=[("X-Forwarded-For", "203.0.113.7"), ("X-Forwarded-Proto", "https")])
        )
        environ = client.response().json()["environ"]
        client.send(request())
        bare = client.response().json()["environ"]
    assert environ["REMOTE_ADDR"] == "203.0.113.7"
    assert environ["wsgi.url_scheme"] == "https"
    assert (environ["SERVER_NAME"], environ["SERVER_PORT"]) == ("localhost", "443")
    assert bare["REMOTE_ADDR"] == ""


def test_unix_sockets_can_be_left_out(serve, tmp_path):
    server = serve("echo", "--forwarded-allow-ips", "10.0.0.1", bind=f"unix:{tmp_path}/s")
    with Connection(server) as client:
        client.send(request(headers=[("X-Forwarded-For", "203.0.113.7")]))
        environ = client.response().json()["environ"]
    assert environ["REMOTE_ADDR"] == ""
    assert "HTTP_X_FORWARDED_FOR" not in environ


def test_everybody(serve):
    server = serve("echo", "--forwarded-allow-ips", "*")
    fields = [("X-Forwarded-For", "203.0.113.7, 203.0.113.8")]
    assert ask(server, fields, source=STRANGER)["REMOTE_ADDR"] == "203.0.113.7"


def test_the_environment_variable_of_other_servers(serve):
    server = serve("echo", environment={"FORWARDED_ALLOW_IPS": "127.0.0.1, ::1"})
    assert ask(server, [("X-Forwarded-For", "203.0.113.7")])["REMOTE_ADDR"] == "203.0.113.7"


# ---- the other fields ----


def test_host_port_and_prefix(every):
    fields = [
        ("X-Forwarded-Host", "shop.example:8443"),
        ("X-Forwarded-Proto", "https"),
        ("X-Forwarded-Port", "9443"),
        ("X-Forwarded-Prefix", "/shop/"),
    ]
    environ = ask(every, fields, target="/cart")
    assert environ["HTTP_HOST"] == "shop.example:8443"
    assert environ["SERVER_NAME"] == "shop.example"
    assert environ["SERVER_PORT"] == "9443"
    assert environ["wsgi.url_scheme"] == "https"
    assert (environ["SCRIPT_NAME"], environ["PATH_INFO"]) == ("/shop", "/cart")


def test_host_without_a_port_has_that_of_the_scheme(every):
    fields = [("X-Forwarded-Host", "shop.example"), ("X-Forwarded-Proto", "https")]
    environ = ask(every, fields)
    assert (environ["SERVER_NAME"], environ["SERVER_PORT"]) == ("shop.example", "443")


def test_host_where_there_was_none(every):
    environ = ask(every, [("X-Forwarded-Host", "shop.example")], host=None, version="1.0")
    assert environ["HTTP_HOST"] == "shop.example"


def test_prefix_comes_before_root_path(serve):
    options = ["--forwarded-fields", "x-forwarded-prefix", "--root-path", "/app"]
    server = serve("echo", "--forwarded-allow-ips", "127.0.0.1", *options)
    environ = ask(server, [("X-Forwarded-Prefix", "/shop")], target="/app/cart")
    assert (environ["SCRIPT_NAME"], environ["PATH_INFO"]) == ("/shop/app", "/cart")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("X-Forwarded-Host", "a b"),
        ("X-Forwarded-Host", "evil.example/path"),
        ("X-Forwarded-Host", "user@evil.example"),
        ("X-Forwarded-Port", "65536"),
        ("X-Forwarded-Port", "80x"),
        ("X-Forwarded-Prefix", "//evil.example"),
        ("X-Forwarded-Prefix", "/a/../b"),
        ("X-Forwarded-Prefix", "relative"),
        ("Forwarded", "host=evil.example extra"),
        ("Forwarded", 'host="evil.example'),
    ],
)
def test_values_outside_their_grammar_are_not_there(every, name, value):
    environ = ask(every, [(name, value)])
    assert environ["HTTP_HOST"] == "localhost"
    assert environ["SERVER_PORT"] == str(every.port)
    assert environ["SCRIPT_NAME"] == ""


# ---- Forwarded ----


@pytest.mark.parametrize(
    ("value", "address", "port", "scheme", "host"),
    [
        ("for=203.0.113.7", "203.0.113.7", "", "http", "localhost"),
        ('for="[2001:db9::7]:4711";proto=https', "2001:db9::7", "4711", "https", "localhost"),
        # what the proxy farthest away that is believed saw is what the client asked for
        (
            "for=203.0.113.7;host=shop.example;proto=https, for=10.0.0.1;host=inner;proto=http",
            *("203.0.113.7", "", "https", "shop.example"),
        ),
        ("for=203.0.113.7, for=10.0.0.1;proto=https", "203.0.113.7", "", "https", "localhost"),
        # behind the client nothing is read
        ("for=6.6.6.6;host=evil, for=203.0.113.7", "203.0.113.7", "", "http", "localhost"),
        ('for="6.6.6.6;host=evil, for=203.0.113.7', "203.0.113.7", "", "http", "localhost"),
        ("for=_hidden, for=10.0.0.1", "10.0.0.1", "", "http", "localhost"),
    ],
)
def test_forwarded(every, value, address, port, scheme, host):
    environ = ask(every, [("Forwarded", value)])
    assert (environ["REMOTE_ADDR"], environ["REMOTE_PORT"]) == (address, port)
    assert environ["wsgi.url_scheme"] == scheme
    assert environ["HTTP_HOST"] == host


def test_forwarded_counts_in_place_of_the_others(every):
    fields = [
        ("X-Forwarded-For", "6.6.6.6"),
        ("X-Forwarded-Proto", "https"),
        ("X-Forwarded-Host", "other.example"),
        ("Forwarded", "for=203.0.113.7"),
    ]
    environ = ask(every, fields)
    assert environ["REMOTE_ADDR"] == "203.0.113.7"
    assert (environ["wsgi.url_scheme"], environ["HTTP_HOST"]) == ("http", "localhost")


# ---- ids, times, logs ----


def test_request_id_is_taken_over(plain):
    environ = ask(plain, [("X-Request-ID", "proxy-4711")], target="/own-id")
    assert environ["HTTP_X_REQUEST_ID"] == "proxy-4711"
    assert plain.wait_log(r"\|proxy-4711\|\d+\|/own-id$", name="access")


@pytest.mark.parametrize("value", ["a b", "x" * 129, 'q"', ""])
def test_bad_request_id_is_replaced(plain, value):
    environ = ask(plain, [("X-Request-ID", value)], target="/bad-id")
    made = environ["HTTP_X_REQUEST_ID"]
    assert len(made) == 16
    assert int(made, 16)
    assert plain.wait_log(rf"\|{made}\|\d+\|/bad-id$", name="access")


def test_request_id_of_a_stranger_is_replaced(plain):
    fields = [("X-Request-ID", "forged"), ("X-Request-ID", "forged2")]
    made = ask(plain, fields, source=STRANGER)["HTTP_X_REQUEST_ID"]
    assert len(made) == 16
    assert "forged" not in made


def test_request_id_is_made_on_demand(serve):
    server = serve("echo", "--request-id", "-w", "2", "--forwarded-allow-ips", "127.0.0.1")
    ids = {ask(server)["HTTP_X_REQUEST_ID"] for _ in range(20)}
    assert len(ids) == 20
    assert all(len(one) == 16 for one in ids)
    assert ask(server, [("X-Request-ID", "own")])["HTTP_X_REQUEST_ID"] == "own"


def test_no_request_id_without_being_asked(plain):
    assert "HTTP_X_REQUEST_ID" not in ask(plain)


@pytest.mark.parametrize(("form", "factor"), [("t=%.3f", 1), ("%d", 1e3), ("t=%d", 1e6)])
def test_request_start_counts_into_the_queue(plain, form, factor):
    path = f"/start{factor:.0f}"
    ask(plain, [("X-Request-Start", form % ((time.time() - 5) * factor))], target=path)
    queue = int(plain.wait_log(rf"\|(\d+)\|{path}$", name="access")[1])
    assert 4_900_000 < queue < 15_000_000


def test_request_start_of_strangers_and_other_clocks(plain):
    ask(plain, [("X-Request-Start", f"t={time.time() - 5:.3f}")], source=STRANGER, target="/s1")
    ask(plain, [("X-Request-Start", f"t={time.time() + 50:.3f}")], target="/s2")
    ask(plain, [("X-Request-Start", f"t={time.time() - 5000:.3f}")], target="/s3")
    ask(plain, [("X-Request-Start", "soon")], target="/s4")
    for path in ("/s1", "/s2", "/s3", "/s4"):
        assert int(plain.wait_log(rf"\|(\d+)\|{path}$", name="access")[1]) < 4_000_000


def test_the_access_log_has_the_client_and_the_proxy(plain):
    with connect(plain) as client:
        client.send(request(target="/log", headers=[("X-Forwarded-For", "203.0.113.7")]))
        client.response()
        proxy = client.name
    assert plain.wait_log(rf"^203\.0\.113\.7\|{proxy}\|\w+\|\d+\|/log$", name="access")
    ask(plain, target="/direct", source=STRANGER)
    assert plain.wait_log(rf"^{STRANGER}\|-\|\w+\|\d+\|/direct$", name="access")


def test_a_refused_request_names_the_client(serve):
    server = serve("echo", "--forwarded-allow-ips", "127.0.0.1", "--max-body", "10")
    with connect(server) as client:
        client.send(
            request("POST", headers=[("X-Forwarded-For", "203.0.113.7:99")], body=b"x" * 11)
        )
        assert client.response().status == 413
    assert server.wait_log(r"request refused .*peer=203\.0\.113\.7:99 ")


# ---- the PROXY protocol ----


class Configured(Server):
    """A server whose listeners stand in its configuration file."""

    def command(self):
        return [sys.executable, "-m", "penstock", "--app-dir", str(self.app_dir), *self.options]


def v1(client="203.0.113.7", port=4711):
    family = "TCP6" if ":" in client else "TCP4"
    own = "::1" if ":" in client else "198.51.100.9"
    return f"PROXY {family} {client} {own} {port} 8443\r\n".encode()


def v2(client="203.0.113.7", port=4711, tlvs=b"", command=0x21):
    six = ":" in client
    family = socket.AF_INET6 if six else socket.AF_INET
    own = "2001:db8::9" if six else "198.51.100.9"
    ends = socket.inet_pton(family, client) + socket.inet_pton(family, own)
    block = ends + struct.pack(">HH", port, 8443) + tlvs
    return (
        SIGNATURE + bytes([command, 0x21 if six else 0x11]) + struct.pack(">H", len(block)) + block
    )


def is_closed(client):
    """Tell whether nothing comes but the end, which is a reset where bytes were left unread."""
    try:
        return client.closed()
    except ConnectionResetError:
        return True


@pytest.fixture(scope="module")
def proxied(serve_module):
    return serve_module(
        "echo",
        *("--proxy-protocol", "--forwarded-allow-ips", "127.0.0.1,10.0.0.0/8"),
        *("--head-timeout", "500ms", "--log-level", "debug"),
        *("--access-log", "access", "--access-log-format", "%(h)s %(U)s"),
    )


@pytest.mark.parametrize(
    ("header", "address"),
    [
        (v1(), "203.0.113.7"),
        (v1("2001:db9::7"), "2001:db9::7"),
        (v2(), "203.0.113.7"),
        (v2("2001:db9::7"), "2001:db9::7"),
        (v2(tlvs=b"\x01\0\x02h2" + b"\x04\0\x03abc"), "203.0.113.7"),
    ],
    ids=["v1-4", "v1-6", "v2-4", "v2-6", "tlvs"],
)
def test_proxy_protocol(proxied, header, address):
    environ = ask(proxied, before=header)
    assert (environ["REMOTE_ADDR"], environ["REMOTE_PORT"]) == (address, "4711")
    assert environ["SERVER_PORT"] == "8443"
    assert environ["wsgi.url_scheme"] == "http"
    assert proxied.wait_log(r"PROXY header peer=\S*4711 proxy=127\.0\.0\.1:\d+")


def test_proxy_protocol_in_every_cut(proxied):
    for header in (v1(), v2(tlvs=b"\x04\0\x03abc")):
        for cut in range(1, len(header) + 2, 3):
            whole = header + request()
            with connect(proxied) as client:
                client.send(whole[:cut], whole[cut:])
                assert client.response().json()["environ"]["REMOTE_ADDR"] == "203.0.113.7"


def test_proxy_protocol_tells_of_tls(proxied):
    environ = ask(proxied, before=v2(tlvs=b"\x20\0\5\1\0\0\0\0"))
    assert environ["wsgi.url_scheme"] == "https"
    assert environ["HTTPS"] == "on"


def test_proxy_protocol_holds_for_the_whole_connection(proxied):
    with connect(proxied) as client:
        client.send(v1() + request() + request())
        for _ in range(2):
            assert client.response().json()["environ"]["REMOTE_ADDR"] == "203.0.113.7"
        client.send(request(target="/third"))
        assert client.response().json()["environ"]["REMOTE_ADDR"] == "203.0.113.7"
    assert proxied.wait_log(r"^203\.0\.113\.7 /third$", name="access")


@pytest.mark.parametrize(
    "header", [b"PROXY UNKNOWN\r\n", SIGNATURE + b"\x21\0\0\0"], ids=["v1", "v2"]
)
def test_proxy_protocol_of_somebody_unknown(proxied, header):
    """The connection's own ends count, but what a client nobody knows tells is not the proxy's word."""
    environ = ask(proxied, [("X-Forwarded-For", "6.6.6.6")], before=header)
    assert environ["REMOTE_ADDR"] == TRUSTED
    assert "HTTP_X_FORWARDED_FOR" not in environ


def test_proxy_protocol_of_the_proxy_itself(proxied):
    header = SIGNATURE + b"\x20\0\0\0"
    environ = ask(proxied, [("X-Forwarded-For", "203.0.113.8")], before=header)
    assert environ["REMOTE_ADDR"] == "203.0.113.8"


def test_fields_behind_a_proxy_header(proxied):
    fields = [("X-Forwarded-For", "203.0.113.8")]
    assert ask(proxied, fields, before=v1())["REMOTE_ADDR"] == "203.0.113.7"
    assert ask(proxied, fields, before=v1("10.0.0.1"))["REMOTE_ADDR"] == "203.0.113.8"


@pytest.mark.parametrize(
    "bytes_sent",
    [
        request(),
        b"PROXY TCP4 203.0.113.7 198.51.100.9 1 2\n" + request(),
        b"PROXY TCP4 203.0.113.777 198.51.100.9 1 2\r\n" + request(),
        b"PROXY UNKNOWN " + b"x" * 200 + b"\r\n" + request(),
        SIGNATURE + b"\x21\x11\xff\xff" + bytes(100),
        SIGNATURE + b"\x21\x11\x00\x00" + request(),
        v2(tlvs=b"\x04\xff\xffx") + request(),
        v2(command=0x2F) + request(),
        SIGNATURE[:-1] + b"X" + request(),
    ],
    ids=["none", "LF", "address", "long", "huge", "short", "tlv", "command", "signature"],
)
def test_a_connection_without_a_proper_header_is_closed(proxied, bytes_sent):
    with connect(proxied) as client:
        client.send(bytes_sent)
        name = client.name
        assert is_closed(client)
    assert proxied.wait_log(rf'connection closed reason="[^"]*PROXY header[^"]*" peer={name}')


def test_a_header_that_does_not_come_in_time(proxied):
    with connect(proxied) as client:
        client.send(b"PROXY TCP4 ")
        assert client.closed()
        assert proxied.wait_log(rf'reason="the PROXY header took too long" peer={client.name}')


def test_a_header_that_ends_early(proxied):
    with connect(proxied) as client:
        client.send(v2()[:-1])
        client.shutdown()
        assert client.closed()
    assert ask(proxied, before=v2())["REMOTE_ADDR"] == "203.0.113.7"


def test_a_header_from_a_stranger_is_refused(proxied):
    with connect(proxied, STRANGER) as client:
        client.send(v1() + request())
        name = client.name
        assert is_closed(client)
    assert proxied.wait_log(rf'reason="a PROXY header is not believed from this peer" peer={name}')


def test_proxy_protocol_for_one_of_two_listeners(serve, tmp_path):
    config = tmp_path / "two.toml"
    config.write_text(
        f'[[listen]]\naddress = "unix:{tmp_path}/direct"\n'
        f'[[listen]]\naddress = "unix:{tmp_path}/proxied"\nproxy-protocol = true\n'
        '[app.echo]\nmodule = "echo"\nmax-body = 1000\n'
    )
    server = Configured("echo", "-c", str(config), folder=tmp_path, bind=f"unix:{tmp_path}/direct")
    server.start()
    try:
        for name, header, address in (("direct", b"", ""), ("proxied", v1(), "203.0.113.7")):
            server.bind = f"unix:{tmp_path}/{name}"
            with Connection(server) as client:
                client.send(header + request())
                assert client.response().json()["environ"]["REMOTE_ADDR"] == address
    finally:
        server.stop()


# ---- real proxies ----


def test_behind_nginx(plain, tmp_path):
    inside = f"""
        location / {{
            proxy_pass http://127.0.0.1:{plain.port};
            proxy_set_header Host $http_host;
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
            proxy_set_header X-Forwarded-Proto https;
            proxy_set_header X-Request-ID $request_id;
            proxy_set_header X-Request-Start "t=${{msec}}";
        }}"""
    with nginx(tmp_path / "nginx", inside) as front:
        environ = ask(front, [("X-Forwarded-For", "6.6.6.6")], source=STRANGER, host="shop.example")
        assert environ["REMOTE_ADDR"] == STRANGER
        assert environ["HTTP_X_FORWARDED_FOR"] == f"6.6.6.6, {STRANGER}"
        assert environ["wsgi.url_scheme"] == "https"
        assert environ["HTTP_HOST"] == "shop.example"
        assert len(environ["HTTP_X_REQUEST_ID"]) == 32


def test_behind_nginx_over_a_unix_socket(serve, tmp_path):
    server = serve(
        "echo", *all_fields(), "--forwarded-allow-ips", "unix", bind=f"unix:{tmp_path}/s"
    )
    inside = f"""
        location /shop/ {{
            proxy_pass http://unix:{server.unix_path}:/;
            proxy_set_header Forwarded "";
            proxy_set_header X-Forwarded-For $remote_addr:$remote_port;
            proxy_set_header X-Forwarded-Proto $scheme;
            proxy_set_header X-Forwarded-Host $http_host;
            proxy_set_header X-Forwarded-Port $server_port;
            proxy_set_header X-Forwarded-Prefix /shop;
        }}"""
    with nginx(tmp_path / "nginx", inside) as front, connect(front, STRANGER) as client:
        client.send(request(target="/shop/cart", host="shop.example"))
        environ = client.response().json()["environ"]
        assert (environ["REMOTE_ADDR"], environ["REMOTE_PORT"]) == tuple(client.name.split(":"))
        assert environ["HTTP_HOST"] == environ["SERVER_NAME"] == "shop.example"
        assert environ["SERVER_PORT"] == str(front.port)
        assert (environ["SCRIPT_NAME"], environ["PATH_INFO"]) == ("/shop", "/cart")


@pytest.mark.parametrize(
    "word", ["send-proxy", "send-proxy-v2", "send-proxy-v2 proxy-v2-options unique-id"]
)
def test_behind_haproxy_with_the_proxy_protocol(proxied, tmp_path, word):
    inside = f"server one 127.0.0.1:{proxied.port} {word}"
    with haproxy(tmp_path / "haproxy", inside) as front, connect(front, STRANGER) as client:
        client.send(request())
        environ = client.response().json()["environ"]
        assert (environ["REMOTE_ADDR"], environ["REMOTE_PORT"]) == tuple(client.name.split(":"))
        assert environ["SERVER_PORT"] == str(front.port)


def test_behind_haproxy_with_forwarded_for(plain, tmp_path):
    inside = f"option forwardfor\n    server one 127.0.0.1:{plain.port}"
    with haproxy(tmp_path / "haproxy", inside, mode="http") as front:
        assert (
            ask(front, [("X-Forwarded-For", "6.6.6.6")], source=STRANGER)["REMOTE_ADDR"] == STRANGER
        )


def test_haproxy_checks_health_over_the_proxy_protocol(proxied, tmp_path):
    inside = f"""option httpchk GET /health
    server one 127.0.0.1:{proxied.port} send-proxy-v2 check inter 100ms"""
    with haproxy(tmp_path / "haproxy", inside):
        assert proxied.wait_log(rf"^{TRUSTED} /health$", name="access")


def test_json_lines_have_the_proxy(serve):
    server = serve(
        "echo",
        "--forwarded-allow-ips",
        "127.0.0.1",
        "--access-log",
        "log",
        "--access-log-format",
        "json",
    )
    ask(server, [("X-Forwarded-For", "203.0.113.7")])
    line = json.loads(server.wait_log(r"^\{.*\}$", name="log")[0])
    assert line["peer"] == "203.0.113.7"
    assert line["proxy"].startswith("127.0.0.1:")
