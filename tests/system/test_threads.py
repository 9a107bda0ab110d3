"""Calls that take long, and what goes on meanwhile: the loop, other calls, time limits, signals, forks.

A call lasts until the test opens its gate, so nothing here depends on how fast a machine is.
"""

import contextlib
import os
import random
import signal
import threading
from contextlib import ExitStack

import pytest
from gates import waiting
from harness import title, wait_until
from http1 import Connection, fetch, request

pytestmark = [pytest.mark.sanitized, pytest.mark.extension]


def get(client, path):
    client.send(request(target=path))
    return client.response()


def test_calls_that_wait_hold_up_nobody(serve_gate, gates):
    server = serve_gate("--threads", "8")
    with ExitStack() as stack:
        slow = waiting(stack, server, gates, 7)
        quick = stack.enter_context(Connection(server))
        for _ in range(50):
            assert get(quick, "/").text == "ok"
        for i, client in reversed(list(enumerate(slow))):
            gates.open(f"g{i}")
            assert client.response().text == f"opened by g{i}"
        assert get(quick, "/most").text == "8"


def test_one_thread_is_never_called_twice(serve_gate, gates):
    server = serve_gate("--threads", "1")
    assert fetch(server, "/flag").text == "False"
    with ExitStack() as stack:
        (slow,) = waiting(stack, server, gates, 1)
        others = [stack.enter_context(Connection(server)) for _ in range(5)]
        for other in others:
            other.send(request(target="/thread"))
        gates.open("g0")
        assert slow.response().text == "opened by g0"
        assert {other.response().text for other in others} == {"MainThread"}
        assert fetch(server, "/most").text == "1"


def test_several_threads_are_told(serve_gate):
    assert fetch(serve_gate("--threads", "2"), "/flag").text == "True"


def test_no_more_calls_at_once_than_threads(serve_gate, gates):
    server = serve_gate("--threads", "3")
    with ExitStack() as stack:
        clients = waiting(stack, server, gates, 6)
        held = [stack.enter_context(gates.hold(f"g{i}")) for i in range(3)]
        for i in range(3, 6):
            assert not gates.is_reached(f"g{i}")
        for gate in held:
            gate.close()
        for i in range(3, 6):
            gates.open(f"g{i}")
        assert [client.response().status for client in clients] == [200] * 6
        assert fetch(server, "/most").text == "3"


def test_quick_calls_stay_in_one_thread(serve_gate):
    server = serve_gate("--threads", "8")
    with Connection(server) as client:
        assert {get(client, "/thread").text for _ in range(200)} == {"MainThread"}


def test_limits_are_kept_while_all_threads_wait(serve_gate, gates):
    """Heads are parsed, refused and timed by C code, whatever Python does."""
    server = serve_gate("--threads", "2", "--head-timeout", "300ms")
    with ExitStack() as stack:
        slow = waiting(stack, server, gates, 2)
        bad = stack.enter_context(Connection(server))
        bad.send(b"GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n")
        assert bad.response().status == 400
        late = stack.enter_context(Connection(server))
        late.send(b"GET / HT")
        assert late.response().status == 408
        for i, client in enumerate(slow):
            gates.open(f"g{i}")
            assert client.response().status == 200


def test_a_call_whose_client_left_ends_alone(serve_gate, gates):
    server = serve_gate("--threads", "2")
    with Connection(server) as client:
        client.send(request(target=f"/wait/{gates.make('gone')}"))
        assert fetch(server, "/").text == "ok"
    gates.open("gone")
    for _ in range(20):
        assert fetch(server, "/").text == "ok"


def test_requests_behind_a_call_that_waits_keep_their_order(serve_gate, gates):
    server = serve_gate("--threads", "4")
    with Connection(server) as client:
        client.send(
            request(target=f"/wait/{gates.make('first')}")
            + request(target="/thread")
            + request(target="/")
        )
        assert fetch(server, "/").text == "ok"
        gates.open("first")
        assert client.response().text == "opened by first"
        assert client.response().status == 200
        assert client.response().text == "ok"


def mixed_client(server, seed, failures):
    """Pipelines, disconnects and checks every answer it waits for."""
    choose = random.Random(seed)
    try:
        for i in range(12):
            with Connection(server) as client:
                names = [f"{seed}-{i}-{n}" for n in range(choose.randrange(1, 6))]
                client.send(b"".join(request(target=f"/random/{name}") for name in names))
                if choose.random() < 0.2:
                    continue  # leaves without waiting
                for name in names:
                    assert client.response().text == name
    except BaseException as error:
        failures.append(error)


@pytest.mark.parametrize("threads", ["1", "2", "8", "64"])
def test_every_answer_is_right_under_a_mixed_load(serve_gate, threads):
    server = serve_gate("--threads", threads)
    failures: list[BaseException] = []
    clients = [
        threading.Thread(target=mixed_client, args=(server, seed, failures)) for seed in range(40)
    ]
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    assert not failures
    assert int(fetch(server, "/most").text) <= int(threads)


def test_threads_of_the_application_go_on_while_the_loop_sleeps(serve_gate):
    server = serve_gate(TICKS="1")
    first = int(fetch(server, "/ticks").text)
    wait_until(lambda: int(fetch(server, "/ticks").text) > first + 20, "ticks of a thread")


@pytest.mark.parametrize("busy", [False, True])
def test_a_signal_of_the_application_runs_in_the_main_thread(serve_gate, gates, busy):
    server = serve_gate("--threads", "4", SIGNALS="1")
    with ExitStack() as stack:
        clients = waiting(stack, server, gates, 2) if busy else []
        assert fetch(server, "/").text == "ok"
        (worker,) = server.workers()
        os.kill(worker, signal.SIGUSR2)
        wait_until(lambda: fetch(server, "/signalled").text == "MainThread", "the handler")
        for i, client in enumerate(clients):
            gates.open(f"g{i}")
            assert client.response().status == 200


def sockets(pid):
    """Return the sockets and kernel objects that a process holds."""
    names = []
    for fd in os.listdir(f"/proc/{pid}/fd"):
        with contextlib.suppress(FileNotFoundError):
            names.append(os.readlink(f"/proc/{pid}/fd/{fd}"))
    return [name for name in names if name.startswith(("socket:", "anon_inode:"))]


def test_signals_come_after_a_handler_that_took_long(serve_gate):
    """Without a request in between: no call of the main thread runs them."""
    server = serve_gate("--threads", "1", SIGNALS="slow")
    for count in range(1, 4):
        os.kill(server.workers()[0], signal.SIGUSR2)
        server.wait_log("(a signal was taken\n)" + f"{{{count}}}", limit=8, name="stdout")
        assert fetch(server, "/").text == "ok"  # the main thread turns the loop again


def test_a_child_that_the_application_forks_holds_no_connection(serve_gate, gates):
    server = serve_gate("--threads", "2")
    with Connection(server) as idle, Connection(server) as client:
        assert get(idle, "/").text == "ok"
        child = int(get(client, f"/fork/{gates.make('child')}").text)
        wait_until(lambda: not sockets(child), "the child's copies to be closed")
        assert get(idle, "/").text == "ok"
    gates.open("child")


def test_a_child_that_comes_back_out_of_its_call_is_ended(serve_gate):
    server = serve_gate("--threads", "2")
    with Connection(server) as client:
        child = int(get(client, "/escape").text)
        server.wait_log("process that the application forked returned")
        wait_until(lambda: "gate" not in title(child), "its end")
        assert get(client, "/").text == "ok"


def test_stop_now_does_not_wait_for_a_call(serve_gate, gates):
    server = serve_gate("--threads", "2")
    with ExitStack() as stack:
        waiting(stack, server, gates, 2)
        server.wait_log("serving")
        assert server.stop(signal.SIGINT) == 0


def test_stop_waits_for_calls_that_run(serve_gate, gates):
    server = serve_gate("--threads", "2")
    with Connection(server) as client:
        client.send(request(target=f"/wait/{gates.make('last')}"))
        assert fetch(server, "/").text == "ok"
        server.kill(signal.SIGTERM)
        server.wait_log("stopping")
        gates.open("last")
        response = client.response()
        assert response.text == "opened by last"
        assert response.header("Connection") == "close"
        assert client.closed()
    assert server.stop() == 0
