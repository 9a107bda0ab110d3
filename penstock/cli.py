"""The command ``penstock``.

It checks what it is told and then becomes the master (`penstock.launch`): nothing of this runs while requests are
served. Exit status: 0 well, 1 configuration, 2 usage, 4 the application could not be imported; 3 (a worker could not
start) is the master's.
"""

from __future__ import annotations

import os
import platform
import sys
from pathlib import Path

from penstock import __version__, config
from penstock.settings import ConfigurationError, Problem
from penstock.words import CommandLine, read

WELL, CONFIGURATION, USAGE, IMPORT = 0, 1, 2, 4

SHORT_USAGE = """\
Usage: penstock MODULE [OPTION...]          penstock shop.wsgi:application -w 4
       penstock [-c FILE] [OPTION...]       with ./penstock.toml or another file
       penstock --help                      all commands and options"""


def say(text: str) -> None:
    """Print a line for people, beside what the program prints."""
    print(text, file=sys.stderr)


def configuration(line: CommandLine) -> config.Configuration:
    """Return the configuration of a command line, environment and file; ConfigurationError where it is wrong."""
    return config.make(line.settings, os.environ, Path.cwd())


def run(line: CommandLine) -> int:
    """Become the master, or give a running one its new configuration."""
    from penstock import handback, launch

    made = configuration(line)
    refuse_foreign_users(made)
    if handback.is_wanted():
        handback.write(launch.canonical_bytes(made))
        return WELL
    try:
        launch.become_master(made)
    except launch.NotInstalledError as error:
        say(f"penstock: {error}")
        return CONFIGURATION


def refuse_foreign_users(made: config.Configuration) -> None:
    """Refuse users and groups that this process may not change to."""
    problems = []
    for settings in made.app.values():
        for number, name in (("uid", "user"), ("gid", "group")):
            if settings[number].value is not None and settings[name].value and os.geteuid() != 0:
                text = f'{name}: only root can change to the {name} "{settings[name].value}"'
                problems.append(settings[name].problem(text))
    if problems:
        raise ConfigurationError(problems)


def check(line: CommandLine) -> int:
    """Check the configuration and import the applications."""
    from penstock import check as checks

    made = configuration(line)
    if line.flag("print"):
        from penstock.effective import toml

        print(toml(made), flush=True)
    failed = [name for name, app in made.app.items() if not checks.imports(name, app)]
    if failed:
        return IMPORT
    if not line.flag("print"):
        print(checks.summary(made))
    return WELL


def options(line: CommandLine) -> int:
    """Explain options."""
    from penstock import reference

    if line.flag("rst"):
        print(reference.rst(), end="")
        return WELL
    text, wrong = reference.options_text(line.arguments)
    for message in wrong:
        say(f"penstock: {message}")
    if text:
        print(text)
    return USAGE if wrong else WELL


def completion(line: CommandLine) -> int:
    """Print a shell's completion."""
    from penstock.completion import SCRIPTS, SHELLS

    shell = line.arguments[0] if line.arguments else ""
    if shell not in SCRIPTS:
        say(f"penstock: completion for which shell? {', '.join(SHELLS)}")
        return USAGE
    print(SCRIPTS[shell]())
    return WELL


def version(verbose: bool) -> int:
    """Print the version and, if wanted, what the installation consists of."""
    print(f"penstock {__version__}")
    if verbose:
        from penstock import launch

        try:
            master = str(launch.master_path())
        except launch.NotInstalledError:
            master = "missing"
        rows = {
            "python": f"{platform.python_version()}, {sys.executable}",
            "package": str(Path(__file__).resolve().parent),
            "master": master,
            "extension": str(launch.extension_path() or "missing"),
            "protocols": "http/1.1",
            "interfaces": "wsgi",
        }
        for name, text in rows.items():
            print(f"{name + ':':<12}{text}")
    return WELL


HANDLERS = {"run": run, "check": check, "options": options, "completion": completion}


def usage_problems(problems: list[Problem]) -> int:
    """Say what is wrong with a command line."""
    for problem in problems:
        say(f"penstock: {problem}")
    say("Try penstock --help.")
    return USAGE


def main(arguments: list[str] | None = None) -> int:
    """Run the command.

    Parameters
    ----------
    arguments
        What follows the program's name; by default this process's own.

    Returns
    -------
    int
        The exit status.
    """
    words = sys.argv[1:] if arguments is None else arguments
    try:
        return _main(words)
    except ConfigurationError as error:
        return _refused(error)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return WELL
    except KeyboardInterrupt:
        return 130


def _main(words: list[str]) -> int:
    line = read(words, Path.cwd())
    if line.flag("help"):
        from penstock.reference import help_text

        print(help_text(), flush=True)
        return WELL
    if line.flag("version"):
        return version(line.flag("verbose"))
    if line.problems:
        return usage_problems(line.problems)
    status = HANDLERS[line.command](line)
    sys.stdout.flush()
    return status


def _refused(error: ConfigurationError) -> int:
    """Say what is wrong with the configuration."""
    for problem in error.problems:
        text = str(problem)
        usage = problem.usage and not text.startswith("penstock:")
        say(f"penstock: {text}" if usage else text)
    if any(problem.where == "penstock" for problem in error.problems):
        say(SHORT_USAGE)
    return error.status
