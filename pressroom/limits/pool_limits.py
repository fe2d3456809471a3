"""A pool's limits and where each came from; the `--limit` option's grammar."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from pressroom.errors import InvalidInput, Problem

Source = Literal["setting", "refusal", "headers", "default"]
DIMENSIONS: Mapping[str, float] = {"rpm": 60.0, "tpm": 60.0, "ipm": 60.0, "rpd": 86400.0, "tpd": 86400.0}
"""Rate dimensions and the seconds each is counted over."""
DEFAULT_BURST_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class StatedBefore:
    """A limit that a refusal's words set, so many seconds ago; per minute or day, as its dimension has it."""

    dimension: str
    limit: float
    age_seconds: float


SETTINGS = ("burst_seconds", "max_share")
"""What a pool can be told besides its limits."""

_OPTION = "MODEL:rpm=600,tpm=60000,ipm=50,rpd=10000,tpd=2000000,concurrency=200,burst_seconds=0.05,max_share=0.8"


def _refuse(name: str, value: object, *, reason: str, remedy: str) -> InvalidInput:
    return InvalidInput([Problem(field=name, value=str(value), reason=reason, remedy=remedy)])


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolLimits:
    """Requests, tokens and images per minute or day, and calls in flight; None is "no limit known".

    `defaults` names the dimensions that are a catalog's guess, which response headers may overrule. All others are
    settings and always win. `burst_seconds` is how much of a per-minute rate may be used at once after a quiet spell;
    at its default the limiter finds out by itself, beginning with `learned_burst_seconds` if an earlier life of the
    pool learned it. `max_share` of the limits is ours; the rest is left to other programs on the account.
    """

    rpm: float | None = None
    tpm: float | None = None
    ipm: float | None = None
    rpd: float | None = None
    tpd: float | None = None
    concurrency: int | None = None
    burst_seconds: float = DEFAULT_BURST_SECONDS
    max_share: float = 1.0
    learned_burst_seconds: float | None = None
    stated: tuple[StatedBefore, ...] = ()
    """For a pool that starts: what refusals said in an earlier life of its state."""
    defaults: frozenset[str] = field(default_factory=frozenset)

    def __post_init__(self) -> None:
        for name in DIMENSIONS:
            _check(name, getattr(self, name))
        _check("concurrency", self.concurrency)
        for name, burst in (
            ("burst_seconds", self.burst_seconds),
            ("learned_burst_seconds", self.learned_burst_seconds),
        ):
            if burst is not None and not 0 <= burst <= 60:
                remedy = "Give a number from 0 to 60"
                raise _refuse(name, burst, reason="is not a burst in seconds", remedy=remedy)
        if not 0 < self.max_share <= 1:
            remedy = "Give a number above 0, at most 1: 0.8 leaves a fifth of the limits to others"
            raise _refuse("max_share", self.max_share, reason="is not a share", remedy=remedy)
        unknown = self.defaults - {*DIMENSIONS, "concurrency"}
        if unknown:
            remedy = f"Known limits are {', '.join([*DIMENSIONS, 'concurrency'])}"
            raise _refuse("defaults", sorted(unknown), reason="names unknown limits", remedy=remedy)

    def per_second(self, *, source: Literal["setting", "default"]) -> dict[str, float]:
        """Rates per second of the dimensions that come from `source`."""
        rates: dict[str, float] = {}
        for name, period in DIMENSIONS.items():
            value: float | None = getattr(self, name)
            if value is not None and (name in self.defaults) == (source == "default"):
                rates[name] = value / period
        return rates

    def over(self, catalog: PoolLimits) -> PoolLimits:
        """These settings, completed with guesses (the catalog's, or learned) where a setting says nothing.

        A guess of `burst_seconds` other than the default is what an earlier life learned.
        """
        names = [*DIMENSIONS, "concurrency"]
        missing = {n for n in names if getattr(self, n) is None and getattr(catalog, n) is not None}
        values = {name: getattr(catalog, name) for name in missing} | {"stated": self.stated or catalog.stated}
        if catalog.burst_seconds != DEFAULT_BURST_SECONDS and self.learned_burst_seconds is None:
            values["learned_burst_seconds"] = catalog.burst_seconds
        return replace(self, **values, defaults=self.defaults | missing)


def _check(name: str, value: float | None) -> None:
    if value is not None and not (math.isfinite(value) and value > 0):
        finite = isinstance(value, float) and not math.isfinite(value)
        reason = "must be a finite number" if finite else "must be more than 0"
        remedy = "Leave it out where there is no limit" if finite else "To stop a pool, pause it instead"
        raise _refuse(name, value, reason=reason, remedy=remedy)


def parse_limit(option: str) -> tuple[str, PoolLimits]:
    """`MODEL:rpm=600,tpm=60000` -> (model, limits). The model may itself contain colons. Raises InvalidInput."""
    model, colon, pairs = option.rpartition(":")
    if not colon or not model.strip() or not pairs.strip():
        remedy = f"Write {_OPTION}, any of them"
        raise _refuse("--limit", option, reason="has no model or no limits", remedy=remedy)
    values: dict[str, float] = {}
    for pair in pairs.split(","):
        name, equals, text = (part.strip() for part in pair.partition("="))
        if not equals:
            raise _refuse("--limit", pair, reason="is not NAME=NUMBER", remedy="Write it as in rpm=600")
        if name in values:
            raise _refuse(f"--limit {name}", option, reason="is given twice", remedy="Keep one of the two")
        values[name] = _parse_value(name, text)
    concurrency = values.get("concurrency")
    limits = PoolLimits(
        rpm=values.get("rpm"),
        tpm=values.get("tpm"),
        ipm=values.get("ipm"),
        rpd=values.get("rpd"),
        tpd=values.get("tpd"),
        concurrency=None if concurrency is None else int(concurrency),
        burst_seconds=values.get("burst_seconds", DEFAULT_BURST_SECONDS),
        max_share=values.get("max_share", 1.0),
    )
    return model.strip(), limits


def _parse_value(name: str, text: str) -> float:
    known = [*DIMENSIONS, "concurrency", *SETTINGS]
    if name not in known:
        raise _refuse("--limit", name, reason="is not a limit", remedy=f"Use one of {', '.join(known)}")
    try:
        value = float(text.replace("_", ""))
    except ValueError:
        raise _refuse(f"--limit {name}", text, reason="is not a number", remedy=f"Write {name}=NUMBER") from None
    if name == "concurrency" and not value.is_integer():
        raise _refuse("--limit concurrency", text, reason="is not a number of calls", remedy="Give a whole number")
    return value


def parse_limits(options: Iterable[str]) -> dict[str, PoolLimits]:
    """All `--limit` options by model. Raises InvalidInput, also for a model named twice."""
    limits: dict[str, PoolLimits] = {}
    for option in options:
        model, one = parse_limit(option)
        if model in limits:
            remedy = "Write all its limits in one option"
            raise _refuse("--limit", option, reason=f"names {model} a second time", remedy=remedy)
        limits[model] = one
    return limits
