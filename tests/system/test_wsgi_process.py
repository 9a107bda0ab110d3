"""What an application may do with the process it runs in: threads, signals, forks, its own end."""

import os
import signal
import socket

import pytest
from harness import title, wait_until
from http1 import Connection, fetch, request

pytestmark = pytest.mark.extension


@pytest.fixture
def living(serve, tmp_path):
    def start(*options, **environment):
        return serve("living", *options, environment={"LIVING": str(tmp_path), **environment})

    return start


def facts(server):
    return fetch(server, "/facts").json()


def test_the_process(living):
    server = living("-w", "1")
    found = facts(server)
    assert found["parent"] == server.pid
    assert found["imported_by"] == found["pid"]
    assert title(found["pid"]) == "penstock: worker 1 of living"
    assert len(found["argv"]) == 1
    assert "penstock" not in found["path"][0]
    assert found["heavy"] == []
    assert found["stdout"] is True


def test_one_thread_is_the_main_thread(living):
    server = living("--threads", "1")
    assert all(facts(server)["thread"] for _ in range(5))


@pytest.mark.parametrize("preload", ["never", "always"])
def test_workers_of_a_template(living, preload):
    server = living("-w", "3", f"--preload={preload}")
    found = {}

    def all_answered():
        with Connection(server) as one, Connection(server) as two, Connection(server) as three:
            for client in (one, two, three):
                client.send(request(target="/facts"))
            for client in (one, two, three):
                answer = client.response().json()
                found.setdefault(answer["pid"], answer)
        return len(found) == 3

    wait_until(all_answered, "an answer of each worker")
    assert sorted(found) == sorted(server.workers())
    assert {one["parent"] for one in found.values()} == {server.pid}
    assert len({one["random"] for one in found.values()}) == 3, "they were seeded alike"
    titles = sorted(title(pid) for pid in found)
    assert titles == [f"penstock: worker {i} of living" for i in (1, 2, 3)]
    importers = {one["imported_by"] for one in found.values()}
    if preload == "always":
        assert len(importers) == 1
        assert not importers & found.keys()
        assert title(importers.pop()) == "penstock: template of living"
    else:
        assert importers == found.keys()


def test_background_threads_run_while_the_server_idles(living):
    server = living(TICKING="1")
    before = facts(server)["ticks"]
    wait_until(lambda: facts(server)["ticks"] > before + 20, "the thread to go on")


def test_own_signal_handlers(living, tmp_path):
    server = living()
    pid = facts(server)["pid"]
    os.kill(pid, signal.SIGUSR1)
    wait_until((tmp_path / "signal").exists, "the handler")
    (tmp_path / "raise").touch()
    os.kill(pid, signal.SIGUSR1)
    server.wait_log("a signal handler of the application failed")
    server.wait_log("ValueError: in a handler")
    assert facts(server)["pid"] == pid


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_worker_that_is_told_to_leave(living, tmp_path, number):
    """It leaves as an ordinary process of Python does, and is replaced."""
    server = living()
    pid = facts(server)["pid"]
    os.kill(pid, number)
    wait_until(lambda: pid not in server.workers() and server.workers(), "another worker")
    assert facts(server)["pid"] != pid
    assert (tmp_path / "atexit").read_text() == f"{pid} \n"
    assert "Traceback" not in server.log()


def test_own_handler_for_term(living, tmp_path):
    server = living(OWN_TERM="1")
    pid = facts(server)["pid"]
    os.kill(pid, signal.SIGTERM)
    wait_until(lambda: pid not in server.workers() and server.workers(), "another worker")
    assert (tmp_path / "own-term").read_text() == f"{pid} \n"


@pytest.mark.parametrize("workers", ["1", "2"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_things_to_do_at_exit(living, tmp_path, workers, number):
    server = living("-w", workers)
    server.wait_log("serving address=")
    pids = set(server.workers())
    assert server.stop(number) == 0
    assert {int(line) for line in (tmp_path / "atexit").read_text().split()} == pids


def test_an_exit_that_takes_too_long(living):
    server = living(BUSY_EXIT="1")
    server.wait_log("serving address=")
    assert server.stop(signal.SIGINT) == 0
    assert "the application is still busy with its exit: the process ends now" in server.log()


def test_what_executed_programs_inherit(living):
    """Nothing ignored but what Python itself ignores, nothing blocked, no descriptor of ours."""
    server = living()
    status = fetch(server, "/child_status").json()
    assert int(status["SigBlk"], 16) == 0
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD, signal.SIGUSR1):
        bit = 1 << (number - 1)
        assert not int(status["SigIgn"], 16) & bit, number
    with Connection(server), Connection(server):
        assert fetch(server, "/child_descriptors").json() <= 6


def test_processes_of_multiprocessing(living, tmp_path):
    server = living()
    for _ in range(5):
        assert fetch(server, "/process").json() == -signal.SIGTERM
    assert fetch(server, "/spawn").json() == 0
    assert (tmp_path / "spawned").exists()


def test_a_forked_child_has_nothing_of_ours(living, tmp_path):
    """It would keep the port taken when the server has ended, and the channel open."""
    server = living()
    fetch(server, "/forked_child")
    links = (tmp_path / "child").read_text()
    assert "eventpoll" not in links
    assert "eventfd" not in links
    with open(f"/proc/{server.workers()[0]}/net/tcp") as table:
        listening = [
            line.split()[9] for line in table if f":{server.port:04X} 00000000:0000 0A" in line
        ]
    assert listening
    assert not any(f"socket:[{inode}]" in links for inode in listening)
    port = server.port
    assert server.stop() == 0
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", port))


def test_a_forked_child_that_returns_is_ended(living):
    server = living()
    with Connection(server) as client:
        for _ in range(2):
            client.send(request(target="/returning_child"))
            assert client.response().json() > 0
    server.wait_log(
        "a process that the application forked returned from the application: it was ended"
    )
