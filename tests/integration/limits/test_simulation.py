"""The simulator's scenarios, shortened, with the real script on a real server (benchmarks/limiter_simulation.py)."""

from __future__ import annotations

from dataclasses import replace

import pytest
import redis

from benchmarks.limiter_provider import Limits
from benchmarks.limiter_simulation import LARGE, SMALL, Outcome, run_script
from benchmarks.limiter_world import Scenario
from pressroom.limits.pool_limits import PoolLimits

SATURATED = Scenario(name="saturated", limits=LARGE, seconds=75, warm_seconds=15)


def held(outcome: Outcome) -> bool:
    """The bar: 99 % of the quota, less than 0.1 % of calls refused."""
    return outcome.utilization >= 0.99 and outcome.refused < 0.001


@pytest.mark.parametrize("quantum", [0.25, 60.0])
def test_a_large_account_is_used_up_without_refusals(server: redis.Redis, quantum: float) -> None:
    outcome = run_script(replace(SATURATED, limits=replace(LARGE, quantum_seconds=quantum)), server)
    assert held(outcome), outcome
    assert outcome.ticks_per_call < 0.5


def test_a_provider_that_reserves_max_tokens(server: redis.Redis) -> None:
    outcome = run_script(replace(SATURATED, limits=replace(LARGE, reserves_max_tokens=True)), server)
    assert held(outcome), outcome


def test_a_provider_that_counts_refused_calls(server: redis.Redis) -> None:
    outcome = run_script(replace(SATURATED, limits=replace(LARGE, refused_cost=1.0)), server)
    assert held(outcome), outcome


def test_a_small_account(server: redis.Redis) -> None:
    outcome = run_script(Scenario(name="small", limits=SMALL, seconds=600, warm_seconds=60), server)
    assert held(outcome), outcome


@pytest.mark.parametrize(("per_minute", "seconds"), [(250, 600.0), (5, 3000.0)])
def test_images_a_minute(server: redis.Redis, per_minute: int, seconds: float) -> None:
    """No header shows them and a call takes half a minute."""
    limits = Limits(ipm=per_minute, tpm=8_000_000, quantum_seconds=60)
    scenario = Scenario(
        name="images", limits=limits, seconds=seconds, warm_seconds=seconds / 5, mean_tokens=5000, images=1, latency=10
    )
    outcome = run_script(scenario, server)
    assert held(outcome), outcome


def test_limits_are_learned_from_headers(server: redis.Redis) -> None:
    guess = PoolLimits(rpm=500, tpm=100_000, defaults=frozenset({"rpm", "tpm"}))
    outcome = run_script(SATURATED, server, limits=guess)
    assert held(outcome), outcome


def test_a_days_limit(server: redis.Redis) -> None:
    limits = Limits(rpm=600, rpd=500, quantum_seconds=1)
    outcome = run_script(Scenario(name="day", limits=limits, seconds=300, warm_seconds=0, workers=4), server)
    assert held(outcome), outcome


def test_concurrency_alone(server: redis.Redis) -> None:
    limits = Limits(concurrency=50)
    outcome = run_script(Scenario(name="few", limits=limits, workers=4, seconds=60, warm_seconds=10), server)
    assert outcome.refused == 0
    assert outcome.peak_in_flight == 50
    assert outcome.utilization > 0.9, "a place is free again when its worker reports, up to 0.2 s later"


def test_state_lost_in_the_middle(server: redis.Redis) -> None:
    outcome = run_script(SATURATED, server, lose_state_at=40.0)
    assert outcome.utilization >= 0.95, "half rate until a header shows room"
    assert outcome.refused < 0.01, outcome
