"""Calls of the application ``gate`` that last until the test says otherwise."""

from __future__ import annotations

import errno
import os
from contextlib import ExitStack
from pathlib import Path

from harness import wait_until
from http1 import Connection, request


class Gates:
    """FIFOs that calls of the application wait for."""

    def __init__(self, folder: Path):
        self.folder = folder

    def make(self, name: str) -> str:
        """Make a gate and return its name."""
        os.mkfifo(self.folder / name)
        return name

    def open(self, name: str) -> None:
        """Let the call behind `name` go on, once it has come to its gate."""
        with self.hold(name) as gate:
            gate.write(name.encode())

    def hold(self, name: str):
        """Wait until a call has come to the gate, which opens when what is returned is closed."""
        return wait_until(lambda: self._hold(name), f"a call at the gate {name}")

    def _hold(self, name: str):
        try:
            gate = os.open(self.folder / name, os.O_WRONLY | os.O_NONBLOCK)
        except OSError as error:
            if error.errno != errno.ENXIO:  # nobody reads it
                raise
            return None
        os.set_blocking(gate, True)
        return open(gate, "wb")

    def is_reached(self, name: str) -> bool:
        """Whether a call waits at the gate."""
        try:
            os.close(os.open(self.folder / name, os.O_WRONLY | os.O_NONBLOCK))
        except OSError as error:
            if error.errno != errno.ENXIO:
                raise
            return False
        return True


def waiting(stack: ExitStack, server, gates: Gates, count: int) -> list[Connection]:
    """Start so many calls that wait, each on a connection of its own."""
    clients = []
    for i in range(count):
        client = stack.enter_context(Connection(server))
        client.send(request(target=f"/wait/{gates.make(f'g{i}')}"))
        clients.append(client)
    return clients
