"""Figures of a run: medians, spreads, paired ratios, and what they say about the bars."""

import json
import statistics
import tomllib
from dataclasses import asdict, dataclass, field
from typing import Any

from peers import BENCH

KEPT = BENCH.parent / "build" / "bench" / "results"
NOT_RIVALS = ("penstock", "nginx", "bare threads")


@dataclass
class Entry:
    """One server (in one variant) within a scenario: a list of figures, one for each repeat."""

    peer: str
    variant: str
    command: str = ""
    figures: dict[str, list[float]] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)
    failure: str = ""
    histogram: list[tuple[int, int]] = field(default_factory=list)
    """Latencies of all repeats: nanoseconds at most, and how many."""

    @property
    def name(self) -> str:
        return f"{self.peer}, {self.variant}" if self.variant else self.peer

    def add(self, figures: dict[str, float]) -> None:
        for what, value in figures.items():
            self.figures.setdefault(what, []).append(value)

    def remark(self, text: str) -> None:
        if text not in self.remarks:
            self.remarks.append(text)

    def median(self, what: str) -> float | None:
        values = self.figures.get(what)
        return statistics.median(values) if values else None


@dataclass
class Outcome:
    """All that was measured in a scenario, and when."""

    scenario: str
    date: str
    revision: str
    repeats: int
    seconds: float
    facts: dict[str, str]
    versions: dict[str, str]
    entries: list[Entry]

    def entry(self, name: str) -> Entry | None:
        return next(
            (entry for entry in self.entries if entry.name == name and not entry.failure), None
        )

    def best_rival(self, what: str, variant: str = "") -> Entry | None:
        rivals = [
            entry
            for entry in self.entries
            if entry.peer not in NOT_RIVALS
            and entry.variant == variant
            and entry.median(what) is not None
        ]
        return min(rivals, key=lambda entry: entry.median(what) or 0.0, default=None)

    def keep(self) -> None:
        KEPT.mkdir(parents=True, exist_ok=True)
        (KEPT / f"{self.scenario}.json").write_text(json.dumps(asdict(self), indent=1))


def outcome_from(data: dict[str, Any]) -> Outcome:
    return Outcome(**{**data, "entries": [Entry(**entry) for entry in data["entries"]]})


def kept_outcomes(order: list[str]) -> list[Outcome]:
    files = [KEPT / f"{name}.json" for name in order]
    return [outcome_from(json.loads(file.read_text())) for file in files if file.exists()]


@dataclass(frozen=True)
class Spread:
    """A median, and the least and greatest value."""

    median: float
    least: float
    greatest: float


def spread(values: list[float]) -> Spread:
    return Spread(statistics.median(values), min(values), max(values))


def paired(
    of: Entry | None, to: Entry | None, what: str, *, difference: bool = False
) -> Spread | None:
    """Compare two servers repeat by repeat: what disturbs a machine for a while disturbs both."""
    if of is None or to is None:
        return None
    pairs = zip(of.figures.get(what, []), to.figures.get(what, []), strict=False)
    values = [a - b if difference else a / b for a, b in pairs if difference or b > 0]
    return spread(values) if values else None


@dataclass(frozen=True)
class Bar:
    """A promise: a row of bars.toml."""

    scenario: str
    figure: str
    of: str
    to: str
    limit: float
    kind: str
    """at_most, at_least: of a ratio; at_most_more: of a difference; within: of the figure itself."""

    def promise(self) -> str:
        match self.kind:
            case "at_most":
                return f"<= {self.limit:g} x {self.to}"
            case "at_least":
                return f">= {self.limit:g} x {self.to}"
            case "at_most_more":
                return f"<= {self.to} + {self.limit:g}"
        return f"<= {self.limit:g}"

    def measured(self, outcome: Outcome | None) -> tuple[Spread | None, str]:
        """Return the figure to compare with the limit, and who stood for `to`."""
        of = outcome.entry(self.of) if outcome else None
        if outcome is None or of is None:
            return None, ""
        if self.kind == "within":
            return spread(of.figures[self.figure]), ""
        to = outcome.best_rival(self.figure) if self.to == "best" else outcome.entry(self.to)
        return paired(
            of, to, self.figure, difference=self.kind == "at_most_more"
        ), to.name if to else ""

    def holds(self, value: float) -> bool:
        return value >= self.limit if self.kind == "at_least" else value <= self.limit


def read_bars() -> list[Bar]:
    bars = []
    for row in tomllib.loads((BENCH / "bars.toml").read_text())["bar"]:
        (kind,) = (key for key in ("at_most", "at_least", "at_most_more", "within") if key in row)
        bars.append(
            Bar(
                row["scenario"],
                row["figure"],
                row.get("of", "penstock"),
                row.get("to", ""),
                row[kind],
                kind,
            )
        )
    return bars


@dataclass(frozen=True)
class Verdict:
    bar: Bar
    text: str
    value: str
    held: bool | None
    """None: not measured."""


def judge(bar: Bar, outcome: Outcome | None) -> Verdict:
    value, stands_for = bar.measured(outcome)
    if value is None:
        return Verdict(bar, "not measured", "", None)
    shown = f"{value.median:.3g} ({value.least:.3g} to {value.greatest:.3g})"
    if bar.to == "best":
        shown += f", {stands_for}"
    if bar.holds(value.median):
        return Verdict(bar, "held", shown, True)
    missed = abs(value.median - bar.limit)
    by = (
        f"{missed:.3g}"
        if bar.kind in ("at_most_more", "within")
        else f"{100 * missed / bar.limit:.1f} %"
    )
    return Verdict(bar, f"missed by {by}", shown, False)


def judge_all(outcomes: list[Outcome]) -> list[Verdict]:
    by_name = {outcome.scenario: outcome for outcome in outcomes}
    return [judge(bar, by_name.get(bar.scenario)) for bar in read_bars()]
