"""The configuration is handed over in a sealed file in memory, which what is executed inherits."""

import json
import os
import subprocess
import sys

import pytest
from making import make

from penstock.cli import refuse_foreign_users
from penstock.launch import canonical_bytes, memory_file
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
        "import os; os.close(0)\nfrom penstock.launch import memory_file\nprint(memory_file(b'{}'))"
    )
    run = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, check=True)
    assert int(run.stdout) >= 3


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
