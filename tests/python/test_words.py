"""The command line."""

from pathlib import Path

import pytest
from making import canonical, problems

from penstock import words
from penstock.options import by_word, table


def read(*arguments):
    return words.read(list(arguments), Path("/base"))


def values(*arguments):
    line = read(*arguments)
    assert line.problems == []
    return {name: setting.value for name, setting in line.settings.items()}


@pytest.mark.parametrize(
    ("arguments", "settings"),
    [
        (["-w", "4"], {"workers": 4}),
        (["-w4"], {"workers": 4}),
        (["-w=4"], {"workers": 4}),
        (["--workers", "4"], {"workers": 4}),
        (["--workers=4"], {"workers": 4}),
        (["-w", "4", "-w", "5"], {"workers": 5}),
        (["--factory"], {"factory": True}),
        (["--factory=no"], {"factory": False}),
        (["--no-factory"], {"factory": False}),
        (["--preload"], {"preload": "always"}),
        (["--preload=never"], {"preload": "never"}),
        (["--preload", "a:b"], {"preload": "always", "module": "a:b"}),
        (["--no-access-log"], {"access-log": None}),
        (["--no-server-header"], {"server-header": None}),
        (["--access-log", "-"], {"access-log": "-"}),
        (["-b:80", "-b", ":81"], {"bind": [":80", ":81"]}),
        (["-e", "A=1", "--env", "B=2"], {"environment": {"A": "1", "B": "2"}}),
        (["-Vv"], {"version": True, "verbose": True}),
        (["--", "a:b"], {"module": "a:b"}),
        (["--module", "options"], {"module": "options"}),
        (["run", "check:app"], {"module": "check:app"}),
        (["run", "check"], {"module": "check"}),
    ],
)
def test_spellings(arguments, settings):
    assert values(*arguments) == settings


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--wokers", "4"], ["--wokers: unknown option; did you mean --workers?"]),
        (["--wokers=4", "a:b"], ["--wokers: unknown option; did you mean --workers?"]),
        (["--zebra"], ["--zebra: unknown option"]),
        (["-z"], ["-z: unknown option"]),
        (["-w"], ["-w: N is missing"]),
        (["--bind"], ["--bind: ADDRESS is missing"]),
        (["-w", "x"], ['-w: "x" is not a whole number or auto']),
        (["--chdir", ""], ["--chdir: a path must not be empty"]),
        (["--no-workers"], ["--no-workers: unknown option; did you mean --workers?"]),
        (["a:b", "c:d"], ["c:d: unexpected word"]),
        (["a:b", "--module", "c:d"], ["a:b: the application is named by --module, too"]),
        (
            ["a b"],
            ['a b: "a b" is not package.module:object, package.module:factory() or package.module'],
        ),
        (["--print"], ["--print: not an option of penstock run"]),
        (["options", "-w", "4"], ["-w: not an option of penstock options"]),
        (["check", "--rst"], ["--rst: not an option of penstock check"]),
        (
            ["--uid", "a", "--zebra", "-w", "x"],
            ["--zebra: unknown option", '-w: "x" is not a whole number or auto'],
        ),
    ],
)
def test_mistakes(arguments, said):
    assert [str(problem) for problem in read(*arguments).problems] == said


GUNICORN = (
    "-w 4 -b :8000 -e A=b -u root -g root -m 022 -p pid -n web --chdir . --preload --pythonpath . "
    "--access-logfile - --error-logfile - --log-level warning --pid pid --graceful-timeout 30 --keep-alive 2 "
    "--limit-request-line 4094 --limit-request-fields 100 --backlog 64 --log-file - shop:app"
)
UVICORN = (
    "shop:app --host 0.0.0.0 --port 80 --workers 4 --app-dir . --factory --root-path /x --log-level critical "
    "--no-access-log --no-server-header --timeout-keep-alive 5 --timeout-graceful-shutdown 5 --backlog 64 "
    "--interface wsgi"
)


@pytest.mark.parametrize("line", [GUNICORN, UVICORN, "shop:app --uds s --mode 660"])
def test_what_fingers_know(tmp_path, line):
    assert problems(tmp_path, *line.split()) == []


def test_gunicorns_words_mean_what_they_mean(tmp_path):
    made = canonical(tmp_path, *GUNICORN.split())
    app = made["app"]["shop"]
    assert (app["preload"], app["umask"], app["keep-alive"]) == ("always", 0o022, 2000)
    assert (app["max-request-line"], app["workers"]) == (4094, 4)
    assert (made["server"]["log-level"], made["server"]["name"]) == ("warn", "web")


ALIASES = [(alias, name) for name, option in table().items() for alias in option.aliases]


@pytest.mark.parametrize(("alias", "name"), ALIASES)
def test_an_alias_is_its_option(alias, name):
    option = table()[name]
    value = {"duration": "3s", "int": "3", "size": "3K", "table": "A=1"}.get(option.type, "json")
    assert values(f"--{alias}", value) == values(f"--{name}", value)


def test_no_word_means_two_options():
    spelled = [w for o in table().values() if o.on_command_line for w in (o.name, *o.aliases)]
    assert sorted(spelled) == sorted(by_word())
    letters = [o.short for o in table().values() if o.short]
    assert len(set(letters)) == len(letters)
