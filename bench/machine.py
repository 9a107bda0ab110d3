"""Facts about the machine and what is installed, and the installing of peers. No host names."""

import json
import os
import platform
import re
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

from peers import BENCH, BIN, Peer


def first_match(path: str, pattern: str, otherwise: str = "unknown") -> str:
    found = re.search(pattern, Path(path).read_text(), re.MULTILINE)
    return found.group(1).strip() if found else otherwise


def facts(server_core: int, load_core: int) -> dict[str, str]:
    memory = int(first_match("/proc/meminfo", r"^MemTotal:\s+(\d+)", "0")) / 1024 / 1024
    virtual = (
        " (a virtual machine)"
        if re.search(r"\bhypervisor\b", Path("/proc/cpuinfo").read_text())
        else ""
    )
    return {
        "Processor": first_match("/proc/cpuinfo", r"^model name\s*: (.*)$", platform.machine())
        + virtual,
        "Cores": f"{os.cpu_count()}; servers on {server_core}, load on {load_core}",
        "Memory": f"{memory:.1f} GiB",
        "Kernel": f"{platform.system()} {platform.release()}",
        "C library": " ".join(platform.libc_ver()),
        "Python": f"{platform.python_version()}, {platform.python_compiler()}",
        "wrk": said(["wrk", "-v"], r"^wrk (\S+ ?\S*) \["),
    }


def said(command: list[str], pattern: str) -> str:
    """Return what a program says about its version."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError:
        return "missing"
    found = re.search(pattern, done.stdout + done.stderr, re.MULTILINE)
    return found.group(1).strip() if found else "unknown"


def revision() -> str:
    """Return the commit that is measured; with a + when files of the program differ from it."""
    git = ["git", "-C", str(BENCH.parent)]
    head = subprocess.run(
        [*git, "rev-parse", "--short=12", "HEAD"], capture_output=True, text=True, check=False
    )
    changed = subprocess.run(
        [*git, "status", "--porcelain", "--", "src", "penstock"],
        capture_output=True,
        text=True,
        check=False,
    )
    return (
        head.stdout.strip() + ("+" if changed.stdout.strip() else "")
        if head.returncode == 0
        else "unknown"
    )


@cache
def distributions() -> dict[str, str]:
    """Return what is installed in the environment that this runs in: names in lower case, and versions."""
    pip = [f"{BIN}/python", "-m", "pip", "--disable-pip-version-check", "list", "--format", "json"]
    done = subprocess.run(pip, capture_output=True, text=True, check=True)
    return {plain_name(row["name"]): row["version"] for row in json.loads(done.stdout)}


def plain_name(requirement: str) -> str:
    name = re.split(r"[\s\[<>=~!;]", requirement, maxsplit=1)[0]
    return re.sub(r"[-_.]+", "-", name).lower()


def version_of(peer: Peer) -> str:
    if peer.name == "nginx":
        return said(["/usr/sbin/nginx", "-v"], r"nginx/(\S+)")
    if peer.name == "wsgiref":
        return platform.python_version()
    versions = distributions()
    text = versions.get(plain_name(peer.requires[0] if peer.requires else peer.name), "missing")
    if peer.name == "gunicorn" and "gunicorn-h1c" in versions:
        text += f" with gunicorn_h1c {versions['gunicorn-h1c']}"
    if peer.name == "mod_wsgi":
        text += ", Apache " + said(["apache2", "-v"], r"Apache/(\S+)")
    return text


def missing(peer: Peer) -> str:
    """Install what the peer requires; say what is still missing, or nothing."""
    for need in peer.needs:
        program, _, package = need.partition(": ")
        if shutil.which(program) is None:
            return f"{program} is missing (Debian: apt-get install {package})"
    if peer.name == "penstock" and not Path(BIN, "penstock").exists():
        return "not installed in this environment: pip install --no-build-isolation ."
    if installed(peer):
        return ""
    pip = [
        f"{BIN}/python",
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        *peer.requires,
    ]
    print(f"installing {', '.join(peer.requires)}", file=sys.stderr)
    done = subprocess.run(pip, capture_output=True, text=True, check=False)
    distributions.cache_clear()
    if done.returncode == 0:
        return ""
    lines = [line for line in done.stderr.splitlines() if "error" in line.lower()] or [
        done.stderr.strip()
    ]
    return f"could not be installed: {lines[-1][:200]}"


def installed(peer: Peer) -> bool:
    """Are the peer's own distributions there? (An extra counts as a distribution that its name leads to.)"""
    names = {plain_name(requirement) for requirement in peer.requires}
    if "gunicorn" in names:
        names.add("gunicorn-h1c")
    return names <= distributions().keys()
