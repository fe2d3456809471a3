"""The script that runs and the model that is reasoned about give the same answers on random sequences."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count

import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pressroom.limits.commands import Keys, TickReply, TickRequest, init_steps, set_limits_steps, tick_steps
from pressroom.limits.costs import Cost
from pressroom.limits.gcra import Pool
from pressroom.limits.headers import Quota, QuotaHeaders
from pressroom.limits.messages import Dimension, Rejected, Settled
from pressroom.limits.pool_limits import DIMENSIONS, PoolLimits
from pressroom.limits.scripts import drive, script

START_US = 1_790_000_000_000_000
UNITS: list[Dimension] = ["requests", "tokens", "images"]
_pools = count(1)

costs = st.builds(Cost, st.sampled_from([0, 1]), st.sampled_from([0, 3, 250, 9000]), st.sampled_from([0, 1, 4]))
limit = st.none() | st.sampled_from([0.9, 5, 60, 500, 30_000])
limits = st.builds(
    PoolLimits,
    rpm=limit,
    tpm=st.none() | st.sampled_from([1000, 200_000, 8e6]),
    ipm=limit,
    rpd=st.none() | st.sampled_from([3, 200, 10_000]),
    tpd=st.none() | st.sampled_from([5000, 1e9]),
    concurrency=st.none() | st.integers(1, 40),
    burst_seconds=st.sampled_from([0, 0.05, 2.0]),
    defaults=st.frozensets(st.sampled_from(["rpm", "tpm", "rpd"])),
)
quotas = st.builds(
    lambda limit, share, window: Quota(limit, limit * (1 - share), round(share * window, 3)),
    st.sampled_from([100.0, 10_000.0]),
    st.sampled_from([0.02, 0.5, 0.95]),
    st.sampled_from([10.0, 60.0, 86400.0]),
)
headers = st.none() | st.builds(QuotaHeaders, requests=st.none() | quotas, tokens=st.none() | quotas)


@dataclass
class Tick:
    """One random tick: time passed (the clock may step back), reports, calls asked for."""

    passed_us: int
    settled: list[tuple[Cost, Cost, QuotaHeaders | None]]
    rejected: list[tuple[Cost, float, Dimension | None, QuotaHeaders | None]]
    acquire: list[Cost]
    held: int


ticks = st.builds(
    Tick,
    st.sampled_from([0, 1, 5_000, 400_000, 1_500_000, 40_000_000, -2_000_000]),
    st.lists(st.tuples(costs, costs, headers), max_size=4),
    st.lists(
        st.tuples(costs, st.sampled_from([0.0, 0.3, 20.0, 5000.0]), st.none() | st.sampled_from(UNITS), headers),
        max_size=2,
    ),
    st.lists(costs, max_size=12),
    st.integers(0, 30),
)
steps = st.lists(ticks | limits, min_size=1, max_size=25)


@dataclass
class Both:
    """The script on a real server and the model, driven in step."""

    client: redis.Redis
    keys: Keys
    pool: Pool
    epoch: str
    clock_us: int = START_US
    sequence: Iterator[int] = field(default_factory=lambda: count(1))

    @classmethod
    def start(cls, client: redis.Redis, first: PoolLimits, *, lost: bool) -> Both:
        keys = Keys.of("same:", f"p{next(_pools)}")
        init = init_steps(keys, first, running=0, lost=lost, clock_us=str(START_US))
        return cls(client, keys, Pool.start(first, lost=lost), drive(init, client.execute_command))

    def change_limits(self, new: PoolLimits) -> None:
        assert drive(set_limits_steps(self.keys, new, str(self.clock_us)), self.client.execute_command)
        self.pool.set_limits(new, now=(self.clock_us - START_US) / 1e6)

    def tick(self, tick: Tick) -> None:
        self.clock_us += tick.passed_us
        reply = self._script(tick)
        self.pool.advance((self.clock_us - START_US) / 1e6)
        for estimate, actual, seen in tick.settled:
            self.pool.settle(estimate, actual, seen)
        for estimate, retry_after, dimension, seen in tick.rejected:
            unit = None if dimension is None else UNITS.index(dimension)
            self.pool.reject(estimate, retry_after, unit, seen)
        decision = self.pool.acquire(tick.acquire, in_flight=tick.held)
        assert len(reply.slots) == len(decision.slots)
        assert all(_same(a, b) for a, b in zip(reply.slots, decision.slots, strict=True))
        assert _same(reply.poll_after, decision.poll_after)
        assert _same(reply.paused_for, max(0.0, self.pool.pause - self.pool.now))

    def _script(self, tick: Tick) -> TickReply:
        request = TickRequest(
            worker="w",
            held=tick.held,
            settled=[(next(self.sequence), self.epoch, Settled("", *rest)) for rest in tick.settled],
            rejected=[(next(self.sequence), self.epoch, Rejected("", *rest)) for rest in tick.rejected],
            acquire=tick.acquire,
        )
        reply = drive(tick_steps(self.keys, request, str(self.clock_us)), self.client.execute_command)
        assert reply is not None
        return reply

    def compare(self) -> None:
        for bucket in self.pool.buckets:
            expected = {"R": bucket.rate, "lR": bucket.learned}
            if bucket.rate is not None:
                expected |= {"t": bucket.arrival, "b": bucket.debt, "g": bucket.factor, "z": bucket.zeros}
            for letter, value in expected.items():
                stored = self.client.hget(self.keys.state, f"{letter}:{bucket.name}")
                if value is None:
                    assert stored is None, (letter, bucket.name)
                else:
                    assert math.isclose(float(str(stored)), value, rel_tol=1e-9, abs_tol=1e-6), (letter, bucket.name)


def _same(left: float, right: float) -> bool:
    """Equal but for the microseconds that the script answers in."""
    return math.isclose(left, right, rel_tol=1e-9, abs_tol=2.1e-6)


@pytest.fixture
def client(redis_url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(redis_url, decode_responses=True) as client:
        yield client


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(first=limits, lost=st.booleans(), steps=steps)
def test_script_and_model_agree(
    client: redis.Redis, first: PoolLimits, lost: bool, steps: list[Tick | PoolLimits]
) -> None:
    both = Both.start(client, first, lost=lost)
    for step in steps:
        if isinstance(step, Tick):
            both.tick(step)
        else:
            both.change_limits(step)
    both.compare()


def test_every_dimension_of_the_model_is_in_the_script() -> None:
    text = script("tick").text
    assert all(f"name = '{name}'" in text for name in DIMENSIONS)
