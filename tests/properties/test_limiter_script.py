"""The script that runs and the model that is reasoned about give the same answers on random sequences."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import count

import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pressroom.limits.commands import Keys, Slot, TickReply, TickRequest, init_steps, set_limits_steps, tick_steps
from pressroom.limits.costs import Cost
from pressroom.limits.gcra import Pool, Refused
from pressroom.limits.headers import Quota, QuotaHeaders
from pressroom.limits.learn import Sent
from pressroom.limits.messages import Dimension, Rejected, Settled
from pressroom.limits.pool_limits import DIMENSIONS, PoolLimits, StatedBefore
from pressroom.limits.rate_limit_text import StatedLimit
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
    burst_seconds=st.sampled_from([0, 0.05, 0.05, 2.0]),
    learned_burst_seconds=st.none() | st.sampled_from([0.04, 0.7]),
    max_share=st.sampled_from([1.0, 1.0, 0.6]),
    stated=st.lists(
        st.builds(
            StatedBefore, st.sampled_from(["rpm", "ipm"]), st.sampled_from([5.0, 700.0]), st.sampled_from([9.0, 4e3])
        ),
        max_size=2,
        unique_by=lambda one: one.dimension,
    ).map(tuple),
    defaults=st.frozensets(st.sampled_from(["rpm", "tpm", "rpd"])),
)
quotas = st.builds(
    lambda limit, share, window: Quota(limit, limit * (1 - share), round(share * window, 3)),
    st.sampled_from([100.0, 10_000.0]),
    st.sampled_from([0.02, 0.5, 0.95]),
    st.sampled_from([10.0, 60.0, 86400.0]),
)
headers = st.none() | st.builds(QuotaHeaders, requests=st.none() | quotas, tokens=st.none() | quotas)
ages = st.sampled_from([-0.3, 0.0, 0.4, 3.0, 30.0])
shares = st.sampled_from([1.0, 0.999, 0.8])
stated = st.none() | st.builds(StatedLimit, st.sampled_from(["rpm", "ipm", "tpd"]), st.sampled_from([5.0, 700.0]))


@dataclass(frozen=True)
class Call:
    """A call that ended: when it had started (or will), which share of all that is charged now had been charged before,
    and of how many generations ago its grant was."""

    age: float
    share: float
    generations: int

    def sent(self, now_us: int, pool: Pool) -> Slot:
        before = [units * self.share for units in pool.charged]
        at_us = max(START_US, now_us - round(self.age * 1e6))
        return Slot("", at_us, (before[0], before[1], before[2]), max(0, pool.generation - self.generations))


calls = st.builds(Call, ages, shares, st.sampled_from([0, 0, 1]))


settled = st.builds(Settled, st.just(""), costs, costs, headers)
waits, units = st.sampled_from([0.0, 0.3, 20.0, 5000.0]), st.none() | st.sampled_from(UNITS)
rejected = st.builds(Rejected, st.just(""), costs, waits, units, headers, st.booleans(), stated)


@dataclass
class Tick:
    """One random tick: time passed (the clock may step back), reports, calls asked for."""

    passed_us: int
    settled: list[tuple[Call, Settled]]
    rejected: list[tuple[Call, Rejected]]
    acquire: list[Cost]
    held: int


ticks = st.builds(
    Tick,
    st.sampled_from([0, 1, 5_000, 400_000, 1_500_000, 40_000_000, -2_000_000]),
    st.lists(st.tuples(calls, settled), max_size=12),
    st.lists(st.tuples(calls, rejected), max_size=2),
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
        calls = [call for call, _ in tick.settled] + [call for call, _ in tick.rejected]
        slots = [call.sent(self.clock_us, self.pool) for call in calls]
        reply = self._script(tick, slots)
        self.pool.advance((self.clock_us - START_US) / 1e6, in_flight=tick.held)
        sents = iter([Sent((slot.at_us - START_US) / 1e6, slot.before, slot.generation) for slot in slots])
        for _, one in tick.settled:
            self.pool.settle(one.estimate, one.actual, one.headers, next(sents))
        for _, no in tick.rejected:
            unit = None if no.dimension is None else UNITS.index(no.dimension)
            self.pool.reject(
                no.estimate, no.retry_after, Refused(unit, no.headers, no.slow_down, no.stated), next(sents)
            )
        decision = self.pool.acquire(tick.acquire)
        assert reply.generation == self.pool.generation
        assert len(reply.slots) == len(decision.slots)
        assert all(_same(a, b) for a, b in zip(reply.slots, decision.slots, strict=True))
        assert _same(reply.poll_after, decision.poll_after)
        assert _same(reply.paused_for, max(0.0, self.pool.pause - self.pool.now))

    def _script(self, tick: Tick, slots: list[Slot]) -> TickReply:
        at = iter([replace(slot, epoch=self.epoch) for slot in slots])
        request = TickRequest(
            worker="w",
            held=tick.held,
            settled=[(next(self.sequence), next(at), one) for _, one in tick.settled],
            rejected=[(next(self.sequence), next(at), no) for _, no in tick.rejected],
            acquire=tick.acquire,
        )
        reply = drive(tick_steps(self.keys, request, str(self.clock_us)), self.client.execute_command)
        assert reply is not None
        return reply

    def compare(self) -> None:
        stored = {name: str(value) for name, value in self.client.hgetall(self.keys.state).items()}
        for name, value in self._expected().items():
            if value is None:
                assert name not in stored, name
            else:
                assert math.isclose(float(stored[name]), value, rel_tol=1e-9, abs_tol=1e-6), name

    def _expected(self) -> dict[str, float | None]:
        spending = self.pool.spending
        expected: dict[str, float | None] = {"lT": spending.burst, "m": spending.speed, "rx": spending.extra_seconds}
        probing = self.pool.probing
        expected |= {
            "fh": -1.0 if self.pool.flow.settled_at is None else self.pool.flow.settled_at,
            "vo": self.pool.recalled_at,
            "pw": probing.window,
            "pk": probing.threshold,
            "xt": self.pool.stated_at,
        }
        expected |= {f"a{unit + 1}": units for unit, units in enumerate(self.pool.charged)}
        for bucket in self.pool.buckets:
            fields: dict[str, float | None] = {"R": bucket.rate, "lR": bucket.learned, "xR": bucket.stated}
            if bucket.rate is not None:
                fields |= {
                    "t": bucket.arrival,
                    "b": bucket.debt,
                    "g": bucket.factor,
                    "z": bucket.zeros,
                    "T": bucket.burst,
                }
                fields |= {"c": bucket.mean_cost, "e": bucket.mean_error, "w": bucket.deviation, "rc": bucket.ramp}
            if (seen := bucket.announced) is not None:
                fields |= {"C": seen.limit, "Q": seen.rate, "l": seen.level, "h": seen.highest, "n": seen.variance}
                fields |= {"F": seen.others, "p": seen.step}
            expected |= {f"{letter}:{bucket.name}": value for letter, value in fields.items()}
        return expected


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
