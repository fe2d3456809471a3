"""The plot of docs/rivals.md, as an SVG that any page can show: wall time over the ideal, by scenario and contestant.

A bar is plain where every item was answered, and hatched where some were lost or the run was cut short: a short hatched
bar is not fast.
"""

from collections.abc import Iterable, Sequence
from html import escape

from benchmarks.peers.contestants import titled
from benchmarks.peers.race import PATIENCE, Outcome, shown
from benchmarks.peers.scenarios import Scenario

_WIDTH, _LEFT, _RIGHT, _TOP = 920, 262, 240, 68
_ROW, _BAR, _TITLE, _GAP = 26, 16, 46, 22
_OURS, _THEIRS, _INK, _SOFT, _LINE, _BAD = "#0f766e", "#94a3b8", "#0f172a", "#64748b", "#cbd5e1", "#b91c1c"
_PER_IDEAL = (_WIDTH - _LEFT - _RIGHT) / PATIENCE


def draw(scenarios: Sequence[Scenario], outcomes: Sequence[Outcome], *, caption: str) -> str:
    """The whole picture. Contestants without figures have a line that says so."""
    parts: list[str] = []
    y = _TOP
    for scenario in scenarios:
        rows = shown(outcomes, scenario)
        parts += _panel(scenario, rows, y)
        y += _TITLE + _ROW * len(rows) + _GAP
    head = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{y}" viewBox="0 0 {_WIDTH} {y}"'
        ' font-family="system-ui, -apple-system, Segoe UI, Helvetica, Arial, sans-serif" font-size="13">',
        "<defs>",
        *(_hatch(name, colour) for name, colour in (("ours", _OURS), ("theirs", _THEIRS))),
        "</defs>",
        f'<rect width="{_WIDTH}" height="{y}" fill="#ffffff"/>',
        _text(20, 28, "Wall time over what the quota allows", size=17, weight=600),
        _text(20, 48, caption, colour=_SOFT, size=12),
    ]
    return "\n".join([*head, *parts, "</svg>", ""])


def _hatch(name: str, colour: str) -> str:
    return (
        f'<pattern id="{name}" width="7" height="7" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">'
        f'<rect width="7" height="7" fill="{colour}" fill-opacity="0.18"/>'
        f'<rect width="2.5" height="7" fill="{colour}"/></pattern>'
    )


def _panel(scenario: Scenario, rows: Sequence[Outcome], y: float) -> Iterable[str]:
    low, high = scenario.latency
    latency = f"{low:g} s" if low == high else f"{low:g} to {high:g} s"
    yield _text(20, y + 14, scenario.name, weight=600)
    about = f"{scenario.items} items, {scenario.credit_seconds:g} s of credit, {latency} a call: ideal {{:.1f}} s"
    yield _text(46, y + 14, about.format(scenario.ideal_seconds()), colour=_SOFT)
    top, bottom = y + _TITLE - 6, y + _TITLE + _ROW * len(rows)
    for times in range(int(PATIENCE) + 1):
        x = _LEFT + times * _PER_IDEAL
        ideal = times == 1
        stroke = f'stroke="{_INK}" stroke-dasharray="4 3"' if ideal else f'stroke="{_LINE}"'
        yield f'<line x1="{x:.1f}" y1="{top}" x2="{x:.1f}" y2="{bottom}" {stroke}/>'
        yield _text(x, top - 4, "ideal" if ideal else f"{times}x", colour=_SOFT, size=11, anchor="middle")
    for index, one in enumerate(rows):
        yield from _bar(one, y + _TITLE + index * _ROW)


def _bar(one: Outcome, y: float) -> Iterable[str]:
    ours, whole = one.ours, one.status == "finished" and one.lost == 0
    middle = y + _ROW / 2 + 4
    yield _text(_LEFT - 10, middle, titled(one.contestant).title, weight=600 if ours else 400, anchor="end")
    if one.status in ("failed", "not run"):
        yield _text(_LEFT + 8, middle, one.status, colour=_SOFT, size=12)
        return
    width = min(one.over_ideal, PATIENCE) * _PER_IDEAL
    plain, hatched = (_OURS, "url(#ours)") if ours else (_THEIRS, "url(#theirs)")
    yield (
        f'<rect x="{_LEFT}" y="{y + (_ROW - _BAR) / 2:.1f}" width="{width:.1f}" height="{_BAR}" rx="2"'
        f' fill="{plain if whole else hatched}" stroke="{plain}"/>'
    )
    yield _text(_LEFT + width + 8, middle, _label(one), colour=_INK if whole else _BAD, size=12)


def _label(one: Outcome) -> str:
    refused = f"{one.answered_429:,} x 429"
    if one.status == "timed out":
        return f"cut short, {one.answered:,} of {one.items:,} done, {refused}"
    parts = [f"{one.over_ideal:.2f}", refused]
    parts += [f"{one.lost:,} lost"] if one.lost else []
    parts += [f"{one.duplicates:,} twice"] if one.duplicates else []
    return ", ".join(parts)


def _text(
    x: float, y: float, text: str, *, colour: str = _INK, size: int = 13, weight: int = 400, anchor: str = "start"
) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" fill="{colour}" font-size="{size}" font-weight="{weight}"'
        f' text-anchor="{anchor}" stroke="#ffffff" stroke-width="3" paint-order="stroke">{escape(text)}</text>'
    )
