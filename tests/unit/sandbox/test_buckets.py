"""Buckets conserve: what they admit is what they were filled with."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.buckets import Bucket

RATES = st.floats(min_value=0.01, max_value=1000)
CAPACITIES = st.floats(min_value=0.5, max_value=5000)
ARRIVALS = st.lists(
    st.tuples(st.floats(min_value=0, max_value=20), st.floats(min_value=0.1, max_value=800)), min_size=1, max_size=60
)


def admit(bucket: Bucket, arrivals: list[tuple[float, float]]) -> tuple[float, float, float]:
    """Offer every (gap, cost); returns what was admitted, how long it took, and the last admitted cost."""
    now = admitted = last = 0.0
    for gap, cost in arrivals:
        now += gap
        if bucket.wait(now, cost) <= 0:
            bucket.take(now, cost)
            admitted += cost
            last = cost
    return admitted, now, last


@given(RATES, CAPACITIES, ARRIVALS)
def test_never_admits_more_than_capacity_and_refill(
    rate: float, capacity: float, arrivals: list[tuple[float, float]]
) -> None:
    admitted, seconds, last = admit(Bucket.full(rate, capacity), arrivals)

    # A call above the capacity is admitted by a full bucket, which then owes the rest.
    oversize = max(0.0, last - capacity)
    assert admitted <= (capacity + rate * seconds + oversize) * (1 + 1e-6)


@given(RATES, CAPACITIES, ARRIVALS, st.floats(min_value=0, max_value=2))
def test_foreign_use_only_takes_away(
    rate: float, capacity: float, arrivals: list[tuple[float, float]], share: float
) -> None:
    alone = admit(Bucket.full(rate, capacity), arrivals)[0]
    shared = Bucket.full(rate, capacity, foreign=rate * share)
    admitted, seconds, last = admit(shared, arrivals)

    assert admitted <= (capacity + rate * seconds + max(0.0, last - capacity)) * (1 + 1e-6)
    assert shared.level <= capacity
    if share == 0:
        assert admitted == alone


@given(RATES, CAPACITIES, st.floats(min_value=0.1, max_value=800))
def test_a_refused_call_fits_after_its_wait(rate: float, capacity: float, cost: float) -> None:
    bucket = Bucket.full(rate, capacity)
    bucket.take(0, capacity)

    wait = bucket.wait(0, cost)

    assert wait > 0
    assert bucket.wait(wait * 0.99, cost) > 0
    assert bucket.wait(wait, cost) == 0


@given(RATES, CAPACITIES, st.lists(st.floats(min_value=-100, max_value=100), max_size=20))
def test_time_running_backwards_gives_nothing(rate: float, capacity: float, times: list[float]) -> None:
    bucket = Bucket.full(rate, capacity, now=100.0)
    bucket.take(100.0, capacity)

    for now in times:
        assert bucket.level_at(now) == 0


def test_giving_back_fills_no_further_than_full() -> None:
    bucket = Bucket.full(1, 10)

    bucket.take(0, -50)

    assert bucket.level_at(0) == 10


def test_refused_calls_cost_no_more_than_one_capacity_of_debt() -> None:
    bucket = Bucket.full(1, 10)

    for _ in range(100):
        bucket.spoil(0, 1)

    assert bucket.level_at(0) == -10


def test_foreign_use_drains_at_its_own_pace() -> None:
    bucket = Bucket.full(1, 10, foreign=3)

    assert bucket.level_at(2) == 6  # 2 s at net -2/s
    assert bucket.level_at(100) == 0


def test_a_debt_is_refilled_before_anybody_takes() -> None:
    bucket = Bucket.full(2, 10, foreign=1)
    bucket.take(0, 14)

    assert bucket.level_at(1) == -2
    assert bucket.level_at(2) == 0
    assert bucket.level_at(4) == pytest.approx(2)


def test_what_came_while_nobody_was_served_may_be_taken_at_once_and_only_then() -> None:
    bucket = Bucket.full(10, 5)
    bucket.forgive(2.0, stalled_seconds=1.0, within_seconds=0.1)

    assert bucket.level_at(2.0) == 15
    bucket.take(2.05, 8)
    assert bucket.level_at(2.05) == pytest.approx(7)
    assert bucket.level_at(2.2) == 5
