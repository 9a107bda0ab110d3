"""Writes what was measured for people: lines on the terminal, and bench/RESULTS.md."""

from collections.abc import Iterator

import plots
import scenarios
from peers import BENCH, PEERS
from results import Entry, Outcome, Spread, Verdict, judge_all, paired, spread

RESULTS = BENCH / "RESULTS.md"
COLUMNS = {
    "cpu": ("CPU us/request", 2),
    "idle": ("KiB/connection", 2),
    "rps": ("requests/s", 0),
    "p50": ("p50 ms", 3),
    "p99": ("p99 ms", 3),
    "p99.9": ("p99.9 ms", 3),
    "max": ("max ms", 2),
    "pss": ("PSS MiB", 1),
    "alone": ("alone MiB", 1),
    "ticks": ("ticks/s of 100", 0),
}
OPEN_LOOP = ("p50", "p99", "p99.9", "max", "cpu", "pss", "alone")
CLOSED_LOOP = ("cpu", "rps", "pss", "alone")
IDLE = ("idle", "pss", "alone")
FIGURES = {"cpu": "CPU", "p99": "p99", "idle": "memory"}


def columns_of(outcome: Outcome) -> list[str]:
    scenario = scenarios.BY_NAME[outcome.scenario]
    names = {"p99": OPEN_LOOP, "cpu": CLOSED_LOOP, "idle": IDLE}[scenario.figure]
    return [*names, *(["ticks"] if scenario.ticks else [])]


def number(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:,.{digits}f}"


def range_of(s: Spread | None, digits: int) -> str:
    if s is None:
        return ""
    if s.least == s.greatest:
        return number(s.median, digits)
    return f"{s.median:,.{digits}f} ({s.least:,.{digits}f} to {s.greatest:,.{digits}f})"


def ratio_to(outcome: Outcome, entry: Entry) -> str:
    """Return Penstock's cost divided by this server's, in the same variant."""
    if entry.peer == "penstock":
        return ""
    ours = outcome.entry("penstock" + (f", {entry.variant}" if entry.variant else ""))
    what = scenarios.BY_NAME[outcome.scenario].figure
    return range_of(paired(ours, entry, what), 2)


def cells(outcome: Outcome, entry: Entry) -> list[str]:
    row = [entry.name]
    for what in columns_of(outcome):
        digits = COLUMNS[what][1]
        values = entry.figures.get(what)
        first = what in FIGURES and values
        row.append(
            range_of(spread(values), digits)
            if first and values
            else number(entry.median(what), digits)
        )
    return [*row, ratio_to(outcome, entry), entry.failure or "; ".join(entry.remarks)]


def header(outcome: Outcome) -> list[str]:
    what = FIGURES[scenarios.BY_NAME[outcome.scenario].figure]
    return [
        "",
        *(COLUMNS[name][0] for name in columns_of(outcome)),
        f"Penstock's {what} / its",
        "remarks",
    ]


def print_outcome(outcome: Outcome) -> None:
    rows = [header(outcome), *(cells(outcome, entry) for entry in outcome.entries)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    print(f"\n{outcome.scenario}: {scenarios.BY_NAME[outcome.scenario].title}")
    for row in rows:
        print(
            "  "
            + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        )


def print_commands(outcomes: list[Outcome]) -> None:
    print("\nstarted as")
    for peer, commands in commands_of(outcomes).items():
        print(f"  {peer}: {next(iter(commands))}")


def print_verdicts(outcomes: list[Outcome]) -> None:
    verdicts = [verdict for verdict in judge_all(outcomes) if verdict.held is not None]
    if verdicts:
        print("\nbars")
    for v in verdicts:
        print(
            f"  {v.bar.scenario}, {v.bar.figure} of {v.bar.of} {v.bar.promise()}: {v.text}; {v.value}"
        )


def commands_of(outcomes: list[Outcome]) -> dict[str, dict[str, list[str]]]:
    """Return each peer's command lines, and the scenarios that used them."""
    found: dict[str, dict[str, list[str]]] = {}
    for outcome in outcomes:
        for entry in outcome.entries:
            if entry.command:
                users = found.setdefault(entry.peer, {}).setdefault(entry.command, [])
                users += [] if outcome.scenario in users else [outcome.scenario]
    return found


def table(rows: list[list[str]]) -> Iterator[str]:
    yield "| " + " | ".join(rows[0]) + " |"
    yield "|" + "---|" * len(rows[0])
    for row in rows[1:]:
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |"


def bar_row(v: Verdict) -> list[str]:
    scenario = scenarios.BY_NAME[v.bar.scenario].title
    return [scenario, f"{v.bar.figure} of {v.bar.of}", v.bar.promise(), v.value, v.text]


def results_lines(outcomes: list[Outcome], pictures: dict[str, str]) -> Iterator[str]:
    newest = max(outcomes, key=lambda outcome: outcome.date)
    yield from (
        "# Results",
        "",
        "Written by `./dev bench`; docs/internals/benchmarks.md says how to read it.",
    )
    yield "Every figure is the median of the repeats, with the least and greatest where two stand in brackets."
    yield from ("", "## Machine", "")
    yield from table([["", ""], *([name, value] for name, value in newest.facts.items())])
    yield from ("", "## Bars", "", "A bar holds when the median of the paired ratios does.", "")
    rows = [bar_row(v) for v in judge_all(outcomes)]
    yield from table([["scenario", "figure", "bar", "measured", ""], *rows])
    yield from ("", "## Scenarios")
    for outcome in outcomes:
        yield from scenario_lines(outcome, pictures)
    for name in ("hello-connections", "latencies"):
        if name in pictures:
            yield from ("", f"![{name}]({pictures[name]})")
    yield from ("", "## Servers", "")
    for peer in PEERS:
        yield from peer_lines(peer.name, peer.note, newest.versions.get(peer.name, ""), outcomes)


def scenario_lines(outcome: Outcome, pictures: dict[str, str]) -> Iterator[str]:
    yield from ("", f"### {outcome.scenario}: {scenarios.BY_NAME[outcome.scenario].title}", "")
    yield from table([header(outcome), *(cells(outcome, entry) for entry in outcome.entries)])
    runs = f"{outcome.repeats} repeats of {outcome.seconds:g} s"
    yield from ("", f"{outcome.date}, revision {outcome.revision}, {runs}.")
    if outcome.scenario in pictures:
        yield from ("", f"![{outcome.scenario}]({pictures[outcome.scenario]})")


def peer_lines(name: str, note: str, version: str, outcomes: list[Outcome]) -> Iterator[str]:
    commands = commands_of(outcomes).get(name)
    if not commands and not version:
        return
    yield f"**{name}** {version}" + (f": {note}" if note else "")
    yield ""
    for command, users in (commands or {}).items():
        yield from (f"    {command}", "", f"in {', '.join(users)}", "")


def write(outcomes: list[Outcome]) -> None:
    pictures = plots.draw_all(outcomes)
    RESULTS.write_text("\n".join(results_lines(outcomes, pictures)).rstrip() + "\n")
    print(f"\nwrote {RESULTS.relative_to(BENCH.parent)} and {len(pictures)} plots")
