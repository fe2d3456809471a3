"""The limiter's arithmetic in plain Python: what tick.lua does, decided step by step on values.

The script is what runs; this is what can be reasoned about. A property test drives both with the same random
sequences and requires the same answers, and the guarantees in docs/limiter.md are tested on both. bucket.py, flow.py
and spend.py are its parts, named like those of the script. Times are seconds since the state was made. Leases of
workers are the script's business: here `in_flight` and `workers` are given.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from pressroom.limits.bucket import DAY_MARGIN_SECONDS, Bucket, Told
from pressroom.limits.costs import Cost
from pressroom.limits.headers import Quota, QuotaHeaders
from pressroom.limits.learn import Learning, Sent, Units
from pressroom.limits.pool_limits import DEFAULT_BURST_SECONDS, DIMENSIONS, PoolLimits
from pressroom.limits.probe import Probing, ask_again, is_blind
from pressroom.limits.rate_limit_text import StatedLimit
from pressroom.limits.spend import RECENT_SECONDS, calls_per_second, until_it_fits

CUT, RECOVER, FACTOR_MIN = 0.995, 0.00025, 0.3
QUIET_SECONDS = 30.0
REST_SECONDS = 0.05
COLD_SECONDS = 30.0
CONCURRENCY_POLL_SECONDS = 0.1
RETRY_AFTER_MAX_SECONDS = 600.0
START_CREDIT_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class Refused:
    """What a 429 said besides its Retry-After: the unit it named, and the rest as in messages.Rejected."""

    unit: int | None = None
    headers: QuotaHeaders | None = None
    slow_down: bool = False
    stated: StatedLimit | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """Start times of the first calls asked for, and when to ask again for the rest (0: none is left)."""

    slots: list[float]
    poll_after: float


@dataclass(slots=True)
class Pool(Learning):
    """A pool's state and everything that happens to it. One tick: advance, settle and reject, then acquire."""

    concurrency: int = 0
    pause: float = 0.0
    poll: float = 0.0
    spacing: float = 0.0
    cold_since: float | None = None
    burst_seconds: float = DEFAULT_BURST_SECONDS
    charged: list[float] = field(default_factory=lambda: [0.0, 0.0, 0.0])
    in_flight: int = 0
    calls: float = 1.0
    newest_told: float | None = None
    probing: Probing = field(default_factory=Probing)
    answered: int = 0

    @classmethod
    def start(cls, limits: PoolLimits, *, lost: bool = False, day_used: Cost | None = None) -> Pool:
        """A new pool: full rate and no stored burst; after lost state half the rate."""
        pool = cls([Bucket(name) for name in DIMENSIONS], cold_since=0.0 if lost else None)
        pool.spending.burst = limits.learned_burst_seconds
        pool.set_limits(limits)
        for known in limits.stated:
            bucket = next(one for one in pool.buckets if one.name == known.dimension)
            bucket.learned = bucket.stated = known.limit / bucket.period
            pool.stated_at = max(-known.age_seconds, -known.age_seconds if pool.stated_at is None else pool.stated_at)
            bucket.choose_rate(0.0, limits.max_share)
        used = (day_used or Cost(0)).units()
        for bucket in pool.active():
            assert bucket.rate is not None
            if bucket.daily:
                bucket.arrival = used[bucket.unit] / bucket.rate
            else:
                bucket.arrival = max(0.0, bucket.burst - START_CREDIT_SECONDS)
        return pool

    def set_limits(self, limits: PoolLimits, *, now: float = 0.0) -> None:
        """Use these limits from `now` on."""
        now = max(self.now, now)
        setting, default = limits.per_second(source="setting"), limits.per_second(source="default")
        self.concurrency, self.burst_seconds = limits.concurrency or 0, limits.burst_seconds
        self.spending.share, self.spending.fixed = limits.max_share, limits.burst_seconds != DEFAULT_BURST_SECONDS
        self._choose_burst()
        for bucket in self.buckets:
            before = bucket.effective_rate(limits.max_share)
            bucket.setting, bucket.default = setting.get(bucket.name), default.get(bucket.name)
            bucket.stated = bucket.stated if bucket.setting is None else None
            bucket.choose_rate(now, limits.max_share)
            self.recall(bucket, before, age=0.0, now=now)

    def _choose_burst(self) -> None:
        burst, learned = self.burst_seconds, self.spending.burst
        if learned is not None:
            burst = min(burst, learned) if self.spending.fixed else learned
        for bucket in self.buckets:
            bucket.burst = bucket.period - DAY_MARGIN_SECONDS if bucket.daily else burst

    def advance(self, now: float, *, in_flight: int = 0) -> None:
        """A tick begins at `now`; a clock that stepped back stands still instead."""
        now = max(self.now, now)
        elapsed, self.now, self.in_flight, self.newest_told = now - self.now, now, in_flight, None
        self.answered = 0
        self.retry_stated()
        active = self.active()
        for bucket in active:
            if bucket.announced is not None:
                bucket.announced.refill(now, elapsed)
        self.spending.pass_time(active, elapsed)
        recovered = RECOVER * elapsed * max(1.0, (now - self.spending.last_cut) / QUIET_SECONDS)
        for bucket in active:
            bucket.factor = min(1.0, bucket.factor + recovered)
            bucket.recent = bucket.recent * math.exp(-elapsed / RECENT_SECONDS)
        self.calls = calls_per_second(active)
        self.flow.choose_width(self.calls)

    def settle(
        self, estimate: Cost, actual: Cost, headers: QuotaHeaders | None = None, sent: Sent | None = None
    ) -> None:
        """A call of this state ended; learn from its headers, remember the difference."""
        self.observe(headers, taken=actual.units(), sent=sent)
        self.answered += 1
        recalled = self.is_recalled(sent)
        for unit, (expected, used) in enumerate(zip(estimate.units(), actual.units(), strict=True)):
            if used != expected:
                self._account(unit, used - expected)
        for bucket in self.active():
            unit = bucket.unit
            bucket.settle(estimate.units()[unit], actual.units()[unit], self.now, recalled=recalled)

    def reject(self, estimate: Cost, retry_after: float, why: Refused | None = None, sent: Sent | None = None) -> None:
        """A call was answered 429, or with `retry_after` 0 its slot was not used."""
        why = why or Refused()
        self.observe(why.headers, taken=(0.0, 0.0, 0.0), sent=sent)
        refused = retry_after > 0
        for unit, units in enumerate(estimate.units()):
            if units != 0 and not (refused and unit == 0):
                self._account(unit, -units)
        for bucket in self.active():
            if (not refused or bucket.unit != 0) and (bucket.daily or not self.is_recalled(sent)):
                units = bucket.capped(estimate.units()[bucket.unit])
                if units > 0:
                    bucket.owe(-units, self.now)
        if refused:
            self.probing.narrow(self.now if sent is None else sent.at, self.now)
            self._penalize(retry_after, why)

    def _account(self, unit: int, units: float) -> None:
        self.charged[unit] += units
        for bucket in self.active():
            if bucket.unit == unit and bucket.announced is not None and bucket.announced.level is not None:
                bucket.announced.level -= units

    def _penalize(self, retry_after: float, why: Refused) -> None:
        until = self.now + min(retry_after, RETRY_AFTER_MAX_SECONDS)
        whole_pool, cut = why.unit in (None, 0), self.now - self.spending.last_cut > 1
        if why.stated is not None:
            self.believe(why.stated)
        rest = 0.0
        if why.slow_down:
            self.spending.hold_ramp(self.active(), self.now)
        else:
            rest, empty = self.spending.explain(
                self.active(), why.unit, why.headers, in_flight=self.in_flight, now=self.now
            )
            self._choose_burst()
            if empty and cut:
                self.spending.extra_seconds = min(3.0, self.spending.extra_seconds + 0.25)
        if whole_pool:
            self.pause = max(self.pause, until)
        for bucket in self.active():
            named = why.unit is None or bucket.unit == why.unit
            if not bucket.daily and (whole_pool or named):
                bucket.arrival = max(bucket.arrival, until + bucket.burst) + rest
            if not bucket.daily and cut and named:
                bucket.factor = max(FACTOR_MIN, bucket.factor * CUT)
                bucket.arrival += REST_SECONDS
        if cut:
            self.spending.last_cut = self.now

    def observe(
        self, headers: QuotaHeaders | None, *, taken: Units = (0.0, 0.0, 0.0), sent: Sent | None = None
    ) -> None:
        """Learn limits and level; a header that shows room ends the slow start."""
        if not headers:
            return
        quotas = headers.units()
        first = sent is not None and sent.at >= self.spending.spell and not self.spending.fresh
        weight = 1.0 if first else max(0.02, min(0.3, 2 / self.calls))
        for unit, quota in enumerate(quotas):
            if quota is not None:
                self.learn(unit, quota, None if sent is None else sent.at)
        if sent is not None:
            self._follow(quotas, taken, sent, weight=weight)
        if all(quota.remaining >= 0.1 * quota.limit for quota in quotas if quota is not None):
            self.cold_since = None

    def _follow(self, quotas: Sequence[Quota | None], taken: Units, sent: Sent, *, weight: float) -> None:
        levels: dict[int, tuple[float, float]] = {}
        for bucket in self.active():
            unit, quota = bucket.unit, quotas[bucket.unit]
            if quota is None:
                continue
            level, since = quota.remaining + taken[unit], self.charged[unit] - sent.before[unit]
            if bucket.announced is not None and bucket.announced.limit == quota.limit:
                bucket.correct(Told(level, since, sent.at, weight), in_flight=self.in_flight, now=self.now)
                assert bucket.announced.highest is not None
                if bucket.announced.highest - level >= 2 * bucket.announced.rate:
                    self.spending.proven = True
                levels[unit] = (level, sent.before[unit])
                self.spending.fresh = self.spending.fresh or sent.at >= self.spending.spell
                self.newest_told = sent.at if self.newest_told is None else max(self.newest_told, sent.at)
            elif bucket.daily and (quota.window_seconds() or 0) > 3600:
                bucket.correct_day(quota.limit - level, since, sent.at)
        if levels and not self.flow.is_settling(self.in_flight, spacing=self.spacing, now=self.now):
            self.flow.gather(sent.at, levels)

    def acquire(self, costs: Sequence[Cost], *, workers: int = 1) -> Decision:
        """Start times relative to now for as many of `costs`, in order, as fit; what is refused costs nothing."""
        rates = self._effective_rates(asked=bool(costs))
        kmin = max(1.0, min(4.0, 2 / max(self.spacing, 0.001)))
        horizon = max(0.5, 2 * kmin * self.spacing)
        slots: list[float] = []
        if costs:
            self.probing.blind = self._is_blind(costs[0])
        for cost in costs:
            if self.concurrency > 0 and self.in_flight + len(slots) + 1 > self.concurrency:
                return Decision(slots, CONCURRENCY_POLL_SECONDS)
            if self._is_blind(cost) and not self.probing.may_leave(self.in_flight + len(slots), self.now):
                return Decision(slots, ask_again(workers))
            needs = [bucket.need(cost.units()[bucket.unit]) for bucket, _ in rates]
            slot, spacing = self._earliest(rates, needs)
            if slot > self.now + horizon:
                gap, opens = max(kmin * self.spacing, 0.02), slot - horizon
                self.poll = min(max(self.poll, opens) + gap, opens + workers * gap)
                wait = min(self.poll, slot) - self.now
                return Decision(slots, max(0.005, min(wait, max(2.0, horizon / 4))))
            self._charge(rates, needs, slot=slot, spacing=spacing, cost=cost)
            slots.append(slot - self.now)
        return Decision(slots, 0.0)

    def _is_blind(self, cost: Cost) -> bool:
        return self.concurrency == 0 and is_blind(cost, self.active())

    def _effective_rates(self, *, asked: bool) -> list[tuple[Bucket, float]]:
        spending, active = self.spending, self.active()
        self.flow.store()
        self.flow.balance(active)
        if asked:
            spending.begin_spell(self.buckets, spacing=self.spacing, now=self.now)
        spending.speed_up(self.calls, self.newest_told, self.now)
        if spending.grow(active, self.now):
            self._choose_burst()
        self.probing.widen(self.answered, self.in_flight)
        warm = 1.0
        if self.cold_since is not None:
            warm = min(1.0, 0.5 + 0.5 * (self.now - self.cold_since) / COLD_SECONDS)
            if warm == 1:
                self.cold_since = None
        rates: list[tuple[Bucket, float]] = []
        for bucket in active:
            assert bucket.rate is not None
            paced = spending.pace(bucket, warm=warm, in_flight=self.in_flight, now=self.now)
            rates.append((bucket, bucket.rate if bucket.daily else paced))
        return rates

    def _earliest(self, rates: Sequence[tuple[Bucket, float]], needs: Sequence[float]) -> tuple[float, float]:
        slot, spacing = max(self.now, self.pause), 0.0
        for (bucket, rate), need in zip(rates, needs, strict=True):
            if need != 0:
                seconds = abs(need) / rate
                slot = max(slot, bucket.arrival - max(0.0, bucket.burst - seconds))
                slot = max(slot, self.now + until_it_fits(bucket, need, self.in_flight))
                if not bucket.daily:
                    spacing = max(spacing, seconds)
        return slot, spacing

    def _charge(
        self, rates: Sequence[tuple[Bucket, float]], needs: Sequence[float], *, slot: float, spacing: float, cost: Cost
    ) -> None:
        start = max(self.now, self.pause)
        for (bucket, rate), need in zip(rates, needs, strict=True):
            if need != 0:
                bucket.charge(need, start=start, effective_rate=rate)
        for unit, units in enumerate(cost.units()):
            if units != 0:
                self._account(unit, units)
        self.spending.last_slot, self.spending.last_grant = max(self.spending.last_slot, slot), self.now
        self.spacing = spacing if self.spacing == 0 else self.spacing + 0.05 * (spacing - self.spacing)
