"""What is measured: one row for each scenario. Nothing here measures anything."""

from collections.abc import Callable
from dataclasses import dataclass, field

HELLO = b"Hello, World!\n"


@dataclass(frozen=True)
class Variant:
    """One of several ways in which every server runs within a scenario."""

    name: str = ""
    workers: int = 1
    access_log: bool = False
    beside: bool = True
    """Is the slow route of an open-loop scenario asked for?"""


@dataclass(frozen=True)
class OpenLoop:
    """Requests at a fixed rate: latency, not CPU time, is what such a scenario is about."""

    rate: int
    slow_path: str = ""
    slow_every: int = 0


@dataclass(frozen=True)
class Scenario:
    name: str
    title: str
    module: str = "hello:app"
    path: str = "/"
    method: str = "GET"
    upload: int = 0
    """Size of the request's body."""
    headers: tuple[str, ...] = ()
    connections: int = 64
    threads: int | None = None
    expect: bytes | Callable[[bytes], bool] = HELLO
    """The body that every server must answer with, or a check of it."""
    nginx: str = ""
    """What nginx does instead of the application; empty: there is no such thing, it is left out."""
    file: int = 0
    """Size of the file that $BENCH_FILE names, if the scenario needs one."""
    open_loop: OpenLoop | None = None
    variants: tuple[Variant, ...] = (Variant(),)
    bare_threads: float = 0
    """Milliseconds that bare Python threads sleep beside the servers; 0: there are none."""
    ticks: bool = False
    """Is there a background thread whose progress /ticks tells?"""
    idle: bool = False
    """Are the connections only held, for the memory that they cost?"""
    only: tuple[str, ...] = field(default=())
    """Measured with these peers alone; empty: with all."""

    @property
    def figure(self) -> str:
        """What such a scenario is about: the figure that servers are compared by."""
        return "p99" if self.open_loop else "idle" if self.idle else "cpu"


def constant(body: bytes) -> str:
    text = body.decode().replace("\n", "\\n").replace('"', '\\"')
    return f'return 200 "{text}";'


def sized(size: int, name: str, connections: int = 64) -> Scenario:
    return Scenario(
        f"body-{name}",
        f"body of {name}, {connections} connections",
        "bodies:app",
        f"/{size}",
        connections=connections,
        expect=b"x" * size,
        nginx="root $FILES; open_file_cache_valid 60s;",
        file=size,
    )


def json_hello(body: bytes) -> bool:
    return b"".join(body.split()) == b'{"message":"Hello,World!"}'


CONSTANT = constant(HELLO)
BROWSER = (
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
    "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
    "Accept-Language: de,en-US;q=0.7,en;q=0.3",
    "Accept-Encoding: gzip, deflate, br, zstd",
    "Referer: http://shop.example/catalogue/shoes?page=2&sort=price",
    "Connection: keep-alive",
    "Cookie: " + "; ".join(f"name{i}={'v' * 96}" for i in range(10)),
    "Upgrade-Insecure-Requests: 1",
    "Sec-Fetch-Dest: document",
    "Sec-Fetch-Mode: navigate",
    "Sec-Fetch-Site: same-origin",
    "Sec-Fetch-User: ?1",
    "Priority: u=0, i",
    "Cache-Control: max-age=0",
)  # and Host, which wrk adds: 15

SCENARIOS = (
    Scenario("hello-64", "hello, 64 connections", nginx=CONSTANT),
    Scenario("hello-1", "hello, 1 connection", nginx=CONSTANT, connections=1),
    Scenario("hello-8", "hello, 8 connections", nginx=CONSTANT, connections=8),
    Scenario("hello-256", "hello, 256 connections", nginx=CONSTANT, connections=256),
    Scenario("headers", "hello, headers as a browser sends them", nginx=CONSTANT, headers=BROWSER),
    Scenario(
        "access-log",
        "hello, with and without an access log",
        nginx=CONSTANT,
        variants=(Variant("no log"), Variant("log", access_log=True)),
        only=("penstock", "nginx", "granian", "gunicorn", "uwsgi-http11", "mod_wsgi"),
    ),
    Scenario(
        "workers",
        "hello, one worker and two (on one core)",
        nginx=CONSTANT,
        variants=(Variant("1 worker"), Variant("2 workers", workers=2)),
        only=("penstock", "nginx", "granian", "gunicorn", "uwsgi-http11", "mod_wsgi"),
    ),
    Scenario(
        "background",
        "hello, beside a thread of the application's own",
        "background:app",
        ticks=True,
    ),
    Scenario(
        "churn",
        "hello, a new connection for each request",
        nginx=CONSTANT,
        headers=("Connection: close",),
    ),
    Scenario(
        "idle",
        "10,000 kept connections that do nothing",
        nginx=CONSTANT,
        connections=10_000,
        idle=True,
        only=("penstock", "nginx", "granian"),
    ),
    sized(10, "10B"),
    sized(1024, "1KB"),
    sized(10 * 1024, "10KB"),
    sized(100 * 1024, "100KB"),
    sized(10 * 1024 * 1024, "10MB", connections=4),
    Scenario(
        "echo",
        "echo of a POST of 10 KB",
        "echo:app",
        method="POST",
        upload=10240,
        expect=b"x" * 10240,
    ),
    Scenario("stream", "a generator, 16 pieces of 1 KB", "stream:app", expect=b"x" * 16384),
    Scenario(
        "file",
        "a file of 100 KB by wsgi.file_wrapper",
        "file:app",
        "/102400",
        expect=b"x" * 102400,
        nginx="root $FILES; open_file_cache_valid 60s;",
        file=102400,
    ),
    Scenario("flask", "Flask, JSON", "flask_json:app", expect=json_hello),
    Scenario("django", "Django, JSON", "django_json:app", expect=json_hello),
    Scenario("cpu", "5 ms of CPU, 8 connections", "cpu:app", connections=8),
    Scenario("sleep-64", "sleep 10 ms, 64 connections", "sleep:app", threads=64, bare_threads=10),
    Scenario(
        "sleep-512",
        "sleep 10 ms, 512 connections",
        "sleep:app",
        connections=512,
        threads=512,
        bare_threads=10,
    ),
    Scenario("latency", "hello at 5,000 requests/s", open_loop=OpenLoop(5000), nginx=CONSTANT),
    Scenario(
        "latency-20k", "hello at 20,000 requests/s", open_loop=OpenLoop(20000), nginx=CONSTANT
    ),
    Scenario(
        "beside-sleep",
        "hello at 4,000 requests/s, 1 % of them sleep 100 ms, 64 threads",
        "mixed:app",
        threads=64,
        open_loop=OpenLoop(4000, "/sleep", 100),
        variants=(Variant("alone", beside=False), Variant("beside")),
    ),
    Scenario(
        "beside-sleep-8",
        "hello at 4,000 requests/s, 1 % of them sleep 100 ms, 8 threads",
        "mixed:app",
        threads=8,
        open_loop=OpenLoop(4000, "/sleep", 100),
        variants=(Variant("alone", beside=False), Variant("beside")),
    ),
    Scenario(
        "beside-burn",
        "hello at 1,000 requests/s, one a second burns 500 ms of CPU, 8 threads",
        "mixed:app",
        threads=8,
        open_loop=OpenLoop(1000, "/burn", 1000),
        variants=(Variant("alone", beside=False), Variant("beside")),
    ),
)

BY_NAME = {scenario.name: scenario for scenario in SCENARIOS}
QUICK = ("penstock", "nginx", "bjoern", "granian")
