"""How long an answer takes: a draw from a configured distribution."""

import math
import random

from sandbox.config import FixedLatency, LognormalLatency, UniformLatency


def draw_seconds(latency: FixedLatency | UniformLatency | LognormalLatency, rng: random.Random) -> float:
    """Seconds of one draw."""
    if isinstance(latency, FixedLatency):
        return latency.seconds
    if isinstance(latency, UniformLatency):
        return rng.uniform(latency.low, latency.high)
    return min(latency.max_seconds, latency.median * math.exp(rng.gauss(0.0, latency.sigma)))
