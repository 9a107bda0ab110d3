"""Hands the configuration over and becomes the master."""

from __future__ import annotations

import fcntl
import importlib.util
import json
import os
import signal
import sys
from pathlib import Path
from typing import NoReturn

from penstock import inherited
from penstock.config import Configuration
from penstock.settings import ConfigurationError, Problem

MASTER = "penstock-master"
LEAST_DESCRIPTOR = 3
"""A descriptor below would be taken for a standard stream by what the master starts."""


class NotInstalledError(Exception):
    """A part of penstock is missing."""


def canonical_bytes(configuration: Configuration) -> bytes:
    """Return the configuration as the master reads it: JSON with sorted keys and nothing left out."""
    try:
        return json.dumps(configuration.canonical(), sort_keys=True, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        text = f"a path is not UTF-8: {error.object!a}"
        raise ConfigurationError([Problem("penstock", text[:200])]) from error


def memory_file(content: bytes) -> int:
    """Return a descriptor of a sealed file in memory that what is executed inherits (memfd_create(2))."""
    made = os.memfd_create("penstock-config", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    descriptor = fcntl.fcntl(made, fcntl.F_DUPFD, LEAST_DESCRIPTOR)
    os.close(made)
    with open(descriptor, "wb", closefd=False) as stream:
        stream.write(content)
    seals = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE
    fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, seals)
    return descriptor


def extension_path() -> Path | None:
    """Return where the extension module is, None where it is not installed."""
    try:
        spec = importlib.util.find_spec("penstock._core")
    except (ImportError, OSError):
        return None
    return Path(spec.origin) if spec is not None and spec.origin is not None else None


def master_path() -> Path:
    """Return the master's program.

    A normal installation has it inside the package. An editable one leaves it in the build folder, where the extension
    module is found as well: ``src/master`` beside ``src/py``.

    Raises
    ------
    NotInstalledError
        It is in neither place.
    """
    places = [Path(__file__).resolve().parent / "bin" / MASTER]
    extension = extension_path()
    if extension is not None:
        places.append(extension.parent.parent / "master" / MASTER)
    for place in places:
        if os.access(place, os.X_OK):
            return place
    looked = " or ".join(str(place) for place in places)
    raise NotInstalledError(f"the master's program is missing: it is not at {looked}")


def become_master(configuration: Configuration) -> NoReturn:
    """Execute the master in this process; it keeps process id, environment and standard streams.

    Raises
    ------
    NotInstalledError
        The master is missing or cannot be executed.
    ConfigurationError
        A listener is a descriptor that is not there, or a path cannot be handed over.
    """
    path = master_path()
    configuration.listen, unused = inherited.take(configuration.listen, os.environ)
    for one in unused:
        text = f"penstock: no listener takes the socket {one.name} (descriptor {one.number}) that systemd passed"
        print(text, file=sys.stderr)
    descriptor = memory_file(canonical_bytes(configuration))
    for ignored in (signal.SIGPIPE, signal.SIGXFSZ):  # by Python, and exec would pass it on
        signal.signal(ignored, signal.SIG_DFL)
    try:
        os.execv(path, ["penstock", "--config-fd", str(descriptor)])
    except OSError as error:
        raise NotInstalledError(f"{path} cannot be executed: {error.strerror}") from error
