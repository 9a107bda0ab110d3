"""Clients that ask without a pause, to see whether a request is ever lost."""

from __future__ import annotations

import http.client
import threading
from collections import Counter


class Load:
    """Threads that send requests until they are stopped, and remember what went wrong.

    Some keep their connection for as long as the server lets them: it says ``Connection: close`` in its last response.
    Others make a connection for each request.
    """

    def __init__(self, port: int, keeping: int = 2, short: int = 2) -> None:
        self.port = port
        self.answers: Counter[bytes] = Counter()
        self.closed = 0
        self.failures: list[str] = []
        self._end = threading.Event()
        self._lock = threading.Lock()
        kinds = [self._keep] * keeping + [self._ask_once] * short
        self._threads = [threading.Thread(target=kind, daemon=True) for kind in kinds]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._end.set()
        for thread in self._threads:
            thread.join(20)

    def _note(self, body: bytes, closed: bool) -> None:
        with self._lock:
            self.answers[body] += 1
            self.closed += closed

    def _ask(self, connection: http.client.HTTPConnection, headers: dict[str, str]) -> bool:
        """Send one request; false when the connection ends behind it."""
        connection.request("GET", "/", headers=headers)
        answer = connection.getresponse()
        body = answer.read()
        if answer.status != 200:
            raise AssertionError(f"{answer.status} {body!r}")
        self._note(body, answer.will_close)
        return not answer.will_close

    def _keep(self) -> None:
        while not self._end.is_set():
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
            self._guard(lambda: self._ask_again(connection))  # noqa: B023
            connection.close()

    def _ask_again(self, connection: http.client.HTTPConnection) -> None:
        while self._ask(connection, {}) and not self._end.is_set():
            continue

    def _ask_once(self) -> None:
        while not self._end.is_set():
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
            self._guard(lambda: self._ask(connection, {"Connection": "close"}))  # noqa: B023
            connection.close()

    def _guard(self, what) -> None:
        try:
            what()
        except (OSError, http.client.HTTPException, AssertionError) as error:
            with self._lock:
                self.failures.append(repr(error))

    def total(self) -> int:
        """Return how many requests were answered."""
        return sum(self.answers.values())
