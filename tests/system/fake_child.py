"""A child of the master as the channel's contract has it (src/net/channel.h), or as it must not be.

The master executes it in the place of ``penstock/_boot.py``: ``python _boot.py worker|template PADDING`` with the
channel as descriptor 3. What it does is told by the variable FAKE of its environment, a JSON object: for each role, and
for ``worker 2`` alone, the word below that it obeys. It writes what it hears to the error log, one line a message.
"""

from __future__ import annotations

import array
import ctypes
import fcntl
import json
import os
import select
import signal
import socket
import struct
import sys
import time

NAMES = [
    "SETUP",
    "FORK",
    "ACCEPT",
    "DRAIN",
    "STOP",
    "LOGS",
    "HELLO",
    "READY",
    "CLOSED",
    "RETIRE",
    "UNFIT",
]
SETUP, FORK, ACCEPT, DRAIN, STOP, LOGS, HELLO, READY, CLOSED, RETIRE, UNFIT = range(11)
VERSION = 3
SETUP_LAYOUT = struct.Struct("IIIIIIII64s")
CHANNEL = 3
PR_SET_PDEATHSIG = 1


def inherits(fd: int) -> bool:
    """Whether a descriptor is open and not close-on-exec."""
    try:
        return not fcntl.fcntl(fd, fcntl.F_GETFD) & fcntl.FD_CLOEXEC
    except OSError:
        return False


class Child:
    """One process with its channel."""

    def __init__(self, channel: int) -> None:
        self.channel = socket.socket(fileno=channel)
        self.channel.setblocking(True)
        self.orders = json.loads(os.environ.get("FAKE", "{}"))
        self.role = sys.argv[1]
        self.number = 0
        self.error_log = 2
        self.listeners: list[int] = []
        self.unfit = False

    def wish(self) -> str:
        """What it is to do: the word for this worker, or for its role."""
        return self.orders.get(f"{self.role} {self.number}") or self.orders.get(self.role, "")

    def say(self, text: str) -> None:
        os.write(
            self.error_log, f"fake {self.role} {self.number} pid={os.getpid()} {text}\n".encode()
        )

    def send(self, kind: int, payload: bytes = b"") -> None:
        self.channel.send(struct.pack("II", kind, len(payload)) + payload)

    def receive(self) -> tuple[int, bytes, list[int]]:
        data, control, _, _ = self.channel.recvmsg(8192, 4096)
        if not data:
            self.say("hears the end of the channel")
            os._exit(0)
        fds = array.array("i")
        for level, kind, content in control:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                fds.frombytes(content[: len(content) - len(content) % fds.itemsize])
        kind, size = struct.unpack_from("II", data)
        assert size == len(data) - 8
        return kind, data[8:], list(fds)

    def begin(self) -> None:
        """HELLO and SETUP."""
        wish = self.wish()
        if wish == "never HELLO":
            time.sleep(1000)
        if wish == "die before HELLO":
            os._exit(9)
        if wish == "garbage":
            self.channel.send(b"\xff" * 100)
        if wish == "another speaks" and os.fork() == 0:
            self.send(HELLO, struct.pack("Ii", VERSION, os.getppid()))
            os._exit(0)
        if wish == "another speaks":
            time.sleep(1000)
        version = 7 if wish == "wrong version" else VERSION
        self.send(HELLO, struct.pack("Ii", version, os.getpid()))
        if wish == "HELLO twice":
            self.send(HELLO, struct.pack("Ii", version, os.getpid()))
        kind, payload, fds = self.receive()
        if kind == STOP:
            os._exit(0)
        assert kind == SETUP, NAMES[kind]
        version, slot, self.number, listeners, access, meter, master, unfit, app = (
            SETUP_LAYOUT.unpack(payload)
        )
        assert version == VERSION
        assert len(fds) == 3 + access + meter + listeners
        if ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL) != 0 or os.getppid() != master:
            os._exit(1)
        self.error_log, self.listeners = fds[2], fds[3 + access + meter :]
        for fd in fds:
            os.set_inheritable(fd, False)
        text = app.rstrip(b"\0").decode()
        self.unfit = bool(unfit)
        self.say(f"setup app={text} slot={slot} listeners={listeners} access={access}")

    def start(self) -> None:
        """Load the application, in a manner of speaking."""
        wish = self.wish()
        if wish.startswith("exit "):
            os._exit(int(wish.removeprefix("exit ")))
        if wish == "never READY":
            time.sleep(1000)
        if wish.startswith("READY when there is "):
            while not os.path.exists(wish.removeprefix("READY when there is ")):
                time.sleep(0.01)
        if os.path.exists(wish.partition("dies when there is ")[2]):
            os._exit(5)
        if wish == "unfit" and not self.unfit:
            self.send(UNFIT)
            os._exit(0)
        if wish == "describe":
            self.describe()
        self.send(READY)
        if wish == "FORK":
            self.send(FORK, b"12345678")

    def describe(self) -> None:
        """Say who this is: for the test of what a child inherits."""
        with open("/proc/self/status") as file:
            status = dict(line.rstrip().partition(":\t")[::2] for line in file)
        about = {
            "fds": [fd for fd in range(100) if inherits(fd)],
            "stdin": os.readlink("/proc/self/fd/0"),
            "directory": os.getcwd(),
            "umask": status["Umask"],
            "blocked": int(status["SigBlk"], 16),
            "uid": os.getresuid(),
            "gid": os.getresgid(),
            "groups": sorted(os.getgroups()),
            "session": os.getsid(0) == os.getpid(),
            "environment": os.environ.get("GIVEN"),
        }
        self.say("describes " + json.dumps(about))

    def serve(self) -> None:
        """Obey orders."""
        while True:
            kind, _, fds = self.receive()
            self.say(f"hears {NAMES[kind]} with {len(fds)}")
            if kind == FORK:
                if os.path.exists(self.wish().partition("hang at FORK when there is ")[2]):
                    time.sleep(1000)
                self.fork(fds[0])
            elif kind == LOGS:
                os.dup2(fds[0], self.error_log, inheritable=False)
            elif kind == ACCEPT:
                self.accept()
            elif kind in (DRAIN, STOP):
                self.leave(kind)
            for fd in fds:
                os.close(fd)

    def leave(self, kind: int) -> None:
        wish = self.wish()
        if kind == DRAIN and wish != "accept on":
            self.send(CLOSED)
        if wish.startswith("leave when there is "):
            while not os.path.exists(wish.removeprefix("leave when there is ")):
                time.sleep(0.01)
        if wish not in ("ignore", "accept on"):
            os._exit(0)

    def accept(self) -> None:
        wish = self.wish()
        if wish == "retire":
            self.send(RETIRE)
        if wish == "close the channel":
            self.channel.close()
            time.sleep(1000)
        if wish == "die after ACCEPT":
            os._exit(7)
        if wish == "abort":
            signal.signal(signal.SIGABRT, signal.SIG_DFL)
            os.abort()
        if wish.startswith("retire, "):
            self.retire_when_told()
        if wish == "serve":
            self.answer()
        if wish == "leave an orphan" and os.fork() == 0:
            orphan = os.fork()
            if orphan == 0:
                time.sleep(0.01)
            os._exit(0)

    def retire_when_told(self) -> None:
        """Ask for a successor when a file says so."""
        folder = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
        while not os.path.exists(os.path.join(folder, f"retire {os.getpid()}")):
            if select.select([self.channel], [], [], 0.01)[0]:
                return
        self.send(RETIRE)

    def answer(self) -> None:
        """Answer connections until there is an order."""
        poll = select.poll()
        for fd in [self.channel.fileno(), *self.listeners]:
            poll.register(fd, select.POLLIN)
        while True:
            for fd, _ in poll.poll():
                if fd == self.channel.fileno():
                    return
                try:
                    connection = socket.socket(fileno=os.dup(fd)).accept()[0]
                except BlockingIOError:
                    continue
                connection.sendall(f"worker {self.number}".encode())
                connection.close()

    def fork(self, channel: int) -> None:
        """Fork twice, so that the worker becomes the master's child."""
        child = os.fork()
        if child:
            os.waitpid(child, 0)
            return
        middle = os.getpid()
        if os.fork():
            os._exit(0)
        while os.getppid() == middle:
            time.sleep(0.001)
        worker = Child(os.dup(channel))
        worker.role = "worker"
        self.channel.close()
        worker.run()

    def run(self) -> None:
        self.begin()
        self.start()
        self.serve()


if __name__ == "__main__":
    Child(CHANNEL).run()
