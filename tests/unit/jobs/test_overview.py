"""How long what waits will take, and how much an idle deployment takes over."""

import pytest

from pressroom.jobs.overview import Limit, drain
from pressroom.jobs.reroute import MOST_MOVED, fair_part
from pressroom.limits.pool_limits import PoolLimits

MEANS = {"requests": 1.0, "tokens": 1000.0, "images": 0.0}


def test_the_bottleneck_tells_how_long_it_takes() -> None:
    limits = [Limit("rpm", 600, "setting"), Limit("tpm", 60_000, "headers")]
    seconds, bottleneck = drain(120, MEANS, limits, PoolLimits())
    assert bottleneck == "tpm"
    assert seconds == pytest.approx(120.0)


def test_what_is_not_ours_makes_it_longer() -> None:
    limits = [Limit("rpm", 600, "headers", rate=500, foreign=120.0, factor=0.9)]
    seconds, _ = drain(600, MEANS, limits, PoolLimits(max_share=0.8))
    assert seconds == pytest.approx(600 * 60 / (600 * 0.8 - 120))


def test_an_account_that_others_use_up_is_no_division_by_zero() -> None:
    limits = [Limit("rpm", 600, "headers", foreign=900.0)]
    seconds, bottleneck = drain(6, MEANS, limits, PoolLimits())
    assert bottleneck == "rpm"
    assert seconds == pytest.approx(600.0)


def test_without_limits_nobody_knows() -> None:
    assert drain(100, MEANS, [], PoolLimits()) == (None, None)
    assert drain(100, MEANS, [Limit("concurrency", 5, "setting")], PoolLimits()) == (None, None)


def test_an_idle_deployment_takes_what_evens_out_and_no_more_than_it_can_do_soon() -> None:
    assert fair_part(10, 0.1, 0.1) == 0, "little is left alone"
    assert fair_part(60, 0.1, 0.1) == 30, "as fast as the other: half"
    assert fair_part(60, 0.1, 0.3) == 15, "three times as slow: a quarter"
    assert fair_part(100_000, 0.1, 0.1) == 50, "five seconds of work at a time"
    assert fair_part(10_000_000, 0.1, 0.0) == MOST_MOVED
    assert fair_part(10_000_000, 0.0, 0.1) == 0, "without a limit it needs no help"
