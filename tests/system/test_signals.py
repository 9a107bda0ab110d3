"""More and fewer workers, and none for a while, by signal."""

from __future__ import annotations

import os
import re
import signal
import socket
import time

import pytest
from harness import parent_of, wait_until
from masters import Master

pytestmark = pytest.mark.sanitized


def workers(master: Master) -> list[int]:
    """The numbers of the workers that live."""
    alive = master.children()
    setups = re.findall(r"fake worker (\d+) pid=(\d+) setup", master.log())
    return sorted(int(number) for number, pid in setups if int(pid) in alive)


def wait_workers(master: Master, *numbers: int) -> None:
    wait_until(lambda: workers(master) == list(numbers), f"{numbers}, not {workers(master)}")


@pytest.mark.parametrize("count", [1, 2])
def test_ttin_and_ttou(master: Master, count: int) -> None:
    """With one worker there is no template: the master executes each."""
    master.start("-w", str(count))
    for number in range(count + 1, 5):
        master.process.send_signal(signal.SIGTTIN)
        wait_workers(master, *range(1, number + 1))
    master.wait_log("hears ACCEPT", count=4)
    master.process.send_signal(signal.SIGTTOU)
    wait_workers(master, 1, 2, 3)
    assert re.search(r"worker 4 pid=\d+ hears DRAIN", master.log())
    assert master.stop() == 0


def test_ttou_never_goes_below_one(master: Master) -> None:
    master.start("-w", "2")
    for number in range(1, 5):
        master.process.send_signal(signal.SIGTTOU)
        master.wait_log("order=FEWER", count=number)
    wait_workers(master, 1)
    master.process.send_signal(signal.SIGTTIN)
    wait_workers(master, 1, 2)
    assert master.stop() == 0


def test_ttin_has_a_limit(master: Master) -> None:
    """Sixteen more than are configured."""
    master.start("-w", "1")
    for number in range(1, 22):
        master.process.send_signal(signal.SIGTTIN)
        master.wait_log("order=MORE", count=number)
    wait_workers(master, *range(1, 18))
    assert master.stop() == 0


def test_a_worker_that_is_not_ready_yet_is_taken_back(master: Master) -> None:
    flag = master.folder / "flag"
    master.start("-w", "2", fake={"worker 3": f"READY when there is {flag}"})
    master.process.send_signal(signal.SIGTTIN)
    master.wait_log(r"worker=3 .* to=STARTING")
    master.process.send_signal(signal.SIGTTOU)
    master.wait_log(r"worker=3 .* to=STOPPING")
    wait_workers(master, 1, 2)
    assert master.stop() == 0


def test_a_worker_that_dies_is_replaced_by_the_count_of_now(master: Master) -> None:
    master.start("-w", "2")
    master.process.send_signal(signal.SIGTTIN)
    wait_workers(master, 1, 2, 3)
    first = master.kill("worker 3")
    master.wait_log("worker 3 pid=.* hears ACCEPT", count=2)
    assert master.child("worker 3") != first
    assert master.stop() == 0


@pytest.mark.parametrize("back", [signal.SIGTTIN, signal.SIGHUP])
def test_winch_and_back(master: Master, back: int) -> None:
    """Who connects meanwhile waits in the master's listener, and is served."""
    master.prepare("-w", "2", fake={"worker": "serve"})
    master.start("-w", "2", fake={"worker": "serve"})
    master.process.send_signal(signal.SIGWINCH)
    wait_until(lambda: not master.children(), "all have left")
    assert len(re.findall(r"worker \d pid=\d+ hears DRAIN", master.log())) == 2
    with socket.create_connection(("127.0.0.1", master.port), timeout=20) as client:
        master.process.send_signal(back)
        assert client.recv(100).startswith(b"worker")
    wait_workers(master, 1, 2)
    if back == signal.SIGHUP:
        master.wait_log("reloaded: the new generation serves generation=2")
    assert master.stop() == 0


def test_winch_and_a_reload_that_fails(master: Master) -> None:
    """HUP brings workers back in any case: those of before, when there are no others."""
    master.start("-w", "2")
    master.prepare_made(None)
    master.process.send_signal(signal.SIGWINCH)
    wait_until(lambda: not master.children(), "all have left")
    master.process.send_signal(signal.SIGHUP)
    master.wait_log("the reload failed")
    wait_workers(master, 1, 2)
    assert master.stop() == 0


def test_winch_in_a_reload_gives_it_up(master: Master) -> None:
    master.start("-w", "1")
    master.prepare("-w", "1", fake={"worker": "never READY"})
    master.process.send_signal(signal.SIGHUP)
    master.wait_log("the new generation starts generation=2")
    master.process.send_signal(signal.SIGWINCH)
    wait_until(lambda: not master.children(), "all have left")
    assert "reloaded" not in master.log()
    assert master.stop() == 0


def test_winch_is_ignored_on_a_terminal(master: Master) -> None:
    made = master.canonical(("-w", "1"), {})
    made["server"]["terminal"] = True
    master.execute(made)
    master.wait_log("Ctrl-C stops it")
    worker = master.child("worker 1")
    master.process.send_signal(signal.SIGWINCH)
    master.process.send_signal(signal.SIGUSR1)
    master.wait_log("log files reopened")
    assert parent_of(worker) == master.pid
    assert master.stop() == 0


def test_a_successor_is_forgotten_at_rest(master: Master) -> None:
    """Who comes back can be replaced as ever, though a successor was on its way when they left."""
    flag = master.folder / "flag"
    fake = {"worker": f"retire, and who is new dies when there is {flag}"}
    master.start("-w", "2", fake=fake)
    flag.touch()
    (master.folder / f"retire {master.child('worker 1')}").touch()
    master.wait_log("is started again later")
    master.process.send_signal(signal.SIGWINCH)
    wait_until(lambda: not master.children(), "all have left")
    flag.unlink()
    master.process.send_signal(signal.SIGTTIN)
    master.wait_log("hears ACCEPT", count=4)
    wait_workers(master, 1, 2)
    pids = {number: master.child(f"worker {number}") for number in (1, 2)}
    for pid in pids.values():
        (master.folder / f"retire {pid}").touch()
    wait_until(lambda: not set(pids.values()) & set(master.children()), "both are replaced")
    assert master.stop() == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_end_of_a_master_at_rest(master: Master, number: int) -> None:
    master.start("-w", "2")
    master.process.send_signal(signal.SIGWINCH)
    wait_until(lambda: not master.children(), "all have left")
    assert master.stop(number) == 0


def test_counts_while_a_reload_is_tried(master: Master) -> None:
    """They are those of the generation that serves; the next one has those of its configuration."""
    flag = master.folder / "flag"
    master.start("-w", "2")
    master.prepare("-w", "2", fake={"worker": f"READY when there is {flag}"})
    master.process.send_signal(signal.SIGHUP)
    master.wait_log("the new generation starts generation=2")
    master.process.send_signal(signal.SIGTTIN)
    master.wait_log("worker 3 pid=.* hears ACCEPT")
    flag.touch()
    master.wait_log("a generation has left number=1")
    wait_workers(master, 1, 2)
    assert master.stop() == 0


def test_a_storm_of_signals(master: Master) -> None:
    """Whatever comes in whatever order: nothing is lost, and the end is the end."""
    master.prepare("-w", "2")
    master.start("-w", "2")
    storm = [signal.SIGHUP, signal.SIGTTIN, signal.SIGWINCH, signal.SIGTTOU, signal.SIGUSR1]
    for number in range(200):
        os.kill(master.pid, storm[number * 7 % len(storm)])
        if number % 10 == 0:
            time.sleep(0.001)  # equal signals that wait are one
    wait_until(
        lambda: os.kill(master.pid, signal.SIGTTIN) or workers(master)[:2] == [1, 2], "they serve"
    )
    assert master.stop() == 0
