"""A pool's limits and where each came from; the `--limit` option's grammar."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

Source = Literal["setting", "headers", "default"]
DIMENSIONS: Mapping[str, float] = {"rpm": 60.0, "tpm": 60.0, "ipm": 60.0, "rpd": 86400.0, "tpd": 86400.0}
"""Rate dimensions and the seconds each is counted over."""
DEFAULT_BURST_SECONDS = 0.05

_OPTION = "MODEL:rpm=600,tpm=60000,ipm=50,rpd=10000,tpd=2000000,concurrency=200,burst_seconds=0.05"


class LimitError(ValueError):
    """A limit that cannot be: names the field, its value and what would be accepted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolLimits:
    """Requests, tokens and images per minute or day, and calls in flight; None is "no limit known".

    `defaults` names the dimensions that are a catalog's guess, which response headers may overrule. All others are
    settings and always win. `burst_seconds` is how much of a per-minute rate may be used at once after a quiet spell.
    """

    rpm: float | None = None
    tpm: float | None = None
    ipm: float | None = None
    rpd: float | None = None
    tpd: float | None = None
    concurrency: int | None = None
    burst_seconds: float = DEFAULT_BURST_SECONDS
    defaults: frozenset[str] = field(default_factory=frozenset)

    def __post_init__(self) -> None:
        for name in DIMENSIONS:
            _check(name, getattr(self, name))
        _check("concurrency", self.concurrency)
        if not 0 <= self.burst_seconds <= 60:
            raise LimitError(f"burst_seconds is {self.burst_seconds!r}: it must lie between 0 and 60 seconds")
        unknown = self.defaults - {*DIMENSIONS, "concurrency"}
        if unknown:
            raise LimitError(f"defaults names {sorted(unknown)}: known limits are {[*DIMENSIONS, 'concurrency']}")

    def per_second(self, *, source: Literal["setting", "default"]) -> dict[str, float]:
        """Rates per second of the dimensions that come from `source`."""
        rates: dict[str, float] = {}
        for name, period in DIMENSIONS.items():
            value: float | None = getattr(self, name)
            if value is not None and (name in self.defaults) == (source == "default"):
                rates[name] = value / period
        return rates

    def over(self, catalog: PoolLimits) -> PoolLimits:
        """These settings, completed with the catalog's limits as defaults where a setting says nothing."""
        names = [*DIMENSIONS, "concurrency"]
        missing = {n for n in names if getattr(self, n) is None and getattr(catalog, n) is not None}
        values = {name: getattr(catalog, name) for name in missing}
        return replace(self, **values, defaults=self.defaults | missing)


def _check(name: str, value: float | None) -> None:
    if value is not None and not (math.isfinite(value) and value > 0):
        raise LimitError(f"{name} is {value!r}: it must be more than 0 (to stop a pool, pause it instead)")


def parse_limit(option: str) -> tuple[str, PoolLimits]:
    """`MODEL:rpm=600,tpm=60000` -> (model, limits). The model may itself contain colons. Raises LimitError."""
    model, colon, pairs = option.rpartition(":")
    if not colon or not model.strip() or not pairs.strip():
        raise LimitError(f"--limit {option!r} has no model or no limits: write {_OPTION}, any of them")
    values: dict[str, float] = {}
    for pair in pairs.split(","):
        name, equals, text = (part.strip() for part in pair.partition("="))
        if not equals:
            raise LimitError(f"--limit {option!r}: {pair!r} is not NAME=NUMBER, as in rpm=600")
        if name in values:
            raise LimitError(f"--limit {option!r}: {name} is given twice; keep one")
        values[name] = _parse_value(option, name, text)
    concurrency = values.get("concurrency")
    limits = PoolLimits(
        rpm=values.get("rpm"),
        tpm=values.get("tpm"),
        ipm=values.get("ipm"),
        rpd=values.get("rpd"),
        tpd=values.get("tpd"),
        concurrency=None if concurrency is None else int(concurrency),
        burst_seconds=values.get("burst_seconds", DEFAULT_BURST_SECONDS),
    )
    return model.strip(), limits


def _parse_value(option: str, name: str, text: str) -> float:
    known = [*DIMENSIONS, "concurrency", "burst_seconds"]
    if name not in known:
        raise LimitError(f"--limit {option!r}: {name!r} is not a limit; use one of {', '.join(known)}")
    try:
        value = float(text.replace("_", ""))
    except ValueError:
        raise LimitError(f"--limit {option!r}: {name} is {text!r}, which is not a number") from None
    if name == "concurrency" and not value.is_integer():
        raise LimitError(f"--limit {option!r}: concurrency is {text}; it must be a whole number of calls")
    return value


def parse_limits(options: Iterable[str]) -> dict[str, PoolLimits]:
    """All `--limit` options by model. Raises LimitError, also for a model named twice."""
    limits: dict[str, PoolLimits] = {}
    for option in options:
        model, one = parse_limit(option)
        if model in limits:
            raise LimitError(f"--limit names {model!r} twice: write all its limits in one option")
        limits[model] = one
    return limits
