"""The three loads of `python -m benchmarks rivals`, and what they would take at best."""

from dataclasses import dataclass
from typing import Any

from benchmarks import batches


@dataclass(frozen=True, slots=True)
class Scenario:
    """So many items at once for an account whose minute buckets hold `credit_seconds` of their rate."""

    name: str
    items: int
    credit_seconds: float
    latency: tuple[float, float]
    rpm: int = 600
    tpm: int = 60_000

    def ideal_seconds(self) -> float:
        """When the last item may start, were each sent as soon as both buckets let it through, plus a mean latency."""
        buckets = [_Bucket(self.rpm, self.credit_seconds), _Bucket(self.tpm, self.credit_seconds)]
        now = 0.0
        for _ in range(self.items):
            costs = (1, batches.ITEM_TOKENS)
            now = max(bucket.earliest(now, cost) for bucket, cost in zip(buckets, costs, strict=True))
            for bucket, cost in zip(buckets, costs, strict=True):
                bucket.take(now, cost)
        return now + sum(self.latency) / 2

    def sandbox(self) -> dict[str, Any]:
        """The sandbox's configuration: limits announced as a provider does, and enforced."""
        low, high = self.latency
        limits = {"rpm": self.rpm, "tpm": self.tpm, "credit_seconds": self.credit_seconds}
        return {
            "limits": {batches.MODEL: limits},
            "latency": {"chat": {"kind": "uniform", "low": low, "high": high}},
            "chat": {"median_tokens": batches.ANSWER_TOKENS, "sigma": 0},
            "keep_calls": 200_000,
        }


class _Bucket:
    """A minute's bucket: its level at the last look, and when that was."""

    def __init__(self, per_minute: float, credit_seconds: float) -> None:
        self.per_minute = per_minute
        self.level = per_minute / 60 * credit_seconds
        self.looked_at = 0.0

    def earliest(self, now: float, cost: float) -> float:
        """When `cost` is there."""
        missing = cost - self._level_at(now)
        return now + max(0.0, missing) * 60 / self.per_minute

    def take(self, now: float, cost: float) -> None:
        """Take it."""
        self.level, self.looked_at = self._level_at(now) - cost, now

    def _level_at(self, now: float) -> float:
        return min(self.per_minute, self.level + (now - self.looked_at) * self.per_minute / 60)


SCENARIOS = (
    Scenario("S1", 300, 10.0, (0.5, 0.5)),
    Scenario("S2", 900, 60.0, (0.5, 0.5)),
    Scenario("S3", 300, 10.0, (4.0, 6.0)),
)
