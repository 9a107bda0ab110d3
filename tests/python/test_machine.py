"""CPUs, users and files of the machine."""

import grp
import os
import pwd
import tempfile

import pytest

from penstock import machine
from penstock.options import WrongValueError

HERE = len(os.sched_getaffinity(0))


@pytest.fixture
def control_groups(tmp_path):
    """A tree as /sys/fs/cgroup, and the file that says where this process is in it."""
    where = tmp_path / "self"
    where.write_text("0::/a/b\n1:cpu,cpuacct:/c\n")
    for folder in ("a/b", "cpu/c"):
        (tmp_path / folder).mkdir(parents=True)
    return tmp_path, where


@pytest.mark.parametrize(
    ("file", "text", "count"),
    [
        ("a/b/cpu.max", "max 100000", HERE),
        ("a/b/cpu.max", "100000 100000", 1),
        ("a/b/cpu.max", "50000 100000", 1),
        ("a/cpu.max", "110000 100000", min(HERE, 2)),
        ("cpu.max", "100000 100000", 1),
        ("a/b/cpu.max", "nonsense", HERE),
        ("a/b/cpu.max", "0 0", HERE),
    ],
)
def test_cpus_of_a_control_group(control_groups, file, text, count):
    root, where = control_groups
    (root / file).write_text(text)
    assert machine.cpus(root, where) == count


def test_cpus_of_a_control_group_of_version_1(control_groups):
    root, where = control_groups
    (root / "cpu/c/cpu.cfs_quota_us").write_text("100000\n")
    (root / "cpu/c/cpu.cfs_period_us").write_text("100000\n")
    assert machine.cpus(root, where) == 1
    (root / "cpu/c/cpu.cfs_quota_us").write_text("-1\n")
    assert machine.cpus(root, where) == HERE


def test_cpus_without_control_groups(tmp_path):
    assert machine.cpus(tmp_path, tmp_path / "missing") == HERE


def test_a_user_brings_group_and_groups():
    entry = pwd.getpwuid(0)
    who = machine.identity("root", None)
    assert (who.uid, who.gid) == (0, entry.pw_gid)
    assert entry.pw_gid in who.groups
    assert machine.identity("0", None) == who


def test_a_group_of_ones_own():
    group = grp.getgrall()[-1]
    assert machine.identity("root", group.gr_name).gid == group.gr_gid
    assert machine.identity(None, str(group.gr_gid)) == machine.Identity(
        None, group.gr_gid, (group.gr_gid,)
    )


def test_a_number_without_an_entry():
    with pytest.raises(WrongValueError, match="its group must be given"):
        machine.identity("54321", None)
    assert machine.identity("54321", "54322") == machine.Identity(54321, 54322, (54322,))


@pytest.mark.parametrize(("user", "group"), [("nobody-here", None), (None, "nobody-here")])
def test_who_does_not_exist(user, group):
    with pytest.raises(WrongValueError, match=r'there is no (user|group) "nobody-here"'):
        machine.identity(user, group)


def test_files(tmp_path):
    (tmp_path / "file").touch()
    assert machine.folder_trouble(str(tmp_path)) is None
    assert "is not a folder" in machine.folder_trouble(str(tmp_path / "file"))
    assert "does not exist" in machine.folder_trouble(str(tmp_path / "missing"))
    assert machine.output_trouble(str(tmp_path / "new")) is None
    assert "is a folder" in machine.output_trouble(str(tmp_path))
    assert "does not exist" in machine.output_trouble(str(tmp_path / "missing" / "new"))
    assert machine.input_trouble(str(tmp_path / "file")) is None
    assert "does not exist" in machine.input_trouble(str(tmp_path / "missing"))


def test_the_python_of_an_environment(tmp_path):
    with pytest.raises(WrongValueError, match="is no virtual environment"):
        machine.python_of(str(tmp_path))
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/python").touch(0o755)
    assert machine.python_of(str(tmp_path)) == f"{tmp_path}/bin/python"


def as_nobody(function):
    """What a function returns, as a text, when another user calls it."""
    ends = os.pipe()
    child = os.fork()
    if child == 0:
        os.setresgid(65534, 65534, 65534)
        os.setresuid(65534, 65534, 65534)
        os.write(ends[1], str(function()).encode())
        os._exit(0)
    os.waitpid(child, 0)
    text = os.read(ends[0], 65536).decode()
    for end in ends:
        os.close(end)
    return text


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user")
def test_what_another_user_may_not():
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        path = os.path.join(folder, "file")
        os.close(os.open(path, os.O_CREAT, 0o600))
        assert as_nobody(lambda: machine.output_trouble(path)).endswith("permission denied")
        assert as_nobody(lambda: machine.output_trouble(path + "2")).endswith("permission denied")
        assert as_nobody(lambda: machine.input_trouble(path)).endswith("permission denied")
        who = machine.Identity(65534, 65534, (65534,))
        assert as_nobody(lambda: machine.unchanged(who)) == "True"
        assert as_nobody(lambda: machine.unchanged(machine.Identity(0, 0, (0,)))) == "False"
    assert not machine.unchanged(machine.Identity(0, 0, (0,)))
