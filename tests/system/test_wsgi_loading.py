"""Finding the application, and what people are told when it cannot be found."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from http1 import fetch

import penstock

pytestmark = pytest.mark.extension

BOOT = Path(penstock.__file__).with_name("_boot.py")

WORKING = """
class Maker:
    @staticmethod
    def make():
        return application

def application(environ, start_response):
    start_response("200 OK", [])
    return [b"application"]

def app(environ, start_response):
    start_response("200 OK", [])
    return [b"app"]

def create():
    return app

class Own:
    def __call__(self, environ, start_response):
        start_response("200 OK", [])
        return [b"object"]

    def method(self, environ, start_response):
        start_response("200 OK", [])
        return [b"method"]

own = Own()

class Lazy:
    def __init__(self, environ, start_response):
        start_response("200 OK", [])

    def __iter__(self):
        yield b"class"
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "__init__.py").write_text("")
    (tmp_path / "shop" / "wsgi.py").write_text(WORKING)
    (tmp_path / "only_app.py").write_text(
        "def app(e, s):\n    s('200 OK', [])\n    return [b'only app']\n"
    )
    return tmp_path


def check(folder, **options):
    """Load as `penstock check` and the workers do; the exit status and what was said."""
    options.setdefault("app-dir", [str(folder)])
    done = subprocess.run(
        [sys.executable, BOOT, "check"],
        input=json.dumps(options),
        capture_output=True,
        text=True,
        timeout=60,
        cwd=folder,
    )
    assert done.stdout == ""
    return done.returncode, done.stderr


@pytest.mark.parametrize(
    ("module", "expected"),
    [
        ("shop.wsgi:application", "application"),
        ("shop.wsgi", "application"),
        ("only_app", "only app"),
        ("shop.wsgi:app", "app"),
        ("shop.wsgi:create()", "app"),
        ("shop.wsgi:Maker.make()", "application"),
        ("shop.wsgi:own", "object"),
        ("shop.wsgi:own.method", "method"),
        ("shop.wsgi:Lazy", "class"),
    ],
)
def test_names(serve, folder, module, expected):
    server = serve(module, "--app-dir", str(folder))
    assert fetch(server, "/").text == expected


@pytest.mark.parametrize("name", ["wsgi.py", "site.wsgi", "json.py", "with-dash.py"])
def test_a_file(serve, folder, name):
    path = folder / "shop" / name
    path.write_text("import neighbour\n" + WORKING)
    (folder / "shop" / "neighbour.py").write_text("")
    assert check(folder, file=str(path)) == (0, "")
    assert check(folder, file=str(path), module=":create()") == (0, "")


def test_a_file_is_found_again_by_its_name(folder):
    """So that what is pickled in it can be unpickled."""
    path = folder / "selfish.py"
    path.write_text("import sys\nassert sys.modules['selfish'].__file__ == __file__\n" + WORKING)
    assert check(folder, file=str(path)) == (0, "")


def test_factory(folder):
    assert check(folder, module="shop.wsgi:create", factory=True) == (0, "")
    status, said = check(folder, module="shop.wsgi:create")
    assert status == 4
    assert "takes no arguments" in said
    assert "shop.wsgi:create() or --factory" in said


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, "no application is named"),
        ({"module": "shopp.wsgi"}, "There is no module 'shopp', which 'shopp.wsgi' needs."),
        ({"module": "shopp.wsgi"}, "Did you mean shop?"),
        ({"module": "shop.wsgy"}, "There is no module 'shop.wsgy', which 'shop.wsgy' needs."),
        ({"module": "shop.wsgy"}, "Did you mean shop.wsgi?"),
        ({"module": "shop.wsgi:aplication"}, "'shop.wsgi' has no attribute 'aplication'."),
        ({"module": "shop.wsgi:aplication"}, "Did you mean application"),
        ({"module": "shop.wsgi:Maker.mak"}, "'shop.wsgi.Maker' has no attribute 'mak'."),
        ({"module": "shop"}, "Neither 'application' nor 'app' is in 'shop'"),
        ({"module": "shop.wsgi:__name__"}, "is not callable: it is an object of type 'str'"),
        ({"module": "shop.wsgi:__name__()"}, "is named as a factory and is not callable"),
        ({"file": "missing.py"}, "There is no file "),
        ({"file": "only_ap.py"}, "Did you mean only_app.py?"),
        ({"module": "shop.wsgi", "middleware": ["shop.wsgi:nothing"]}, "no attribute 'nothing'"),
        ({"module": "shop.wsgi", "middleware": ["shop.wsgi:__name__"]}, "is not callable"),
        ({"mounts": {"/": "shop.wsgi", "/x": "missing:app"}}, "no module 'missing'"),
    ],
)  # fmt: skip
def test_mistakes(folder, options, said):
    status, text = check(folder, **options)
    assert status == 4
    assert said in text


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("async def app(scope, receive, send): pass", True),
        ("class A:\n    async def __call__(self, scope, receive, send): pass\napp = A()", True),
        ("class A:\n    def __call__(self, scope, receive, send): pass\napp = A()", True),
        ("def app(scope, receive, send): pass", True),
        ("import functools\nasync def f(a, b): pass\napp = functools.partial(f)", True),
        ("class A:\n    def __call__(self, environ, start): pass\napp = A()", False),
        ("import functools\ndef f(x, e, s): pass\napp = functools.partial(f, 1)", False),
        ("app = max", False),
    ],
)
def test_asgi_is_recognised(folder, code, expected):
    (folder / "asgi.py").write_text(code)
    status, said = check(folder, module="asgi:app")
    assert status == (4 if expected else 0)
    assert ("is an ASGI application" in said) is expected


def test_who_says_wsgi_is_believed(folder):
    (folder / "three.py").write_text("def app(scope, receive, send=None): pass")
    assert check(folder, module="three:app")[0] == 4
    assert check(folder, module="three:app", interface="wsgi")[0] == 0


def test_a_thread_of_the_application_does_not_keep_the_check(folder):
    (folder / "threaded.py").write_text(
        "import threading\nthreading.Thread(target=threading.Event().wait).start()\n"
        "def app(environ, start_response): pass"
    )
    assert check(folder, module="threaded:app") == (0, "")


def test_tracebacks_begin_with_the_application(folder):
    (folder / "broken.py").write_text(
        "import shop.wsgi\n\ndef f():\n    raise ValueError('oh')\n\nf()\n"
    )
    status, said = check(folder, module="broken")
    assert status == 4
    assert said.startswith(
        f'Traceback (most recent call last):\n  File "{folder}/broken.py", line 6, in <module>\n'
    )
    assert "ValueError: oh" in said
    assert "_load.py" not in said
    assert "importlib" not in said
    assert f"Searched were, in this order:\n  {folder}\n" in said
    assert f"by {sys.executable}" in said


@pytest.mark.parametrize("by_file", [False, True])
def test_errors_of_the_import(folder, by_file):
    (folder / "broken.py").write_text("import nothing_like_this\n")
    (folder / "wrong.py").write_text("def f(:\n")
    (folder / "leaves.py").write_text("import sys\nsys.exit('goodbye')\n")
    for name, said in (
        ("broken", "ModuleNotFoundError: No module named 'nothing_like_this'"),
        ("wrong", "SyntaxError"),
        ("leaves", "SystemExit: goodbye"),
    ):
        options = {"file": str(folder / f"{name}.py")} if by_file else {"module": name}
        status, text = check(folder, **options)
        assert status == 4
        assert said in text
        assert f'File "{folder}/{name}.py", line ' in text
        assert "_load.py" not in text
        assert "importlib" not in text


@pytest.mark.parametrize("workers", ["1", "2"])
@pytest.mark.parametrize("preload", ["never", "always"])
def test_a_server_whose_application_is_broken(tmp_path, workers, preload):
    (tmp_path / "broken.py").write_text("raise ValueError('while it is imported')\n")
    done = subprocess.run(
        [sys.executable, "-m", "penstock", "broken:app", "-b", "127.0.0.1:0", "-w", workers,
         f"--preload={preload}", "--app-dir", str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=tmp_path,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
    )  # fmt: skip
    assert done.returncode == 4
    assert (
        "the application could not be loaded\n  Traceback (most recent call last):" in done.stderr
    )
    assert "ValueError: while it is imported" in done.stderr
    assert "_load.py" not in done.stderr


def test_mounts(serve):
    server = serve(
        "--mounts=/=mounted:application",
        "--mounts", "/admin=mounted:application",
        "--mounts", "/admin/deep=mounted:other",
        "--root-path", "/root",
    )  # fmt: skip
    for target, expected in {
        "/": ["application", "/root", "/"],
        "/x/y": ["application", "/root", "/x/y"],
        "/admin": ["application", "/root/admin", ""],
        "/admin/": ["application", "/root/admin", "/"],
        "/admin/x": ["application", "/root/admin", "/x"],
        "/administrator": ["application", "/root", "/administrator"],
        "/admin/deep/x": ["other", "/root/admin/deep", "/x"],
        "/admin/deepest": ["application", "/root/admin", "/deepest"],
        "/root/admin/x": ["application", "/root/admin", "/x"],
        "/%61dmin/x": ["application", "/root/admin", "/x"],
    }.items():
        assert fetch(server, target).json() == expected, target


def test_nothing_is_mounted_there(serve):
    server = serve("--mounts=/admin=mounted:application")
    assert fetch(server, "/admin").json() == ["application", "/admin", ""]
    assert fetch(server, "/").status == 404
    assert fetch(server, "/administrator").status == 404


def test_middleware(serve):
    """The first named is the outermost."""
    server = serve("hello", "--middleware", "mounted:first", "--middleware", "mounted:second")
    assert fetch(server, "/").text == "first(second(Hello, world\n))"


def test_a_python_for_which_there_is_no_extension(tmp_path):
    package = tmp_path / "penstock"
    package.mkdir()
    for name in ("__init__.py", "_boot.py"):
        (package / name).write_bytes(BOOT.with_name(name).read_bytes())
    done = subprocess.run(
        [sys.executable, "-I", "-S", package / "_boot.py", "worker", "padding"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 3
    assert "penstock: no extension module for Python" in done.stderr
    assert "-m pip install penstock" in done.stderr
