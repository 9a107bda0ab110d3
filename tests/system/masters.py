"""The master with children that are ``fake_child.py``, and a launcher that hands back what a test has prepared."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

from harness import SANITIZER, free_port, processes, title, wait_until

from penstock import config, launch
from penstock.words import read

FAKE = Path(__file__).with_name("fake_child.py")
MASTER = os.environ.get("PENSTOCK_TEST_MASTER") or str(launch.master_path())


LAUNCHER = """
import os, sys, time
folder = os.path.dirname(os.path.abspath(__file__))
while os.path.exists(os.path.join(folder, "launcher hangs")):
    time.sleep(0.01)
made = open(os.path.join(folder, "next.json"), "rb").read()
if not made:
    sys.exit("the launcher is told to fail")
os.write(3, made)
"""


class Master:
    """One penstock-master with fake children, on a free port."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None
        (folder / "package").mkdir()
        shutil.copy(FAKE, folder / "package" / "_boot.py")
        (folder / "launcher.py").write_text(LAUNCHER)

    def canonical(self, words: tuple[str, ...], fake: dict[str, str]) -> dict:
        """The configuration of a command line, with the fake as its package."""
        line = read(
            ["shop:app", "-b", f"127.0.0.1:{self.port}", *words, "-e", f"FAKE={json.dumps(fake)}"],
            self.folder,
        )
        assert not line.problems, line.problems
        made = config.make(line.settings, {}, self.folder).canonical()
        made["server"]["package"] = str(self.folder / "package")
        made["server"]["launcher"] = [sys.executable, str(self.folder / "launcher.py")]
        made["server"]["launch-directory"] = str(self.folder)
        for app in made["app"].values():
            app["python"] = sys.executable
        return made

    def execute(self, made: dict, keep: list[int] | None = None) -> Master:
        """Execute the master on a configuration, and leave it these descriptors."""
        descriptor = launch.memory_file(json.dumps(made).encode())
        with open(self.folder / "stderr", "ab") as stderr:
            self.process = subprocess.Popen(
                ["penstock", "--config-fd", str(descriptor)],
                executable=MASTER,
                pass_fds=[descriptor, *(keep or [])],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=stderr,
            )
        os.close(descriptor)
        return self

    def start(self, *words: str, fake: dict[str, str] | None = None, serves: bool = True) -> Master:
        self.execute(self.canonical(("--log-level", "debug", *words), fake or {}))
        if serves:
            self.wait_log("info .* serving ")
        return self

    def prepare(self, *words: str, fake: dict[str, str] | None = None) -> None:
        """Have the launcher hand back this configuration."""
        made = self.canonical(("--log-level", "debug", *words), fake or {})
        self.prepare_made(made)

    def prepare_made(self, made: dict | None) -> None:
        """Have it hand back this one; None: it is to fail."""
        new = self.folder / "next.new"
        new.write_text("" if made is None else json.dumps(made))
        new.rename(self.folder / "next.json")

    def reload(self, count: int = 1) -> None:
        """Reload, and wait until so many reloads have succeeded in all."""
        self.process.send_signal(signal.SIGHUP)
        self.wait_log("reloaded: the new generation serves", count)

    def log(self) -> str:
        return (self.folder / "stderr").read_text()

    def wait_log(self, pattern: str, count: int = 1) -> list[re.Match[str]]:
        wanted = re.compile(pattern)
        found = wait_until(
            lambda: len(all_found := list(wanted.finditer(self.log()))) >= count and all_found,
            f"{count} x {pattern}",
        )
        return list(found)

    @property
    def pid(self) -> int:
        return self.process.pid

    def listens(self) -> bool:
        with socket.socket() as client:
            return client.connect_ex(("127.0.0.1", self.port)) == 0

    def children(self) -> list[int]:
        """The master's children that live."""
        return [pid for pid, parent in processes().items() if parent == self.pid]

    def child(self, word: str) -> int:
        """The one child that was set up last under this word: "worker 2", "template 0"."""
        return int(self.wait_log(rf"fake {word} pid=(\d+) setup")[-1][1])

    def kill(self, word: str) -> int:
        """Kill that child, once it does its work, and return its former pid."""
        pid = self.child(word)
        if word.startswith("worker"):
            self.wait_log(f"pid={pid} hears ACCEPT")
        os.kill(pid, signal.SIGKILL)
        return pid

    def wait(self) -> int:
        return self.process.wait(20)

    def stop(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.wait()

    def check_end(self) -> None:
        """Nothing is left behind, and no sanitizer has complained."""
        if self.process is None:
            return
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        ours = str(self.folder / "package")
        wait_until(
            lambda: not [pid for pid in processes() if ours in title(pid)], "its children end"
        )
        assert not SANITIZER.search(self.log()), self.log()
