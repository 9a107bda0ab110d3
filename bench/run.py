#!/usr/bin/env python3
"""Measures Penstock beside its peers: see docs/internals/benchmarks.md.

Runs in the virtual environment that holds Penstock and installs the peers into it. `./dev bench` calls it.
"""

import argparse
import json
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime

import accounting
import load
import machine
import peers
import report
import scenarios
from peers import Peer
from results import Entry, Outcome, kept_outcomes
from scenarios import Scenario, Variant
from server import Server, UnfitError

MIB = 1024 * 1024


class Bench:
    """One run: what was asked for, and what the machine is."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.repeats: int = options.repeats
        self.seconds: float = options.seconds
        self.server_core: int = options.server_cpu
        self.load_core: int = options.load_cpu
        self.peers: list[Peer] = [peers.BY_NAME[name] for name in options.peer]
        self.missing = {peer.name: machine.missing(peer) for peer in self.peers}
        self.facts = machine.facts(self.server_core, self.load_core)
        self.versions = {peer.name: machine.version_of(peer) for peer in self.peers}
        self.revision = machine.revision()

    def entries(self, scenario: Scenario) -> list[tuple[Peer, Variant, Entry]]:
        """Return who takes part; a peer that is missing takes part as a line that says so."""
        found = []
        for peer in self.peers:
            if (scenario.only and peer.name not in scenario.only) or (
                peer.name == "nginx" and not scenario.nginx
            ):
                continue
            for variant in scenario.variants:
                found.append(
                    (peer, variant, Entry(peer.name, variant.name, failure=self.missing[peer.name]))
                )
        return found

    def scenario(self, scenario: Scenario) -> Outcome:
        """Measure everyone in turn, again and again."""
        taking_part = self.entries(scenario)
        bare = Entry(
            "bare threads",
            "",
            command=f"python bench/serve/bare_threads.py {scenario.threads} 10 SECONDS",
        )
        for repeat in range(self.repeats):
            for peer, variant, entry in taking_part:
                if not entry.failure:
                    progress(f"{scenario.name} {repeat + 1}/{self.repeats} {entry.name}")
                    self.measure_or_say_why(peer, scenario, variant, entry)
            if scenario.bare_threads:
                bare.add(self.measure_bare_threads(scenario))
        progress("")
        return Outcome(
            scenario.name,
            datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
            self.revision,
            self.repeats,
            self.seconds,
            self.facts,
            self.versions,
            [entry for _, _, entry in taking_part] + ([bare] if scenario.bare_threads else []),
        )

    def measure_or_say_why(
        self, peer: Peer, scenario: Scenario, variant: Variant, entry: Entry
    ) -> None:
        try:
            if scenario.idle:
                load.allow_descriptors(scenario.connections + 500)
            with Server(peer, scenario, variant, self.server_core) as server:
                entry.command = server.shown_command
                self.measure(server, variant, entry)
        except UnfitError as unfit:
            entry.failure = str(unfit)
            entry.figures.clear()

    def measure(self, server: Server, variant: Variant, entry: Entry) -> None:
        """Take one repeat's figures: bodies first, then a warm-up, then the load between two readings."""
        for remark in server.verify().remarks():
            entry.remark(remark)
        scenario = server.scenario
        if scenario.idle:
            entry.add(self.measure_idle(server))
            return
        if not scenario.open_loop:
            load.wrk(server, 1, self.load_core)
        ticks = server.ticks() if scenario.ticks else 0
        root = server.process.pid
        busy = accounting.core_busy(self.server_core)
        begin = time.monotonic()
        before = accounting.read_cpu(root)
        counted = self.generate(server, variant)
        used = accounting.cpu_between(before, accounting.read_cpu(root))
        elapsed = time.monotonic() - begin
        busy = accounting.core_busy(self.server_core) - busy
        figures = {
            "cpu": used / 1000 / counted.requests,
            "rps": counted.requests / counted.seconds,
            "pss": accounting.pss(root) / MIB,
            "foreign": max(0.0, (busy - used) / 1e9 / elapsed),
            **counted.latencies,
        }
        if alone := accounting.memory_alone(root):
            figures["alone"] = alone / MIB
        if scenario.ticks:
            figures["ticks"] = (server.ticks() - ticks) / elapsed
        entry.add(figures)
        entry.histogram += counted.histogram
        for problem in counted.problems:
            entry.remark(problem)

    def measure_idle(self, server: Server) -> dict[str, float]:
        """Return what kept connections add to the memory; some that came and went before have filled pools."""
        root, count = server.process.pid, server.scenario.connections
        with load.held(server, count // 50):
            pass
        before = accounting.pss(root)
        with load.held(server, count):
            figures = {"pss": accounting.pss(root) / MIB}
            if alone := accounting.memory_alone(root):
                figures["alone"] = alone / MIB
        return {"idle": (figures["pss"] * MIB - before) / 1024 / count, **figures}

    def generate(self, server: Server, variant: Variant) -> load.Load:
        plan = server.scenario.open_loop
        if plan is None:
            return load.wrk(server, self.seconds, self.load_core)
        if not variant.beside:
            plan = scenarios.OpenLoop(plan.rate)
        return load.openloop(server, plan, self.seconds, self.load_core)

    def measure_bare_threads(self, scenario: Scenario) -> dict[str, float]:
        threads = scenario.threads or 1
        counted, cpu = load.bare_threads(
            threads, scenario.bare_threads, self.seconds, self.server_core
        )
        return {"cpu": cpu / 1000 / counted.requests, "rps": counted.requests / counted.seconds}


def progress(text: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)
    elif text:
        print(text, file=sys.stderr, flush=True)


def disturbance(outcomes: list[Outcome]) -> str:
    """Say how much of the servers' core others used, or nothing if it was little."""
    shares = [
        value for o in outcomes for entry in o.entries for value in entry.figures.get("foreign", [])
    ]
    loud = [share for share in shares if share > 0.05]
    if not loud:
        return ""
    text = f"{len(loud)} of {len(shares)} measurements shared the servers' core with others for more than 5 % of it"
    return f"\n{text} (up to {100 * max(loud):.0f} %): trust the ratios a little, the times not at all."


def show(outcomes: Iterator[Outcome], *, as_json: bool, keep: bool) -> list[Outcome]:
    done = []
    for outcome in outcomes:
        done.append(outcome)
        if keep:
            outcome.keep()
        if not as_json:
            report.print_outcome(outcome)
    return done


def listing() -> None:
    print("scenarios")
    for scenario in scenarios.SCENARIOS:
        print(f"  {scenario.name:16}{scenario.title}")
    print("\nservers")
    for peer in peers.PEERS:
        print(f"  {peer.name:16}{peer.note}")


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(
        prog="./dev bench", description="Measure Penstock beside its peers."
    )
    p.add_argument(
        "scenario", nargs="*", help="what to measure (default: everything); --list names them"
    )
    p.add_argument("--list", action="store_true", help="name the scenarios and the servers")
    p.add_argument(
        "--peer", action="append", help="measure this server; may be repeated (default: all)"
    )
    p.add_argument("--repeats", type=int, help="how often (default: 5; with --quick: 3)")
    p.add_argument("--seconds", type=float, help="of load each time (default: 3; with --quick: 2)")
    p.add_argument(
        "--quick",
        action="store_true",
        help="hello beside nginx, bjoern and granian; nothing is written",
    )
    p.add_argument("--json", action="store_true", help="print JSON instead of tables")
    p.add_argument(
        "--report",
        action="store_true",
        help="measure nothing: write RESULTS.md from the runs kept so far",
    )
    p.add_argument("--server-cpu", type=int, default=0, help="the core of the servers (default: 0)")
    p.add_argument("--load-cpu", type=int, default=1, help="the core of the load (default: 1)")
    return p


def complete(options: argparse.Namespace) -> str:
    """Fill in what was not said; say what is wrong, or nothing."""
    usual = [peer.name for peer in peers.PEERS if peer.usual]
    options.peer = options.peer or (list(scenarios.QUICK) if options.quick else usual)
    options.scenario = options.scenario or (
        ["hello-64"] if options.quick else list(scenarios.BY_NAME)
    )
    options.repeats = options.repeats or (3 if options.quick else 5)
    options.seconds = options.seconds or (2.0 if options.quick else 3.0)
    unknown = [name for name in options.scenario if name not in scenarios.BY_NAME]
    unknown += [name for name in options.peer if name not in peers.BY_NAME]
    if unknown:
        return f"unknown: {', '.join(unknown)} (--list names what there is)"
    if sys.prefix == sys.base_prefix:
        return "this installs servers: run it with the Python of a virtual environment that holds penstock"
    return ""


def main() -> int:
    options = parser().parse_args()
    wrong = complete(options)
    if options.list:
        listing()
        return 0
    if wrong:
        print(f"bench: {wrong}", file=sys.stderr)
        return 2
    if options.report:
        report.write(kept_outcomes(list(scenarios.BY_NAME)))
        return 0
    load.build_openloop()
    bench = Bench(options)
    chosen = (scenarios.BY_NAME[name] for name in options.scenario)
    outcomes = show(map(bench.scenario, chosen), as_json=options.json, keep=not options.quick)
    if options.json:
        json.dump([asdict(outcome) for outcome in outcomes], sys.stdout, indent=1)
        print()
        return 0
    report.print_verdicts(outcomes)
    report.print_commands(outcomes)
    print(disturbance(outcomes))
    if not options.quick:
        report.write(kept_outcomes(list(scenarios.BY_NAME)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
