"""What docs/rivals.md shows of a run: the tables between its two marks, and the plot."""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.peers.chart import draw
from benchmarks.peers.contestants import titled
from benchmarks.peers.environments import ROOT
from benchmarks.peers.race import Outcome, shown
from benchmarks.peers.scenarios import SCENARIOS

PAGE = ROOT / "docs" / "rivals.md"
PLOT = ROOT / "docs" / "pictures" / "rivals.svg"
BEGIN, END = "<!-- figures: written by `python -m benchmarks rivals --from-json` -->", "<!-- end of figures -->"
COLUMNS = ("who", "wall s", "wall / ideal", "answered 429", "of calls", "lost", "twice", "CPU s")


def row(one: Outcome) -> tuple[object, ...]:
    """A line of the table."""
    title = titled(one.contestant).title
    if one.status in ("failed", "not run"):
        return (title, one.status, *("-" for _ in COLUMNS[2:]))
    cut = one.status == "timed out"
    more = "> " if cut else ""
    return (
        title,
        f"{more}{one.wall_seconds:.1f}",
        f"{more}{one.over_ideal:.2f}",
        f"{one.answered_429:,}",
        f"{one.calls:,}",
        f"{one.lost:,} not done" if cut else f"{one.lost:,}",
        f"{one.duplicates:,}",
        f"{one.cpu_seconds:.1f}",
    )


def write(source: Path) -> tuple[Path, Path]:
    """Put a run's JSON into the page and the plot; returns their paths."""
    content = json.loads(source.read_text(encoding="utf-8"))
    outcomes = [Outcome(**fields) for fields in content["results"]]
    PAGE.write_text(with_figures(PAGE.read_text(encoding="utf-8"), figures(content, outcomes)), encoding="utf-8")
    scenarios = [one for one in SCENARIOS if any(outcome.scenario == one.name for outcome in outcomes)]
    caption = f"600 requests and 60,000 tokens a minute, enforced; hatched: items lost, or cut short. {_when(content)}"
    PLOT.write_text(draw(scenarios, outcomes, caption=caption), encoding="utf-8")
    return PAGE, PLOT


def with_figures(page: str, block: str) -> str:
    """The page with other figures between the marks. Raises ValueError if the marks are not there, once each."""
    if page.count(BEGIN) != 1 or page.count(END) != 1:
        raise ValueError(f"{PAGE}: put {BEGIN!r} and {END!r} once each around the figures")
    before, _, rest = page.partition(BEGIN)
    return f"{before}{BEGIN}\n\n{block}\n{END}{rest.partition(END)[2]}"


def figures(content: Mapping[str, Any], outcomes: Sequence[Outcome]) -> str:
    """A table for each scenario, with when and on what it was measured."""
    load, at_once = content["load_average"][0], content["parameters"]["at_once"]
    versions = sorted({f"{name} {version}" for one in outcomes for name, version in one.versions.items()})
    lines = [
        f"{_when(content)}, {content['machine']['cpus']} cores, {at_once} at a time, load average {load:.1f} at the"
        f" end; {', '.join(versions)}.",
    ]
    for scenario in SCENARIOS:
        rows = [row(one) for one in shown(outcomes, scenario)]
        if rows:
            lines += ["", f"{scenario.name}, ideal {scenario.ideal_seconds():.1f} s:", "", *_table(rows)]
    return "\n".join([*lines, ""])


def _table(rows: Iterable[Sequence[object]]) -> Iterable[str]:
    yield f"| {' | '.join(COLUMNS)} |"
    yield f"|{'---|' * len(COLUMNS)}"
    for values in rows:
        yield f"| {' | '.join(str(value) for value in values)} |"


def _when(content: Mapping[str, Any]) -> str:
    return f"Measured {content['measured_at'][:10]}"
