"""``penstock options``, the manual's page and the shells' completion: all from one table."""

import re
import shutil
import subprocess

import pytest
from docutils import core as docutils
from launcher import penstock

from penstock.options import settable, table
from penstock.reference import SERVERS

SETTABLE = list(settable("server", "app", "listen", "command"))


def test_all_options(tmp_path):
    done = penstock(tmp_path, "options")
    assert done.returncode == 0
    assert re.findall(r"^[a-z][a-z0-9-]+$", done.stdout, re.MULTILINE) == SETTABLE


def test_one_option(tmp_path):
    done = penstock(tmp_path, "options", "--", "--keep-alive")
    assert done.stdout == penstock(tmp_path, "options", "keep_alive").stdout
    assert done.stdout == penstock(tmp_path, "options", "timeout-keep-alive").stdout
    assert "from 1ms to 24h" in done.stdout
    assert "Default:      75s" in done.stdout
    assert "Environment:  PENSTOCK_KEEP_ALIVE" in done.stdout


def test_the_table_names_servers_that_are_known():
    assert {key for option in table().values() for key in option.elsewhere} <= set(SERVERS)


def test_no_such_option(tmp_path):
    done = penstock(tmp_path, "options", "wokers", "bind")
    assert done.returncode == 2
    assert done.stderr == 'penstock: there is no option "wokers"; did you mean "workers"?\n'
    assert done.stdout.startswith("bind\n")


def test_the_manuals_page_has_every_option(tmp_path):
    page = penstock(tmp_path, "options", "--rst").stdout
    titles = re.findall(r"^([a-z0-9-]+)\n~+$", page, re.MULTILINE)
    assert set(SETTABLE) - set(titles) == {"help", "version", "verbose"}


def test_the_manuals_page_is_restructured_text(tmp_path):
    page = penstock(tmp_path, "options", "--rst").stdout
    settings = {"report_level": 2, "halt_level": 2}
    docutils.publish_string(page, settings_overrides=settings)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts(tmp_path, shell):
    script = penstock(tmp_path, "completion", shell).stdout
    for option in table().values():
        if option.on_command_line:
            assert re.search(rf"(--|-l ){option.name}(?![\w-])", script), option.name
    if shutil.which(shell):
        subprocess.run([shell, "-n"], input=script, text=True, check=True)


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("penstock --wor", ["--workers"]),
        ("penstock a:b --log-level wa", ["warn"]),
        ("penstock a:b --log-level ''", ["debug", "info", "warn", "error", "critical"]),
        ("penstock ch", ["check"]),
        ("penstock completion b", ["bash"]),
        ("penstock -w ''", []),
    ],
)
def test_bash_completes(tmp_path, words, found):
    script = penstock(tmp_path, "completion", "bash").stdout
    (tmp_path / "empty").mkdir()
    code = f"""{script}
cd empty
COMP_WORDS=({words}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
_penstock
printf '%s\\n' "${{COMPREPLY[@]}}"
"""
    done = subprocess.run(
        ["bash", "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert (done.stdout.split(), done.stderr) == (found, "")
