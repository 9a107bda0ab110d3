"""The load generators: wrk for as much as a server can do, our own openloop for a fixed rate, and idle connections."""

import json
import resource
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from peers import BENCH, HOST
from scenarios import HELLO, OpenLoop, Scenario
from server import Answer, Server, UnfitError

OPENLOOP = BENCH.parent / "build" / "bench" / "openloop"
WARMUP = 0.5
AT_ONCE = 50
"""How many connections wait for their first answer together."""


@dataclass(frozen=True)
class Load:
    """What a generator counted."""

    requests: int
    """Answered well."""
    seconds: float
    problems: list[str]
    latencies: dict[str, float] = field(default_factory=dict)
    """Milliseconds: p50, p99 and so on, of the requests that are not for the slow route."""
    histogram: list[tuple[int, int]] = field(default_factory=list)


def build_openloop() -> None:
    source = BENCH / "openloop.c"
    if OPENLOOP.exists() and OPENLOOP.stat().st_mtime > source.stat().st_mtime:
        return
    OPENLOOP.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run(
        ["cc", "-O2", "-std=gnu17", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-o", OPENLOOP, source],
        check=True,
    )


def run(command: list[str], core: int, limit: float) -> str:
    pinned = ["taskset", "-c", str(core), *command]
    try:
        done = subprocess.run(pinned, capture_output=True, text=True, timeout=limit, check=False)
    except subprocess.TimeoutExpired as error:
        raise UnfitError(f"{Path(command[0]).name} did not come to an end") from error
    if done.returncode != 0:
        raise UnfitError(f"{Path(command[0]).name}: {(done.stderr or done.stdout).strip()[-200:]}")
    return done.stdout


def wrk(server: Server, seconds: float, core: int) -> Load:
    """As many requests as the server answers, on the scenario's connections."""
    s: Scenario = server.scenario
    command = [
        "wrk",
        "-t1",
        f"-c{s.connections}",
        f"-d{max(1, round(seconds))}s",
        "--timeout",
        "5s",
    ]
    command += ["-s", str(BENCH / "wrk.lua"), server.url]
    for header in s.headers:
        command += ["-H", header]
    output = run([*command, "--", s.method, str(s.upload)], core, seconds + 30)
    counted = json.loads(output.splitlines()[-1])
    load_seconds = counted["microseconds"] / 1e6
    requests = counted["requests"] - counted["refused"]
    if requests <= 0:
        raise UnfitError(f"answered no request under load: {counted}")
    problems = [
        f"{counted[what]} {what}" for what in ("refused", "broken", "timeouts") if counted[what]
    ]
    return Load(requests, load_seconds, problems + size_problem(counted, server.verify()))


def size_problem(counted: dict[str, int], answer: Answer) -> list[str]:
    """Were the answers under load as long as those that were looked at? (What is under way at the end is read, too.)"""
    mean = counted["bytes"] / counted["requests"]
    if (
        answer.length == 0
        or counted["requests"] < 1000
        or abs(mean - answer.length) <= 4 + 0.03 * answer.length
    ):
        return []
    return [f"answers of {mean:.0f} bytes under load, of {answer.length} before"]


def openloop(server: Server, plan: OpenLoop, seconds: float, core: int) -> Load:
    """Requests at a fixed rate; latency from the moment each was due."""
    s = server.scenario
    command = [
        str(OPENLOOP),
        str(server.setup.port),
        str(plan.rate),
        str(s.connections),
        str(seconds),
        str(WARMUP),
    ]
    command += [s.path, *([plan.slow_path, str(plan.slow_every)] if plan.slow_path else [])]
    counted = json.loads(run(command, core, seconds + 30))
    fast = counted["paths"][0]
    latencies = {f"p{100 * q:g}": ns / 1e6 for q, ns in fast["quantiles"]}
    latencies["max"] = fast["max"] / 1e6
    latencies["lag"] = counted["lag"] / 1e6
    problems = [
        f"{path[what]} {what}"
        for path in counted["paths"]
        for what in ("errors", "lost")
        if path[what]
    ]
    return Load(
        counted["answered"],
        seconds + WARMUP,
        problems,
        latencies,
        [(ns, count) for ns, count in fast["histogram"]],
    )


def allow_descriptors(count: int) -> None:
    """Let this process, and the servers that it starts, have so many."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft >= count:
        return
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (count, max(count, hard)))
    except (OSError, ValueError) as error:
        raise UnfitError(f"{count} descriptors are not allowed here ({hard} are)") from error


@contextmanager
def held(server: Server, count: int) -> Iterator[None]:
    """Hold so many connections, each of which was served once."""
    ask = (
        f"{server.scenario.method} {server.scenario.path} HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode()
    )
    opened: list[socket.socket] = []
    try:
        while len(opened) < count:
            sock = socket.create_connection((HOST, server.setup.port), timeout=10)
            opened.append(sock)
            sock.sendall(ask)
            if len(opened) % AT_ONCE == 0 or len(opened) == count:
                for one in opened[-AT_ONCE:]:
                    take_answer(one)
        yield
    except OSError as error:
        raise UnfitError(f"connection {len(opened)} of {count}: {error}") from error
    finally:
        for sock in opened:
            sock.close()


def take_answer(sock: socket.socket) -> None:
    """Read one answer, of which the body is the scenario's constant."""
    answer = b""
    while not answer.endswith(HELLO):
        data = sock.recv(4096)
        if not data:
            raise UnfitError(f"closed a connection that was to be kept, after {answer[:60]!r}")
        answer += data


def bare_threads(threads: int, milliseconds: float, seconds: float, core: int) -> tuple[Load, int]:
    """Measure what Python's threads reach without any server; the second figure is their CPU time in nanoseconds."""
    script = str(BENCH / "serve" / "bare_threads.py")
    output = run(
        [sys.executable, script, str(threads), str(milliseconds), str(seconds)], core, seconds + 30
    )
    counted = json.loads(output)
    return Load(counted["count"], counted["seconds"], []), counted["cpu_ns"]
