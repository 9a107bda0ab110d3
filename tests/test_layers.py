"""Each folder under src/ includes only what the architecture's table lets it include."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def check(src: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, ROOT / "tools" / "check_layers.py", src]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_our_tree_keeps_its_layers() -> None:
    done = check(ROOT / "src")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("path", "include", "reason"),
    [
        ("base/buf.c", '"loop/loop.h"', "base may not include loop"),
        ("proto/h1.c", '"net/address.h"', "proto may not include net"),
        ("proto/h1.c", "<time.h>", "proto must do without it"),
        ("proto/h1.c", "<sys/socket.h>", "proto must do without it"),
        ("net/listen.c", '"http/exchange.h"', "net may not include http"),
        ("master/fork.c", '"py/wsgi.h"', "master may not include py"),
        ("master/fork.c", '"http/exchange.h"', "only master/control* may include http"),
        ("py/wsgi.c", '"master/worker.h"', "py may not include master"),
        ("http/server.c", "<Python.h>", "only py/* may include it"),
        ("master/main.c", "<openssl/ssl.h>", "only net/tls* may include it"),
        ("net/tcp.c", "<openssl/ssl.h>", "only net/tls* may include it"),
        ("http/wire_h1.c", "<nghttp2/nghttp2.h>", "may include it"),
        ("py/worker.c", "<jansson.h>", "only config/* may include it"),
        ("py/worker.c", "<httpd.h>", "only apache/* may include it"),
        ("http/server.c", '"../py/wsgi.h"', "write the path from src/ on"),
        ("gadget/a.c", '"base/buf.h"', "not in the table"),
    ],
)
def test_a_bad_include_is_named(tmp_path: Path, path: str, include: str, reason: str) -> None:
    file = tmp_path / path
    file.parent.mkdir(parents=True)
    file.write_text(f"/* A file. */\n#include <stddef.h>\n\n  #  include {include}\n")
    done = check(tmp_path)
    assert done.returncode == 1
    assert done.stdout.count("\n") == 1
    assert reason in done.stdout
    assert str(file) in done.stdout


@pytest.mark.parametrize(
    ("path", "include"),
    [
        ("proto/h1.c", '"base/slice.h"'),
        ("proto/h1.c", '"headers_hash.h"'),
        ("http/server.c", '"config/options.h"'),
        ("master/control.c", '"http/exchange.h"'),
        ("py/wsgi.c", "<Python.h>"),
        ("net/tls.c", "<openssl/ssl.h>"),
        ("config/config.c", "<jansson.h>"),
    ],
)
def test_a_good_include_passes(tmp_path: Path, path: str, include: str) -> None:
    file = tmp_path / path
    file.parent.mkdir(parents=True)
    file.write_text(f"#include {include}\n")
    done = check(tmp_path)
    assert (done.returncode, done.stdout) == (0, "")
