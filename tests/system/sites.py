"""A site that is deployed again while it is served."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from pathlib import Path

from harness import Server, wait_until

GOOD = """
import os
VERSION = {version!r}
def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [VERSION.encode()]
"""


class Site(Server):
    """A server of ``site.py`` in its folder, configured by ``penstock.toml`` there."""

    def __init__(self, folder: Path) -> None:
        super().__init__("site_app", folder=folder, environment={"PYTHONDONTWRITEBYTECODE": "1"})
        self.settings = ""
        self.server = 'log-level = "debug"'
        self.listeners = ""

    def deploy(self, source: str) -> None:
        """Write the application's file."""
        (self.folder / "site_app.py").write_text(source)

    def deploy_version(self, version: str) -> None:
        self.deploy(GOOD.format(version=version))

    def configure(self, settings: str = "", server: str = "", listeners: str = "") -> None:
        """Write the configuration: what stands in ``[app.site]``, ``[server]`` and behind the first ``[[listen]]``."""
        self.settings, self.server, self.listeners = settings, server or self.server, listeners
        self.write()

    def write(self) -> None:
        (self.folder / "penstock.toml").write_text(
            f'[server]\n{self.server}\n[[listen]]\naddress = "127.0.0.1:{self.port}"\n{self.listeners}\n'
            f'[app.site]\nmodule = "site_app:app"\n{self.settings}\n'
        )

    def command(self) -> list[str]:
        self.write()
        return [sys.executable, "-m", "penstock"]

    def get(self, path: str = "/") -> bytes:
        """Return the body of a response over a connection of its own."""
        with self.connect() as client:
            client.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
            answer = b""
            while piece := client.recv(65536):
                answer += piece
        assert answer.startswith(b"HTTP/1.1 200 "), answer
        return answer.partition(b"\r\n\r\n")[2]

    def hup(self) -> None:
        self.kill(signal.SIGHUP)

    def outcome(self) -> tuple[int, int]:
        """Return how many reloads have succeeded, and how many have failed."""
        log = self.log()
        return log.count("reloaded: the new generation serves"), log.count("the reload failed")

    def reload(self) -> None:
        """Reload and wait until the new generation serves."""
        before = self.outcome()
        self.hup()
        after = wait_until(lambda: (now := self.outcome()) != before and now, "it reloads")
        assert after == (before[0] + 1, before[1]), self.log()
        wait_until(
            lambda: self.log().count("a generation accepts nothing any more") == after[0],
            "only the new one serves",
        )

    def fail_to_reload(self) -> str:
        """Reload and wait until that has failed; return the log from there on."""
        before, length = self.outcome(), len(self.log())
        self.hup()
        after = wait_until(lambda: (now := self.outcome()) != before and now, "the reload fails")
        assert after == (before[0], before[1] + 1), self.log()
        return self.log()[length:]

    def listens_on(self, port: int) -> bool:
        with socket.socket() as client:
            client.settimeout(5)
            return client.connect_ex(("127.0.0.1", port)) == 0


def make_venv(folder: Path, module: str) -> None:
    """Make a virtual environment that has a module ``dependency`` of its own."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    packages = next((folder / "lib").glob("python*/site-packages"))
    (packages / "dependency.py").write_text(module)
