"""Runs the command as a user would: ``python -m penstock`` in a folder, without settings of the tests' environment."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def penstock(
    folder: Path, *arguments: str, environment: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a command that ends by itself, and return what it printed."""
    own = {k: v for k, v in os.environ.items() if not k.startswith("PENSTOCK_")}
    own.pop("PORT", None)
    own.pop("WEB_CONCURRENCY", None)
    return subprocess.run(
        [sys.executable, "-m", "penstock", *arguments],
        cwd=folder,
        env={**own, **(environment or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
