"""An application that has a life of its own: threads, signals, children, things to do at exit."""

import atexit
import json
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from urllib.parse import parse_qs

imported_by = os.getpid()
random_at_import = random.getstate()
ticks = 0
folder = Path(os.environ["LIVING"])


def note(name, text=""):
    with open(folder / name, "a") as out:
        out.write(f"{os.getpid()} {text}\n")


def tick():
    global ticks
    while True:
        ticks += 1
        time.sleep(0.01)


def on_signal(number, frame):
    note("signal", str(number))
    if (folder / "raise").exists():
        raise ValueError("in a handler")


atexit.register(note, "atexit")
signal.signal(signal.SIGUSR1, on_signal)
if os.environ.get("OWN_TERM"):
    signal.signal(signal.SIGTERM, lambda *_: (note("own-term"), sys.exit(0)))
if os.environ.get("BUSY_EXIT"):
    atexit.register(time.sleep, 600)
if os.environ.get("TICKING"):
    threading.Thread(target=tick, daemon=True).start()


def sleep_for_ever():
    time.sleep(600)


def facts(query):
    return {
        "pid": os.getpid(),
        "parent": os.getppid(),
        "imported_by": imported_by,
        "random": random.random(),
        "ticks": ticks,
        "thread": threading.current_thread() is threading.main_thread(),
        "argv": sys.argv,
        "path": sys.path[:3],
        "main": sys.modules["__main__"].__name__,
        "heavy": sorted({"json.tool", "argparse", "asyncio", "penstock.cli"} & sys.modules.keys()),
        "stdout": sys.stdout.line_buffering,
    }


def child_status(query):
    """What an executed program inherits."""
    text = subprocess.run(
        ["cat", "/proc/self/status"], capture_output=True, text=True, check=True
    ).stdout
    return dict(line.split(":\t", 1) for line in text.splitlines() if line.startswith("Sig"))


def child_descriptors(query):
    """What a program inherits that is executed without closing anything."""
    code = "import os; print(len(os.listdir('/proc/self/fd')))"
    done = subprocess.run(
        [sys.executable, "-S", "-c", code],
        capture_output=True,
        text=True,
        close_fds=False,
        check=True,
    )
    return int(done.stdout)


def process(query):
    """Start a child by fork and end it as its parents usually do."""
    child = multiprocessing.get_context("fork").Process(target=sleep_for_ever)
    child.start()
    child.terminate()
    child.join(10)
    return child.exitcode


def forked_child(query):
    """A child that stays, and has nothing of ours."""
    pid = os.fork()
    if pid == 0:
        links = []
        for fd in os.listdir("/proc/self/fd"):
            try:
                links.append(os.readlink(f"/proc/self/fd/{fd}"))
            except OSError:
                continue
        note("child", json.dumps(links))
        os._exit(0)
    os.waitpid(pid, 0)
    return pid


def returning_child(query):
    """A child that comes back out of the application, as it should not."""
    return os.fork()


def spawn(query):
    child = multiprocessing.get_context("spawn").Process(target=note, args=("spawned",))
    child.start()
    child.join(20)
    return child.exitcode


def application(environ, start_response):
    query = {name: values[0] for name, values in parse_qs(environ["QUERY_STRING"]).items()}
    body = json.dumps(globals()[environ["PATH_INFO"][1:]](query)).encode()
    start_response("200 OK", [("Content-Type", "application/json")])
    return [body]
