"""Who is measured: one row for each server, in the best configuration that its own documentation gives.

A row says what has to be installed, how the server is started for a scenario, and what the reader should know about it.
Nothing here measures anything.
"""

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

BENCH = Path(__file__).resolve().parent
BIN = Path(sys.prefix, "bin")
HOST = "127.0.0.1"


@dataclass(frozen=True)
class Setup:
    """What a scenario asks of a server."""

    module: str
    """The application, as module:object of bench/apps."""
    port: int
    connections: int
    threads: int | None
    """How many calls of the application may wait at the same time; None: few, they do not wait."""
    workers: int
    access_log: Path | None
    scratch: Path
    """A folder that is the server's own for this run."""
    keep_alive: bool
    """Do clients send more than one request on a connection?"""
    nginx: str
    """What stands in nginx's location block."""


@dataclass(frozen=True)
class Peer:
    name: str
    command: Callable[[Setup], list[str]]
    requires: tuple[str, ...] = ()
    """What pip installs."""
    needs: tuple[str, ...] = ()
    """Programs that come from elsewhere, and what Debian calls their package."""
    note: str = ""
    usual: bool = True
    """Measured when nobody asks for it by name."""


def penstock(s: Setup) -> list[str]:
    threads = [] if s.threads is None else ["--threads", str(s.threads)]
    log = [] if s.access_log is None else ["--access-log", str(s.access_log)]
    address = f"{HOST}:{s.port}"
    return [f"{BIN}/penstock", s.module, "-b", address, "-w", str(s.workers), *threads, *log]


def nginx(s: Setup) -> list[str]:
    log = "off" if s.access_log is None else f"{s.access_log} combined"
    configuration = s.scratch / "nginx.conf"
    configuration.write_text(
        f"""daemon off;
worker_processes {s.workers};
pid {s.scratch}/nginx.pid;
error_log stderr error;
events {{ worker_connections {max(4096, s.connections + 100)}; }}
http {{
    access_log {log};
    keepalive_requests 100000000;
    keepalive_timeout 75s;
    sendfile on;
    tcp_nopush on;
    open_file_cache max=100;
    default_type text/plain;
    server {{
        listen {HOST}:{s.port} backlog=2048;
        location / {{ {s.nginx} }}
    }}
}}
"""
    )
    return ["/usr/sbin/nginx", "-p", str(s.scratch), "-c", str(configuration)]


def script(name: str) -> Callable[[Setup], list[str]]:
    def command(s: Setup) -> list[str]:
        return [f"{BIN}/python", f"{BENCH}/serve/{name}.py", s.module, HOST, str(s.port)]

    return command


def granian(s: Setup) -> list[str]:
    command = f"{BIN}/granian --interface wsgi --host {HOST} --port {s.port} --workers {s.workers} --http 1 --no-ws"
    command += f" --runtime-threads 1 --runtime-mode st --blocking-threads {s.threads or 1}"
    command += f" --backlog 2048 --backpressure {max(2048, s.connections)} --log-level warning"
    log = [] if s.access_log is None else ["--access-log"]
    return [*command.split(), *log, s.module]


def gunicorn(s: Setup) -> list[str]:
    command = f"{BIN}/gunicorn --bind {HOST}:{s.port} --workers {s.workers} --worker-class gthread"
    command += (
        f" --threads {s.threads or 4} --keep-alive 75 --http-parser fast --worker-tmp-dir /dev/shm"
    )
    command += " --log-level warning --no-control-socket"
    log = [] if s.access_log is None else ["--access-logfile", str(s.access_log)]
    return [*command.split(), *log, s.module]


def waitress(s: Setup) -> list[str]:
    command = (
        f"{BIN}/waitress-serve --listen={HOST}:{s.port} --threads={s.threads or 4} --backlog=2048"
    )
    command += f" --connection-limit={s.connections + 100}"
    return [*command.split(), s.module]


def uwsgi(s: Setup, *, router: bool) -> list[str]:
    threads = s.threads or (1 if router else s.connections)
    keep = "--http-keepalive" if s.keep_alive else ""
    socket = f"--http {HOST}:{s.port} {keep} --http-auto-chunked" if router else ""
    socket = socket or f"--http11-socket {HOST}:{s.port}"
    command = (
        f"{BIN}/uwsgi {socket} --master --processes {s.workers} --threads {threads} --thunder-lock"
    )
    command += (
        f" --listen {min(1024, somaxconn())} --need-app --single-interpreter --enable-threads"
    )
    command += f" --die-on-term --buffer-size 16384 --pythonpath {BENCH}/apps --module {s.module}"
    command += (
        " --lazy-apps" if s.module == "background:app" else ""
    )  # or the thread stays behind in the master
    log = ["--disable-logging"] if s.access_log is None else ["--logto2", str(s.access_log)]
    return [*command.split(), *log, "--virtualenv", sys.prefix]


def mod_wsgi(s: Setup) -> list[str]:
    module, _, name = s.module.partition(":")
    command = f"{BIN}/mod_wsgi-express start-server --application-type module {module} --callable-object {name}"
    command += f" --host {HOST} --port {s.port} --processes {s.workers} --threads {s.threads or 5}"
    command += f" --max-clients {max(20, s.connections + 10)} --keep-alive-timeout 75"
    command += " --disable-reloading --initial-workers 1 --minimum-spare-workers 1"
    command += f" --server-root {s.scratch} --working-directory {BENCH}/apps --log-level error --server-mpm event"
    more = s.scratch / "more.conf"
    more.write_text("MaxKeepAliveRequests 0\n")
    command += f" --include-file {more}"
    log = ["--access-log"] if s.access_log is not None else []
    user = ["unshare", "--user", "--map-user=1000", "--map-group=1000", "--"]
    unprivileged = user if os.geteuid() == 0 else []
    return [*unprivileged, *command.split(), *log]


def somaxconn() -> int:
    return int(Path("/proc/sys/net/core/somaxconn").read_text())


PEERS = (
    Peer(
        "penstock",
        penstock,
        note="As its users start it: default threads, unless the scenario sets them for everyone.",
    ),
    Peer(
        "nginx",
        nginx,
        needs=("/usr/sbin/nginx: nginx",),
        note="No application: `return 200` with the same body, or the same bytes from a file. The floor, not a rival.",
    ),
    Peer(
        "bjoern",
        script("with_bjoern"),
        ("bjoern",),
        note="One thread, so no two calls at once.",
    ),
    Peer(
        "fastwsgi",
        script("with_fastwsgi"),
        ("fastwsgi", "setuptools < 81"),
        note="One thread, so no two calls at once. It collects what a generator yields and sends it at the end.",
    ),
    Peer(
        "granian",
        granian,
        ("granian",),
        note="Its README: very few blocking threads for calls of less than a millisecond (1), as many as calls that "
        "wait otherwise; backpressure above the number of kept connections.",
    ),
    Peer(
        "gunicorn",
        gunicorn,
        ("gunicorn[fast]",),
        note="gthread, with the parser of its `fast` extra.",
    ),
    Peer("waitress", waitress, ("waitress",)),
    Peer(
        "uwsgi-http11",
        lambda s: uwsgi(s, router=False),
        ("uwsgi",),
        note="A kept connection holds a thread, so it has as many threads as there are connections.",
    ),
    Peer(
        "uwsgi-http",
        lambda s: uwsgi(s, router=True),
        ("uwsgi",),
        note="Its HTTP router in front of its worker: two processes.",
    ),
    Peer(
        "mod_wsgi",
        mod_wsgi,
        ("mod_wsgi",),
        needs=("apxs: apache2-dev", "apache2: apache2"),
        note="mod_wsgi-express in its recommended daemon mode, kept connections without end, all of Apache's threads "
        "from the start. Apache does not serve as root: started by root, it gets a user namespace.",
    ),
    Peer(
        "wsgiref", script("with_wsgiref"), note="For curiosity: HTTP/1.0, one thread.", usual=False
    ),
)

BY_NAME = {peer.name: peer for peer in PEERS}
