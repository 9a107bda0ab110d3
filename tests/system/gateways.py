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
import threading
from collections.abc import Iterator
from contextlib import contextmanager
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


NGINX = """
daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/error.log info;
events {{ worker_connections 64; }}
http {{
    access_log off; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi; uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
    underscores_in_headers on; large_client_header_buffers 4 32k; client_max_body_size 0;
    {servers}
}}
"""
NGINX_SERVER = """
    upstream u{port} {{ server unix:{socket}; keepalive 4; }}
    server {{ listen 127.0.0.1:{port}; location / {{
        include /etc/nginx/{protocol}_params; {protocol}_pass u{port}; {more} }} }}
"""


@contextmanager
def nginx(folder: Path, backends: list[tuple[str, Path, str]]) -> Iterator[list[int]]:
    """Run nginx with a server for each backend (protocol, its socket, more lines); gives their ports."""
    binary, ports = find_program("nginx"), [free_port() for _ in backends]
    servers = "".join(
        NGINX_SERVER.format(port=port, protocol=protocol, socket=path, more=more)
        for port, (protocol, path, more) in zip(ports, backends, strict=True)
    )
    configuration = folder / "nginx.conf"
    configuration.write_text(NGINX.format(folder=folder, servers=servers))
    arguments = [binary, "-p", str(folder), "-e", str(folder / "error.log"), "-c"]
    with program([*arguments, str(configuration)], folder) as process:
        wait_until(
            lambda: process.poll() is not None or all(listens(("127.0.0.1", p)) for p in ports),
            "nginx listens",
        )
        assert process.poll() is None, (folder / "output").read_text()
        yield ports
