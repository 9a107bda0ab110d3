"""What the command says to those who use it right, wrong, or for the first time."""

import re
import subprocess
import sys

import pytest
from launcher import penstock

from penstock import __version__
from penstock.options import table


def test_without_anything_it_says_how_it_is_used(tmp_path):
    done = penstock(tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(
        "penstock: no application is named, and there is no penstock.toml here\nUsage: penstock"
    )


@pytest.mark.parametrize("arguments", [["--help"], ["-h"], ["check", "--help"], ["-h", "--zebra"]])
def test_help_lists_every_command_and_option(tmp_path, arguments):
    done = penstock(tmp_path, *arguments)
    assert (done.returncode, done.stderr) == (0, "")
    for command in ("run", "check", "options", "completion"):
        assert re.search(rf"^  penstock \[?{command}\b", done.stdout, re.MULTILINE)
    for option in table().values():
        listed = re.search(rf"--{option.name}(?![\w-])", done.stdout) is not None
        assert listed == option.on_command_line, option.name
    assert max(map(len, done.stdout.splitlines())) <= 100


def test_version(tmp_path):
    done = penstock(tmp_path, "--version")
    assert (done.returncode, done.stdout) == (0, f"penstock {__version__}\n")
    done = penstock(tmp_path, "-Vv")
    assert {"python", "package", "master", "extension"} <= {
        line.split(":")[0] for line in done.stdout.splitlines()
    }


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["a:b", "--wokers", "4"], "penstock: --wokers: unknown option; did you mean --workers?\n"),
        (["a:b", "-w", "x"], 'penstock: -w: "x" is not a whole number or auto\n'),
        (["a:b", "-b", "80"], 'penstock: -b: "80" has no port; did you mean ":80"?\n'),
        (["a:b", "-w"], "penstock: -w: N is missing\n"),
        (["a:b", "c:d"], "penstock: c:d: unexpected word\n"),
        (["completion"], "penstock: completion for which shell? bash, zsh, fish\n"),
    ],
)
def test_wrong_usage_ends_with_2(tmp_path, arguments, said):
    done = penstock(tmp_path, *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(said)


def test_all_wrong_words_are_named_at_once(tmp_path):
    done = penstock(tmp_path, "--zebra", "-w", "x", "--head-timeout", "fast", "a b")
    assert done.returncode == 2
    places = [line.split(": ")[1] for line in done.stderr.splitlines()[:-1]]
    assert places == ["--zebra", "-w", "--head-timeout", "a b"]


def test_a_wrong_configuration_ends_with_1(tmp_path):
    (tmp_path / "penstock.toml").write_text('[app.shop]\nmodule = "a:b"\nwokers = 1\n')
    done = penstock(tmp_path)
    said = 'penstock.toml:3: unknown option "wokers" in [app.shop]; did you mean "workers"?\n'
    assert (done.returncode, done.stdout, done.stderr) == (1, "", said)


def test_output_into_a_pipe_that_closes(tmp_path):
    command = f"{sys.executable} -m penstock options | head -1"
    done = subprocess.run(
        command, shell=True, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.stdout, done.stderr) == ("module\n", "")
