"""What headers and refusals say about the limits themselves: learn.lua in plain Python (see gcra.py)."""

from __future__ import annotations

from dataclasses import dataclass, field

from pressroom.limits.bucket import Announced, Bucket
from pressroom.limits.flow import Flow
from pressroom.limits.headers import Quota
from pressroom.limits.rate_limit_text import StatedLimit
from pressroom.limits.spend import RECENT_SECONDS, Spending

STATED_SECONDS = 3600.0
RAISE, HELD_BACK = 2.0, 0.5
FELL, RECALL_REST_MOST_SECONDS = 0.95, 1.0
Units = tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class Sent:
    """A call's start time, the units the pool had charged before it, and the generation of its grant."""

    at: float
    before: Units = (0.0, 0.0, 0.0)
    generation: int = 0


@dataclass(slots=True)
class Learning:
    """A pool's limits, and what they were read from. Times are seconds since its state was made."""

    buckets: list[Bucket]
    now: float = 0.0
    spending: Spending = field(default_factory=Spending)
    flow: Flow = field(default_factory=Flow)
    seen: dict[int, tuple[float, float, float]] = field(default_factory=dict)
    told_at: dict[int, float] = field(default_factory=dict)
    changed_at: dict[int, float] = field(default_factory=dict)
    stated_at: float | None = None
    generation: int = 0
    """Of grants: a limit that falls begins a new one, and start times of older ones still to come are void."""
    recalled_at: float = -1.0

    def active(self) -> list[Bucket]:
        """The dimensions that have a limit."""
        return [bucket for bucket in self.buckets if bucket.rate is not None]

    def recall(self, bucket: Bucket, before: float | None, *, age: float, now: float) -> None:
        """If its rate fell from `before`, what it granted is void, but for what left in the last `age` seconds."""
        after = bucket.effective_rate(self.spending.share)
        if bucket.daily or before is None or after is None or after >= FELL * before:
            return
        if self.recalled_at != now:
            self.generation, self.recalled_at = self.generation + 1, now
            for one in self.active():
                if not one.daily:
                    one.arrival = min(one.arrival, now + one.burst)
        rest = min(RECALL_REST_MOST_SECONDS, age * (before / after - 1))
        if bucket.arrival > now:
            bucket.arrival = max(bucket.arrival, now + bucket.burst + rest)

    def is_recalled(self, sent: Sent | None) -> bool:
        """Whether a call was granted by a rate that fell before its start time came."""
        return sent is not None and sent.generation < self.generation and sent.at > self.recalled_at

    def learn(self, unit: int, quota: Quota, at: float | None) -> None:
        """What a header says of the limit itself; `at`: when its call started, if that is known."""
        window, used = quota.window_seconds(), quota.limit - quota.remaining
        announced = self.buckets[unit].announced
        known = None if announced is None else announced.limit / announced.rate
        if not window and announced is not None and quota.limit != announced.limit:
            window = known
        if not window:
            return
        before, rate = self.seen.get(unit), quota.limit / window
        age = 0.0
        if at is not None:
            age = self.now - (at + min(at, self.told_at.get(unit, at))) / 2
            told = self.told_at.get(unit, at)
            latest = max(told, self.changed_at.get(unit, at))
            if at < latest and (before is None or before[0] != quota.limit):
                return
            self.told_at[unit] = max(told, at)
        self.seen[unit] = (quota.limit, window, used)
        agreed = before is not None and before[0] == quota.limit and _near(before[1], window)
        if before is not None and window != 60:
            agreed = agreed and abs(before[2] - used) >= 0.05 * max(before[2], used)
        lowered = at is not None and announced is not None and known is not None and _near(window, known)
        lowered = lowered and announced is not None and quota.limit < FELL * announced.limit
        for bucket in self.buckets:
            if bucket.unit != unit or bucket.daily != (window > 3600):
                continue
            before_rate = bucket.effective_rate(self.spending.share)
            expected = next((r for r in (bucket.setting, bucket.learned, bucket.default) if r is not None), None)
            if agreed or lowered:
                if bucket.learned != rate:
                    self._changed(unit, at)
                if bucket.learned != rate or bucket.setting is None:
                    bucket.learned, bucket.stated = rate, None
                bucket.choose_rate(self.now, self.spending.share)
            confirms = bucket.announced is None and expected is not None and _near(rate, expected)
            if not bucket.daily and (agreed or lowered or confirms):
                self._announce(bucket, quota.limit, rate)
            self.recall(bucket, before_rate, age=age, now=self.now)

    def _changed(self, unit: int, at: float | None) -> None:
        if at is None:
            self.changed_at.pop(unit, None)
        else:
            self.changed_at[unit] = self.now

    def _announce(self, bucket: Bucket, limit: float, rate: float) -> None:
        known = bucket.announced
        if known is None or known.limit != limit or known.rate != rate:
            bucket.announced = Announced(limit, rate)
            self.flow.forget()
            self.flow.settled_at = None

    def believe(self, stated: StatedLimit) -> None:
        """A refusal's words, where no header tells of that unit."""
        for bucket in self.buckets:
            if bucket.name == stated.dimension and bucket.unit not in self.seen:
                self.stated_at = self.now
                before = bucket.effective_rate(self.spending.share)
                bucket.learned = bucket.stated = stated.limit / bucket.period
                bucket.choose_rate(self.now, self.spending.share)
                self.recall(bucket, before, age=0.0, now=self.now)

    def retry_stated(self) -> None:
        """What refusals stated long ago holds no setting down any longer; alone, it rises while it holds calls back."""
        if self.stated_at is None or self.now - self.stated_at < STATED_SECONDS:
            return
        left = raised = False
        for bucket in self.buckets:
            if bucket.stated is None:
                continue
            if bucket.setting is not None or bucket.unit in self.seen:
                bucket.stated = None
            else:
                left = True
                assert bucket.rate is not None
                if bucket.recent / RECENT_SECONDS < HELD_BACK * bucket.rate:
                    continue
                raised = True
                bucket.learned = bucket.stated = RAISE * bucket.stated
            bucket.choose_rate(self.now, self.spending.share)
        self.stated_at = self.now if raised else self.stated_at if left else None


def _near(a: float, b: float) -> bool:
    return abs(a - b) <= 0.02 * b
