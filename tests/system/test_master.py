"""The master with children that obey it, and with some that do not.

The children are ``fake_child.py``: the master's side of the contract is tested here without Python applications, and
with children that no application could become.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest
from harness import descendants, parent_of, title, wait_until
from masters import MASTER, Master

from penstock import launch

PUBLIC_PYTHON = shutil.which("python3", path="/usr/local/bin:/usr/bin")


def test_one_worker_is_executed_by_the_master(master: Master) -> None:
    master.start("-w", "1", fake={"worker": "serve"})
    worker = master.child("worker 1")
    assert master.children() == [worker]
    with socket.create_connection(("127.0.0.1", master.port)) as client:
        assert client.recv(100) == b"worker 1"
    assert title(master.pid) == "penstock: master"
    assert master.stop() == 0
    assert "hears DRAIN" in master.log()
    assert master.log().rstrip().endswith("stopped")


def test_workers_are_forked_by_a_template_and_belong_to_the_master(master: Master) -> None:
    master.start("-w", "3")
    pids = [master.child(word) for word in ("template 0", "worker 1", "worker 2", "worker 3")]
    assert sorted(master.children()) == sorted(pids)
    assert len(re.findall(r"worker \d pid=\d+ hears ACCEPT", master.log())) == 3
    assert "fake template 0" in master.log()
    assert re.search(r"template 0 .* listeners=0", master.log())
    assert re.search(r"worker 2 .* setup app=shop slot=1 listeners=1", master.log())
    assert master.stop() == 0
    assert len(re.findall(r"worker \d pid=\d+ hears DRAIN", master.log())) == 3
    assert re.search(r"template 0 pid=\d+ hears STOP", master.log())


def test_nobody_accepts_before_all_are_ready(master: Master) -> None:
    flag = master.folder / "flag"
    master.start("-w", "2", fake={"worker 2": f"READY when there is {flag}"}, serves=False)
    master.wait_log(r"process app=shop worker=1 .* to=READY")
    master.wait_log(r"process app=shop worker=2 .* to=STARTING")
    assert "hears ACCEPT" not in master.log()
    flag.touch()
    master.wait_log("hears ACCEPT", count=2)


def test_what_a_child_inherits(master: Master) -> None:
    inherited = os.open("/dev/null", os.O_RDONLY)
    os.set_inheritable(inherited, True)
    words = ("-w", "1", "--umask", "027", "--chdir", str(master.folder), "-e", "GIVEN=as given")
    made = master.canonical(words, {"worker": "describe"})
    master.execute(made, keep=[inherited])
    os.close(inherited)
    about = json.loads(master.wait_log(r"describes (.*)")[0][1])
    assert about["fds"] == [0, 1, 2, 3]
    assert about["stdin"] == "/dev/null"
    assert about["directory"] == str(master.folder)
    assert about["umask"] == "0027"
    assert about["blocked"] == 0
    assert about["session"] is True
    assert about["environment"] == "as given"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can change users")
@pytest.mark.skipif(PUBLIC_PYTHON is None, reason="no Python here that everybody may execute")
@pytest.mark.parametrize("workers", ["1", "2"])
def test_user_and_group(master: Master, workers: str) -> None:
    for folder in [master.folder, *master.folder.parents][:-1]:
        folder.chmod(folder.stat().st_mode | 0o055)
    made = master.canonical(("-w", workers, "--chdir", "/"), {"worker": "describe"})
    made["app"]["shop"].update(user="shop", uid=65534, gid=65533, groups=[65533, 65532])
    made["app"]["shop"]["python"] = PUBLIC_PYTHON
    master.execute(made)
    about = json.loads(master.wait_log(r"describes (.*)")[0][1])
    assert about["uid"] == [65534] * 3
    assert about["gid"] == [65533] * 3
    assert about["groups"] == [65532, 65533]


@pytest.mark.parametrize("workers", ["1", "2"])
@pytest.mark.parametrize(
    ("wish", "status", "text"),
    [
        ("exit 4", 4, "the application cannot be imported"),
        ("exit 1", 3, "exit=1"),
        ("die before HELLO", 3, ""),
        ("wrong version", 3, "of another version"),
        ("garbage", 3, "breaks the protocol"),
        ("HELLO twice", 3, "an unexpected HELLO"),
    ],
)
def test_a_bad_worker_ends_the_start(
    master: Master, wish: str, status: int, text: str, workers: str
) -> None:
    master.start("-w", workers, fake={"worker": wish}, serves=False)
    assert master.wait() == status
    assert text in master.log()
    assert "nothing is served" in master.log()
    assert " serving " not in master.log()


def test_nobody_speaks_for_a_worker(master: Master) -> None:
    """The kernel tells who sent a message, whatever it says."""
    master.start("-w", "1", fake={"worker": "another speaks"}, serves=False)
    assert master.wait() == 3
    assert "another process speaks for it" in master.log()


def test_a_template_that_gives_orders(master: Master) -> None:
    fake = {"template": "FORK", "worker": "never READY"}
    master.start("-w", "2", fake=fake, serves=False)
    assert master.wait() == 3
    assert "only the master may" in master.log()


def test_a_template_that_cannot_import(master: Master) -> None:
    master.start("-w", "2", fake={"template": "exit 4"}, serves=False)
    assert master.wait() == 4


@pytest.mark.parametrize("wish", ["never HELLO", "never READY"])
@pytest.mark.parametrize("role", ["worker", "template"])
def test_start_timeout(master: Master, wish: str, role: str) -> None:
    workers = "2" if role == "template" else "1"
    master.start("-w", workers, "--start-timeout", "300ms", fake={role: wish}, serves=False)
    assert master.wait() == 3
    assert "not ready after start-timeout" in master.log()


def test_a_worker_that_hangs_before_it_is_known(master: Master) -> None:
    """Neither its pid nor a message of it has reached the master: it is found by what it holds."""
    flag = master.folder / "flag"
    fake = {"worker 1": f"READY when there is {flag}", "worker": "never HELLO"}
    master.start("-w", "2", "--start-timeout", "1s", fake=fake, serves=False)
    master.wait_log("ASKED")
    hung = wait_until(lambda: [p for p in master.children() if "template" in title(p)][1:], "both")
    assert master.wait() == 3
    assert "not ready after start-timeout" in master.log()
    assert not any(parent_of(pid) for pid in hung)


def test_a_template_that_hangs_is_replaced(master: Master) -> None:
    """It hangs at the first order to fork after it has served."""
    flag = master.folder / "flag"
    fake = {"template": f"hang at FORK when there is {flag}"}
    master.start("-w", "2", "--start-timeout", "1s", fake=fake)
    flag.touch()
    master.kill("worker 1")
    master.wait_log("a template does not fork and is killed")
    flag.unlink()
    master.wait_log("worker 1 pid=.* hears ACCEPT", count=2)
    assert master.stop() == 0


def test_a_python_that_is_not_there(master: Master) -> None:
    made = master.canonical(("-w", "1"), {})
    made["app"]["shop"]["python"] = "/nowhere/python"
    assert master.execute(made).wait() == 3
    assert "/nowhere/python" in master.log()
    assert "No such file" in master.log()


def test_a_killed_worker_is_replaced(master: Master) -> None:
    master.start("-w", "2")
    first = master.kill("worker 2")
    master.wait_log(rf"warn a process died app=shop worker=2 pid={first} signal=SIGKILL .*active=0")
    master.wait_log("worker 2 pid=.* hears ACCEPT", count=2)
    assert master.child("worker 2") != first
    assert master.stop() == 0


def test_a_killed_template_costs_no_worker(master: Master) -> None:
    master.start("-w", "2")
    master.kill("template 0")
    master.wait_log("fake template 0 .* setup", count=2)
    assert parent_of(master.child("worker 1")) == master.pid
    master.kill("worker 1")
    master.wait_log("worker 1 pid=.* hears ACCEPT", count=2)
    assert master.stop() == 0


def test_template_and_worker_killed_together(master: Master) -> None:
    master.start("-w", "2")
    for word in ("template 0", "worker 1", "worker 2"):
        master.kill(word)
    master.wait_log("hears ACCEPT", count=4)
    assert master.stop() == 0


@pytest.mark.parametrize("workers", ["1", "3"])
def test_nothing_outlives_a_killed_master(master: Master, workers: str) -> None:
    master.start("-w", workers)
    family = descendants(master.pid)
    master.process.kill()
    master.wait()
    wait_until(lambda: not any(parent_of(pid) for pid in family), "all children end")


def test_back_off(master: Master) -> None:
    """It dies as soon as it accepts: it is started again slower and slower, and the master does not work for it."""
    master.start("-w", "1", fake={"worker": "die after ACCEPT"})
    delays = [int(m[1]) for m in master.wait_log(r"started again later .*delay_ms=(\d+)", count=4)]
    assert delays[:4] == [100, 200, 400, 800]
    assert master.log().count("exit=7") >= 4
    ticks = Path(f"/proc/{master.pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    assert sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK") < 0.5
    assert master.stop() == 0


def test_descriptors_do_not_leak(master: Master) -> None:
    """Back-off would make this take long: each worker is killed after the last one was ready."""
    master.start("-w", "8")

    def count() -> int:
        return len(os.listdir(f"/proc/{master.pid}/fd"))

    master.wait_log("hears ACCEPT", count=8)
    before = count()
    for round_number in range(2, 5):
        for number in range(1, 9):
            master.kill(f"worker {number}")
        master.wait_log("hears ACCEPT", count=8 * round_number)
    assert count() == before
    assert master.stop() == 0


def test_a_signal_is_named(master: Master) -> None:
    master.start("-w", "1", fake={"worker": "abort"})
    master.wait_log('signal="?SIGABRT')


def test_a_worker_that_closes_its_channel_is_killed(master: Master) -> None:
    master.start("-w", "1", fake={"worker": "close the channel"})
    worker = master.child("worker 1")
    master.wait_log("has closed its channel and is killed")
    wait_until(lambda: parent_of(worker) is None, "it dies")


def test_orphans_are_reaped(master: Master) -> None:
    master.start("-w", "1", fake={"worker": "leave an orphan"})
    master.wait_log("an orphan was reaped")
    assert master.stop() == 0


def test_term_waits_for_graceful_timeout_only(master: Master) -> None:
    master.start("-w", "2", "--graceful-timeout", "300ms", fake={"worker 1": "ignore"})
    begin = time.monotonic()
    assert master.stop() == 0
    assert time.monotonic() - begin >= 0.3
    assert "worker=1" in master.wait_log(r"is not done after graceful-timeout.*")[0][0]
    assert re.search(r"worker 1 pid=\d+ hears STOP", master.log())
    assert "has not left and is killed" in master.log()


@pytest.mark.parametrize("wish", ["ignore", "accept on"])
def test_term_closes_the_listener_when_all_have_taken_what_was_queued(
    master: Master, wish: str
) -> None:
    """Or after a second, when one of them does not say so."""
    master.start("-w", "2", "--graceful-timeout", "20s", fake={"worker 2": wish})
    begin = time.monotonic()
    master.process.send_signal(signal.SIGTERM)
    wait_until(lambda: not master.listens(), "the listener is closed")
    assert (time.monotonic() - begin >= 1) == (wish == "accept on")
    assert master.children() == [master.child("worker 2")]
    master.process.send_signal(signal.SIGINT)


@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_stops_at_once(master: Master, second: int) -> None:
    master.start("-w", "2", "--graceful-timeout", "20s", fake={"worker": "ignore"})
    master.process.send_signal(signal.SIGTERM)
    master.wait_log("hears DRAIN", count=2)
    begin = time.monotonic()
    assert master.stop(second) == 0
    assert time.monotonic() - begin < 10
    assert "hears STOP" in master.log()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGQUIT])
def test_int_and_quit_stop_now(master: Master, number: int) -> None:
    master.start("-w", "2")
    assert master.stop(number) == 0
    assert len(re.findall(r"worker \d pid=\d+ hears STOP", master.log())) == 2


@pytest.mark.parametrize("wish", ["never HELLO", "never READY"])
@pytest.mark.parametrize("workers", ["1", "2"])
def test_term_at_the_start(master: Master, wish: str, workers: str) -> None:
    master.start("-w", workers, fake={"worker": wish}, serves=False)
    master.wait_log(r"worker=1 .* to=SPAWNED|worker=2 .* to=ASKED")
    assert master.stop() == 0


def test_signals_for_later_do_no_harm(master: Master) -> None:
    master.start("-w", "1")
    master.process.send_signal(signal.SIGUSR2)
    master.process.send_signal(signal.SIGUSR1)
    master.wait_log("log files reopened")
    assert master.process.poll() is None
    assert master.stop() == 0


def test_usr1_reopens_the_logs_everywhere(master: Master) -> None:
    error, access = master.folder / "error.log", master.folder / "access.log"
    words = ("-w", "2", "--error-log", str(error), "--access-log", str(access))
    master.start(*words, serves=False)
    wait_until(lambda: error.exists() and " serving " in error.read_text(), "it serves")
    error.rename(master.folder / "old.log")
    master.process.send_signal(signal.SIGUSR1)
    wait_until(lambda: error.exists() and "log files reopened" in error.read_text(), "reopened")
    wait_until(
        lambda: (master.folder / "old.log").read_text().count("hears LOGS with 2") == 3, "all hear"
    )
    assert master.stop() == 0
    assert error.read_text().count("hears DRAIN") == 2
    assert access.exists()


def test_a_taken_port(master: Master) -> None:
    with socket.create_server(("127.0.0.1", master.port)):
        master.start(serves=False)
        assert master.wait() == 1
    assert f"cannot listen on 127.0.0.1:{master.port}: the port is in use by" in master.log()
    assert f"(pid {os.getpid()})" in master.log()


def test_unix_socket_is_removed_at_the_end(master: Master) -> None:
    path = master.folder / "shop.sock"
    made = master.canonical(("-w", "1", "-b", f"unix:{path}"), {"worker": "serve"})
    listener = next(entry for entry in made["listen"] if entry["kind"] == "unix")
    listener["mode"] = 0o660
    made["listen"] = [listener]
    master.execute(made)
    master.wait_log(f'serving address="?unix:{path}')
    assert path.stat().st_mode & 0o777 == 0o660
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
        assert client.recv(100) == b"worker 1"
    assert master.stop() == 0
    assert not path.exists()


def test_pid_file(master: Master) -> None:
    path = master.folder / "shop.pid"
    path.write_text("1\n")
    master.start("-w", "1", "--pid", str(path))
    assert path.read_text() == f"{master.pid}\n"
    (master.folder / "second").mkdir()
    second = Master(master.folder / "second")
    second.start("-w", "1", "--pid", str(path), serves=False)
    assert second.wait() == 1
    assert f"is running (pid {master.pid})" in second.log()
    assert path.read_text() == f"{master.pid}\n"
    assert master.stop() == 0
    assert not path.exists()


def test_several_applications(master: Master) -> None:
    made = master.canonical(("-w", "2", "--log-level", "debug"), {})
    made["app"]["blog"] = {**made["app"]["shop"], "workers": 1}
    other = {**made["listen"][0], "app": "blog", "port": 0}
    made["listen"].append(other)
    master.execute(made)
    master.wait_log("serving address=.* app=blog workers=1")
    blog = {m[1] for m in master.wait_log(r"setup app=blog slot=(\d+) listeners=1")}
    shop = {m[1] for m in master.wait_log(r"setup app=shop slot=(\d+) listeners=1", 2)}
    assert len(blog | shop) == 3
    assert master.stop() == 0


@pytest.mark.parametrize(
    ("words", "status"),
    [([], 2), (["--config-fd"], 2), (["--config-fd", "x"], 2), (["--config-fd", "999"], 2)],
)
def test_usage(words: list[str], status: int) -> None:
    done = subprocess.run([MASTER, *words], capture_output=True, text=True, check=False)
    assert done.returncode == status
    assert "penstock --help" in done.stderr


def test_a_configuration_that_is_none(master: Master) -> None:
    assert master.execute({"version": 1}).wait() == 1
    assert "configuration" in master.log()


def test_standard_streams_that_are_closed(master: Master) -> None:
    """Started without any: nothing it opens may become one."""
    error = master.folder / "error.log"
    made = master.canonical(("-w", "1", "--error-log", str(error)), {"worker": "describe"})

    descriptor = launch.memory_file(json.dumps(made).encode())
    script = f'exec "$0" --config-fd {descriptor} <&- >&- 2>&-'
    master.process = subprocess.Popen(["sh", "-c", script, MASTER], pass_fds=[descriptor])
    os.close(descriptor)
    (master.folder / "stderr").touch()
    wait_until(lambda: error.exists() and "describes" in error.read_text(), "it starts")
    for fd in range(3):
        assert os.readlink(f"/proc/{master.pid}/fd/{fd}") == "/dev/null"
    assert master.stop() == 0


def test_the_banner_on_a_terminal(master: Master) -> None:
    made = master.canonical(("-w", "2"), {})
    made["server"]["terminal"] = True
    master.execute(made)
    master.wait_log(
        rf"penstock \d[^\n]*\n +http://127\.0\.0\.1:{master.port} +shop:app \(WSGI\), 2 workers\n"
    )
    assert master.stop(signal.SIGINT) == 0


def test_descriptors_of_the_master(master: Master) -> None:
    """Everything it has is close-on-exec, so that nothing leaks into what it executes."""
    master.start("-w", "2")
    for name in os.listdir(f"/proc/{master.pid}/fdinfo"):
        flags = re.search(r"flags:\s+(\d+)", Path(f"/proc/{master.pid}/fdinfo/{name}").read_text())
        assert int(name) <= 2 or int(flags[1], 8) & os.O_CLOEXEC, name
    assert master.stop() == 0
