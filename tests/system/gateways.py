"""Real web servers and backends that speak gateway protocols, and our codecs at the other end of them.

The codecs are asked through `gateway_dump`, which meson builds with the unit tests (`-Dtests=true`). PENSTOCK_BUILD
names the build folder; without it `./build` is looked at, then the folders in it, newest first.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from harness import LIMIT, free_port, wait_until

DUMP = Path("tests/differential/gateway_dump")
PROTOCOLS = ("uwsgi", "scgi", "fastcgi")


def find_dump() -> Path:
    if "PENSTOCK_BUILD" in os.environ:
        return Path(os.environ["PENSTOCK_BUILD"]) / DUMP
    build = Path(__file__).parents[2] / "build"
    found = [p for p in (build / DUMP, *build.glob(f"*/{DUMP}")) if p.exists()]
    if not found:
        pytest.skip("no gateway_dump: build with -Dtests=true, name the folder in PENSTOCK_BUILD")
    return max(found, key=lambda p: p.stat().st_mtime)


def find_program(name: str) -> str:
    """Return the path of a program, or skip the test that needs it."""
    path = shutil.which(name)
    if not path:
        pytest.skip(f"{name} is not installed")
    return path


class Codecs:
    """Our codecs in a process of their own."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [find_dump()], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        self.lock = threading.Lock()

    def call(self, verb: str, protocol: str, data: bytes) -> dict:
        """Do what gateway_dump.c says of the verb."""
        with self.lock:
            self.process.stdin.write(b"%s %s %d\n" % (verb.encode(), protocol.encode(), len(data)))
            self.process.stdin.write(data)
            self.process.stdin.flush()
            return json.loads(self.process.stdout.readline())

    def ask(self, protocol: str, variables: list[tuple[str, str]], body: bytes = b"") -> bytes:
        """Return a request's bytes."""
        question = {"vars": variables, "body": body.decode("latin-1")}
        answer = self.call("ask", protocol, json.dumps(question).encode())
        return answer["bytes"].encode("latin-1")

    def close(self) -> None:
        self.process.stdin.close()
        self.process.wait(LIMIT)
        self.process.stdout.close()


class Recorder:
    """A backend that keeps what our codecs make of each request, and gives every one the same answer."""

    def __init__(self, codecs: Codecs, protocol: str, path: Path, answer: bytes):
        self.codecs, self.protocol = codecs, protocol
        self.answer = codecs.call("tell", protocol, answer)["bytes"].encode("latin-1")
        self.requests: list[dict] = []
        self.connections = 0
        self.begun = 0  # requests of which something has come
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(path))
        self.listener.listen()
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self) -> None:
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            self.connections += 1
            with connection:
                connection.settimeout(LIMIT)
                while self.serve(connection):
                    pass

    def serve(self, connection: socket.socket) -> bool:
        """Answer a connection's next request; false when the connection is over."""
        data, outcome = b"", {"more": True}
        while "more" in outcome:
            piece = connection.recv(65536)
            if not piece:
                return False
            self.begun += not data
            data += piece
            outcome = self.codecs.call("request", self.protocol, data)
        self.requests.append(outcome)
        connection.sendall(self.answer)
        return bool(outcome.get("keep"))

    def close(self) -> None:
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.thread.join(LIMIT)


@contextmanager
def program(arguments: list[str], folder: Path, **options) -> Iterator[subprocess.Popen]:
    """Run a program that ends with the block; what it says is in a file `output` of its folder."""
    with open(folder / "output", "ab") as output:
        process = subprocess.Popen(arguments, cwd=folder, stdout=output, stderr=output, **options)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(LIMIT)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def listens(address: str | tuple[str, int]) -> bool:
    family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
    with socket.socket(family) as probe:
        return probe.connect_ex(address) == 0


@dataclass(frozen=True)
class Way:
    """A web server and the protocol that it asks by: a port of its own and a recorder behind it."""

    server: str
    protocol: str
    more: str = ""  # lines of the configuration


NGINX = """
daemon off; worker_processes 1; pid {folder}/pid; error_log {folder}/error.log info;
events {{ worker_connections 64; }}
http {{
    access_log off; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/tf; uwsgi_temp_path {folder}/tu; scgi_temp_path {folder}/ts;
    underscores_in_headers on; large_client_header_buffers 4 32k; client_max_body_size 0;
    {servers}
}}
"""
NGINX_SERVER = """
    upstream u{port} {{ server unix:{socket}; keepalive 4; }}
    server {{ listen 127.0.0.1:{port}; location / {{
        include /etc/nginx/{protocol}_params; {protocol}_pass u{port}; {more} }} }}
"""

APACHE = """
ServerRoot {folder}
ServerName localhost
PidFile {folder}/pid
ErrorLog {folder}/error.log
DefaultRuntimeDir {folder}
Mutex file:{folder} default
{modules}
User {user}
Group {group}
ServerLimit 1
StartServers 1
ThreadsPerChild 4
MaxRequestWorkers 4
MinSpareThreads 1
MaxSpareThreads 4
{servers}
"""
APACHE_MODULES = ("mpm_event", "authz_core", "proxy", "proxy_fcgi", "proxy_scgi", "proxy_uwsgi")
APACHE_SERVER = """
Listen 127.0.0.1:{port}
<VirtualHost 127.0.0.1:{port}>
    ProxyPass "/" "unix:{socket}|{scheme}://localhost/"
    {more}
</VirtualHost>
"""

LIGHTTPD = """
server.document-root = "{folder}"
server.bind = "127.0.0.1"
server.port = {port}
server.errorlog = "{folder}/error.log"
server.modules = ("mod_fastcgi", "mod_scgi")
{servers}
"""
LIGHTTPD_SERVER = """
$SERVER["socket"] == "127.0.0.1:{port}" {{
    {protocol}.server = ("/" => (("socket" => "{socket}", "check-local" => "disable", {more})))
}}
"""


def write_nginx(folder: Path, sites: list[tuple[Way, int, Path]]) -> list[str]:
    servers = "".join(
        NGINX_SERVER.format(port=port, protocol=way.protocol, socket=path, more=way.more)
        for way, port, path in sites
    )
    (folder / "configuration").write_text(NGINX.format(folder=folder, servers=servers))
    log = str(folder / "error.log")
    return [
        find_program("nginx"),
        "-p",
        str(folder),
        "-e",
        log,
        "-c",
        str(folder / "configuration"),
    ]


def write_apache(folder: Path, sites: list[tuple[Way, int, Path]]) -> list[str]:
    binary = find_program("apache2")
    modules = "\n".join(
        f"LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so"
        for name in APACHE_MODULES
    )
    servers = "".join(
        APACHE_SERVER.format(
            port=port,
            socket=path,
            scheme="fcgi" if way.protocol == "fastcgi" else way.protocol,
            more=way.more,
        )
        for way, port, path in sites
    )
    root = os.getuid() == 0
    user = "www-data" if root else f"#{os.getuid()}"
    group = "www-data" if root else f"#{os.getgid()}"
    (folder / "configuration").write_text(
        APACHE.format(folder=folder, modules=modules, servers=servers, user=user, group=group)
    )
    return [binary, "-f", str(folder / "configuration"), "-D", "FOREGROUND"]


def write_lighttpd(folder: Path, sites: list[tuple[Way, int, Path]]) -> list[str]:
    servers = "".join(
        LIGHTTPD_SERVER.format(port=port, protocol=way.protocol, socket=path, more=way.more)
        for way, port, path in sites
    )
    (folder / "configuration").write_text(
        LIGHTTPD.format(folder=folder, port=free_port(), servers=servers)
    )
    return [find_program("lighttpd"), "-D", "-f", str(folder / "configuration")]


WRITERS = {"nginx": write_nginx, "apache": write_apache, "lighttpd": write_lighttpd}


@contextmanager
def web_server(name: str, folder: Path, sites: list[tuple[Way, int, Path]]) -> Iterator[None]:
    """Run a web server that passes what comes to each port to the socket of its way."""
    folder.chmod(0o755)
    for parent in folder.parents:
        if parent == Path(tempfile.gettempdir()):
            break
        parent.chmod(0o755)  # its workers are another user when the tests run as root
    with program(WRITERS[name](folder, sites), folder) as process:
        wait_until(
            lambda: (
                process.poll() is not None
                or all(listens(("127.0.0.1", port)) for _, port, _ in sites)
            ),
            f"{name} listens",
        )
        assert process.poll() is None, (folder / "output").read_text()
        yield
