"""The limiter's arithmetic in plain Python: what tick.lua does, decided step by step on values.

The script is what runs; this is what can be reasoned about. A property test drives both with the same random
sequences and requires the same answers, and the guarantees in docs/limiter.md are tested on both. Times are seconds
since the state was made. Leases of workers are the script's business: here `in_flight` and `workers` are given.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from pressroom.limits.costs import Cost
from pressroom.limits.headers import Quota, QuotaHeaders
from pressroom.limits.pool_limits import DIMENSIONS, PoolLimits

SMOOTH_SECONDS = 4.0
CUT, RECOVER, FACTOR_MIN = 0.995, 0.00025, 0.3
QUIET_SECONDS = 30.0
REST_SECONDS = 0.05
COLD_SECONDS = 30.0
RETRY_AFTER_MAX_SECONDS = 600.0
START_CREDIT_SECONDS = 0.05
DAY_SECONDS = 86400.0
DAY_MARGIN_SECONDS = 1.0
_UNIT = {"rpm": 0, "tpm": 1, "ipm": 2, "rpd": 0, "tpd": 1}


@dataclass(slots=True)
class Bucket:
    """One dimension: when its bucket would be empty of work (`arrival`), and what is still to be worked off."""

    name: str
    setting: float | None = None
    learned: float | None = None
    default: float | None = None
    rate: float | None = None
    burst: float = 0.0
    arrival: float = 0.0
    debt: float = 0.0
    factor: float = 1.0
    zeros: float = 0.0

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

    def choose_rate(self, now: float) -> None:
        """Setting, else learned from headers, else default; work on its way keeps its units."""
        old, new = self.rate, next((r for r in (self.setting, self.learned, self.default) if r is not None), None)
        if new == old:
            return
        self.rate = new
        if new is None:
            return
        if old is None:
            self.arrival, self.debt, self.factor, self.zeros = now, 0.0, 1.0, 0.0
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
            extra = max(-0.3 * units, min(0.5 * units, share))
            self.debt -= extra
        self.arrival = max(self.arrival, start) + (units + extra) / effective_rate


@dataclass(frozen=True, slots=True)
class Decision:
    """Start times of the first calls asked for, and when to ask again for the rest (0: none is left)."""

    slots: list[float]
    poll_after: float


@dataclass(slots=True)
class Pool:
    """A pool's state and everything that happens to it."""

    buckets: list[Bucket]
    concurrency: int = 0
    now: float = 0.0
    pause: float = 0.0
    poll: float = 0.0
    spacing: float = 0.0
    last_cut: float = -1.0
    cold_since: float | None = None
    seen: dict[int, tuple[float, float, float]] = field(default_factory=dict)

    @classmethod
    def start(cls, limits: PoolLimits, *, lost: bool = False, day_used: Cost | None = None) -> Pool:
        """A new pool: full rate and no stored burst; after lost state half the rate."""
        pool = cls([Bucket(name) for name in DIMENSIONS], cold_since=0.0 if lost else None)
        pool.set_limits(limits)
        used = (day_used or Cost(0)).units()
        for bucket in pool.active():
            assert bucket.rate is not None
            if bucket.daily:
                bucket.arrival = used[bucket.unit] / bucket.rate
            else:
                bucket.arrival = max(0.0, bucket.burst - START_CREDIT_SECONDS)
        return pool

    def active(self) -> list[Bucket]:
        """The dimensions that have a limit."""
        return [bucket for bucket in self.buckets if bucket.rate is not None]

    def set_limits(self, limits: PoolLimits, *, now: float = 0.0) -> None:
        """Use these limits from `now` on."""
        now = max(self.now, now)
        setting, default = limits.per_second(source="setting"), limits.per_second(source="default")
        self.concurrency = limits.concurrency or 0
        for bucket in self.buckets:
            bucket.setting, bucket.default = setting.get(bucket.name), default.get(bucket.name)
            bucket.burst = bucket.period - DAY_MARGIN_SECONDS if bucket.daily else limits.burst_seconds
            bucket.choose_rate(now)

    def advance(self, now: float) -> None:
        """Move to `now`; a clock that stepped back stands still instead."""
        now = max(self.now, now)
        recovered = RECOVER * (now - self.now) * max(1.0, (now - self.last_cut) / QUIET_SECONDS)
        for bucket in self.active():
            bucket.factor = min(1.0, bucket.factor + recovered)
        self.now = now

    def settle(self, estimate: Cost, actual: Cost, headers: QuotaHeaders | None = None) -> None:
        """A call of this state ended; learn from its headers, remember the difference."""
        self.observe(headers)
        for bucket in self.active():
            expected, used = (bucket.capped(cost.units()[bucket.unit]) for cost in (estimate, actual))
            if expected == 0:
                bucket.zeros = bucket.zeros + 0.1 * (used - bucket.zeros)
                if bucket.zeros < 0.5:
                    bucket.zeros = 0.0
            if used != expected:
                bucket.owe(used - expected, self.now)

    def reject(
        self, estimate: Cost, retry_after: float, unit: int | None = None, headers: QuotaHeaders | None = None
    ) -> None:
        """A call was answered 429 (`unit`: the dimension named), or with `retry_after` 0 its slot was not used."""
        self.observe(headers)
        for bucket in self.active():
            if retry_after == 0 or bucket.unit != 0:
                units = bucket.capped(estimate.units()[bucket.unit])
                if units > 0:
                    bucket.owe(-units, self.now)
        if retry_after > 0:
            self._penalize(retry_after, unit)

    def _penalize(self, retry_after: float, unit: int | None) -> None:
        until = self.now + min(retry_after, RETRY_AFTER_MAX_SECONDS)
        whole_pool, cut = unit is None or unit == 0, self.now - self.last_cut > 1
        if whole_pool:
            self.pause = max(self.pause, until)
        for bucket in self.active():
            named = unit is None or bucket.unit == unit
            if not bucket.daily and (whole_pool or named):
                bucket.arrival = max(bucket.arrival, until + bucket.burst)
            if not bucket.daily and cut and named:
                bucket.factor = max(FACTOR_MIN, bucket.factor * CUT)
                bucket.arrival += REST_SECONDS
        if cut:
            self.last_cut = self.now

    def observe(self, headers: QuotaHeaders | None) -> None:
        """Learn limits; a header that shows room ends the slow start."""
        if not headers:
            return
        quotas = (headers.requests, headers.tokens, headers.images)
        for unit, quota in enumerate(quotas):
            if quota is not None:
                self._learn(unit, quota)
        if all(quota.remaining >= 0.1 * quota.limit for quota in quotas if quota is not None):
            self.cold_since = None

    def _learn(self, unit: int, quota: Quota) -> None:
        window, used = quota.window_seconds(), quota.limit - quota.remaining
        if not window:
            return
        before = self.seen.get(unit)
        self.seen[unit] = (quota.limit, window, used)
        if before is None or before[0] != quota.limit or abs(before[1] - window) > 0.02 * window:
            return
        if window != 60 and abs(before[2] - used) < 0.05 * max(before[2], used):
            return
        for bucket in self.buckets:
            if bucket.unit == unit and bucket.daily == (window > 3600):
                bucket.learned = quota.limit / window
                bucket.choose_rate(self.now)
                if bucket.daily and bucket.rate is not None:
                    bucket.arrival = max(bucket.arrival, self.now + used / bucket.rate)

    def acquire(self, costs: Sequence[Cost], *, in_flight: int = 0, workers: int = 1) -> Decision:
        """Start times relative to now for as many of `costs`, in order, as fit; what is refused costs nothing."""
        kmin = max(1.0, min(4.0, 2 / max(self.spacing, 0.001)))
        horizon = max(0.5, 2 * kmin * self.spacing)
        rates = self._effective_rates()
        slots: list[float] = []
        for cost in costs:
            if self.concurrency > 0 and in_flight + len(slots) + 1 > self.concurrency:
                return Decision(slots, 0.1)
            needs = [bucket.need(cost.units()[bucket.unit]) for bucket, _ in rates]
            slot, spacing = self._earliest(rates, needs)
            if slot > self.now + horizon:
                gap, opens = max(kmin * self.spacing, 0.02), slot - horizon
                self.poll = min(max(self.poll, opens) + gap, opens + workers * gap)
                wait = min(self.poll, slot) - self.now
                return Decision(slots, max(0.005, min(wait, max(2.0, horizon / 4))))
            self._charge(rates, needs, spacing)
            slots.append(slot - self.now)
        return Decision(slots, 0.0)

    def _effective_rates(self) -> list[tuple[Bucket, float]]:
        warm = 1.0
        if self.cold_since is not None:
            warm = min(1.0, 0.5 + 0.5 * (self.now - self.cold_since) / COLD_SECONDS)
            if warm == 1:
                self.cold_since = None
        return [(b, b.rate if b.daily else b.rate * b.factor * warm) for b in self.buckets if b.rate is not None]

    def _earliest(self, rates: Sequence[tuple[Bucket, float]], needs: Sequence[float]) -> tuple[float, float]:
        slot, spacing = max(self.now, self.pause), 0.0
        for (bucket, rate), need in zip(rates, needs, strict=True):
            if need != 0:
                seconds = abs(need) / rate
                slot = max(slot, bucket.arrival - max(0.0, bucket.burst - seconds))
                if not bucket.daily:
                    spacing = max(spacing, seconds)
        return slot, spacing

    def _charge(self, rates: Sequence[tuple[Bucket, float]], needs: Sequence[float], spacing: float) -> None:
        start = max(self.now, self.pause)
        for (bucket, rate), need in zip(rates, needs, strict=True):
            if need != 0:
                bucket.charge(need, start=start, effective_rate=rate)
        self.spacing = spacing if self.spacing == 0 else self.spacing + 0.05 * (spacing - self.spacing)
