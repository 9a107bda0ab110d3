"""Where a server listens: families, Unix sockets, sockets that it was started with, several applications."""

import os
import pwd
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path

import pytest
from harness import APPS, LIMIT, Server, free_port, wait_until
from http1 import Connection, fetch, request
from proc import descriptors, sockets, variables

pytestmark = pytest.mark.extension

ACTIVATE = str(Path(__file__).parent / "activate.py")


class At:
    """A place to connect to, for what makes connections."""

    def __init__(self, family, address):
        self.family, self.address = family, address

    def connect(self, timeout=LIMIT):
        sock = socket.socket(self.family)
        sock.settimeout(timeout)
        try:
            sock.connect(self.address)
        except OSError:
            sock.close()
            raise
        return sock


def at(address):
    """Return the place that an address means: HOST:PORT, a path, @NAME."""
    if address.startswith("@"):
        return At(socket.AF_UNIX, "\0" + address[1:])
    if address.startswith("/"):
        return At(socket.AF_UNIX, address)
    host, _, port = address.rpartition(":")
    return At(socket.AF_INET6 if ":" in host else socket.AF_INET, (host, int(port)))


def ask(address):
    return fetch(at(address)).json()


class Other(Server):
    """A server that is started by another command line."""

    def __init__(self, words, folder, place, cwd=None):
        super().__init__("", folder=folder, cwd=cwd)
        self.words, self.place = words, place

    def command(self):
        return self.words

    def connect(self, timeout=LIMIT):
        return at(self.place).connect(timeout)


@pytest.fixture
def start(tmp_path):
    """Start servers by their whole command line, and end them."""
    started = []

    def begin(words, place, ends=False, **others):
        folder = tmp_path / f"other{len(started)}"
        folder.mkdir()
        server = Other([str(word) for word in words], folder, place, **others)
        started.append(server)
        return server.run_to_its_end() if ends else server.start()

    yield begin
    for server in started:
        server.stop()


def run(*options):
    return [sys.executable, "-m", "penstock", "whoami", "--app-dir", APPS, *options]


def has_inet6():
    try:
        with socket.socket(socket.AF_INET6) as sock:
            sock.bind(("::1", 0))
    except OSError:
        return False
    return True


inet6 = pytest.mark.skipif(not has_inet6(), reason="this machine has no IPv6")


# ---- TCP ----


@inet6
def test_both_families(serve):
    port = free_port()
    serve("whoami", "-b", f"[::]:{port}")
    assert ask(f"127.0.0.1:{port}")["peer"] == "127.0.0.1"
    assert ask(f"::1:{port}")["peer"] == "::1"


@inet6
def test_each_family_by_itself(start):
    port = free_port()
    words = run("-b", f"[::]:{port}", "-b", f"0.0.0.0:{port}")
    refused = start(words, f"127.0.0.1:{port}", ends=True)
    assert refused.process.returncode == 2
    assert f"[::]:{port} takes IPv4 connections as well" in refused.log()
    start([*words, "--ipv6-only"], f"127.0.0.1:{port}")
    assert ask(f"127.0.0.1:{port}")["peer"] == "127.0.0.1"
    assert ask(f"::1:{port}")["peer"] == "::1"


@inet6
def test_ipv6_only_refuses_ipv4(start):
    port = free_port()
    start(run("-b", f"[::]:{port}", "--ipv6-only"), f"::1:{port}")
    with pytest.raises(ConnectionRefusedError):
        at(f"127.0.0.1:{port}").connect()


def test_a_port_for_two_servers(start):
    port = free_port()
    place = f"127.0.0.1:{port}"
    first = start(run("-b", place, "--reuse-port"), place)
    refused = start(run("-b", place), place, ends=True)
    assert refused.process.returncode == 1
    assert "the port is in use" in refused.log()
    second = start(run("-b", place, "--reuse-port"), place)
    second.wait_log("serving")
    (one,), (two,) = first.workers(), second.workers()
    seen = set()
    wait_until(lambda: seen.add(ask(place)["pid"]) or seen == {one, two}, "answers of both")
    first.stop()
    assert ask(place)["pid"] == two


def test_a_connection_that_says_nothing_stays_in_the_kernel(serve):
    server = serve("whoami", "--defer-accept", "30s")
    (worker,) = server.workers()
    assert fetch(server).status == 200
    wait_until(lambda: sockets(worker) == idle_sockets(worker), "an idle worker")
    idle = sockets(worker)
    with Connection(server) as silent, Connection(server) as other:
        for _ in range(10):  # the worker has taken none, or they would be taken before this one
            other.send(request())
            assert other.response().status == 200
        assert sockets(worker) == idle + 1
        silent.send(request())
        assert silent.response().status == 200
        assert sockets(worker) == idle + 2


def idle_sockets(pid):
    """The sockets of a worker without connections: listener and channel."""
    return 2


def test_the_backlog_is_cut(serve):
    most = int(Path("/proc/sys/net/core/somaxconn").read_text())
    server = serve("whoami", "--backlog", str(min(most + 1, 65535)))
    if most < 65535:
        server.wait_log(rf"warn .*backlog.*net.core.somaxconn.*backlog={most + 1} somaxconn={most}")
    assert "somaxconn" not in serve("whoami", "--backlog", str(most)).log()


# ---- Unix sockets ----


@pytest.fixture
def short():
    """A folder with a short path that every user may pass through."""
    folder = tempfile.mkdtemp(prefix="penstock-")
    os.chmod(folder, 0o755)
    yield Path(folder)
    shutil.rmtree(folder)


def test_mode_and_owner(start, short):
    path = short / "s"
    owner = "www-data:daemon" if os.geteuid() == 0 else str(os.geteuid())
    server = start(run("-b", f"unix:{path}", "--mode", "640", "--owner", owner), str(path))
    found = path.stat()
    assert stat.S_IMODE(found.st_mode) == 0o640
    if os.geteuid() == 0:
        assert found.st_uid == pwd.getpwnam("www-data").pw_uid
        assert found.st_gid == pwd.getpwnam("daemon").pw_gid
    assert ask(str(path))["pid"]
    server.stop()
    assert not path.exists()


def test_a_killed_servers_socket_is_replaced_a_living_ones_is_not(start, short):
    path = short / "s"
    first = start(run("-b", f"unix:{path}"), str(path))
    refused = start(run("-b", f"unix:{path}"), str(path), ends=True)
    assert refused.process.returncode == 1
    assert f"unix:{path}: the socket is in use by" in refused.log()
    assert f"(pid {first.pid})" in refused.log()
    workers = first.workers()
    first.kill(signal.SIGKILL)
    first.wait()
    wait_until(lambda: not any(Path(f"/proc/{pid}/fd").exists() for pid in workers), "no workers")
    assert path.exists()
    second = start(run("-b", f"unix:{path}"), str(path))
    assert ask(str(path))["pid"] in second.workers()


def test_an_abstract_socket(start):
    name = f"@penstock-{os.getpid()}"
    server = start(run("-b", f"unix:{name}"), name)
    assert ask(name)["pid"] in server.workers()
    server.wait_log(rf"address=unix:{name} ")
    assert not Path(name).exists()
    refused = start(run("-b", f"unix:{name}"), name, ends=True)
    assert f"unix:{name}: the socket is in use by" in refused.log()


# ---- sockets that it was started with ----


def activated(*sockets, options=()):
    return [sys.executable, ACTIVATE, *sockets, "--", *run(*options)]


def test_all_that_systemd_passed(start, short):
    port, path = free_port(), short / "s"
    server = start(activated(f"web=127.0.0.1:{port}", f"admin={path}"), f"127.0.0.1:{port}")
    for place in (f"127.0.0.1:{port}", str(path)):
        answer = ask(place)
        assert answer["pid"] in server.workers()
        assert answer["listen"] == []
    (worker,) = server.workers()
    assert not [name for name in variables(server.pid) if name.startswith("LISTEN_")]
    assert not [name for name in variables(worker) if name.startswith("LISTEN_")]
    server.stop()
    assert path.exists()  # it is systemd's


def test_by_name(start):
    web, api = free_port(), free_port()
    words = activated(f"web=127.0.0.1:{web}", f"api=127.0.0.1:{api}", options=("-b", "fd://api"))
    server = start(words, f"127.0.0.1:{api}")
    assert ask(f"127.0.0.1:{api}")["pid"] in server.workers()
    assert "no listener takes the socket web (descriptor 3) that systemd passed" in server.log()
    with pytest.raises(ConnectionRefusedError):
        at(f"127.0.0.1:{web}").connect()


@pytest.mark.parametrize("options", [("--fd", "3"), ("-b", "fd://3")])
def test_by_number(start, options):
    port = free_port()
    server = start(activated(f"-=127.0.0.1:{port}", options=options), f"127.0.0.1:{port}")
    assert ask(f"127.0.0.1:{port}")["pid"] in server.workers()
    server.wait_log(rf"serving address=http://127.0.0.1:{port}")


@pytest.mark.parametrize(
    ("socket", "options", "status", "message"),
    [
        ("-=udp", ("--fd", "3"), 1, "descriptor 10: its socket is not a stream socket"),
        ("-=udp", ("--fd", "7"), 2, "descriptor 7 is not open: penstock was not started with it"),
        ("web=udp", ("-b", "fd://wab"), 2, 'systemd passed no socket "wab"; did you mean "web"?'),
        ("-=udp", ("-b", "fd://web"), 2, 'systemd passed no socket "web": it passed none'),
        ("-=udp", ("--fd", "3", "--port", "80"), 2, "--fd says where to listen, too"),
    ],
)
def test_what_cannot_be_taken_over(start, socket, options, status, message):
    refused = start(activated(socket, options=options), "127.0.0.1:1", ends=True)
    assert refused.process.returncode == status
    assert message in refused.log()


def test_clients_that_came_before_the_server_are_served(start, tmp_path):
    """The socket is older than the server and outlives it: nobody is refused while it restarts."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        place = f"127.0.0.1:{port}"
        os.set_inheritable(listener.fileno(), True)
        words = run("--fd", str(listener.fileno()))
        for _ in range(2):
            with Connection(at(place)) as early:
                early.send(request(headers=[("Connection", "close")]))
                process = subprocess.Popen(
                    words,
                    pass_fds=[listener.fileno()],
                    stderr=subprocess.DEVNULL,
                    cwd=tmp_path,
                )
                try:
                    assert early.response().status == 200
                finally:
                    process.terminate()
                    assert process.wait(LIMIT) == 0


@pytest.mark.skipif(
    shutil.which("systemd-socket-activate") is None, reason="systemd-socket-activate is missing"
)
def test_systemds_own_program(start):
    port = free_port()
    place = f"127.0.0.1:{port}"
    words = ["systemd-socket-activate", "-l", place, "--fdname=web"]
    words += [f"-E{name}" for name in ("PATH", "HOME", "PYTHONPATH") if name in os.environ]
    server = start([*words, *run("-b", "fd://web")], place)
    assert ask(place)["pid"] in server.workers()


# ---- several applications ----


@contextmanager
def configured(start, folder, text, place):
    (folder / "penstock.toml").write_text(text)
    os.chmod(folder / "penstock.toml", 0o644)
    yield start([sys.executable, "-m", "penstock"], place, cwd=folder)


def python_for_all():
    """Return a Python that every user may run: ours, or the system's where it is of the same version."""
    system = Path("/usr/bin/python3")
    ours = Path(sys.executable).resolve()
    if all(folder.stat().st_mode & stat.S_IXOTH for folder in ours.parents):
        return sys.executable
    same = subprocess.run(
        [system, "-c", "import sys, ensurepip; print(*sys.version_info[:2])"],
        capture_output=True,
        text=True,
        check=False,
    )
    if same.stdout.split() != [str(part) for part in sys.version_info[:2]]:
        pytest.skip("there is no Python that other users may run")
    return str(system)


def test_two_applications_with_their_own_users_and_environments(start, short):
    shop, blog = free_port(), free_port()
    root = os.geteuid() == 0
    users = ("www-data", "daemon") if root else (str(os.geteuid()),) * 2
    python = python_for_all() if root else sys.executable
    for name in ("shop", "blog"):
        subprocess.run([python, "-m", "venv", "--without-pip", short / f"venv-{name}"], check=True)
        (short / name).mkdir()
        shutil.copy(APPS / "whoami.py", short / name / "whoami.py")
    text = f"""
        [[listen]]
        address = "127.0.0.1:{shop}"
        app = "shop"
        [[listen]]
        address = "127.0.0.1:{blog}"
        app = "blog"
        [app.shop]
        module = "whoami"
        directory = "shop"
        venv = "venv-shop"
        user = "{users[0]}"
        workers = 2
        [app.blog]
        module = "whoami"
        directory = "blog"
        venv = "venv-blog"
        user = "{users[1]}"
        workers = 1
    """
    with configured(start, short, text, f"127.0.0.1:{blog}") as server:
        server.wait_log("serving(.|\n)*serving")
        one, two = ask(f"127.0.0.1:{shop}"), ask(f"127.0.0.1:{blog}")
        assert one["prefix"] == str(short / "venv-shop")
        assert two["prefix"] == str(short / "venv-blog")
        for answer, user in ((one, users[0]), (two, users[1])):
            if root:
                assert answer["uid"] == pwd.getpwnam(user).pw_uid
                assert answer["gid"] == pwd.getpwnam(user).pw_gid
        assert len(server.workers()) == 3
        inodes = [set(descriptors(pid)) for pid in (one["pid"], two["pid"])]
        listening = {f"socket:[{inode}]" for inode in listening_inodes((shop, blog))}
        assert [len(inode & listening) for inode in inodes] == [1, 1]
        assert not inodes[0] & inodes[1] & listening


def listening_inodes(ports):
    """Return the inodes of the sockets that listen on these TCP ports."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return {row[9] for row in rows if row[3] == "0A" and int(row[1].partition(":")[2], 16) in ports}
