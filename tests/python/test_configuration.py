"""Command line, environment and file become one configuration, or say what is wrong and where."""

import json
import os
import re
import sys

import pytest
from making import canonical, make, problems

from penstock import handback
from penstock.effective import toml
from penstock.machine import descriptors
from penstock.options import table

SHOP = '[app.shop]\nmodule = "shop:app"\n'

# (file, what is said about it)
MISTAKES = [
    # keys and sections
    (
        SHOP + 'head-timeut = "3s"',
        'penstock.toml:3: unknown option "head-timeut" in [app.shop]; did you mean "head-timeout"?',
    ),
    (
        SHOP + "head_timeout = 3",
        'penstock.toml:3: unknown option "head_timeout" in [app.shop]; here it is called "head-timeout"',
    ),
    (
        SHOP + 'chdir = "/"',
        'penstock.toml:3: unknown option "chdir" in [app.shop]; here it is called "directory"',
    ),
    (SHOP + "xyzzy = 1", 'penstock.toml:3: unknown option "xyzzy" in [app.shop]'),
    (SHOP + "\n\n[sever]\n", "penstock.toml:5: unknown section [sever]; did you mean [server]?"),
    (
        SHOP + "[[lisen]]\n",
        "penstock.toml:3: unknown section [lisen]; did you mean [[listen]]?",
    ),
    (SHOP + "[apps.x]\n", "penstock.toml:3: unknown section [apps]; did you mean [app.NAME]?"),
    (SHOP + "[zebra]\n", "penstock.toml:3: unknown section [zebra]"),
    (
        "workers = 4\n" + SHOP,
        (
            'penstock.toml:1: option "workers" stands outside of any section; '
            "it belongs in [app.NAME] or [server]"
        ),
    ),
    (
        "worker = 4\n" + SHOP,
        'penstock.toml:1: unknown key "worker" outside of any section; did you mean "workers"?',
    ),
    (
        SHOP + 'access-log = "-"',
        'penstock.toml:3: option "access-log" does not belong in [app.shop]; it belongs in [server]',
    ),
    (
        SHOP + '[server]\nmodule = "a:b"',
        'penstock.toml:4: option "module" does not belong in [server]; it belongs in [app.NAME]',
    ),
    (
        SHOP + "[server]\nport = 80",
        'penstock.toml:4: "port" is an option of the command line, not of a file',
    ),
    (
        SHOP + "uid = 3",
        'penstock.toml:3: unknown option "uid" in [app.shop]; here it is called "user"',
    ),
    (
        '[app]\nmodule = "a:b"',
        'penstock.toml:2: option "module" stands in [app]; an application is a table: [app.NAME]',
    ),
    (
        '[app."a b"]\nmodule = "a:b"',
        'penstock.toml:1: "a b" cannot name an application: letters, digits, _ - and . can',
    ),
    ("app = 3", "penstock.toml:1: an application is written as a table: [app.NAME]"),
    ("server = 3\n" + SHOP, "penstock.toml:1: [server] is expected to be a table"),
    (
        SHOP + '[listen]\naddress = ":80"',
        "penstock.toml:3: a listener is written with two brackets: [[listen]]",
    ),
    # syntax
    ("[app.shop]\nmodule = a:b", "penstock.toml:2: not TOML: invalid value (column 10)"),
    (
        SHOP + 'module = "b"\n',
        "penstock.toml:3: not TOML: this key has a value already (column 13)",
    ),
    (SHOP + "[app.shop]\n", "penstock.toml:3: not TOML: [app.shop] stands there twice (column 10)"),
    (SHOP + "x = [1,\n2", "penstock.toml:4: not TOML: unclosed array (at the end of the file)"),
    # values
    (
        SHOP + 'workers = "four"',
        'penstock.toml:3: workers: "four" is not a whole number or auto',
    ),
    (SHOP + "workers = 0", "penstock.toml:3: workers: 0 is too small; the least is 1"),
    (
        SHOP + 'middleware = [\n  "a:b",\n  "c",\n]',
        'penstock.toml:5: middleware: "c" is not package.module:callable',
    ),
    (
        SHOP + "environment = { A = 1 }",
        'penstock.toml:3: environment: "A": a text is expected, not a number',
    ),
    (
        SHOP + '[app.shop.environment]\nA = "1"\nB = 2',
        'penstock.toml:5: environment: "B": a text is expected, not a number',
    ),
    (
        '[app.shop]\n[app.shop.mounts]\n"/" = "a:b"\n"x" = "c:d"',
        'penstock.toml:4: mounts: "x" is not a path such as "/" or "/admin"',
    ),
    # what runs
    (
        "[app.shop]\nworkers = 1",
        "penstock.toml:1: the application is not named: set module, file or mounts",
    ),
    (
        "[server]\nworkers = 1",
        "penstock.toml: no application is named: write [app.NAME] with module, file or mounts",
    ),
    (
        SHOP + 'mounts = { "/" = "a:b" }',
        "penstock.toml:3: module names the application, too (penstock.toml:2)",
    ),
    ('[app.shop]\nfile = "no.py"', 'penstock.toml:2: the file "{cwd}/no.py" does not exist'),
    # listeners
    (SHOP + "[[listen]]\nbacklog = 3", "penstock.toml:3: [[listen]] has no address"),
    (
        SHOP + '[[listen]]\naddress = "127.0.0.1"',
        (
            'penstock.toml:4: "127.0.0.1" has no port; '
            "an address is HOST:PORT, :PORT, [IPV6]:PORT, unix:/PATH, unix:@NAME or fd://N"
        ),
    ),
    (
        SHOP + '[server]\nbind = [\n  ":80",\n  "80"]',
        'penstock.toml:6: "80" has no port; did you mean ":80"?',
    ),
    (
        SHOP + '[[listen]]\naddress = ":80"\n[[listen]]\naddress = "*:80"',
        "penstock.toml:6: 0.0.0.0:80 is listened on already (penstock.toml:4)",
    ),
    (
        SHOP + '[[listen]]\naddress = ":80"\nmode = 0o660',
        "penstock.toml:5: mode: only a Unix socket with a path has one",
    ),
    (
        SHOP + '[[listen]]\naddress = "unix:/no/where/s"',
        'penstock.toml:4: the folder "/no/where" does not exist',
    ),
    (
        SHOP + '[[listen]]\naddress = ":80"\napp = "shpo"',
        'penstock.toml:5: app: there is no application "shpo"; did you mean "shop"?',
    ),
    (
        SHOP + '[app.blog]\nmodule = "b:a"\n[[listen]]\naddress = ":80"',
        "penstock.toml:6: the listener does not say which application answers: shop, blog",
    ),
    (
        SHOP + '[app.blog]\nmodule = "b:a"\n[[listen]]\naddress = ":80"\napp = "shop"',
        (
            'penstock.toml:3: no listener leads to the application "blog": '
            'add [[listen]] with app = "blog"'
        ),
    ),
    # the machine
    (
        SHOP + 'directory = "/no/where"',
        'penstock.toml:3: directory: the folder "/no/where" does not exist',
    ),
    (
        SHOP + 'app-dir = [".",\n"/no/where"]',
        'penstock.toml:4: app-dir: the folder "/no/where" does not exist',
    ),
    (SHOP + 'venv = "/no/where"', 'penstock.toml:3: venv: the folder "/no/where" does not exist'),
    (
        SHOP + 'venv = "."',
        'penstock.toml:3: venv: "{cwd}" is no virtual environment: there is no {cwd}/bin/python to run',
    ),
    (SHOP + 'user = "no-such"', 'penstock.toml:3: user: there is no user "no-such"'),
    (SHOP + 'group = "no-such"', 'penstock.toml:3: group: there is no group "no-such"'),
    (
        SHOP + '[server]\nerror-log = "/no/where/log"',
        'penstock.toml:4: error-log: the folder "/no/where" does not exist',
    ),
    (SHOP + '[server]\npid = "."', 'penstock.toml:4: pid: "{cwd}" is a folder'),
]


@pytest.mark.parametrize(("file", "said"), MISTAKES)
def test_each_mistake_has_its_line(tmp_path, file, said):
    assert problems(tmp_path, file=file) == [said.replace("{cwd}", str(tmp_path))]


def test_all_mistakes_at_once_in_the_order_of_lines(tmp_path):
    file = '[server]\naccess-log = "/no/where/log"\nx = 1\n[[listen]]\naddress = "x"\n' + SHOP
    lines = [
        int(re.match(r"penstock.toml:(\d+)", said)[1]) for said in problems(tmp_path, file=file)
    ]
    assert lines == [2, 3, 5]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"[server]\n\xff", "penstock.toml:2: is not UTF-8"),
        (b"#" * (1 << 20) + b"#", "penstock.toml: is larger than 1 MiB"),
        (b"a = " + b"[" * 100_000, "penstock.toml: is nested too deeply"),
    ],
)
def test_files_that_cannot_be_read(tmp_path, content, said):
    (tmp_path / "penstock.toml").write_bytes(content)
    assert problems(tmp_path) == [said]


def test_a_byte_order_mark_is_no_mistake(tmp_path):
    assert problems(tmp_path, file="\ufeff" + SHOP) == []


def test_a_missing_file(tmp_path):
    assert problems(tmp_path, "-c", "x.toml") == ['-c: the file "x.toml" does not exist']


# ---- precedence ----


def workers(tmp_path, *arguments, **more):
    return canonical(tmp_path, *arguments, **more)["app"]["shop"]["workers"]


def test_precedence_of_workers(tmp_path):
    file = "[server]\nworkers = 4\n" + SHOP + "workers = 5\n"
    environment = {"PENSTOCK_WORKERS": "6", "WEB_CONCURRENCY": "3"}
    assert workers(tmp_path, "-w", "7", file=file, environment=environment) == 7
    assert workers(tmp_path, file=file, environment=environment) == 6
    del environment["PENSTOCK_WORKERS"]
    assert workers(tmp_path, file=file, environment=environment) == 5
    file = file.replace("workers = 5", "")
    assert workers(tmp_path, file=file, environment=environment) == 4
    file = file.replace("workers = 4", "")
    assert workers(tmp_path, file=file, environment=environment) == 3
    assert workers(tmp_path, file=file) == len(os.sched_getaffinity(0))
    (tmp_path / "penstock.toml").unlink()
    assert workers(tmp_path, "shop:app") == 1


def addresses(tmp_path, *arguments, **more):
    return [listener["address"] for listener in canonical(tmp_path, *arguments, **more)["listen"]]


def test_precedence_of_listeners(tmp_path):
    file = SHOP + '[server]\nbind = ":4"\n[[listen]]\naddress = ":5"\n'
    environment = {"PENSTOCK_BIND": ":6,:7", "PORT": "3"}
    many = ("-b", ":8", "--bind=:9")
    assert addresses(tmp_path, *many, file=file, environment=environment) == [
        "0.0.0.0:8",
        "0.0.0.0:9",
    ]
    assert addresses(tmp_path, file=file, environment=environment) == ["0.0.0.0:6", "0.0.0.0:7"]
    del environment["PENSTOCK_BIND"]
    assert addresses(tmp_path, file=file, environment=environment) == ["0.0.0.0:4", "0.0.0.0:5"]
    assert addresses(tmp_path, file=SHOP, environment=environment) == ["0.0.0.0:3"]
    assert addresses(tmp_path, file=SHOP) == ["127.0.0.1:8000"]


def test_environment_variables_of_the_application_add_up(tmp_path):
    file = (
        '[server.environment]\nA = "1"\nB = "1"\nC = "1"\n'
        + SHOP
        + 'environment = { B = "2", C = "2" }'
    )
    made = canonical(tmp_path, "-e", "C=3", "-eD=4", file=file)
    assert made["app"]["shop"]["environment"] == {"A": "1", "B": "2", "C": "3", "D": "4"}


def test_listeners_inherit_from_the_server(tmp_path):
    file = (
        SHOP + "[server]\nbacklog = 7\nmode = 0o600\n"
        '[[listen]]\naddress = ":80"\n[[listen]]\naddress = "unix:s"\nbacklog = 8'
    )
    tcp, unix = canonical(tmp_path, file=file)["listen"]
    assert (tcp["backlog"], tcp["mode"]) == (7, None)
    assert (unix["backlog"], unix["mode"]) == (8, 0o600)
    tcp, unix = canonical(tmp_path, "--backlog", "9", file=file)["listen"]
    assert (tcp["backlog"], unix["backlog"]) == (9, 9)


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("PENSTOCK_WORKERS", "x", 'PENSTOCK_WORKERS: "x" is not a whole number or auto'),
        (
            "PENSTOCK_WORKER",
            "1",
            "PENSTOCK_WORKER: no option is set by this variable; did you mean PENSTOCK_WORKERS?",
        ),
        ("WEB_CONCURRENCY", "x", 'WEB_CONCURRENCY: "x" is not a whole number or auto'),
        ("PORT", "x", 'PORT: "0.0.0.0:x" has no port between 0 and 65535'),
        ("PENSTOCK_CONFIG", "no.toml", 'PENSTOCK_CONFIG: the file "no.toml" does not exist'),
    ],
)
def test_mistakes_in_the_environment(tmp_path, variable, value, said):
    assert problems(tmp_path, "a:b", environment={variable: value}) == [said]


@pytest.mark.parametrize(
    "variable",
    [
        "PENSTOCK_PORT",
        "PENSTOCK_PORT_80_TCP_ADDR",
        "PENSTOCK_SERVICE_HOST",
        "PENSTOCK_SERVICE_PORT_HTTP",
    ],
)
def test_what_kubernetes_sets_beside_a_service_of_that_name(tmp_path, variable):
    assert problems(tmp_path, "a:b", environment={variable: "tcp://10.0.0.1:80"}) == []


@pytest.mark.parametrize(
    ("networks", "found"),
    [
        (["10.0.0.0/8"], ["10.0.0.0/8"]),
        (["127.0.0.1,::1", "unix"], ["127.0.0.1/32", "::1/128", "unix"]),
        (["*"], ["*"]),
        ([""], []),
    ],
)
def test_proxies_that_are_believed(tmp_path, networks, found):
    words = [word for network in networks for word in ("--forwarded-allow-ips", network)]
    made = make(tmp_path, "a:b", *words)
    assert made.app["a"]["forwarded-allow-ips"].value == found


def test_the_variable_of_gunicorn_and_uvicorn(tmp_path):
    environment = {"FORWARDED_ALLOW_IPS": "10.0.0.1,10.0.0.2"}
    made = make(tmp_path, "a:b", environment=environment)
    assert made.app["a"]["forwarded-allow-ips"].value == ["10.0.0.1/32", "10.0.0.2/32"]
    made = make(tmp_path, "a:b", "--forwarded-allow-ips=*", environment=environment)
    assert made.app["a"]["forwarded-allow-ips"].value == ["*"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ["--forwarded-allow-ips", "10.0.0.1/8"],
            'forwarded-allow-ips: "10.0.0.1/8" has bits behind its prefix; did you mean "10.0.0.0/8"?',
        ),
        (
            ["--forwarded-allow-ips", "lb.example"],
            'forwarded-allow-ips: "lb.example" is not an address, a network such as 10.0.0.0/8, unix or *',
        ),
        (
            ["--proxy-protocol"],
            "proxy-protocol: name the proxies whose PROXY header is believed in forwarded-allow-ips",
        ),
    ],
)
def test_mistakes_about_proxies(tmp_path, words, said):
    assert [problem.split(": ", 1)[1] for problem in problems(tmp_path, "a:b", *words)] == [said]


def test_every_variable_works(tmp_path):
    venv = tmp_path / "venv"
    (venv / "bin").mkdir(parents=True)
    (venv / "bin/python").touch(0o755)
    values = {
        "bool": "yes",
        "int": "7",
        "duration": "7s",
        "size": "7K",
        "octal": "7",
        "path": str(tmp_path),
        "log": str(tmp_path / "log"),
        "list": str(tmp_path),
    }
    special = {
        "bind": "unix:s",
        "file": "file.py",
        "venv": str(venv),
        "middleware": "a:b",
        "root-path": "/x",
        "environment": "A=1",
        "module": "a:b",
        "mounts": "/=a:b",
        "user": "root",
        "group": "0",
        "owner": "root:0",
        "max-descriptors": "64",
        "name": "x",
        "forwarded-allow-ips": "10.0.0.0/8, ::1",
        "forwarded-fields": "x-forwarded-for,Forwarded",
        "redact": "cookie,x-key",
        "access-log-format": "%(h)s",
        "pid": "pid",
    }
    (tmp_path / "file.py").touch()
    for option in table().values():
        if option.variable is None or option.name == "config":
            continue
        value = (
            special.get(option.name) or values.get(option.type) or (option.choices or ("x",))[-1]
        )
        arguments = [] if option.name in ("module", "file", "mounts") else ["a:b"]
        if option.scope == "listen":
            arguments += ["-b", "unix:s"]
        made = make(tmp_path, *arguments, environment={option.variable: value})
        app = next(iter(made.app.values()))
        found = [*(settings.get(option.name) for settings in (made.server, app, made.listen[0]))]
        if option.name == "bind":
            found = [made.listen[0]["address"]]
        assert [s.where for s in found if s is not None] == [option.variable], option.name


# ---- what is made ----


@pytest.mark.parametrize(
    ("arguments", "terminal", "log"),
    [
        ([], True, "-"),
        ([], False, None),
        (["--no-access-log"], True, None),
        (["--access-log", "-"], False, "-"),
    ],
)
def test_the_access_log_is_on_for_a_terminal(tmp_path, monkeypatch, arguments, terminal, log):
    monkeypatch.setattr("os.isatty", lambda descriptor: descriptor == 2 and terminal)
    server = canonical(tmp_path, "a:b", *arguments)["server"]
    assert (server["terminal"], server["access-log"]) == (terminal, log)


def test_the_canonical_configuration_of_one_word(tmp_path, monkeypatch):
    monkeypatch.setattr("os.isatty", lambda descriptor: False)
    package = make(tmp_path, "shop.wsgi:application").server["package"].value
    made = canonical(tmp_path, "shop.wsgi:application")
    expected = {
        "version": 1,
        "server": {
            "access-log": None,
            "access-log-format": "combined",
            "config-file": None,
            "error-log": "-",
            "launch-directory": os.getcwd(),
            "launcher": handback.command(),
            "log-format": "plain",
            "log-level": "info",
            "name": "penstock",
            "package": package,
            "pid": None,
            "terminal": False,
        },
        "listen": [
            {
                "address": "127.0.0.1:8000",
                "app": "shop",
                "backlog": 2048,
                "defer-accept": 0,
                "fd": None,
                "host": "127.0.0.1",
                "ipv6-only": False,
                "kind": "tcp4",
                "mode": None,
                "owner": None,
                "owner-gid": None,
                "owner-uid": None,
                "path": None,
                "port": 8000,
                "reuse-port": False,
                "proxy-protocol": False,
            }
        ],
        "app": {
            "shop": {
                "app-dir": [str(tmp_path)],
                "body-timeout": 30_000,
                "debug": False,
                "directory": str(tmp_path),
                "environment": {},
                "factory": False,
                "file": None,
                "gid": None,
                "graceful-timeout": 30_000,
                "group": None,
                "groups": [],
                "head-timeout": 10_000,
                "interface": "auto",
                "keep-alive": 75_000,
                "max-body": 1 << 30,
                "max-descriptors": descriptors(),
                "max-header-fields": 100,
                "max-header-size": 65536,
                "max-lifetime": 0,
                "max-lifetime-jitter": 0,
                "max-request-line": 16384,
                "max-requests": 0,
                "max-requests-jitter": 0,
                "middleware": [],
                "module": "shop.wsgi:application",
                "mounts": {},
                "preload": "auto",
                "python": sys.executable,
                "rolling": 0,
                "root-path": "",
                "send-timeout": 60_000,
                "server-header": "penstock",
                "start-timeout": 60_000,
                "umask": None,
                "uid": None,
                "user": None,
                "venv": None,
                "workers": 1,
            }
        },
    }
    scopes = {"server": made["server"], "listen": made["listen"][0], "app": made["app"]["shop"]}
    for scope, found in scopes.items():
        rows = [o for o in table().values() if o.scope == scope and o.becomes is None]
        assert set(found) == {option.json for option in rows}
    made["app"]["shop"] = {key: made["app"]["shop"][key] for key in expected["app"]["shop"]}
    assert made == expected


@pytest.mark.parametrize(
    ("arguments", "name", "module", "file"),
    [
        (["shop.wsgi:application"], "shop", "shop.wsgi:application", None),
        (["shop"], "shop", "shop", None),
        (["shop:make()"], "shop", "shop:make()", None),
        (["./shop.py"], "shop", None, "shop.py"),
        (["shop.py"], "shop", None, "shop.py"),
        (["shop.py:application"], "shop", ":application", "shop.py"),
        (["shop.py:make()"], "shop", ":make()", "shop.py"),
        (["--file", "shop.py"], "shop", None, "shop.py"),
        (["--module=shop:app"], "shop", "shop:app", None),
        (["--mounts", "/=a:b"], "app", None, None),
    ],
)
def test_ways_to_name_the_application(tmp_path, arguments, name, module, file):
    (tmp_path / "shop.py").touch()
    ((found, app),) = canonical(tmp_path, *arguments)["app"].items()
    assert (found, app["module"]) == (name, module)
    assert app["file"] == (None if file is None else str(tmp_path / file))


def test_a_file_brings_its_folder(tmp_path):
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep/shop.py").touch()
    app = canonical(tmp_path, "deep/shop.py")["app"]["shop"]
    assert app["app-dir"] == [str(tmp_path / "deep"), str(tmp_path)]
    assert app["directory"] == str(tmp_path)


def test_paths_of_a_file_are_seen_from_its_folder(tmp_path):
    folder = tmp_path / "conf"
    (folder / "lib").mkdir(parents=True)
    file = SHOP + 'app-dir = "lib"\n[server]\npid = "pid"\n[[listen]]\naddress = "unix:sock"\n'
    (folder / "x.toml").write_text(file)
    made = canonical(tmp_path, "-c", "conf/x.toml", "--access-log", "log")
    assert made["app"]["shop"]["app-dir"] == [str(folder / "lib")]
    assert made["app"]["shop"]["directory"] == str(folder)
    assert made["server"]["pid"] == str(folder / "pid")
    assert made["server"]["config-file"] == str(folder / "x.toml")
    assert made["server"]["access-log"] == str(tmp_path / "log")
    assert made["listen"][0]["path"] == str(folder / "sock")
    made = canonical(tmp_path, "-c", "conf/x.toml", "other:app")
    assert made["app"]["shop"]["module"] == "other:app"
    assert made["app"]["shop"]["directory"] == str(tmp_path)


def test_what_is_named_outside_replaces_what_the_file_names(tmp_path):
    app = canonical(tmp_path, "other:app", file='[app.shop]\nmounts = { "/" = "a:b" }')["app"][
        "shop"
    ]
    assert (app["module"], app["mounts"]) == ("other:app", {})


def test_one_word_cannot_stand_for_several_applications(tmp_path):
    file = (
        SHOP + '[app.blog]\nmodule = "b:a"\n'
        '[[listen]]\naddress = ":1"\napp = "shop"\n[[listen]]\naddress = ":2"\napp = "blog"'
    )
    assert problems(tmp_path, file=file) == []
    said = "other:app: the configuration file has several applications (shop, blog)"
    assert problems(tmp_path, "other:app") == [said]


def test_a_venv_brings_its_python(tmp_path):
    (tmp_path / ".venv/bin").mkdir(parents=True)
    (tmp_path / ".venv/bin/python").touch(0o755)
    app = canonical(tmp_path, "a:b", "--venv", ".venv")["app"]["a"]
    assert app["python"] == f"{tmp_path}/.venv/bin/python"


def test_users_are_resolved(tmp_path):
    app = canonical(tmp_path, "a:b", "-u", "54321", "-g", "54322")["app"]["a"]
    assert (app["user"], app["uid"], app["gid"], app["groups"]) == ("54321", 54321, 54322, [54322])


@pytest.mark.parametrize(
    ("arguments", "address"),
    [
        (["--host", "0.0.0.0"], "0.0.0.0:8000"),
        (["--port", "80"], "127.0.0.1:80"),
        (["--host", "::1", "--port", "80"], "[::1]:80"),
        (["--uds", "s"], "unix:{cwd}/s"),
    ],
)
def test_short_words_for_a_listener(tmp_path, arguments, address):
    assert addresses(tmp_path, "a:b", *arguments) == [address.replace("{cwd}", str(tmp_path))]


@pytest.mark.parametrize(
    "arguments",
    [["--port", "80", "-b", ":80"], ["--uds", "s", "--port", "80"], ["--uds", "s", "-b", ":1"]],
)
def test_a_listener_is_named_one_way(tmp_path, arguments):
    (said,) = problems(tmp_path, "a:b", *arguments)
    assert "says where to listen, too" in said


FULL = """
[server]
access-log = "log"
server-header = false
environment = { "a b" = 'q"\\' }
umask = 0o027

[[listen]]
address = "unix:s"
mode = 0o660
app = "shop"

[[listen]]
address = "[::1]:80"
app = "b.log"

[app.shop]
module = "shop:app"
workers = 3
keep-alive = "1500ms"
max-body = 1000
middleware = ["a:b", "c:d"]

[app."b.log"]
mounts = { "/" = "a:b", "/x" = "c:d" }
"""


def test_the_effective_configuration_means_the_same(tmp_path):
    first = make(tmp_path, file=FULL)
    text = toml(first)
    assert 'keep-alive = "1500ms"' in text
    assert re.search(r"^workers = 3 +# penstock.toml:19$", text, re.MULTILINE)
    assert re.search(r"^backlog = 2048 +# default$", text, re.MULTILINE)
    assert re.search(r"^umask = 0o027 ", text, re.MULTILINE)
    second = canonical(tmp_path, file=text)
    assert json.dumps(second, sort_keys=True) == json.dumps(first.canonical(), sort_keys=True)
