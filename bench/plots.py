# mypy: disable-error-code="import-not-found"
"""Pictures of the results: bench/plots/*.svg."""

import matplotlib as mpl
import scenarios
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter
from peers import BENCH
from results import Entry, Outcome, spread

mpl.rcParams["svg.hashsalt"] = "penstock"  # or names inside the files would differ from run to run
mpl.rcParams["svg.fonttype"] = "none"

PLOTS = BENCH / "plots"
OURS, FLOOR, OTHERS = "#c2410c", "#57534e", "#a8a29e"
UNITS = {"cpu": "CPU time per request, us", "p99": "p99, ms", "idle": "KiB per connection"}
FAR = 6
"""A server that costs this many times the least is left out of a picture's scale, and its figure written beside it."""


def colour(entry: Entry) -> str:
    return {"penstock": OURS, "nginx": FLOOR}.get(entry.peer, OTHERS)


def canvas(height: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(8, height))
    FigureCanvasSVG(figure)
    return figure, figure.subplots()


def plain_log_scale(axes: Axes) -> None:
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter("{x:g}")
    low, high = axes.get_ylim()
    axes.yaxis.set_minor_formatter("{x:g}" if high < 20 * low else NullFormatter())


def save(figure: Figure, name: str) -> str:
    PLOTS.mkdir(exist_ok=True)
    figure.savefig(PLOTS / f"{name}.svg", metadata={"Date": None}, bbox_inches="tight")
    return f"plots/{name}.svg"


def draw_bars(outcome: Outcome) -> str | None:
    """One bar for each server, with the range of the repeats."""
    scenario = scenarios.BY_NAME[outcome.scenario]
    what, unit = scenario.figure, UNITS[scenario.figure]
    entries = [entry for entry in outcome.entries if entry.figures.get(what)]
    if not entries:
        return None
    entries.sort(key=lambda entry: entry.median(what) or 0.0)
    spreads = [spread(entry.figures[what]) for entry in entries]
    edge = FAR * spreads[0].median
    figure, axes = canvas(0.36 * len(entries) + 1)
    for row, (entry, s) in enumerate(zip(entries, spreads, strict=True)):
        width = min(s.median, edge)
        errors = [[width - min(s.least, width)], [max(0.0, min(s.greatest, edge) - width)]]
        axes.barh(
            row, width, color=colour(entry), xerr=errors, error_kw={"elinewidth": 0.8, "capsize": 2}
        )
        axes.annotate(
            f"{s.median:.3g}",
            (min(s.greatest, edge), row),
            (6, -3),
            textcoords="offset points",
            fontsize=9,
        )
    axes.set_yticks(range(len(entries)), [entry.name for entry in entries])
    axes.invert_yaxis()
    axes.set_xlim(0, min(edge, max(s.greatest for s in spreads)) * 1.12)
    axes.set_xlabel(unit)
    axes.set_title(scenario.title, loc="left")
    axes.spines[["top", "right"]].set_visible(False)
    return save(figure, outcome.scenario)


def draw_connections(outcomes: dict[str, Outcome]) -> str | None:
    """CPU time of hello over the number of connections."""
    counts = [n for n in (1, 8, 64, 256) if f"hello-{n}" in outcomes]
    if len(counts) < 2:
        return None
    figure, axes = canvas(4.5)
    for peer in outcomes[f"hello-{counts[0]}"].entries:
        entries = [outcomes[f"hello-{n}"].entry(peer.name) for n in counts]
        medians = [None if entry is None else entry.median("cpu") for entry in entries]
        points = [(n, y) for n, y in zip(counts, medians, strict=True) if y is not None]
        if points:
            axes.plot(
                *zip(*points, strict=True),
                "o-",
                color=colour(peer),
                linewidth=2 if colour(peer) == OURS else 1,
            )
            axes.annotate(peer.name, points[-1], (6, -3), textcoords="offset points", fontsize=9)
    axes.set_xscale("log", base=2)
    plain_log_scale(axes)
    axes.set_xticks(counts, [str(n) for n in counts])
    axes.set_xlabel("connections")
    axes.set_ylabel("CPU time per request, us")
    axes.set_title("hello", loc="left")
    axes.spines[["top", "right"]].set_visible(False)
    return save(figure, "hello-connections")


def draw_latencies(outcomes: dict[str, Outcome]) -> str | None:
    """Latency at a fixed rate over the share of requests that take longer."""
    if "latency" not in outcomes:
        return None
    figure, axes = canvas(4.5)
    for entry in outcomes["latency"].entries:
        shares, values = tail(entry.histogram)
        if shares:
            axes.plot(
                shares, values, color=colour(entry), linewidth=2 if colour(entry) == OURS else 1
            )
            axes.annotate(
                entry.name,
                (shares[-1], values[-1]),
                (6, -3),
                textcoords="offset points",
                fontsize=9,
            )
    axes.set_xscale("log")
    plain_log_scale(axes)
    axes.invert_xaxis()
    axes.set_xticks([0.5, 0.1, 0.01, 0.001, 0.0001], ["50 %", "90 %", "99 %", "99.9 %", "99.99 %"])
    axes.set_ylabel("latency, ms")
    axes.set_title(scenarios.BY_NAME["latency"].title, loc="left")
    axes.spines[["top", "right"]].set_visible(False)
    return save(figure, "latencies")


def tail(histogram: list[tuple[int, int]]) -> tuple[list[float], list[float]]:
    """Return the shares of requests that take longer, down to one in 10,000, and the latencies in ms."""
    total = sum(count for _, count in histogram)
    shares: list[float] = []
    values: list[float] = []
    seen = 0
    for nanoseconds, count in sorted(histogram):
        share = (total - seen) / total
        if 0.0001 <= share <= 0.5:
            shares.append(share)
            values.append(nanoseconds / 1e6)
        seen += count
    return shares, values


def draw_all(outcomes: list[Outcome]) -> dict[str, str]:
    """Draw a picture for each scenario and the two that span several; return their paths by name."""
    by_name = {outcome.scenario: outcome for outcome in outcomes}
    pictures = {name: draw_bars(outcome) for name, outcome in by_name.items()}
    pictures["hello-connections"] = draw_connections(by_name)
    pictures["latencies"] = draw_latencies(by_name)
    return {name: path for name, path in pictures.items() if path}
