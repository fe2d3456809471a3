"""One dimension of a pool in plain Python: common.lua's fields, and the arithmetic on them (see gcra.py)."""

from __future__ import annotations

import math
from dataclasses import dataclass

from pressroom.limits.pool_limits import DIMENSIONS

SMOOTH_SECONDS = 4.0
DAY_SECONDS = 86400.0
DAY_MARGIN_SECONDS = 1.0
NOTICE = 0.04
FULL_SECONDS, FULL_CALLS = 0.05, 6.0
_UNIT = {"rpm": 0, "tpm": 1, "ipm": 2, "rpd": 0, "tpd": 1}


@dataclass(slots=True)
class Announced:
    """The bucket that headers show, of a limit per minute: its size and rate, and what is known of it."""

    limit: float
    rate: float
    level: float | None = None
    full_at: float = 0.0
    highest: float | None = None
    variance: float = 0.0
    others: float = 0.0
    step: float = 0.0

    @property
    def foreign(self) -> float:
        """What others take, units a second; below 4 % it is noise."""
        return self.others if self.others > NOTICE * self.rate else 0.0

    def refill(self, now: float, elapsed: float) -> None:
        """Time passes."""
        if self.level is None:
            return
        self.level = self.level + (self.rate - self.foreign) * elapsed
        if self.level >= self.limit:
            self.level, self.full_at = self.limit, now


@dataclass(frozen=True, slots=True)
class Told:
    """What one header says of one unit: the level just before its call, and what we charged from that call on."""

    level: float
    since: float
    at: float
    weight: float


@dataclass(slots=True)
class Bucket:
    """One dimension: when its bucket would be empty of work (`arrival`), and what is still to be worked off."""

    name: str
    setting: float | None = None
    learned: float | None = None
    default: float | None = None
    stated: float | None = None
    rate: float | None = None
    ramp: float | None = None
    burst: float = 0.0
    arrival: float = 0.0
    debt: float = 0.0
    factor: float = 1.0
    zeros: float = 0.0
    recent: float = 0.0
    mean_cost: float = 0.0
    mean_error: float = 0.0
    deviation: float = 0.0
    announced: Announced | None = None
    low: bool = False
    """Whether calls were refused lately and the level is below where we want it: nothing owed to us is taken then."""

    @property
    def unit(self) -> int:
        """Index into a cost's units."""
        return _UNIT[self.name]

    @property
    def period(self) -> float:
        """Seconds the limit is counted over."""
        return DIMENSIONS[self.name]

    @property
    def daily(self) -> bool:
        """Whether the whole day's bucket may be used at once."""
        return self.period == DAY_SECONDS

    @property
    def followed(self) -> Announced | None:
        """The announced bucket, if its level is known."""
        return self.announced if self.announced is not None and self.announced.level is not None else None

    def choose_rate(self, now: float, share: float) -> None:
        """Setting (not above what a refusal stated), else learned, else default, of that our share."""
        old = self.rate
        setting = self.setting
        if setting is not None and self.stated is not None:
            setting = min(setting, self.stated)
        new = next((r for r in (setting, self.learned, self.default) if r is not None), None)
        new = None if new is None else new * share
        if new == old:
            return
        self.rate = new
        if new is None:
            return
        if old is None:
            self.arrival, self.debt, self.factor, self.zeros, self.recent = now, 0.0, 1.0, 0.0, 0.0
            self.mean_cost, self.mean_error, self.deviation = 0.0, 0.0, 0.0
        elif self.arrival > now:
            self.arrival = now + (self.arrival - now) * old / new

    def owe(self, units: float, now: float) -> None:
        """Take note of units used beyond (or, negative, below) what was charged."""
        assert self.rate is not None
        if self.daily:
            self.arrival = max(self.arrival, now) + units / self.rate
            return
        debt, most = self.debt + units, SMOOTH_SECONDS * self.rate
        if debt > most:
            self.arrival = max(self.arrival, now) + (debt - most) / self.rate
            debt = most
        elif debt < -most:
            self.arrival = self.arrival + (debt + most) / self.rate
            debt = -most
        self.debt = debt

    def effective_rate(self, share: float) -> float | None:
        """What we go by: our rate, and no more than the provider announces."""
        if self.rate is None or self.announced is None:
            return self.rate
        return min(self.rate, self.announced.rate * share)

    def settle(self, estimate: float, actual: float, now: float, *, recalled: bool = False) -> None:
        """A call took `actual` units, charged as `estimate`; if `recalled`, that charge was forgotten since."""
        expected, used = self.capped(estimate), self.capped(actual)
        if expected == 0:
            self.zeros = self.zeros + 0.1 * (used - self.zeros)
            if self.zeros < 0.5:
                self.zeros = 0.0
        charged = 0.0 if recalled and not self.daily else expected
        if used != charged:
            self.owe(used - charged, now)
        self.mean_error = self.mean_error + 0.01 * (used - expected - self.mean_error)
        if expected > 0:
            self.deviation = self.deviation + 0.02 * (min(1.0, abs(used - expected) / expected) - self.deviation)

    def capped(self, units: float) -> float:
        """No call is charged more than a whole period: it could otherwise never be served."""
        assert self.rate is not None
        return min(units, self.rate * self.period)

    def need(self, units: float) -> float:
        """What a call must wait for; negative: only debt, left by calls whose claimed zero was not one."""
        need = self.capped(units)
        if need == 0 and self.zeros > 0 and self.debt > 0:
            return -min(self.debt, self.zeros)
        return need

    def charge(self, need: float, *, start: float, effective_rate: float) -> None:
        """Take `need` units from `start` on, and some of the debt with them."""
        assert self.rate is not None
        units, extra = abs(need), 0.0
        if need < 0:
            self.debt -= units
        elif self.debt != 0:
            share = self.debt * min(1.0, units / (self.rate * SMOOTH_SECONDS))
            extra = max(0.0 if self.low else -0.3 * units, min(0.5 * units, share))
            self.debt -= extra
        self.arrival = max(self.arrival, start) + (units + extra) / effective_rate
        self.recent = self.recent + units
        self.mean_cost = units if self.mean_cost == 0 else self.mean_cost + 0.05 * (units - self.mean_cost)

    def expected_level(self, in_flight: int) -> float:
        """The announced level, once calls in flight have cost what such calls do."""
        assert self.announced is not None
        assert self.announced.level is not None
        return self.announced.level - in_flight * self.mean_error

    def correct(self, told: Told, *, in_flight: int, now: float) -> None:
        """Move the level towards what a header told."""
        bucket = self.announced
        assert bucket is not None
        bucket.highest = told.level if bucket.highest is None else max(bucket.highest, told.level)
        age = now - told.at
        inflow = (bucket.rate - bucket.foreign) * age
        if bucket.level is None:
            bucket.level = min(bucket.limit, told.level - told.since + inflow)
            return
        off = told.level - (bucket.level + told.since - inflow - in_flight * self.mean_error)
        if off > 0 and now - age < bucket.full_at:
            return
        most = 0.2 * bucket.limit
        bucket.variance = bucket.variance + 0.05 * (min(off * off, most * most) - bucket.variance)
        bucket.level = min(bucket.limit, bucket.level + told.weight * off)

    def correct_day(self, used: float, since: float, at: float) -> None:
        """A day's header: `used` just before the call, `since` charged by us from it on."""
        assert self.rate is not None
        arrival = at + (used + since) / self.rate
        if arrival > self.arrival:
            self.arrival = arrival
        elif arrival < self.arrival - 0.02 * DAY_SECONDS:
            self.arrival = self.arrival + 0.1 * (arrival - self.arrival)

    def full_from(self) -> float:
        """The level from which on the announced bucket counts as full."""
        assert self.announced is not None
        bucket = self.announced
        return bucket.limit - max(FULL_SECONDS * bucket.rate, FULL_CALLS * self.mean_cost)

    def reserve(self, share: float, extra_seconds: float) -> float:
        """Units of the announced bucket that are never planned away."""
        assert self.announced is not None
        bucket = self.announced
        least = max(
            (0.25 + extra_seconds) * bucket.rate,
            (0.01 + 0.3 * self.deviation) * bucket.limit,
            2 * self.mean_cost,
            4 * math.sqrt(bucket.variance),
        )
        return min(least, 0.5 * bucket.limit) + (1 - share) * bucket.limit
