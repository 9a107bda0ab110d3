"""Fixtures: servers for one test and for a module, and what a failed test shows of them."""

from __future__ import annotations

import importlib.util

import harness
import masters
import pytest
from gates import Gates


@pytest.fixture(scope="session", autouse=True)
def _installed():
    """Say once, not in every test, that there is nothing to test."""
    if importlib.util.find_spec("penstock._core") is None:
        pytest.exit("penstock is not installed in this environment: use ./dev test", returncode=2)


@pytest.fixture
def serve(tmp_path):
    """Start servers that live as long as the test: ``serve("app:application", "-w", "2")``."""
    with harness.servers(tmp_path) as start:
        yield start


@pytest.fixture
def master(tmp_path):
    """A master that is not started yet, with children that are scripts."""
    made = masters.Master(tmp_path)
    yield made
    made.check_end()


@pytest.fixture
def gates(tmp_path):
    """Gates that calls of the application ``gate`` wait for."""
    folder = tmp_path / "gates"
    folder.mkdir()
    return Gates(folder)


@pytest.fixture
def serve_gate(serve, gates):
    """Start servers of that application: ``serve_gate("--threads", "1", NAME="value")``."""

    def start(*options, **environment):
        return serve("gate", *options, environment={"GATES": str(gates.folder), **environment})

    return start


@pytest.fixture(scope="module")
def serve_module(tmp_path_factory):
    """Start servers that live as long as the module's tests."""
    with harness.servers(tmp_path_factory.mktemp("servers")) as start:
        yield start


@pytest.fixture(scope="module")
def echo(serve_module):
    """A server of the application that tells what it was given, with one worker."""
    return serve_module("echo")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """Show the end of each running server's log with a failed test."""
    report = yield
    if report.failed:
        for server in harness.running:
            report.sections.append((f"log of {server.app} {server.pid}", server.log()[-6000:]))
    return report
