"""The program under test as its users run it: started, watched and ended, with nothing left behind.

A :class:`Server` is one `python -m penstock` on a free port of 127.0.0.1. What it writes to its standard streams and
its log lands in a folder of the test. Everything waits for a condition with a limit, never for time to pass.
"""

from __future__ import annotations

import os
import random
import re
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

APPS = Path(__file__).parent / "apps"
LIMIT = 20.0  # seconds that anything may take on a busy machine

SANITIZER = re.compile(
    r"AddressSanitizer|LeakSanitizer|ThreadSanitizer|UndefinedBehavior|: runtime error: "
)

#: Servers that run now, for the reports of failed tests.
running: list[Server] = []


def wait_until(condition: Callable[[], T], what: str, limit: float = LIMIT) -> T:
    """Return the first true value of `condition`, or fail after `limit` seconds."""
    end = time.monotonic() + limit
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"not within {limit} s: {what}")
        time.sleep(0.01)


def free_port() -> int:
    """Find a port that nobody listens on, below those that the kernel gives to clients.

    Tests that run beside this one (pytest-xdist) choose from other ports.
    """
    beside = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:]) % 8
    while True:
        port = random.randrange(18000 + beside, 32000, 8)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


def parent_of(pid: int) -> int | None:
    """Return the parent of a live process; None for one that has ended, reaped or not."""
    try:
        state, parent = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[:2]
    except OSError:
        return None
    return None if state in "ZX" else int(parent)


def processes() -> dict[int, int]:
    """Return the parent of every live process."""
    pids = (int(name) for name in os.listdir("/proc") if name.isdigit())
    return {pid: parent for pid in pids if (parent := parent_of(pid)) is not None}


def descendants(pid: int) -> list[int]:
    """Return the children of a process, theirs, and so on."""
    parents = processes()
    found = [pid]
    for one in found:
        found += [child for child, parent in parents.items() if parent == one]
    return found[1:]


def title(pid: int) -> str:
    """Return the process's command line, which a server may have made its title."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode().strip()
    except OSError:
        return ""


def marked(marker: str) -> list[int]:
    """Return the processes that inherited this marker in their environment."""
    found = []
    for pid in processes():
        try:
            if marker.encode() in Path(f"/proc/{pid}/environ").read_bytes():
                found.append(pid)
        except OSError:
            continue
    return [pid for pid in found if pid != os.getpid()]


def client_environment() -> dict[str, str]:
    """Return the environment for programs that are not under test: without preloaded sanitizers."""
    names = ("LD_PRELOAD", "ASAN_OPTIONS", "UBSAN_OPTIONS", "PYTHONMALLOC")
    return {name: value for name, value in os.environ.items() if name not in names}


class Server:
    """One running Penstock.

    Parameters
    ----------
    app
        The application, as on the command line.
    *options
        Further words of the command line. ``{port}`` in them is the port.
    folder
        An existing folder for its logs.
    bind
        Where to listen; by default a free port of 127.0.0.1.
    environment
        Variables to set beside those of the test's own process.
    cwd, app_dir
        Its working directory, and where it finds the application, in place of ``folder`` and ``apps``.
    stdout, stderr
        File objects that take the standard streams in place of files in the folder.
    """

    def __init__(
        self,
        app,
        *options,
        folder,
        bind=None,
        environment=None,
        stdout=None,
        stderr=None,
        cwd=None,
        app_dir=APPS,
    ):
        self.app = app
        self.options = options
        self.folder = Path(folder)
        self.bind = bind
        self.extra = dict(environment or {})
        self.streams = (stdout, stderr)
        self.cwd = cwd or self.folder
        self.app_dir = app_dir
        self.marker = f"PENS_TEST_MARKER={uuid.uuid4()}"
        self.process: subprocess.Popen | None = None
        self.port = 0

    # Starting

    def run_to_its_end(self, limit: float = LIMIT) -> Server:
        """Start it and wait until it has ended by itself; fail when it does not."""
        self._spawn()
        try:
            self.wait(limit)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still runs after {limit} s\n{self.log()}") from None
        return self

    def start(self) -> Server:
        """Start it and wait until it listens; another port is tried when somebody was faster."""
        for _ in range(5):
            self._spawn()
            if self._listens():
                running.append(self)
                return self
            if "in use" not in self.log():
                break
        raise AssertionError(f"the server ended with {self.process.returncode}:\n{self.log()}")

    def command(self) -> list[str]:
        """Return the command line."""
        bind = self.bind or f"127.0.0.1:{self.port}"
        words = [
            sys.executable,
            "-m",
            "penstock",
            self.app,
            "-b",
            bind,
            "--app-dir",
            str(self.app_dir),
        ]
        return words + [word.replace("{port}", str(self.port)) for word in self.options]

    def _spawn(self) -> None:
        self.port = free_port()
        environment = {**os.environ, **self.extra}
        name, _, value = self.marker.partition("=")
        environment[name] = value
        with open(self.folder / "stdout", "ab") as out, open(self.folder / "stderr", "ab") as err:
            self.process = subprocess.Popen(
                self.command(),
                stdin=subprocess.DEVNULL,
                stdout=self.streams[0] or out,
                stderr=self.streams[1] or err,
                env=environment,
                cwd=self.cwd,
            )

    def _listens(self) -> bool:
        """Wait until a connection is taken; false when the program ended before."""
        end = time.monotonic() + LIMIT
        while self.process.poll() is None:
            try:
                self.connect(1.0).close()
            except OSError as error:
                if time.monotonic() > end:
                    raise AssertionError(f"nothing listens: {error}\n{self.log()}") from error
                time.sleep(0.02)
            else:
                return self._serves()
        return False

    def _serves(self) -> bool:
        """Wait until it says that it serves, where it says so here; false when it ended before.

        It listens already while its workers begin: one that cannot begin would else fail every
        test of a module, each with its connection refused.
        """
        if self.streams[1] or {"--error-log", "--log-level"} & set(self.options):
            return True
        end = time.monotonic() + LIMIT
        while "serving" not in self.log() and time.monotonic() < end:
            if self.process.poll() is not None:
                return False
            time.sleep(0.01)
        return True

    @property
    def unix_path(self) -> str | None:
        """The path of its Unix socket, if it listens on one."""
        return self.bind.removeprefix("unix:") if (self.bind or "").startswith("unix:") else None

    def connect(self, timeout: float = LIMIT) -> socket.socket:
        """Return a new connection to it."""
        if not self.unix_path:
            sock = socket.create_connection(("127.0.0.1", self.port), timeout=timeout)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return sock
        sock = socket.socket(socket.AF_UNIX)
        sock.settimeout(timeout)
        try:
            sock.connect(self.unix_path)
        except OSError:
            sock.close()
            raise
        return sock

    def url(self, path: str = "/") -> str:
        """Return the URL of a path."""
        return f"http://127.0.0.1:{self.port}{path}"

    # Watching

    @property
    def pid(self) -> int:
        """The process id of the master."""
        return self.process.pid

    def workers(self) -> list[int]:
        """Return the process ids of the workers: the master's children that say so in their titles."""
        children = (pid for pid, parent in processes().items() if parent == self.pid)
        return [pid for pid in children if "worker" in title(pid)]

    def read(self, name: str) -> str:
        """Return the content of a file in its folder; empty when it is not there."""
        try:
            return (self.folder / name).read_text(errors="backslashreplace")
        except FileNotFoundError:
            return ""

    def log(self) -> str:
        """Return what it has written to its standard error: the error log, unless it goes elsewhere."""
        return self.read("stderr")

    def wait_log(self, pattern: str, limit: float = LIMIT, name: str = "stderr") -> re.Match[str]:
        """Return the first match of a pattern in the log, or in another file of the folder."""
        wanted = re.compile(pattern, re.MULTILINE)
        return wait_until(
            lambda: wanted.search(self.read(name)), f"{pattern} in\n{self.read(name)}", limit
        )

    # Ending

    def kill(self, number: int) -> None:
        """Send the master a signal."""
        os.kill(self.pid, number)

    def wait(self, limit: float = LIMIT) -> int:
        """Wait for its end and return its exit status."""
        return self.process.wait(limit)

    def stop(self, number: int = signal.SIGTERM, limit: float = LIMIT) -> int:
        """End it as its user would; fail when it does not end, or when it leaves processes behind."""
        if self in running:
            running.remove(self)
        family = descendants(self.pid) if self.process.poll() is None else []
        try:
            if self.process.poll() is None:
                self.kill(number)
            status = self.wait(limit)
        except subprocess.TimeoutExpired:
            raise AssertionError(
                f"did not end within {limit} s of signal {number}\n{self.log()}"
            ) from None
        finally:
            self._kill([self.pid] if self.process.poll() is None else [])
            left = self._left(family)
        assert not left, f"left behind: {left}\n{self.log()}"
        self._check()
        return status

    def _kill(self, pids: list[int]) -> None:
        for pid in pids:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        if self.process.poll() is None:
            self.process.wait(5)

    def _left(self, family: list[int]) -> list[str]:
        """Return the titles of processes that outlived the master by two seconds, and end them."""

        def alive() -> list[int]:
            return sorted(
                {pid for pid in family if parent_of(pid) is not None} | set(marked(self.marker))
            )

        end = time.monotonic() + 2
        while (left := alive()) and time.monotonic() < end:
            time.sleep(0.01)
        titles = [f"{pid} {title(pid)}" for pid in left]
        self._kill(left)
        return titles

    def _check(self) -> None:
        """Fail when a sanitizer or the interpreter's own alarm left something in the log."""
        for name in ("stderr", "stdout", "error.log"):
            text = self.read(name)
            assert not SANITIZER.search(text), text
            assert "Fatal Python error" not in text, text
            assert "Segmentation fault" not in text, text


@contextmanager
def servers(folder: Path) -> Iterator[Callable[..., Server]]:
    """Give a function that starts servers, each with a folder of its own; all are ended at the end."""
    started: list[Server] = []

    def serve(app: str, *options: str, ends: bool = False, **others) -> Server:
        own = folder / f"server{len(started)}"
        own.mkdir()
        server = Server(app, *options, folder=own, **others)
        started.append(server)
        return server.run_to_its_end() if ends else server.start()

    try:
        yield serve
    finally:
        failures = []
        for server in started:
            try:
                if server.process is not None:
                    server.stop()
            except AssertionError as error:
                failures.append(str(error))
        assert not failures, "\n".join(failures)
