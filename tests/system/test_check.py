"""``penstock check``: configuration and applications are looked at, nothing is started."""

import socket
import sys
import tomllib
import venv

import pytest
from launcher import penstock

APP = "def application(environ, start_response):\n    return []\n"


@pytest.fixture
def shop(tmp_path):
    """A folder with an application."""
    (tmp_path / "shop.py").write_text(APP)
    return tmp_path


def test_what_is_well(shop):
    done = penstock(shop, "check", "shop", "-w", "3", "-b", ":80", "-b", "unix:s")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"shop: well; 3 workers on 0.0.0.0:80, unix:{shop}/s\n"
    assert not (shop / "s").exists()


def test_the_port_may_be_in_use(shop):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert penstock(shop, "check", "shop", "--port", str(port)).returncode == 0


@pytest.mark.parametrize(
    ("module", "source", "said"),
    [
        ("shop", None, "There is no module 'shop'"),
        ("shop", "import nowhere\n", "ModuleNotFoundError"),
        ("shop:missing", APP, "missing"),
        ("shop", "x = 1\n", "application"),
        ("shop", "def f(:\n", "SyntaxError"),
        ("shop", "raise SystemExit(0)\n", "SystemExit"),
        ("shop", "1 / 0\n", "ZeroDivisionError"),
    ],
)
def test_what_cannot_be_imported_ends_with_4(tmp_path, module, source, said):
    if source is not None:
        (tmp_path / "shop.py").write_text(source)
    done = penstock(tmp_path, "check", module)
    assert (done.returncode, done.stdout) == (4, "")
    assert said in done.stderr
    assert "shop: the application cannot be imported" in done.stderr


def test_the_traceback_begins_in_the_application(tmp_path):
    (tmp_path / "shop.py").write_text("import deep\n")
    (tmp_path / "deep.py").write_text("def f():\n    1 / 0\n\nf()\n")
    done = penstock(tmp_path, "check", "shop")
    files = [line.split('"')[1] for line in done.stderr.splitlines() if "File " in line]
    assert files == [f"{tmp_path}/shop.py", f"{tmp_path}/deep.py", f"{tmp_path}/deep.py"]


def test_an_import_that_dies(tmp_path):
    (tmp_path / "shop.py").write_text("import os\nos.kill(os.getpid(), 9)\n")
    done = penstock(tmp_path, "check", "shop")
    assert done.returncode == 4
    assert "importing it ended by signal 9" in done.stderr


def test_an_import_that_hangs(tmp_path):
    (tmp_path / "shop.py").write_text("import threading\nthreading.Event().wait()\n")
    done = penstock(tmp_path, "check", "shop", "--start-timeout", "200ms")
    assert done.returncode == 4
    assert "not imported within its start-timeout (0.2 s)" in done.stderr


def test_it_is_imported_as_a_worker_would(tmp_path):
    (tmp_path / "lib").mkdir()
    (tmp_path / "work").mkdir()
    (tmp_path / "lib/helper.py").write_text("")
    (tmp_path / "lib/shop.py").write_text(
        "import os, helper\n"
        f"assert os.getcwd() == {str(tmp_path / 'work')!r}\n"
        "assert os.environ['MODE'] == 'test'\n"
        "mask = os.umask(0)\n"
        "assert mask == 0o027, mask\n" + APP
    )
    words = ["--app-dir", "lib", "--chdir", "work", "-e", "MODE=test", "-m", "027"]
    done = penstock(tmp_path, "check", "shop", *words)
    assert (done.returncode, done.stderr) == (0, "")


def test_it_is_imported_in_its_own_python(shop):
    venv.create(shop / ".venv", with_pip=False, symlinks=True)
    code = f"import sys\nassert sys.prefix == {str(shop / '.venv')!r}, sys.prefix\n"
    (shop / "shop.py").write_text(code + APP)
    done = penstock(shop, "check", "shop", "--venv", ".venv")
    assert (done.returncode, done.stderr) == (0, "")
    assert penstock(shop, "check", "shop").returncode == 4


def test_the_launchers_modules_are_not_the_applications(tmp_path):
    (tmp_path / "shop.py").write_text("import config\n" + APP)
    done = penstock(tmp_path, "check", "shop")
    assert done.returncode == 4
    assert "No module named 'config'" in done.stderr


TWO = """
[[listen]]
address = "127.0.0.1:8001"
app = "one"

[[listen]]
address = "127.0.0.1:8002"
app = "two"

[app.one]
module = "one"

[app.two]
module = "two"
workers = 2
"""


def test_every_application_is_imported(tmp_path):
    (tmp_path / "penstock.toml").write_text(TWO)
    (tmp_path / "two.py").write_text(APP)
    done = penstock(tmp_path, "check")
    assert done.returncode == 4
    assert "one: the application cannot be imported" in done.stderr
    assert "two: the application cannot be imported" not in done.stderr
    (tmp_path / "one.py").write_text(APP)
    assert penstock(tmp_path, "check").returncode == 0


def test_print(tmp_path):
    (tmp_path / "penstock.toml").write_text(TWO)
    for name in ("one", "two"):
        (tmp_path / f"{name}.py").write_text(APP)
    done = penstock(tmp_path, "check", "--print", environment={"PENSTOCK_DEBUG": "yes"})
    assert (done.returncode, done.stderr) == (0, "")
    printed = tomllib.loads(done.stdout)
    assert printed["app"]["two"]["workers"] == 2
    assert printed["app"]["one"]["workers"] >= 1
    assert printed["app"]["one"]["debug"] is True
    assert any(
        line.startswith("debug = true ") and line.endswith(" # PENSTOCK_DEBUG")
        for line in done.stdout.splitlines()
    )
    assert f"# runs in {sys.executable}" in done.stdout


def test_mistakes_are_found_without_an_import(tmp_path):
    (tmp_path / "penstock.toml").write_text('[app.shop]\nmodule = "shop"\nworkers = "x"\n')
    done = penstock(tmp_path, "check")
    assert done.returncode == 1
    assert done.stderr == 'penstock.toml:3: workers: "x" is not a whole number or auto\n'
