"""Real proxies in front of the program under test: nginx and HAProxy, each started on a free port of 127.0.0.1."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from harness import Server, client_environment, free_port, wait_until

PLACES = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"])


class Front(Server):
    """A proxy, for tests' clients to connect to as to a server."""

    def __init__(self, port: int, folder: Path):
        super().__init__("", folder=folder)
        self.port = port


def answers(front: Front, process: subprocess.Popen) -> bool:
    """Tell whether it takes connections; fail when it has ended."""
    assert process.poll() is None, front.read("front.log")
    try:
        front.connect(1.0).close()
    except OSError:
        return False
    return True


@contextmanager
def running(name: str, words: list[str], front: Front) -> Iterator[Front]:
    """Run a proxy until the end of the block."""
    program = shutil.which(name, path=PLACES)
    if program is None:
        pytest.skip(f"{name} is not installed")
    with open(front.folder / "front.log", "ab") as log:
        process = subprocess.Popen(
            [program, *words],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=client_environment(),
        )
    try:
        wait_until(lambda: answers(front, process), f"{name} listens")
        yield front
    finally:
        process.terminate()
        process.wait(10)


NGINX = """
daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log {folder}/nginx.log;
events {{ }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{
        listen 127.0.0.1:{port};
        {inside}
    }}
}}
"""


@contextmanager
def nginx(folder: Path, inside: str) -> Iterator[Front]:
    """Run nginx with one server, which holds the given directives."""
    folder.mkdir(exist_ok=True)
    front = Front(free_port(), folder)
    text = NGINX.format(folder=folder, port=front.port, inside=inside)
    (folder / "nginx.conf").write_text(text)
    with running("nginx", ["-p", str(folder), "-c", str(folder / "nginx.conf")], front):
        yield front


HAPROXY = """
global
    maxconn 100
defaults
    mode {mode}
    timeout connect 5s
    timeout client 20s
    timeout server 20s
frontend front
    bind 127.0.0.1:{port}
    default_backend back
backend back
    {inside}
"""


@contextmanager
def haproxy(folder: Path, inside: str, mode: str = "tcp") -> Iterator[Front]:
    """Run HAProxy with one backend, which holds the given lines."""
    folder.mkdir(exist_ok=True)
    front = Front(free_port(), folder)
    text = HAPROXY.format(mode=mode, port=front.port, inside=inside)
    (folder / "haproxy.cfg").write_text(text)
    with running("haproxy", ["-db", "-f", str(folder / "haproxy.cfg")], front):
        yield front
