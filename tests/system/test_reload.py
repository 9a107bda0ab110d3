"""Reload: new code, packages and configuration take the place of the old, and no request is lost."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from harness import descendants, free_port, parent_of, wait_until
from load import Load
from masters import Master
from sites import GOOD, Site, make_venv

WAITS = """
import os, time
def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    flag = environ["QUERY_STRING"]
    yield b"begins "
    while flag and not os.path.exists(flag):
        time.sleep(0.01)
    yield b"VERSION"
"""


@pytest.fixture
def site(tmp_path):
    made = Site(tmp_path)
    made.deploy_version("one")
    made.configure("workers = 2")
    yield made
    if made.process is not None:
        made.stop()


# ---- what changes ----


@pytest.mark.parametrize("workers", [1, 2])
def test_new_code(site, workers):
    site.configure(f"workers = {workers}")
    site.start()
    assert site.get() == b"one"
    before = site.workers()
    site.deploy_version("two, which is longer")
    site.reload()
    assert site.get() == b"two, which is longer"
    wait_until(lambda: not set(before) & set(site.workers()), "the old workers leave")
    assert len(site.workers()) == workers


def test_new_packages_in_a_new_venv(site):
    for name in ("first", "second"):
        make_venv(site.folder / name, f"NAME = {name!r}\n")
    site.deploy(
        GOOD.format(version="?")
        .replace("import os", "import dependency, os")
        .replace("VERSION.encode()", "dependency.NAME.encode()")
    )
    link = site.folder / "venv"
    link.symlink_to("first")
    site.configure('workers = 2\nvenv = "venv"')
    site.start()
    assert site.get() == b"first"
    link.unlink()
    link.symlink_to("second")
    site.reload()
    assert site.get() == b"second"


def test_a_folder_that_is_a_link(site):
    """Where deployments are folders and a link says which one is served."""
    releases = [site.folder / name for name in ("r1", "r2")]
    for release in releases:
        release.mkdir()
        (release / "site_app.py").write_text(GOOD.format(version=release.name))
    link = site.folder / "current"
    link.symlink_to(releases[0])
    site.write = lambda: (link / "penstock.toml").write_text(
        f'[[listen]]\naddress = "127.0.0.1:{site.port}"\n[app.site]\nmodule = "site_app:app"\nworkers = 1\n'
    )
    site.cwd = link
    site.extra["PWD"] = str(link)
    site.start()
    assert site.get() == b"r1"
    (releases[1] / "penstock.toml").write_text((link / "penstock.toml").read_text())
    link.unlink()
    link.symlink_to(releases[1])
    site.reload()
    assert site.get() == b"r2"


def test_new_settings(site):
    site.deploy(
        GOOD.format(version="?").replace("VERSION.encode()", "os.environ['GIVEN'].encode()")
    )
    site.configure('workers = 1\nenvironment = { GIVEN = "old" }')
    site.start()
    assert site.get() == b"old"
    access, error = site.folder / "access.log", site.folder / "other.log"
    site.configure(
        'workers = 3\nenvironment = { GIVEN = "new" }',
        f'access-log = "{access}"\nerror-log = "{error}"\nname = "renamed"\npid = "{site.folder}/pid"',
    )
    site.hup()
    wait_until(lambda: "reloaded: the new" in site.read("other.log"), "it serves")
    assert site.get() == b"new"
    wait_until(lambda: len(site.workers()) == 3, "three workers")
    assert '"GET / HTTP/1.1" 200' in wait_until(access.read_text, "a line")
    assert Path(f"/proc/{site.pid}/cmdline").read_bytes().startswith(b"renamed: master\0")
    assert (site.folder / "pid").read_text() == f"{site.pid}\n"
    assert site.stop() == 0
    assert "stopped" in error.read_text()
    assert not (site.folder / "pid").exists()


def test_listeners_are_opened_kept_and_closed(site):
    extra = free_port()
    path = site.folder / "shop.sock"
    site.configure("workers = 2", listeners=f'[[listen]]\naddress = "127.0.0.1:{extra}"')
    site.start()
    kept = socket_inode(site, site.port)
    assert site.listens_on(extra)
    site.configure("workers = 2", listeners=f'[[listen]]\naddress = "unix:{path}"\nmode = 0o600')
    site.reload()
    wait_until(lambda: not site.listens_on(extra), "the old one is closed")
    assert path.stat().st_mode & 0o777 == 0o600
    site.configure("workers = 2", listeners=f'[[listen]]\naddress = "unix:{path}"\nmode = 0o660')
    site.reload()
    assert path.stat().st_mode & 0o777 == 0o660
    assert socket_inode(site, site.port) == kept
    site.configure("workers = 2")
    site.reload()
    wait_until(lambda: not path.exists(), "its file is removed")
    assert site.get() == b"one"


def socket_inode(site, port):
    """The inode of the socket that listens on a port."""
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if fields[3] == "0A" and fields[1].endswith(f":{port:04X}"):
            return fields[9]
    raise AssertionError(f"nobody listens on {port}")


def test_a_closed_listener_refuses_while_an_old_worker_still_works(site):
    """The worker holds the socket; its clients are not to queue up behind one that takes nobody."""
    extra, flag = free_port(), site.folder / "flag"
    site.deploy(WAITS)
    site.configure("workers = 1", listeners=f'[[listen]]\naddress = "127.0.0.1:{extra}"')
    site.start()
    client = begin(site, flag)
    site.configure("workers = 1")
    site.reload()
    wait_until(lambda: not site.listens_on(extra), "it is closed")
    assert len(site.workers()) == 2
    flag.touch()
    assert read_all(client).endswith(b"VERSION\r\n0\r\n\r\n")


def begin(site, flag):
    """Begin a request that lasts until there is a flag; return the connection when it is under way."""
    client = site.connect()
    client.sendall(f"GET /?{flag} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    got = b""
    while b"begins" not in got:
        got += client.recv(65536)
    return client


def read_all(client):
    got = b""
    with client, contextlib.suppress(ConnectionResetError):
        while not got.endswith(b"0\r\n\r\n") and (piece := client.recv(65536)):
            got += piece
    return got


# ---- what fails ----

BROKEN = {
    "syntax": ("def app(:\n", "SyntaxError"),
    "import": ("import no_such_module_anywhere\n", "No module named 'no_such_module_anywhere'"),
    "raise": ("raise RuntimeError('at import')\n", "RuntimeError: at import"),
    "exit": ("import os\nos._exit(7)\n", "exit=7"),
    "system exit": ("raise SystemExit('leaves')\n", "SystemExit"),
    "no app": ("x = 1\n", "has no attribute 'app'"),
    "crash": ("import os\nos.kill(os.getpid(), 11)\n", "SIGSEGV"),
    "hang": ("import time\ntime.sleep(1000)\n", "not ready after start-timeout"),
}


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_deploy_changes_nothing(site, kind, workers):
    site.configure(f'workers = {workers}\nstart-timeout = "2s"')
    site.start()
    before = set(site.workers())
    source, word = BROKEN[kind]
    site.deploy(source)
    log = site.fail_to_reload()
    assert word in log
    assert set(site.workers()) >= before
    assert site.get() == b"one"
    wait_until(lambda: set(site.workers()) == before, "what was tried leaves")
    site.deploy_version("mended")
    site.reload()
    assert site.get() == b"mended"


def test_a_wrong_configuration(site):
    site.start()
    site.configure("workers = 0\nwrokers = 2")
    log = site.fail_to_reload()
    assert "penstock.toml:" in log
    assert "wrokers" in log
    assert site.get() == b"one"
    site.configure("workers = 3")
    site.reload()
    wait_until(lambda: len(site.workers()) == 3, "three workers")


def test_a_listener_that_cannot_be_had(site):
    site.start()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        site.configure("workers = 2", listeners=f'[[listen]]\naddress = "127.0.0.1:{port}"')
        log = site.fail_to_reload()
    assert f"cannot listen on 127.0.0.1:{port}: the port is in use" in log
    assert site.get() == b"one"
    site.reload()
    assert site.listens_on(port)


def test_a_pid_file_that_cannot_be_had(site):
    site.start()
    site.configure("workers = 2", f'pid = "{site.folder}"')
    assert "is a folder" in site.fail_to_reload()
    assert site.get() == b"one"


# ---- orders that overlap ----


def test_the_latest_reload_wins(site):
    site.start()
    site.deploy("import time\ntime.sleep(1000)\n")
    site.hup()
    site.wait_log("the new generation starts generation=2")
    site.deploy_version("three")
    site.reload()
    assert site.get() == b"three"
    assert "the reload failed" not in site.log()
    wait_until(lambda: len(site.workers()) == 2, "only the last ones are left")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_end_in_a_reload(site, number):
    site.start()
    site.deploy("import time\ntime.sleep(1000)\n")
    site.hup()
    site.wait_log("the new generation starts generation=2")
    family = descendants(site.pid)
    assert site.stop(number) == 0
    assert not any(parent_of(pid) for pid in family)


def test_reloads_while_an_old_generation_drains(site):
    flag = site.folder / "flag"
    site.deploy(WAITS.replace("VERSION", "first"))
    site.configure("workers = 1")
    site.start()
    clients = [begin(site, flag)]
    for version in ("second", "third"):
        site.deploy(WAITS.replace("VERSION", version))
        site.reload()
        clients.append(begin(site, flag))
    wait_until(lambda: len(site.workers()) == 3, "three generations")
    flag.touch()
    answers = [read_all(client) for client in clients]
    for answer, version in zip(answers, (b"first", b"second", b"third"), strict=True):
        assert version in answer
    wait_until(lambda: len(site.workers()) == 1, "only the last one is left")


# ---- drain ----


def test_a_connection_serves_one_more_request_and_says_so(site):
    site.start()
    with site.connect() as client:
        ask = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
        client.sendall(ask)
        assert b"Connection: close" not in client.recv(65536)
        site.deploy_version("two")
        site.reload()
        client.sendall(ask)
        answer = client.recv(65536)
        assert b"Connection: close\r\n" in answer
        assert answer.endswith(b"one")
        assert client.recv(1) == b""


def test_a_response_that_had_begun_is_followed_by_one_more(site):
    """Its head could not say yet that it is the last."""
    flag = site.folder / "flag"
    site.deploy(WAITS)
    site.start()
    client = begin(site, flag)
    site.reload()
    flag.touch()
    got = b""
    while not got.endswith(b"0\r\n\r\n"):
        got += client.recv(65536)
    client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    answer = read_all(client)
    assert b"Connection: close\r\n" in answer


def test_an_idle_connection_is_closed_after_two_seconds(site):
    site.start()
    with site.connect() as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        client.recv(65536)
        site.reload()
        begun = time.monotonic()
        assert client.recv(1) == b""
        assert 1.5 < time.monotonic() - begun < 6


@pytest.mark.parametrize("reloads", [True, False])
def test_what_is_left_after_graceful_timeout_is_cut_and_named(site, reloads):
    site.deploy(WAITS)
    site.configure('workers = 1\ngraceful-timeout = "500ms"')
    site.start()
    client = begin(site, site.folder / "never")
    if reloads:
        site.reload()
    else:
        site.kill(signal.SIGTERM)
    assert not read_all(client).endswith(b"0\r\n\r\n")
    site.wait_log(r"a request is cut: the worker leaves method=GET target=.*never.* id=\S+ peer=")
    site.wait_log("is not done after graceful-timeout")
    if reloads:
        wait_until(lambda: len(site.workers()) == 1, "the old worker has left")


def test_term_serves_what_was_queued(site):
    """A worker that is busy has not accepted them yet; they are no less clients for that."""
    flag = site.folder / "flag"
    site.deploy(WAITS)
    site.configure("workers = 1\nthreads = 1\nlimit-concurrency = 1")
    site.start()
    first = begin(site, flag)
    queued = [site.connect() for _ in range(5)]
    for client in queued:
        client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    site.kill(signal.SIGTERM)
    wait_until(lambda: not site.listens_on(site.port), "the listener is closed")
    flag.touch()
    assert b"VERSION" in read_all(first)
    for client in queued:
        assert client.recv(12) in (b"HTTP/1.1 200", b"HTTP/1.1 503")
        client.close()
    assert site.wait() == 0


# ---- rolling ----


def test_rolling(site):
    """Of three workers one is replaced at a time: there are never more than four."""
    site.configure("workers = 3\nrolling = 1")
    site.start()
    most = 0
    seen = set()
    old = set(site.workers())
    site.deploy_version("two")
    site.hup()

    def rolled():
        nonlocal most
        now = set(site.workers())
        most = max(most, len(now))
        seen.update(now)
        return len(now) == 3 and not now & old

    wait_until(rolled, "all are replaced")
    assert most <= 4
    assert len(seen - old) == 3
    site.wait_log("reloaded: the new generation serves generation=2")
    assert site.get() == b"two"


def test_a_broken_deploy_when_rolling(site):
    site.configure("workers = 3\nrolling = 1")
    site.start()
    before = set(site.workers())
    site.deploy("raise RuntimeError\n")
    site.fail_to_reload()
    wait_until(lambda: set(site.workers()) == before, "nobody has left")
    assert site.get() == b"one"


def test_a_reload_in_a_rolling_one(master: Master):
    """No worker more is started of a generation that is to leave."""
    words = ("-w", "3", "--rolling", "1")
    master.prepare(*words)
    master.start(*words, fake={"worker": f"leave when there is {master.folder}/flag"})
    master.process.send_signal(signal.SIGHUP)
    master.wait_log("reloaded: the new generation serves generation=2")
    master.process.send_signal(signal.SIGHUP)
    master.wait_log("reloaded: the new generation serves generation=3")
    wait_until(lambda: master.log().count("hears DRAIN") >= 3, "the first three are told")
    (master.folder / "flag").touch()
    master.wait_log("a generation has left", count=2)
    wait_until(lambda: len(master.children()) == 4, "three workers and a template")
    assert len(set(re.findall(r"fake worker \d pid=(\d+) setup", master.log()))) == 3 + 1 + 3
    assert master.stop() == 0


# ---- under load ----


def reload_under_load(site, times):
    site.configure("workers = 2")
    site.start()
    with Load(site.port) as load:
        for number in range(times):
            site.deploy_version(f"version {number:04}")
            site.reload()
            assert not load.failures, (number, load.failures[:5])
    assert not load.failures, load.failures[:5]
    assert load.total() > 10 * times
    assert load.closed > times
    assert len(load.answers) > times / 2


def test_five_reloads_under_load(site):
    reload_under_load(site, 5)


def test_five_rolling_reloads_under_load(site):
    site.configure("workers = 3\nrolling = 1")
    site.start()
    with Load(site.port) as load:
        for number in range(5):
            site.deploy_version(f"version {number:04}")
            site.reload()
    assert not load.failures, load.failures[:5]


@pytest.mark.soak
def test_two_hundred_reloads_under_load(site):
    reload_under_load(site, 200)


# ---- what is left ----


def memory(pid):
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return int(re.search(r"^Pss_Anon:\s+(\d+)", text, re.MULTILINE)[1])


def count_left(master: Master):
    return len(os.listdir(f"/proc/{master.pid}/fd")), len(master.children())


def settle(master: Master, reloads):
    master.wait_log("a generation has left", count=reloads)
    wait_until(lambda: len(master.children()) == 3, "two workers and a template")


@pytest.mark.parametrize("words", [(), ("--rolling", "1")])
def test_nothing_is_left_after_many_reloads(master: Master, words):
    """No descriptor, no process, not even a dead one, and no memory."""
    master.prepare("-w", "2", *words)
    master.start("-w", "2", *words)
    for number in range(1, 11):
        master.reload(number)
        settle(master, number)
    left, before = count_left(master), memory(master.pid)
    for number in range(11, 41):
        master.reload(number)
        settle(master, number)
    assert count_left(master) == left
    assert memory(master.pid) - before <= 64
    assert not zombies(master.pid)
    assert master.stop() == 0


def zombies(pid):
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            state, parent = Path(f"/proc/{name}/stat").read_text().rpartition(")")[2].split()[:2]
        except OSError:
            continue
        if state == "Z" and int(parent) == pid:
            found.append(int(name))
    return found


def test_failed_reloads_leave_nothing(master: Master):
    master.start("-w", "2")
    master.prepare("-w", "2", fake={"worker": "exit 4"})
    counts = []
    for number in range(1, 16):
        master.process.send_signal(signal.SIGHUP)
        master.wait_log("the reload failed", count=number)
        settle(master, number)
        counts.append(count_left(master))
    assert counts[4] == counts[-1]
    assert master.stop() == 0


# ---- the master alone ----


def test_a_launcher_that_fails(master: Master):
    master.start("-w", "1")
    master.prepare_made(None)
    master.process.send_signal(signal.SIGHUP)
    master.wait_log("the reload failed: the generation that serves stays")
    assert "the launcher is told to fail" in master.log()
    assert master.stop() == 0


def test_a_launcher_that_hands_back_nonsense(master: Master):
    master.start("-w", "1")
    master.prepare_made({"version": 1})
    master.process.send_signal(signal.SIGHUP)
    master.wait_log("the configuration handed over is not valid")
    assert master.stop() == 0


@pytest.mark.parametrize("order", [signal.SIGTERM, signal.SIGHUP, signal.SIGWINCH])
def test_orders_while_the_launcher_checks(master: Master, order):
    hangs = master.folder / "launcher hangs"
    hangs.touch()
    master.prepare("-w", "1")
    master.start("-w", "1")
    master.process.send_signal(signal.SIGHUP)
    master.wait_log("the configuration is checked")
    launcher = wait_until(lambda: master.children()[1:], "the launcher runs")
    master.process.send_signal(order)
    if order == signal.SIGTERM:
        assert master.wait() == 0
    elif order == signal.SIGHUP:
        master.wait_log("the configuration is checked", count=2)
        hangs.unlink()
        master.wait_log("reloaded: the new generation serves generation=2")
    else:
        master.wait_log("the workers leave, the master stays")
        wait_until(lambda: not master.children(), "nobody is left")
    assert not any(parent_of(pid) == master.pid for pid in launcher[:1])


def test_a_reload_at_the_start_follows_it(master: Master):
    flag = master.folder / "flag"
    master.prepare("-w", "1")
    master.start("-w", "1", fake={"worker": f"READY when there is {flag}"}, serves=False)
    master.wait_log("to=STARTING")
    master.process.send_signal(signal.SIGHUP)
    master.wait_log("order=RELOAD from=STARTING to=PENDING")
    flag.touch()
    master.wait_log("reloaded: the new generation serves generation=2")
    assert master.stop() == 0


def test_an_application_that_comes_and_one_that_goes(master: Master):
    master.start("-w", "1")
    made = master.canonical(("-w", "1"), {"worker": "serve"})
    port = free_port()
    blog = {**made["app"]["shop"], "workers": 2}
    made["app"]["blog"] = blog
    made["listen"].append({**made["listen"][0], "app": "blog", "port": port})
    master.prepare_made(made)
    master.reload()
    with socket.create_connection(("127.0.0.1", port)) as client:
        assert client.recv(100).startswith(b"worker")
    del made["app"]["blog"], made["listen"][1]
    master.prepare_made(made)
    master.reload(2)
    wait_until(lambda: len(master.children()) == 1, "blog has left")
    assert master.stop() == 0


def test_nobody_accepts_before_all_applications_are_ready(master: Master):
    flag = master.folder / "flag"
    master.start("-w", "1")
    made = master.canonical(("-w", "1", "--log-level", "debug"), {})
    slow = {
        **made["app"]["shop"],
        "environment": {"FAKE": f'{{"worker": "READY when there is {flag}"}}'},
    }
    made["app"]["blog"] = slow
    made["listen"].append({**made["listen"][0], "app": "blog", "port": 0})
    master.prepare_made(made)
    master.process.send_signal(signal.SIGHUP)
    master.wait_log(r"generation app=shop number=2 from=STARTING to=READY")
    master.wait_log(r"process app=blog worker=1 .* to=STARTING")
    assert master.log().count("hears ACCEPT") == 1
    flag.touch()
    master.wait_log("hears ACCEPT", count=3)
    assert master.stop() == 0


# ---- sockets that penstock was started with ----


class Passed(Site):
    """A site whose listener somebody else has opened, as systemd does or as a shell does."""

    by_systemd = True

    def write(self) -> None:
        (self.folder / "penstock.toml").write_text(
            f'{self.listeners}\n[app.site]\nmodule = "site_app:app"\n{self.settings}\n'
        )

    def _spawn(self) -> None:
        self.write()
        listener = socket.create_server(("127.0.0.1", 0))
        self.port = listener.getsockname()[1]
        script = f"""
import os, sys
os.dup2({listener.fileno()}, 3)
if {self.by_systemd}:
    os.environ.update(LISTEN_FDS="1", LISTEN_PID=str(os.getpid()))
os.execv(sys.executable, [sys.executable, "-m", "penstock"])
"""
        with listener, open(self.folder / "stderr", "ab") as err:
            self.process = subprocess.Popen(
                [sys.executable, "-c", script],
                stdin=subprocess.DEVNULL,
                stderr=err,
                env={**os.environ, **self.extra},
                cwd=self.folder,
                pass_fds=[listener.fileno()],
            )


@pytest.mark.parametrize("by_systemd", [True, False])
def test_a_socket_that_penstock_was_started_with_is_kept(tmp_path, by_systemd):
    """The launcher does not have it any more when it runs again, but the master does."""
    site = Passed(tmp_path)
    site.by_systemd = by_systemd
    site.deploy_version("one")
    site.configure("workers = 2", listeners="" if by_systemd else '[[listen]]\naddress = "fd://3"')
    site.start()
    try:
        kept = socket_inode(site, site.port)
        for version in ("two", "three"):
            site.deploy_version(version)
            site.reload()
            assert site.get() == version.encode()
        assert socket_inode(site, site.port) == kept
    finally:
        site.stop()
