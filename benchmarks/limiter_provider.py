"""A simulated provider that enforces limits as OpenAI documents them, on simulated time.

Each dimension has two buckets with continuous refill: the announced one (a minute's worth; response headers show it)
and a quantum of `rate x quantum_seconds` ("60,000 requests/minute may be enforced as 1,000 requests/second"). A call
is admitted when all have room. What it costs is charged on admission, and only the provider knows it then.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from pressroom.limits.costs import Cost
from pressroom.limits.headers import Quota, QuotaHeaders
from pressroom.limits.messages import Dimension

KINDS: tuple[Dimension, ...] = ("requests", "tokens", "images")


@dataclass(slots=True)
class Bucket:
    """Refills continuously; may be overdrawn by a call larger than itself, as real ones are."""

    rate: float
    capacity: float
    level: float = field(init=False)
    at: float = 0.0

    def __post_init__(self) -> None:
        self.level = self.capacity

    def take(self, now: float, units: float) -> None:
        """Charge (or, negative, give back) units; check `wait` first."""
        self.level = min(self.capacity, self._level(now) - units)

    def wait(self, now: float, units: float) -> float:
        """Seconds until there is room for `units`."""
        return max(0.0, (min(units, self.capacity) - self._level(now)) / self.rate)

    def quota(self, now: float) -> Quota:
        """As the headers show it: whole milliseconds."""
        level = self._level(now)
        return Quota(self.capacity, int(level), round((self.capacity - level) / self.rate, 3))

    def _level(self, now: float) -> float:
        if now > self.at:
            self.level = min(self.capacity, self.level + (now - self.at) * self.rate)
            self.at = now
        return self.level


@dataclass(frozen=True, slots=True)
class Limits:
    """What the provider enforces; per minute unless said otherwise."""

    rpm: float | None = None
    tpm: float | None = None
    ipm: float | None = None
    rpd: float | None = None
    concurrency: int | None = None
    announced_seconds: float = 60.0
    """Capacity of the announced bucket in seconds of its rate: what headers call the limit."""
    quantum_seconds: float = 0.5
    """Capacity of the hidden bucket; as large as the announced one or larger: there is none."""
    reserves_max_tokens: bool = False
    """Charge input + max_tokens on admission and true up on completion, instead of the true cost at once."""
    refused_cost: float = 0.0
    """Requests that a call answered 429 takes all the same."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """A 429."""

    retry_after: float
    dimension: Dimension | None


@dataclass(slots=True)
class Provider:
    """The enforcing side. `used` counts admitted units per dimension."""

    limits: Limits
    buckets: list[list[Bucket]] = field(init=False)
    foreign_units: list[float] = field(default_factory=lambda: [0.0, 0.0, 0.0])
    in_flight: int = 0
    peak_in_flight: int = 0

    def __post_init__(self) -> None:
        self.buckets = []
        limits = self.limits
        for per_minute in (limits.rpm, limits.tpm, limits.ipm):
            rate = (per_minute or 0.0) / 60
            both = [
                Bucket(rate, rate * limits.announced_seconds),
                Bucket(rate, max(1.0, rate * limits.quantum_seconds)),
            ]
            self.buckets.append(both if per_minute else [])
        if self.limits.rpd:
            self.buckets[0].append(Bucket(self.limits.rpd / 86400, self.limits.rpd))

    def arrive(self, now: float, cost: Cost) -> Refusal | None:
        """Admit and charge the call, or refuse it."""
        if self.limits.concurrency is not None and self.in_flight >= self.limits.concurrency:
            return Refusal(1.0, None)
        wait, kind = 0.0, 0
        for unit, buckets in enumerate(self.buckets):
            for bucket in buckets:
                needed = bucket.wait(now, cost.units()[unit])
                wait, kind = max((wait, kind), (needed, unit))
        if wait > 1e-9:
            for bucket in self.buckets[0]:
                bucket.take(now, self.limits.refused_cost)
            return Refusal(wait, KINDS[kind])
        self._charge(now, cost)
        self.in_flight += 1
        self.peak_in_flight = max(self.peak_in_flight, self.in_flight)
        return None

    def arrive_foreign(self, now: float, cost: Cost) -> bool:
        """Somebody else's call: it takes quota and is not otherwise known here. False: refused."""
        needs = [(bucket, cost.units()[unit]) for unit, both in enumerate(self.buckets) for bucket in both]
        if any(bucket.wait(now, units) > 1e-9 for bucket, units in needs):
            return False
        self._charge(now, cost)
        self.foreign_units = [a + b for a, b in zip(self.foreign_units, cost.units(), strict=True)]
        return True

    def scale(self, now: float, factor: float) -> None:
        """The account's limits change: rates, capacities and levels with them."""
        for bucket in [bucket for both in self.buckets for bucket in both]:
            bucket.take(now, 0.0)
            bucket.rate, bucket.capacity, bucket.level = (
                bucket.rate * factor,
                bucket.capacity * factor,
                bucket.level * factor,
            )

    def complete(self, now: float, charged: Cost, true: Cost) -> None:
        """The call is over; a reservation is trued up."""
        self.in_flight -= 1
        for bucket in self.buckets[1]:
            bucket.take(now, true.tokens - charged.tokens)

    def headers(self, now: float) -> QuotaHeaders:
        """Requests and tokens; images per minute are in no header."""
        requests, tokens = (buckets[0].quota(now) if buckets else None for buckets in self.buckets[:2])
        return QuotaHeaders(requests=requests, tokens=tokens)

    def _charge(self, now: float, cost: Cost) -> None:
        for unit, buckets in enumerate(self.buckets):
            for bucket in buckets:
                bucket.take(now, cost.units()[unit])
