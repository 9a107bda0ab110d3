"""One server, started for one measurement and stopped after it; and whether it answers as it should."""

import contextlib
import http.client
import os
import shlex
import signal
import socket
import subprocess
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Self

from accounting import tree
from peers import BENCH, BIN, HOST, Peer, Setup
from scenarios import Scenario, Variant

START_LIMIT = 20.0
STOP_LIMIT = 5.0


class UnfitError(Exception):
    """A server does not start, or does not answer as the scenario demands; the message says how."""


@dataclass(frozen=True)
class Answer:
    """What the answers to the same request look like."""

    length: int
    """Bytes of head and body, where a Content-Length says that there are no more."""
    date: bool
    keep_alive: bool

    def remarks(self) -> list[str]:
        return ["no Date"] * (not self.date) + ["no keep-alive"] * (not self.keep_alive)


class Server:
    """A context manager around a server that runs on one core, and everything it starts."""

    def __init__(self, peer: Peer, scenario: Scenario, variant: Variant, core: int) -> None:
        self.peer, self.scenario, self.core = peer, scenario, core
        self.folder = tempfile.TemporaryDirectory(
            prefix="penstock-bench-", ignore_cleanup_errors=True
        )
        scratch = Path(self.folder.name)
        scratch.chmod(0o755)
        if scenario.file:
            (scratch / str(scenario.file)).write_bytes(b"x" * scenario.file)
        self.setup = Setup(
            module=scenario.module,
            port=free_port(),
            connections=scenario.connections,
            threads=scenario.threads,
            workers=variant.workers,
            access_log=scratch / "access.log" if variant.access_log else None,
            scratch=scratch,
            keep_alive="Connection: close" not in scenario.headers,
            nginx=scenario.nginx.replace("$FILES", str(scratch)),
        )
        self.command = peer.command(self.setup)

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.setup.port}{self.scenario.path}"

    @property
    def shown_command(self) -> str:
        """The command line as a reader can use it: without the paths and the port of this run."""
        text = shlex.join(self.command)
        for path, word in (
            (str(self.setup.scratch), "SCRATCH"),
            (f"{BIN}/", ""),
            (str(BIN.parent), "VENV"),
            (str(BENCH), "bench"),
            (str(self.setup.port), "PORT"),
        ):
            text = text.replace(path, word)
        return text

    def __enter__(self) -> Self:
        self.log = (self.setup.scratch / "output").open("wb")
        self.process = subprocess.Popen(
            ["taskset", "-c", str(self.core), *self.command],
            cwd=BENCH / "apps",
            env=self.environment(),
            stdin=subprocess.DEVNULL,
            stdout=self.log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            self.wait_until_it_answers()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def environment(self) -> dict[str, str]:
        environment = {
            **os.environ,
            "PATH": f"{BIN}:{os.environ['PATH']}",
            "PYTHONDONTWRITEBYTECODE": "",
        }
        if self.scenario.file:
            environment["BENCH_FILE"] = str(self.setup.scratch / str(self.scenario.file))
        return environment

    def wait_until_it_answers(self) -> None:
        limit = time.monotonic() + START_LIMIT
        while time.monotonic() < limit:
            if self.process.poll() is not None:
                raise UnfitError(f"ended at start: {self.last_words()}")
            connection = http.client.HTTPConnection(HOST, self.setup.port, timeout=2)
            try:
                connection.request("HEAD", self.scenario.path)
                connection.getresponse()
            except (OSError, http.client.HTTPException):
                time.sleep(0.02)
            else:
                return
            finally:
                connection.close()
        raise UnfitError(f"did not answer within {START_LIMIT:.0f} s: {self.last_words()}")

    def last_words(self) -> str:
        lines = (self.setup.scratch / "output").read_text(errors="replace").strip().splitlines()
        return lines[-1][:200] if lines else "nothing was said"

    def stop(self) -> None:
        """End what was started, by TERM and, for what is left, by KILL."""
        family = [process.pid for process in tree(self.process.pid)]
        self.process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(STOP_LIMIT)
        limit = time.monotonic() + 1
        while any(map(alive, family)) and time.monotonic() < limit:
            self.process.poll()
            time.sleep(0.01)
        for pid in filter(alive, family):
            os.kill(pid, signal.SIGKILL)
        self.process.wait()
        self.log.close()
        self.folder.cleanup()

    def verify(self) -> Answer:
        """Compare the body with what the scenario expects; twice on one connection, where connections are kept."""
        connection = http.client.HTTPConnection(HOST, self.setup.port, timeout=10)
        try:
            first = self.ask(connection)
            if not self.setup.keep_alive:
                return replace(first, keep_alive=True)  # nobody asked for it
            return self.ask(connection) if first.keep_alive else first
        finally:
            connection.close()

    def ask(self, connection: http.client.HTTPConnection) -> Answer:
        headers = dict(header.split(": ", 1) for header in self.scenario.headers)
        upload = b"x" * self.scenario.upload if self.scenario.upload else None
        try:
            connection.request(self.scenario.method, self.scenario.path, upload, headers)
            response = connection.getresponse()
            body = response.read()
        except (OSError, http.client.HTTPException) as error:
            raise UnfitError(f"no answer: {error!r}; {self.last_words()}") from error
        if response.status != 200:
            raise UnfitError(f"answers {response.status}: {self.last_words()}")
        expect = self.scenario.expect
        if not (expect(body) if callable(expect) else body == expect):
            raise UnfitError(f"sends another body: {len(body)} bytes, {body[:40]!r}")
        head = sum(len(f"{name}: {value}\r\n") for name, value in response.getheaders())
        head += len(f"HTTP/1.1 200 {response.reason}\r\n\r\n")
        length = head + len(body) if response.getheader("Content-Length") is not None else 0
        date = response.getheader("Date") is not None
        return Answer(length, date, connection.sock is not None)

    def ticks(self) -> int:
        """Read the counter of the application's own background thread."""
        connection = http.client.HTTPConnection(HOST, self.setup.port, timeout=10)
        try:
            connection.request("GET", "/ticks")
            return int(connection.getresponse().read())
        except (OSError, http.client.HTTPException) as error:
            raise UnfitError(f"no answer from /ticks: {error!r}") from error
        finally:
            connection.close()


def alive(pid: int) -> bool:
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return text.rpartition(")")[2].split()[0] != "Z"


def free_port() -> int:
    with socket.create_server((HOST, 0)) as listener:
        port: int = listener.getsockname()[1]
        return port
