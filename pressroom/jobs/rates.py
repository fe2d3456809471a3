"""A pool's limits as seconds of its bottleneck: what dispatch looks ahead by and what flows are charged."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pressroom.limits.pool_limits import SETTINGS, PoolLimits

_LEAST_AHEAD = 16
_AHEAD_PER_CALL = 8
_DAY_SECONDS = 86_400.0
_BURST = "burst_seconds"

DIMENSIONS = ("rpm", "tpm", "ipm", "rpd", "tpd", "concurrency")


def effective_limits(*layers: Mapping[str, Any]) -> dict[str, float]:
    """Limits by dimension, each from the first layer that names it (explicit, then learned, then catalog)."""
    merged: dict[str, float] = {}
    for layer in reversed(layers):
        merged.update({name: float(value) for name, value in layer.items() if name in DIMENSIONS and value is not None})
    return merged


def pool_limits(explicit: Mapping[str, Any], *guesses: Mapping[str, Any]) -> PoolLimits:
    """The limiter's view of the layers: `explicit` always wins, the guesses may be overruled by response headers.

    A burst that was learned is one of the guesses, and holds where nobody set one.
    """
    burst = next((layer[_BURST] for layer in guesses if layer.get(_BURST) is not None), None)
    return _limits(explicit).over(_limits({**effective_limits(*guesses), _BURST: burst}))


def _limits(layer: Mapping[str, Any]) -> PoolLimits:
    known = {name: layer[name] for name in (*DIMENSIONS, *SETTINGS) if layer.get(name) is not None}
    if "concurrency" in known:
        known["concurrency"] = int(known["concurrency"])
    return PoolLimits(**known)


@dataclass(frozen=True, slots=True)
class Rates:
    """Seconds of the pool per request, per token and per image; 0 where a dimension has no limit.

    By the minute they pace: they say how far dispatch runs ahead. A day's quota may be used in an hour, so it does not
    pace; but where it runs out first, it is what tenants compete for, and is charged.
    """

    request_seconds: float
    token_seconds: float
    image_seconds: float
    concurrency: float | None = None
    day_request_seconds: float = 0.0
    day_token_seconds: float = 0.0

    @classmethod
    def of(cls, limits: Mapping[str, float]) -> "Rates":
        """From limits per minute and day."""

        def seconds(dimension: str, period: float = 60.0) -> float:
            limit = limits.get(dimension)
            return period / limit if limit else 0.0

        minute = seconds("rpm"), seconds("tpm"), seconds("ipm")
        return cls(*minute, limits.get("concurrency"), seconds("rpd", _DAY_SECONDS), seconds("tpd", _DAY_SECONDS))

    @property
    def request_charge(self) -> float:
        """What a request is charged to its stake: by the day where that is scarcer than the minute."""
        return max(self.request_seconds, self.day_request_seconds)

    @property
    def token_charge(self) -> float:
        """The same for a token."""
        return max(self.token_seconds, self.day_token_seconds)

    @property
    def unlimited(self) -> bool:
        """Whether no per-minute limit is known."""
        return self.request_seconds == self.token_seconds == self.image_seconds == 0.0

    def ahead_jobs(self, at_most: int) -> int:
        """How many jobs may be leased ahead: fewer where few calls may be made at once, whose length is not known."""
        if self.concurrency is None:
            return at_most
        return min(at_most, max(_LEAST_AHEAD, int(_AHEAD_PER_CALL * self.concurrency)))

    def seconds(self, tokens: float, images: float) -> float:
        """What one request of this size takes of the bottleneck by the minute."""
        return max(self.request_seconds, tokens * self.token_seconds, images * self.image_seconds)

    def charge(self, tokens: float, images: float) -> float:
        """What one request of this size is charged to its stake, in seconds of the bottleneck."""
        return max(self.request_charge, tokens * self.token_charge, images * self.image_seconds)
