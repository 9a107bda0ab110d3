"""``penstock check``: imports the applications, each in its own Python, and tells what would be served."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from penstock.config import Configuration
from penstock.settings import Settings

BOOT = Path(__file__).resolve().with_name("_boot.py")


def _environment(app: Settings) -> dict[str, str]:
    """Return the environment that the application's processes would have."""
    added = app["environment"].value
    return {**os.environ, **added} if isinstance(added, dict) else dict(os.environ)


def _umask(app: Settings) -> int:
    """Return the application's umask, -1 where it has none of its own."""
    value = app["umask"].value
    return value if isinstance(value, int) else -1


def imports(name: str, app: Settings) -> bool:
    """Import an application; say why where it cannot be imported.

    Parameters
    ----------
    name
        The application's name.
    app
        Its settings.

    Returns
    -------
    bool
        Whether it can be imported, within its start-timeout.
    """
    milliseconds = app["start-timeout"].value
    patience = milliseconds / 1000 if isinstance(milliseconds, int) else None
    options = {option: setting.value for option, setting in app.items()}
    command = [str(app["python"].value), str(BOOT), "check"]
    try:
        done = subprocess.run(
            command,
            env=_environment(app),
            input=json.dumps(options).encode(),
            umask=_umask(app),
            timeout=patience,
            check=False,
        )
    except subprocess.TimeoutExpired:
        print(f"{name}: not imported within its start-timeout ({patience} s)", file=sys.stderr)
        return False
    except OSError as error:
        print(f"{name}: {command[0]} cannot be run: {error.strerror}", file=sys.stderr)
        return False
    if done.returncode < 0:
        print(f"{name}: importing it ended by signal {-done.returncode}", file=sys.stderr)
    if done.returncode != 0:
        print(f"{name}: the application cannot be imported", file=sys.stderr)
    return done.returncode == 0


def summary(configuration: Configuration) -> str:
    """Return a line for each application that was found to be well."""
    lines = []
    for name, app in configuration.app.items():
        served = [
            str(listener["address"].value)
            for listener in configuration.listen
            if listener["app"].value == name
        ]
        count = app["workers"].value
        workers = "1 worker" if count == 1 else f"{count} workers"
        lines.append(f"{name}: well; {workers} on {', '.join(served)}")
    return "\n".join(lines)
