"""Stored quota, how fast and how far down, and what refusals teach: spend.lua in plain Python (see gcra.py)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from pressroom.limits.bucket import DAY_SECONDS, FULL_CALLS, Bucket
from pressroom.limits.headers import QuotaHeaders

FLOOR_SECONDS = 0.05
WARY_SECONDS = 10.0
GROW_SECONDS = 600.0
QUANTUM_MIN_SECONDS = 0.04
RECENT_SECONDS = 10.0
_EXTRA_HALF_SECONDS = 600.0
_RAMP_FACTOR, _RAMP_SECONDS = 1.5, 900.0


def calls_per_second(buckets: Sequence[Bucket]) -> float:
    """How many mean calls the tightest limit per minute lets through; 1 while no call was made."""
    rates = [b.rate / b.mean_cost for b in buckets if b.rate is not None and not b.daily and b.mean_cost > 0]
    return min(rates, default=1.0)


def until_it_fits(bucket: Bucket, need: float, in_flight: int) -> float:
    """Seconds from now until the announced bucket holds a call of `need` units whole."""
    announced = bucket.followed
    if announced is None or need <= 0:
        return 0.0
    guard = max(0.1 * announced.rate, 3 * math.sqrt(announced.variance))
    wanted = min(0.9 * announced.limit, need * (1 + 2.5 * bucket.deviation) + guard)
    missing = wanted - bucket.expected_level(in_flight)
    return missing / (announced.rate - announced.foreign) if missing > 0 else 0.0


@dataclass(slots=True)
class Spending:
    """What a pool knows about spending beyond its rate. Times as in Pool; `speed` is a multiple of the rate."""

    share: float = 1.0
    fixed: bool = False
    speed: float = 1.0
    speed_since: float = 0.0
    spell: float = 0.0
    fresh: bool = False
    proven: bool = False
    last_grant: float = 0.0
    last_slot: float = 0.0
    extra_seconds: float = 0.0
    burst: float | None = None
    burst_since: float = 0.0
    burst_grew: bool = False
    wait: float = GROW_SECONDS
    last_cut: float = -1.0
    """When a refusal last lowered the factors."""

    def pass_time(self, buckets: Sequence[Bucket], elapsed: float) -> None:
        """The reserve that refusals taught fades, and a ramp rises."""
        for bucket in buckets:
            assert bucket.rate is not None
            if bucket.ramp is not None:
                ramp = bucket.ramp * _RAMP_FACTOR ** (elapsed / _RAMP_SECONDS)
                bucket.ramp = ramp if ramp < bucket.rate else None
        self.extra_seconds = self.extra_seconds * 0.5 ** (elapsed / _EXTRA_HALF_SECONDS)

    def floor(self, bucket: Bucket) -> float:
        """The level under which we do not plan to go."""
        announced = bucket.announced
        assert announced is not None
        least = bucket.reserve(self.share, self.extra_seconds)
        if self.burst is None and not self.fixed:
            return least
        top = announced.limit if announced.highest is None else min(announced.limit, announced.highest)
        burst = max(bucket.burst, FLOOR_SECONDS) * announced.rate
        return max(least, top - max(burst, FULL_CALLS * bucket.mean_cost))

    def pace(self, bucket: Bucket, *, warm: float, in_flight: int, now: float) -> float:
        """Units a second that a minute's dimension may take now."""
        assert bucket.rate is not None
        ours = bucket.rate * bucket.factor * warm
        rate, announced = ours, bucket.followed
        bucket.low = False
        if announced is not None:
            lead = max(0.0, self.last_slot - now)
            level = bucket.expected_level(in_flight) + (announced.rate - announced.foreign) * lead
            over = min(level, announced.limit) - self.floor(bucket)
            left = announced.rate * bucket.factor * warm - announced.foreign
            bucket.low = over < 0 and now - self.last_cut < WARY_SECONDS
            if over < 0:
                rate = min(ours, left + max(0.07 * over, -0.1 * announced.rate))
            else:
                rate = min(ours, left)
                whole = bucket.rate >= 0.98 * announced.rate * self.share
                if announced.foreign == 0 and warm == 1 and whole:
                    rate = rate + min((self.speed - 1) * bucket.rate, over)
        return max(0.05 * bucket.rate, min(rate, rate if bucket.ramp is None else bucket.ramp))

    def begin_spell(self, buckets: Sequence[Bucket], *, spacing: float, now: float) -> None:
        """After a pause, what the buckets hold is not known before a header says so."""
        if now - self.last_grant > max(2.0, 4 * spacing):
            self.spell, self.speed, self.speed_since, self.fresh = now, 1.0, now, False
            for bucket in buckets:
                if bucket.announced is not None:
                    bucket.announced.highest = None

    def speed_up(self, calls: float, newest: float | None, now: float) -> None:
        """`newest`: start of the latest call of which a header came."""
        if self.burst is not None or self.fixed:
            self.speed = 1.0
        elif newest is not None and newest >= self.speed_since:
            most = 16.0 if self.proven else max(1.25, min(4.0, 1 + 8 / calls))
            self.speed, self.speed_since = min(most, 2 * self.speed), now

    def grow(self, buckets: Sequence[Bucket], now: float) -> bool:
        """A learned burst grows after quiet minutes; True if it did."""
        if self.burst is None or now - max(self.burst_since, self.last_cut) < self.wait:
            return False
        sizes = [b.announced.limit / b.announced.rate for b in buckets if b.announced is not None]
        self.burst, self.burst_since, self.burst_grew = self.burst * 1.5, now, True
        if self.burst >= min([60.0, *sizes]):
            self.burst = None
        return True

    def explain(
        self, buckets: Sequence[Bucket], unit: int | None, headers: QuotaHeaders | None, *, in_flight: int, now: float
    ) -> tuple[float, bool]:
        """Why a call was refused: (seconds to rest, whether the announced bucket was empty)."""
        self.speed, self.speed_since = 1.0, now
        followed = [b for b in buckets if b.followed is not None]
        for bucket in followed:
            announced = bucket.announced
            assert announced is not None
            assert announced.level is not None
            level = _left(bucket, headers, in_flight)
            if unit in (None, bucket.unit) and level <= 0.2 * announced.limit:
                announced.level = min(announced.level, level)
                return 0.0, True
        for bucket in followed:
            announced = bucket.announced
            assert announced is not None
            named = bucket.unit == (0 if unit is None else unit)
            if named and announced.highest is not None:
                drained = max(0.0, announced.highest - _left(bucket, headers, in_flight))
                return self._find_quantum(drained / announced.rate, now), False
        return 0.0, False

    def _find_quantum(self, drained: float, now: float) -> float:
        before, burst = self.burst, min(drained / 2, drained - 0.5)
        if before is not None and burst >= before:
            if now - self.burst_since <= 10:
                return 0.0
            burst = before / 2
        if before is not None and self.burst_grew:
            self.wait = min(4 * self.wait, DAY_SECONDS)
        self.burst, self.burst_since = max(QUANTUM_MIN_SECONDS, burst), now
        self.burst_grew = self.proven = False
        return min(1.0, max(0.0, drained - self.burst)) if before is None else 0.0

    def hold_ramp(self, buckets: Sequence[Bucket], now: float) -> None:
        """`slow_down`: no faster than lately, and from there slowly up."""
        known = RECENT_SECONDS * (1 - math.exp(-max(0.5, now - self.spell) / RECENT_SECONDS))
        for bucket in buckets:
            assert bucket.rate is not None
            if not bucket.daily:
                lately = max(0.05 * bucket.rate, bucket.recent / known)
                bucket.ramp = min(lately, lately if bucket.ramp is None else 0.9 * bucket.ramp)


def _left(bucket: Bucket, headers: QuotaHeaders | None, in_flight: int) -> float:
    quota = None if headers is None else headers.units()[bucket.unit]
    if quota is not None and bucket.announced is not None and quota.limit == bucket.announced.limit:
        return quota.remaining
    return bucket.expected_level(in_flight)
