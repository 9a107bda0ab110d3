"""Calls that last until the test says otherwise, and calls that tell about their thread.

``/wait/NAME`` reads the FIFO ``$GATES/NAME`` until its end, which the test writes.
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


def take_signal(number, frame) -> None:
    signalled.append(threading.current_thread().name)
    if os.environ["SIGNALS"] == "slow":
        time.sleep(0.1)
    print("a signal was taken", flush=True)


def start() -> None:
    if "TICKS" in os.environ:
        threading.Thread(target=tick, daemon=True).start()
    if "SIGNALS" in os.environ:
        signal.signal(signal.SIGUSR2, take_signal)


start()


def burn(seconds: float) -> None:
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


def read_gate(name: str) -> bytes:
    with open(os.path.join(GATES, name), "rb") as gate:
        return gate.read()


def behave_at_random(name: str) -> str:
    random.choice((lambda: None, lambda: time.sleep(0.003), lambda: burn(0.002)))()
    return name


def fork_a_child(name: str) -> str:
    pid = os.fork()
    if pid == 0:
        read_gate(name)
        os._exit(0)
    return str(pid)


ANSWERS = {
    "wait": lambda name: "opened by " + read_gate(name).decode(),
    "burn": lambda seconds: burn(float(seconds)),
    "random": behave_at_random,
    "thread": lambda _: threading.current_thread().name,
    "ticks": lambda _: str(ticks),
    "signalled": lambda _: " ".join(signalled),
    "fork": fork_a_child,
    "escape": lambda _: str(os.fork()),  # the child comes back out of the call
    "most": lambda _: str(most),
    "pid": lambda _: str(os.getpid()),
    "": lambda _: "ok",
}


def answer(environ) -> bytes:
    kind, _, argument = environ["PATH_INFO"].strip("/").partition("/")
    if kind == "flag":
        return str(environ["wsgi.multithread"]).encode()
    return str(ANSWERS[kind](argument)).encode()


def application(environ, start_response):
    global inside, most
    with lock:
        inside += 1
        most = max(most, inside)
    try:
        body = answer(environ)
    finally:
        with lock:
            inside -= 1
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [body]
