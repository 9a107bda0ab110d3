"""preload = auto: what an import leaves behind decides whether it is shared."""

from __future__ import annotations

import re

import pytest
from masters import Master
from sites import Site

APP = """
import os
IMPORTED_BY = os.getpid()
def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(IMPORTED_BY).encode()]
"""

CLEAN = {
    "nothing": "",
    "a file that was closed": "open(__file__).read()",
    "a file for reading": "keep = open(__file__)",
    "a log": "import logging; keep = logging.FileHandler(__file__ + '.log'); keep.emit",
    "a thread that has ended": "import threading; t = threading.Thread(target=int); t.start(); t.join()",
    "a standard stream": "import sys; sys.stdout.write('')",
}

DIRTY = {
    "a thread": (
        "import threading; threading.Thread(target=threading.Event().wait, name='poller', daemon=True).start()",
        r"a thread \(poller\)",
    ),
    "a socket": (
        "import socket; keep = socket.socket()",
        r"a socket \(AF_INET, SOCK_STREAM\) \(descriptor \d+\)",
    ),
    "a listener": (
        "import socket; keep = socket.create_server(('127.0.0.1', 0))",
        r"a listening socket \(\('127.0.0.1', \d+\)\)",
    ),
    "a connection": (
        "import socket; a = socket.create_server(('127.0.0.1', 0)); keep = socket.create_connection(a.getsockname())",
        r"a connection to \('127.0.0.1', \d+\)",
    ),
    "a database": (
        "import sqlite3; keep = sqlite3.connect(__file__ + '.db'); keep.execute('create table if not exists t (x)')",
        r"the file \S+\.db, open for writing",
    ),
    "a file": ("keep = open(__file__ + '.out', 'w')", r"the file \S+\.out, open for writing"),
    "a pipe": ("import os; keep = os.pipe()", "a pipe"),
    "a loop": ("import select; keep = select.epoll()", r"an event loop \(epoll\)"),
}

pytestmark = [pytest.mark.sanitized, pytest.mark.extension]


@pytest.fixture
def site(tmp_path):
    made = Site(tmp_path)
    yield made
    if made.process is not None:
        made.stop()


def importers(site):
    """Who has imported what answers, over some connections; and all workers."""
    return {int(site.get()) for _ in range(10)}, set(site.workers())


@pytest.mark.parametrize("kind", CLEAN)
def test_a_clean_import_is_shared(site, kind):
    site.deploy(CLEAN[kind] + "\n" + APP)
    site.configure("workers = 2")
    site.start()
    found, workers = importers(site)
    assert len(found) == 1
    assert not found & workers
    assert "for itself" not in site.log()


@pytest.mark.parametrize("kind", DIRTY)
def test_what_cannot_be_shared_is_named(site, kind):
    source, words = DIRTY[kind]
    site.deploy(source + "\n" + APP)
    site.configure("workers = 2")
    site.start()
    found, workers = importers(site)
    assert found <= workers
    site.wait_log(r"preload: each worker imports the application for itself\n(?:  .*\n)*  " + words)
    assert "a process died" not in site.log()


def test_several_things_are_all_named(site):
    site.deploy(f"{DIRTY['a pipe'][0]}\n{DIRTY['a thread'][0]}\n{APP}")
    site.configure("workers = 2")
    site.start()
    assert len(re.findall(r"^  a (?:thread|pipe) ", site.log(), re.MULTILINE)) == 3


@pytest.mark.parametrize("kind", ["a thread", "a socket"])
def test_always_shares_it_in_any_case(site, kind):
    site.deploy(DIRTY[kind][0] + "\n" + APP)
    site.configure('workers = 2\npreload = "always"')
    site.start()
    found, workers = importers(site)
    assert len(found) == 1
    assert not found & workers


def test_never_does_not_try(site):
    site.deploy(APP)
    site.configure('workers = 2\npreload = "never"')
    site.start()
    found, workers = importers(site)
    assert found <= workers


def test_one_worker_needs_no_template(site):
    site.deploy(DIRTY["a thread"][0] + "\n" + APP)
    site.configure("workers = 1")
    site.start()
    assert int(site.get()) in site.workers()
    assert "preload" not in site.log()


def test_a_reload_looks_again(site):
    site.deploy(DIRTY["a pipe"][0] + "\n" + APP)
    site.configure("workers = 2")
    site.start()
    site.deploy(APP)
    site.reload()
    found, workers = importers(site)
    assert len(found) == 1
    assert not found & workers


def test_what_is_to_be_done_at_exit_is_done_by_workers_alone(site):
    """The template goes first in a reload, and its workers may still need what an exit takes away."""
    note = site.folder / "exits"
    source = f"""
import atexit, os
atexit.register(lambda: open({str(note)!r}, "a").write(f"{{os.getpid()}}\\n"))
"""
    site.deploy(source + APP)
    site.configure("workers = 2")
    site.start()
    before = set(site.workers())
    site.deploy(APP)
    site.reload()
    site.wait_log("a generation has left")
    assert {int(line) for line in note.read_text().split()} == before


def test_a_template_that_is_unfit(master: Master) -> None:
    """Another one comes, which is told not to import."""
    master.start("-w", "2", fake={"template": "unfit"})
    assert len(master.wait_log("fake template 0 .* setup")) == 2
    assert "a process died" not in master.log()
    assert master.stop() == 0
