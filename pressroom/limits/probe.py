"""A pool of whose limits nobody knows anything: probe.lua in plain Python (see gcra.py)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pressroom.limits.bucket import Bucket
from pressroom.limits.costs import Cost

PROBES = 4.0
LOOK_SECONDS = 2.0
_AGAIN_SECONDS, _AGAIN_MOST_SECONDS, _AGAIN_PER_WORKER_SECONDS = 0.05, 0.2, 0.02


def is_blind(cost: Cost, buckets: Sequence[Bucket]) -> bool:
    """Whether none of these limits paces such calls. Of images per minute no header tells, so others do not count."""
    paced = {bucket.unit for bucket in buckets if not bucket.daily}
    return 2 not in paced if cost.images > 0 else not paced & {0, 1}


def ask_again(workers: int) -> float:
    """Seconds until a worker that may not probe asks again."""
    return min(_AGAIN_MOST_SECONDS, max(_AGAIN_SECONDS, workers * _AGAIN_PER_WORKER_SECONDS))


@dataclass(slots=True)
class Probing:
    """How many calls may be out at once: twice as many with each round trip."""

    window: float = PROBES
    threshold: float | None = None
    """From this window on it grows by one a round trip: what was twice as wide was refused."""
    granted_at: float = 0.0
    narrowed_at: float = 0.0
    blind: bool = False
    """Whether the calls asked for last had no limit that paces them."""

    def widen(self, answered: int, in_flight: int) -> None:
        """So many calls ended, and so many did not. A window that is not used does not grow."""
        if self.blind and answered and in_flight + answered >= self.window / 2:
            self.window = self.window + (answered / self.window if self._slowly else answered)

    def narrow(self, at: float, now: float) -> None:
        """A call that started `at` was refused: half as many, once for all that were on their way."""
        if self.blind and at >= self.narrowed_at:
            self.window = max(1.0, self.window / 2)
            self.threshold, self.narrowed_at = self.window, now

    def may_leave(self, out: int, now: float) -> bool:
        """Whether one more may. A refusal comes quickly: when all have been out for two seconds, they were admitted."""
        if out + 1 > self.window and now - self.granted_at >= LOOK_SECONDS and not self._slowly:
            self.window = 2 * self.window
        if out + 1 > self.window:
            return False
        self.granted_at = now
        return True

    @property
    def _slowly(self) -> bool:
        return self.threshold is not None and self.window >= self.threshold
