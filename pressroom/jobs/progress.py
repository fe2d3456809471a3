"""How fast a batch moves, how much of its quota it uses, and whether it can move at all. Pure; times are handed in."""

from collections import deque
from dataclasses import dataclass

from pressroom.limits.messages import PoolStatus
from pressroom.limits.pool_limits import DIMENSIONS, PoolLimits

_WINDOW_SECONDS = 15.0
_STALLED_SECONDS = 5.0


class Pace:
    """Jobs per second over the last seconds, from sightings of how many were done. `now` is any monotonic clock."""

    def __init__(self, window_seconds: float = _WINDOW_SECONDS) -> None:
        self._window_seconds = window_seconds
        self._seen: deque[tuple[float, int]] = deque()

    def saw(self, now: float, done: int) -> None:
        """Note a sighting; the newest one outside the window is kept as its beginning."""
        self._seen.append((now, done))
        while len(self._seen) > 2 and self._seen[1][0] <= now - self._window_seconds:
            self._seen.popleft()

    @property
    def per_second(self) -> float:
        """Zero until two sightings are apart."""
        if len(self._seen) < 2:
            return 0.0
        (first, before), (last, after) = self._seen[0], self._seen[-1]
        return (after - before) / (last - first) if last > first else 0.0

    def seconds_left(self, unfinished: int) -> float | None:
        """At this pace; None while nothing moves."""
        pace = self.per_second
        return unfinished / pace if pace > 0 else None


class Stillness:
    """Whether nothing has ended or been called for so long that it is time to ask why."""

    def __init__(self, after_seconds: float = _STALLED_SECONDS) -> None:
        self._after_seconds = after_seconds
        self._done = -1
        self._since = 0.0

    def saw(self, now: float, done: int, *, running: int) -> bool:
        """Note a sighting; True once nothing moved for long enough, and again after each such time."""
        if running or done != self._done:
            self._done, self._since = done, now
            return False
        if now - self._since < self._after_seconds:
            return False
        self._since = now
        return True


@dataclass(frozen=True, slots=True)
class QuotaUse:
    """A model's tightest limit now: units granted lately per minute or day, and the share of the limit that is."""

    model: str
    dimension: str | None = None
    rate: float = 0.0
    limit: float = 0.0
    rejected: int = 0
    stopped: str | None = None
    measured: bool = False
    """Whether the limit was read from headers, and so is no more exact than they are."""

    @property
    def share(self) -> float:
        """1 is all of it."""
        return self.rate / self.limit if self.limit else 0.0


def quota_use(model: str, status: PoolStatus, limits: PoolLimits | None = None) -> QuotaUse:
    """The dimension of which the largest share is in use; without limits none is named.

    `limits` are those on the books: what will hold where the limiter has no account of the pool yet.
    """
    stopped, rejected = status.stopped_reason, status.rejected
    uses = [
        QuotaUse(model, name, one.rate, one.limit, rejected, stopped, measured=one.source == "headers")
        for name, one in status.dimensions.items()
    ]
    if limits is not None:
        if not uses:
            known = {name: getattr(limits, name) for name in DIMENSIONS}
            uses = [QuotaUse(model, name, 0.0, limit, rejected, stopped) for name, limit in known.items() if limit]
        if limits.concurrency is not None:
            uses.append(QuotaUse(model, "in flight", status.in_flight, limits.concurrency, rejected, stopped))
    return max(uses, key=lambda use: use.share, default=QuotaUse(model, rejected=rejected, stopped=stopped))
