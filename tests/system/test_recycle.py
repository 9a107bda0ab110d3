"""Workers that have served for long enough are replaced, by one that is ready first."""

from __future__ import annotations

import re

import pytest
from harness import wait_until
from load import Load
from masters import Master
from sites import Site

pytestmark = pytest.mark.sanitized


def start(tmp_path, settings) -> Site:
    site = Site(tmp_path)
    site.deploy_version("one")
    site.configure(settings)
    return site.start()


def test_max_requests(tmp_path):
    site = start(tmp_path, "workers = 1\nmax-requests = 20")
    try:
        first = site.workers()
        for _ in range(19):
            site.get()
        assert "max-requests" not in site.log()
        site.get()
        site.wait_log("worker=1 .*the worker is to be replaced reason=max-requests")
        wait_until(lambda: len(now := site.workers()) == 1 and now != first, "another one serves")
        assert site.get() == b"one"
    finally:
        site.stop()


def test_max_lifetime(tmp_path):
    site = start(tmp_path, 'workers = 2\nmax-lifetime = "1s"\nmax-lifetime-jitter = "500ms"')
    try:
        first = set(site.workers())
        wait_until(lambda: not first & set(site.workers()), "all are replaced")
        site.wait_log("reason=max-lifetime")
    finally:
        site.stop()


def test_no_request_is_lost(tmp_path):
    site = start(tmp_path, "workers = 2\nmax-requests = 200\nmax-requests-jitter = 100")
    try:
        with Load(site.port) as load:
            wait_until(lambda: site.log().count("is to be replaced") >= 5, "five are replaced")
        assert not load.failures, load.failures[:5]
        assert "a process died" not in site.log()
    finally:
        site.stop()


def test_jitter(tmp_path):
    """What is added by chance can be so much that nobody gets there."""
    site = start(tmp_path, "workers = 2\nmax-requests = 1\nmax-requests-jitter = 1000000000")
    try:
        for _ in range(50):
            site.get()
        assert "to be replaced" not in site.log()
    finally:
        site.stop()


def retire(master: Master, *words: str) -> list[int]:
    """Have these workers ask for a successor; return their pids."""
    pids = [master.child(word) for word in words]
    for pid in pids:
        (master.folder / f"retire {pid}").touch()
    return pids


def test_the_successor_is_ready_first(master: Master) -> None:
    master.start("-w", "1", fake={"worker": "retire, when told"})
    (old,) = retire(master, "worker 1")
    master.wait_log(rf"pid={old} hears DRAIN")
    new = master.child("worker 1")
    order = re.findall(r"worker=1 pid=(\d+) from=\w+ to=(SERVING|DRAINING)", master.log())
    assert order[1:] == [(str(new), "SERVING"), (str(old), "DRAINING")]
    assert master.stop() == 0


def test_never_all_at_once(master: Master) -> None:
    """A quarter at a time."""
    master.start("-w", "8", fake={"worker": "retire, when told"})
    master.wait_log("hears ACCEPT", count=8)
    begun = len(master.log())
    retire(master, *(f"worker {number}" for number in range(1, 9)))
    master.wait_log("hears ACCEPT", count=16)
    starting, most = 0, 0
    for event in re.findall(r"worker=\d+ .* to=(ASKED|READY)", master.log()[begun:]):
        starting += 1 if event == "ASKED" else -1
        most = max(most, starting)
    assert 1 <= most <= 2
    assert master.stop() == 0


def test_a_successor_that_cannot_start_costs_nothing(master: Master) -> None:
    """Who is to be replaced serves on, and the next attempts come slower and slower."""
    flag = master.folder / "flag"
    fake = {"worker": f"retire, and who is new dies when there is {flag}"}
    master.start("-w", "2", fake=fake)
    flag.touch()
    old = retire(master, "worker 1", "worker 2")
    master.wait_log("is started again later", count=2)
    assert set(old) < set(master.children())
    flag.unlink()
    wait_until(lambda: not set(old) & set(master.children()), "both are replaced in the end")
    assert master.stop() == 0
