"""Our books against the provider's, day by day and model by model; and which cost at risk its total accounts for. Pure.

What is compared: calls (ours are those that were answered, and up to as many more as ended without an answer), tokens,
images and USD. A figure differs when it is further off than the tolerance from ours, or from the range up to what is at
risk: within that range the line is `at_risk`, which settling puts right.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from enum import StrEnum
from uuid import UUID

from pressroom.catalog.load import Catalog
from pressroom.money.cost import UnpricedUsage
from pressroom.money.export_file import ExportLine
from pressroom.money.price_book import PriceBook
from pressroom.money.prices import UnknownPrice
from pressroom.money.usage import Usage

_DATED = re.compile(r"-\d{4}-\d{2}-\d{2}$")
_ZERO = Decimal(0)
_CENT = Decimal("0.01")


class Verdict(StrEnum):
    """What a line comes to."""

    SAME = "same"
    AT_RISK = "at_risk"
    DIFFERS = "differs"


@dataclass(slots=True)
class Figures:
    """One side of a line. The provider's are None where its file does not say."""

    calls: int | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    images: int | None = None
    usd: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Booked:
    """What our books say of a model on a day; `unknown_calls` ended without an answer and may have been billed."""

    calls: int = 0
    unknown_calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    images: int = 0
    usd: Decimal = _ZERO
    at_risk_usd: Decimal = _ZERO


@dataclass(frozen=True, slots=True)
class Line:
    """A model on a day, on both sides. `off` names the figures that differ."""

    day: date
    model: str
    booked: Booked
    exported: Figures
    verdict: Verdict
    off: Sequence[str] = ()

    @property
    def difference_usd(self) -> Decimal | None:
        """The provider's less ours; None where its file has no costs."""
        return None if self.exported.usd is None else self.exported.usd - self.booked.usd


@dataclass(frozen=True, slots=True)
class Tolerance:
    """How far two figures may be apart and still be the same: a share of the provider's, and a cent."""

    share: Decimal = _CENT
    usd: Decimal = _CENT

    def covers(self, exported: Decimal, low: Decimal, high: Decimal, *, least: Decimal) -> bool:
        """Whether the provider's figure is within reach of the range from `low` to `high`."""
        slack = max(least, abs(exported) * self.share)
        return low - slack <= exported <= high + slack


@dataclass(frozen=True, slots=True)
class Risk:
    """A call at risk: on which day it was made, and how much of its cost."""

    id: UUID
    day: date
    usd: Decimal


def family(model: str, known: Catalog) -> str:
    """A model by the name of its family: providers bill by the dated snapshot that they served."""
    entry = known.model(model)
    if entry is not None:
        return entry.family
    base = _DATED.sub("", model)
    return entry.family if (entry := known.model(base)) is not None else base


def exported_by_day(lines: Iterable[ExportLine], known: Catalog, prices: PriceBook) -> dict[tuple[date, str], Figures]:
    """The provider's figures by day and family; usage without costs is priced by our rows where they can."""
    found: dict[tuple[date, str], Figures] = {}
    unpriced: set[tuple[date, str]] = set()
    for line in lines:
        key = (line.day, family(line.model, known))
        figures = found.setdefault(key, Figures())
        for name in ("calls", "input_tokens", "output_tokens", "images"):
            value = getattr(line, name)
            if value is not None:
                setattr(figures, name, (getattr(figures, name) or 0) + value)
        usd = line.usd if line.usd is not None else _priced(line, prices)
        if usd is None:
            unpriced.add(key)
        else:
            figures.usd = (figures.usd or _ZERO) + usd
    for key in unpriced:
        found[key].usd = None  # a part of the whole would look like a difference
    return found


def _priced(line: ExportLine, prices: PriceBook) -> Decimal | None:
    if line.input_tokens is None and line.images is None:
        return None
    usage = Usage(
        input_tokens=line.input_tokens or 0,
        cached_input_tokens=line.cached_tokens,
        output_tokens=line.output_tokens or 0,
        images=line.images or 0,
        service_tier=line.tier or "default",
        image_key=line.size if line.images else None,
    )
    try:
        return prices.bill(line.model, usage, line.day).cost_usd
    except (UnknownPrice, UnpricedUsage):
        return None


def compare(
    booked: Mapping[tuple[date, str], Booked],
    exported: Mapping[tuple[date, str], Figures],
    tolerance: Tolerance,
) -> list[Line]:
    """A line for each day and model that either side knows, in that order."""
    lines = []
    for key in sorted({*booked, *exported}):
        ours, theirs = booked.get(key, Booked()), exported.get(key)
        if theirs is None:
            # Nothing in the file is nothing billed, in whatever the file has.
            theirs = Figures(**{name: type(getattr(ours, name))(0) for name in _said(exported.values())})
        verdict, off = _judge(ours, theirs, tolerance)
        lines.append(Line(*key, ours, theirs, verdict, off))
    return lines


def _said(exported: Iterable[Figures]) -> list[str]:
    names = ("calls", "input_tokens", "output_tokens", "images", "usd")
    seen = list(exported)
    return [name for name in names if any(getattr(figures, name) is not None for figures in seen)]


def _judge(ours: Booked, theirs: Figures, tolerance: Tolerance) -> tuple[Verdict, list[str]]:
    off, at_risk = [], False
    for name in ("calls", "input_tokens", "output_tokens", "images", "usd"):
        value = getattr(theirs, name)
        if value is None:
            continue
        least = tolerance.usd if name == "usd" else Decimal(0)
        low, exported = Decimal(getattr(ours, name)), Decimal(value)
        if tolerance.covers(exported, low, low, least=least):
            continue
        high = _most(ours, name)
        if exported > low and (high is None or tolerance.covers(exported, low, high, least=least)):
            at_risk = True
        else:
            off.append(name)
    if off:
        return Verdict.DIFFERS, off
    return (Verdict.AT_RISK if at_risk else Verdict.SAME), off


def _most(ours: Booked, name: str) -> Decimal | None:
    """The most it may be if every call at risk was billed; None for no bound: nobody counted their tokens."""
    if name == "usd":
        return ours.usd + ours.at_risk_usd
    if name == "calls":
        return Decimal(ours.calls + ours.unknown_calls)
    return None if ours.unknown_calls else Decimal(getattr(ours, name))


@dataclass(slots=True)
class Shares:
    """What each call at risk turned out to cost; what is left of the provider's total is a real difference."""

    usd: dict[UUID, Decimal] = field(default_factory=dict)
    left_usd: Decimal = _ZERO


def share_out(excess: Mapping[date, Decimal], risks: Sequence[Risk]) -> Shares:
    """Post what the provider's total of a model exceeds ours by on its calls at risk, oldest first; the rest is void.

    `excess` is the provider's less ours, by day. Each day's is looked for among that day's calls first, then what is
    left among all: a call around midnight may be on one day here and on the next one there. So the sum posted is the
    total's excess, as far as that much is at risk, whatever day it is on.
    """
    shares = Shares({risk.id: _ZERO for risk in risks}, max(_ZERO, sum(excess.values(), _ZERO)))
    oldest_first = sorted(risks, key=lambda risk: (risk.day, risk.id))
    for day in sorted(excess):
        _post(shares, [risk for risk in oldest_first if risk.day == day], max(_ZERO, excess[day]))
    _post(shares, oldest_first, shares.left_usd)
    return shares


def _post(shares: Shares, risks: Sequence[Risk], at_most: Decimal) -> None:
    for risk in risks:
        part = min(risk.usd - shares.usd[risk.id], at_most, shares.left_usd)
        shares.usd[risk.id] += part
        shares.left_usd -= part
        at_most -= part
