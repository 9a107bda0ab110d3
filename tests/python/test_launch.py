"""The configuration is handed over in a sealed file in memory, which what is executed inherits."""

import json
import os
import re
import subprocess
import sys

import pytest
from making import make

from penstock.cli import refuse_foreign_users
from penstock.launch import NotInstalledError, canonical_bytes, master_path, memory_file
from penstock.settings import ConfigurationError

READ = "import os,sys; n = int(sys.argv[1]); sys.stdout.buffer.write(os.pread(n, os.fstat(n).st_size, 0))"


def test_another_program_reads_what_was_handed_over(tmp_path):
    content = canonical_bytes(make(tmp_path, "shop:app", "-e", "ÄÖ=ü"))
    descriptor = memory_file(content)
    assert os.get_inheritable(descriptor)
    command = [sys.executable, "-c", READ, str(descriptor)]
    read = subprocess.run(command, pass_fds=[descriptor], stdout=subprocess.PIPE, check=True).stdout
    os.close(descriptor)
    assert read == content


def test_keys_are_sorted_and_the_bytes_the_same_each_time(tmp_path):
    content = canonical_bytes(make(tmp_path, "shop:app", "-e", "B=1", "-e", "A=2"))
    assert content == json.dumps(json.loads(content), sort_keys=True).encode()
    assert content == canonical_bytes(make(tmp_path, "shop:app", "-e", "A=2", "-e", "B=1"))


@pytest.mark.parametrize(
    "change", [lambda fd: os.pwrite(fd, b"x", 0), lambda fd: os.ftruncate(fd, 0)]
)
def test_nobody_changes_it(change):
    descriptor = memory_file(b"{}")
    with pytest.raises(PermissionError):
        change(descriptor)
    os.close(descriptor)


def test_it_never_takes_a_standard_stream():
    code = (
        "import os; os.close(0); os.close(1)\n"
        "from penstock.launch import memory_file\n"
        "os.write(2, str(memory_file(b'{}')).encode())"
    )
    run = subprocess.run([sys.executable, "-c", code], stderr=subprocess.PIPE, check=True)
    assert int(run.stderr) >= 3


def test_a_path_that_is_not_utf8(tmp_path):
    folder = os.fsdecode(os.fsencode(tmp_path) + b"/\xff")
    os.mkdir(folder)
    with pytest.raises(ConfigurationError, match="is not UTF-8"):
        canonical_bytes(make(type(tmp_path)(folder), "shop:app"))


def test_only_root_can_change_users(tmp_path, monkeypatch):
    made = make(tmp_path, "shop:app", "-u", "54321", "-g", "54322")
    monkeypatch.setattr("os.geteuid", lambda: 0)
    refuse_foreign_users(made)
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    with pytest.raises(ConfigurationError) as error:
        refuse_foreign_users(made)
    assert [str(problem) for problem in error.value.problems] == [
        '-u: user: only root can change to the user "54321"',
        '-g: group: only root can change to the group "54322"',
    ]
    assert error.value.status == 2


BECOME = """
import sys
from pathlib import Path
from penstock import config, launch
launch.master_path = lambda: Path(sys.argv[1])
settings = {"module": config.Setting("shop:app")}
launch.become_master(config.make(settings, {}, Path.cwd()))
"""

MASTER = """#!/bin/sh
echo "$$ $0 $*"
grep SigIgn /proc/$$/status
cat "/proc/self/fd/$2"
"""


def test_the_master_takes_the_launchers_place(tmp_path):
    master = tmp_path / "master"
    master.write_text(MASTER)
    master.chmod(0o755)
    command = [sys.executable, "-c", BECOME, str(master)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=tmp_path) as run:
        first, ignored, *rest = run.communicate()[0].decode().splitlines()
    assert run.returncode == 0
    assert re.fullmatch(rf"{run.pid} \S*master --config-fd \d+", first)
    assert int(ignored.split()[1], 16) == ignored_here() & ~(1 << 12) & ~(1 << 24)
    assert json.loads(rest[0])["listen"][0]["address"] == "127.0.0.1:8000"


def ignored_here():
    """The signals that this process ignores; SIGPIPE is the 13th, SIGXFSZ the 25th."""
    with open("/proc/self/status") as status:
        return next(int(line.split()[1], 16) for line in status if line.startswith("SigIgn"))


def test_a_master_that_is_missing(tmp_path, monkeypatch):
    monkeypatch.setattr("penstock.launch.__file__", str(tmp_path / "launch.py"))
    monkeypatch.setattr("penstock.launch.extension_path", lambda: tmp_path / "py/_core.so")
    with pytest.raises(NotInstalledError) as error:
        master_path()
    looked = f"{tmp_path}/bin/penstock-master or {tmp_path}/master/penstock-master"
    assert str(error.value) == f"the master's program is missing: it is not at {looked}"


@pytest.mark.parametrize("place", ["bin/penstock-master", "master/penstock-master"])
def test_a_master_of_either_installation(tmp_path, monkeypatch, place):
    monkeypatch.setattr("penstock.launch.__file__", str(tmp_path / "launch.py"))
    monkeypatch.setattr("penstock.launch.extension_path", lambda: tmp_path / "py/_core.so")
    path = tmp_path / place
    path.parent.mkdir()
    path.touch(0o755)
    assert master_path() == path
