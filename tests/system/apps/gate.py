"""Calls that last until the test says otherwise, and calls that tell about their thread.

``/wait/NAME`` reads the FIFO ``$GATES/NAME`` until its end, which the test writes. Everything here works with any number of
threads.
"""

import os
import random
import signal
import threading
import time

GATES = os.environ.get("GATES", "")
inside = 0
most = 0
ticks = 0
signalled: list[str] = []
lock = threading.Lock()


def tick() -> None:
    global ticks
    while True:
        time.sleep(0.001)
        ticks += 1


def start() -> None:
    if "TICKS" in os.environ:
        threading.Thread(target=tick, daemon=True).start()
    if "SIGNALS" in os.environ:
        signal.signal(
            signal.SIGUSR2,
            lambda number, frame: signalled.append(threading.current_thread().name),
        )


start()


def burn(seconds: float) -> None:
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


def answer(path: str, environ) -> bytes:
    kind, _, argument = path.strip("/").partition("/")
    if kind == "wait":
        with open(os.path.join(GATES, argument), "rb") as gate:
            return b"opened by " + gate.read()
    if kind == "burn":
        burn(float(argument))
    if kind == "sleep":
        time.sleep(float(argument))
    if kind == "random":
        random.choice((lambda: None, lambda: time.sleep(0.003), lambda: burn(0.002)))()
        return argument.encode()
    if kind == "thread":
        return threading.current_thread().name.encode()
    if kind == "ticks":
        return str(ticks).encode()
    if kind == "signalled":
        return " ".join(signalled).encode()
    if kind == "fork":
        pid = os.fork()
        if pid == 0:
            with open(os.path.join(GATES, argument), "rb") as gate:
                gate.read()
            os._exit(0)
        return str(pid).encode()
    if kind == "escape":
        return str(os.fork()).encode()  # the child comes back out of the call
    if kind == "most":
        return str(most).encode()
    if kind == "flag":
        return str(environ["wsgi.multithread"]).encode()
    return b"ok"


def application(environ, start_response):
    global inside, most
    with lock:
        inside += 1
        most = max(most, inside)
    try:
        body = answer(environ["PATH_INFO"], environ)
    finally:
        with lock:
            inside -= 1
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [body]
