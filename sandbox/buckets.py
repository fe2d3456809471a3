"""Token buckets with continuous refill: the arithmetic of every enforced limit.

Pure: the caller passes the time, in seconds of any monotonic clock. A steady foreign consumer may drain the same
bucket; it takes only what is there, so it never pushes a level below zero.
"""

from dataclasses import dataclass


@dataclass(slots=True)
class Bucket:
    """`rate` and `foreign` in units per second, `capacity` and `level` in units; starts full."""

    rate: float
    capacity: float
    foreign: float = 0.0
    level: float = 0.0
    updated: float = 0.0
    spare: float = 0.0
    """Units that it may hold beyond its capacity until `spare_until`."""
    spare_until: float = 0.0

    @classmethod
    def full(cls, rate: float, capacity: float, *, foreign: float = 0.0, now: float = 0.0) -> "Bucket":
        """A bucket holding its whole capacity at `now`."""
        return cls(rate=rate, capacity=capacity, foreign=foreign, level=capacity, updated=now)

    def level_at(self, now: float) -> float:
        """The level at `now`; time never runs backwards, an earlier `now` changes nothing."""
        elapsed = now - self.updated
        if elapsed <= 0.0:
            return self.level
        self.updated = now
        level = self.level
        if level < 0.0:  # an oversized or trued-up call left a debt: nobody else can take until it is refilled
            debt_seconds = -level / self.rate
            if elapsed <= debt_seconds:
                self.level = level + elapsed * self.rate
                return self.level
            elapsed -= debt_seconds
            level = 0.0
        level += elapsed * (self.rate - self.foreign)
        most = self.capacity + self.spare if self.spare and now <= self.spare_until else self.capacity
        self.level = min(most, max(0.0, level))
        return self.level

    def forgive(self, now: float, stalled_seconds: float, within_seconds: float) -> None:
        """Nobody was served for so long until `now`: what would have been taken meanwhile may be taken at once."""
        self.level_at(now - stalled_seconds)
        self.spare = stalled_seconds * self.rate
        self.spare_until = now + within_seconds
        self.level_at(now)

    def share_at(self, now: float) -> float:
        """How full it is at `now`, of 1; below 0 in debt."""
        return self.level_at(now) / self.capacity

    def wait(self, now: float, cost: float) -> float:
        """Seconds until `cost` fits; a cost above the capacity fits a full bucket and leaves it in debt."""
        missing = min(cost, self.capacity) - self.level_at(now)
        # A float hair below the cost is a fit: the refill is a sum of many small products.
        return missing / self.rate if missing > 1e-9 * self.capacity else 0.0

    def take(self, now: float, cost: float) -> None:
        """Take `cost` (negative gives back), whatever the level; never given back above the capacity."""
        level = self.level_at(now)
        self.level = min(max(self.capacity, level), level - cost)

    def spoil(self, now: float, cost: float) -> None:
        """Take the cost of a refused call: like `take`, but never deeper in debt than one capacity."""
        self.level = max(-self.capacity, self.level_at(now) - cost)
