"""What the limiter guarantees, on its arithmetic (gcra.py); test_limiter_script.py ties the real script to it."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from itertools import pairwise

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from pressroom.limits.bucket import DAY_SECONDS, SMOOTH_SECONDS
from pressroom.limits.costs import Cost
from pressroom.limits.gcra import Pool
from pressroom.limits.headers import Quota, QuotaHeaders
from pressroom.limits.pool_limits import PoolLimits

per_minute = st.floats(0.5, 60_000)
bursts = st.sampled_from([0.0, 0.05, 1.0, 10.0])
HORIZON_SECONDS = 0.5
unhurried = settings(deadline=None)  # the machine may be busy


@dataclass
class Run:
    """Slots granted so far, in absolute time, each with its cost."""

    pool: Pool
    slots: list[tuple[float, Cost]] = field(default_factory=list)

    def ask(self, costs: list[Cost]) -> float:
        decision = self.pool.acquire(costs)
        self.slots += [(self.pool.now + slot, cost) for slot, cost in zip(decision.slots, costs, strict=False)]
        return decision.poll_after


@st.composite
def gaps_and_asks(draw: st.DrawFn, costs: st.SearchStrategy[Cost]) -> list[tuple[float, list[Cost]]]:
    """A client that comes and goes as it likes: waits, then asks for some calls."""
    one = st.tuples(st.floats(0, 30), st.lists(costs, min_size=1, max_size=20))
    return draw(st.lists(one, min_size=1, max_size=30))


def most_in_any_window(slots: list[tuple[float, float]], rate: float) -> float:
    """The largest excess of units over rate x length, over all windows that begin and end at a slot."""
    worst = 0.0
    for first in range(len(slots)):
        units = 0.0
        for at, cost in slots[first:]:
            units += cost
            worst = max(worst, units - rate * (at - slots[first][0]))
    return worst


@unhurried
@given(per_minute, bursts, gaps_and_asks(st.builds(Cost, st.just(1), st.integers(1, 500))))
def test_no_window_gets_more_than_rate_and_burst(
    tpm: float, burst: float, asks: list[tuple[float, list[Cost]]]
) -> None:
    """One dimension: units in any window are at most rate x window + the larger of the burst and one call."""
    run = Run(Pool.start(PoolLimits(tpm=tpm, burst_seconds=burst)))
    for gap, costs in asks:
        run.pool.advance(run.pool.now + gap)
        run.ask(costs)
    rate = tpm / 60
    charged = [(at, min(cost.tokens, tpm)) for at, cost in run.slots]
    biggest = max((units for _, units in charged), default=0.0)
    assert most_in_any_window(charged, rate) <= max(burst * rate, biggest) * (1 + 1e-9) + 1e-6


any_cost = st.builds(Cost, st.just(1), st.sampled_from([0, 1, 40, 700]), st.sampled_from([0, 0, 1, 3]))


@unhurried
@given(per_minute, per_minute, per_minute, gaps_and_asks(any_cost))
def test_several_dimensions_hold_at_once(
    rpm: float, tpm: float, ipm: float, asks: list[tuple[float, list[Cost]]]
) -> None:
    """A dimension that does not bind is charged when asked, at most one horizon before the slot: that much more."""
    run = Run(Pool.start(PoolLimits(rpm=rpm, tpm=tpm, ipm=ipm)))
    horizon = HORIZON_SECONDS
    for gap, costs in asks:
        run.pool.advance(run.pool.now + gap)
        run.ask(costs)
        kmin = max(1.0, min(4.0, 2 / max(run.pool.spacing, 0.001)))
        horizon = max(horizon, 2 * kmin * run.pool.spacing)
    slots = sorted(run.slots, key=lambda slot: slot[0])
    for unit, limit in enumerate((rpm, tpm, ipm)):
        rate = limit / 60
        charged = [(at, min(cost.units()[unit], limit)) for at, cost in slots if cost.units()[unit]]
        biggest = max((units for _, units in charged), default=0.0)
        bound = rate * horizon + max(0.05 * rate, biggest)
        assert most_in_any_window(charged, rate) <= bound * (1 + 1e-9) + 1e-6


@settings(deadline=None, max_examples=50)
@given(
    st.floats(0.5, 6_000),
    st.lists(st.integers(1, 400), min_size=1, max_size=10),
    st.integers(1, 8),
    st.integers(1, 16),
)
def test_nothing_is_wasted_while_there_is_work(tpm: float, sizes: list[int], workers: int, group: int) -> None:
    """Workers that come back when told use rate x time less one call, at 0.9 a second as at 1,000."""
    run = Run(Pool.start(PoolLimits(tpm=tpm)))
    rate = tpm / 60
    returns = [0.0] * workers
    turn = 0
    end = 400 * sum(sizes) / len(sizes) / rate
    while min(returns) < end and len(run.slots) < 500:
        worker = min(range(workers), key=returns.__getitem__)
        run.pool.advance(returns[worker])
        costs = [Cost(1, sizes[(turn + i) % len(sizes)]) for i in range(group)]
        decision = run.pool.acquire(costs, workers=workers)
        turn += len(decision.slots)
        run.slots += [(run.pool.now + slot, cost) for slot, cost in zip(decision.slots, costs, strict=False)]
        returns[worker] = run.pool.now + max(decision.poll_after, 0.001)
    last, _ = run.slots[-1]
    used = sum(min(cost.tokens, tpm) for _, cost in run.slots)
    assert used >= rate * last * (1 - 1e-9) - max(sizes)


@unhurried
@given(per_minute, per_minute, gaps_and_asks(st.builds(Cost, st.just(1), st.integers(1, 500))))
def test_slots_of_like_calls_never_go_backwards(rpm: float, tpm: float, asks: list[tuple[float, list[Cost]]]) -> None:
    run = Run(Pool.start(PoolLimits(rpm=rpm, tpm=tpm)))
    for gap, costs in asks:
        run.pool.advance(run.pool.now + gap)
        run.ask(costs[:1] * len(costs))
    for cost in {cost for _, cost in run.slots}:
        times = [at for at, other in run.slots if other == cost]
        assert all(later >= earlier - 1e-9 for earlier, later in pairwise(times))


@unhurried
@given(per_minute, st.floats(0.5, 60), st.lists(any_cost, min_size=1, max_size=80))
def test_what_one_dimension_refuses_no_dimension_is_charged(rpm: float, ipm: float, costs: list[Cost]) -> None:
    pool = Pool.start(PoolLimits(rpm=rpm, ipm=ipm, tpm=1e6))
    granted = len(pool.acquire(costs).slots)
    assume(granted < len(costs))
    twin = Pool.start(PoolLimits(rpm=rpm, ipm=ipm, tpm=1e6))
    twin.acquire(costs[:granted])
    assert pool.buckets == twin.buckets
    before = copy.deepcopy(pool.buckets)
    pool.concurrency = pool.in_flight = 1
    assert pool.acquire(costs).slots == []
    assert pool.buckets == before


@unhurried
@given(st.floats(1, 600), st.integers(1, 50))
def test_calls_without_images_do_not_wait_for_images(ipm: float, texts: int) -> None:
    pool = Pool.start(PoolLimits(ipm=ipm, rpm=60_000))
    pool.acquire([Cost(1, 0, 1)] * 200)
    image_arrival = pool.buckets[2].arrival
    assert pool.acquire([Cost(1, 10)] * texts).slots
    assert pool.buckets[2].arrival == image_arrival


@unhurried
@given(st.floats(600, 60_000), st.integers(100, 2000))
def test_zeros_that_were_not_zero_are_held_to_the_limit(tpm: float, true_tokens: int) -> None:
    """Calls that claim no tokens and use many: after the first answers the limit holds."""
    pool = Pool.start(PoolLimits(tpm=tpm))
    rate, used, now = tpm / 60, 0.0, 0.0
    true = Cost(1, min(true_tokens, tpm / 4))
    calls = 0
    end = 300.0
    while now < end:
        pool.advance(now)
        decision = pool.acquire([Cost(1, 0)])
        calls += len(decision.slots)
        if decision.slots:
            pool.settle(Cost(1, 0), true)
            used += true.tokens
        now += max(decision.poll_after, 0.02)
        assume(calls < 3000)
    assert used <= rate * end + 2 * SMOOTH_SECONDS * rate + 3 * true.tokens


@unhurried
@given(
    per_minute.filter(lambda tpm: tpm > 60),
    st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 2000)), min_size=1, max_size=60),
)
def test_true_use_is_paid_in_the_end(tpm: float, calls: list[tuple[int, int]]) -> None:
    """Time booked and debt together are what was truly used, whatever the estimates were."""
    pool = Pool.start(PoolLimits(tpm=tpm, burst_seconds=0))
    rate, used, now = tpm / 60, 0.0, 0.0
    for estimate, actual in calls:
        while not pool.acquire([Cost(1, estimate)]).slots:
            now += 5.0
            pool.advance(now)
        pool.settle(Cost(1, estimate), Cost(1, actual))
        used += min(actual, tpm)
    bucket = pool.buckets[1]
    assert bucket.arrival * rate + bucket.debt >= used - 1e-6 * max(1.0, used)
    assert abs(bucket.debt) <= SMOOTH_SECONDS * rate * (1 + 1e-9)


@unhurried
@given(st.floats(1, 1e4), st.floats(1, 1e9))
def test_a_call_larger_than_the_bucket_is_served(tpm: float, tokens: float) -> None:
    pool = Pool.start(PoolLimits(tpm=tpm))
    assert pool.acquire([Cost(1, tokens)]).slots
    pool.advance(61.0)
    assert pool.acquire([Cost(1, tokens)]).slots, "no call is charged more than a whole minute"


@unhurried
@given(st.lists(st.floats(-1e6, 100), min_size=1, max_size=30))
def test_a_clock_that_steps_back_stands_still(steps: list[float]) -> None:
    pool = Pool.start(PoolLimits(rpm=600))
    granted, latest = 0, 0.0
    for step in steps:
        latest = max(latest, pool.now + step)
        pool.advance(pool.now + step)
        assert pool.now == latest
        granted += len(pool.acquire([Cost()] * 5).slots)
    assert granted <= 10 * (latest + 1.0) + 1, "a second is more than a horizon at this rate"


@unhurried
@given(st.floats(1, 5000), st.lists(st.floats(0.1, 5000), min_size=1, max_size=20))
def test_many_refusals_pause_for_the_longest_not_the_sum(rpm: float, retry_afters: list[float]) -> None:
    pool = Pool.start(PoolLimits(rpm=rpm))
    pool.advance(10.0)
    for retry_after in retry_afters:
        pool.reject(Cost(), retry_after)
    longest = 10.0 + min(max(retry_afters), 600.0)
    assert pool.pause == longest
    assert pool.buckets[0].factor == 0.995, "refusals within a second are one sign, not many"
    pool.advance(longest)
    assert len(pool.acquire([Cost()] * 64).slots) <= 1 + rpm / 60 * max(HORIZON_SECONDS, 8 * pool.spacing)


@unhurried
@given(st.integers(1, 5000), st.integers(0, 5000))
def test_a_day_is_one_bucket(rpd: int, used: int) -> None:
    """A day's limit may be used at once, and not more of it than is left."""
    assume(used < rpd)
    pool = Pool.start(PoolLimits(rpd=rpd, rpm=6e6), day_used=Cost(used))
    granted = sum(len(pool.acquire([Cost()] * 128).slots) for _ in range(50))
    slack = 1 + rpd / DAY_SECONDS
    assert min(rpd - used, 6400) - slack <= granted <= rpd - used + slack


@unhurried
@given(
    st.floats(10, 30_000),
    st.sampled_from([1.0, 10.0, 60.0, 3600.0, 86400.0]),
    st.lists(st.sampled_from([0.1, 0.3, 0.5, 0.7, 0.9]), min_size=2, max_size=5, unique=True),
)
def test_windows_are_read_off_headers(limit: float, window: float, used: list[float]) -> None:
    """Whatever the window, two headers give the true rate (durations are printed in milliseconds)."""
    limit = float(round(limit))
    pool = Pool.start(PoolLimits(rpm=500, rpd=500, defaults=frozenset({"rpm", "rpd"})))
    for share in used:
        units = max(1.0, round(limit * share))
        quota = Quota(limit, limit - units, round(units * window / limit, 3))
        pool.observe(QuotaHeaders(requests=quota))
    learned = pool.buckets[3 if window == DAY_SECONDS else 0].learned
    assert learned is not None
    assert abs(learned - limit / window) <= 0.02 * limit / window
