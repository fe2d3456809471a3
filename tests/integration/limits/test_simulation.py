"""The simulator's scenarios, shortened, with the real script on a real server (benchmarks/limiter_simulation.py)."""

from __future__ import annotations

from dataclasses import replace

import pytest
import redis

from benchmarks.limiter_batches import BATCHES, UNKNOWN, run_batch, with_quantum
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
    """What it reserves looks like others' use at first: it takes some 20 s to be told from that."""
    limits = replace(LARGE, reserves_max_tokens=True)
    outcome = run_script(replace(SATURATED, limits=limits, warm_seconds=30), server)
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
    limits = Limits(rpm=600, rpd=500, quantum_seconds=60)
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


@pytest.mark.parametrize("scenario", BATCHES, ids=lambda one: one.name)
@pytest.mark.parametrize("workers", [1, 2, 4, 8])
def test_stored_quota_is_spent(server: redis.Redis, scenario: Scenario, workers: int) -> None:
    """A short batch on an idle account takes what the bucket holds, and is not refused."""
    outcome = run_batch(scenario, server, workers=workers)
    assert outcome.over_ideal <= 1.05, outcome
    assert outcome.refused == 0
    assert outcome.done == scenario.batch


@pytest.mark.parametrize("scenario", UNKNOWN, ids=lambda one: one.name)
@pytest.mark.parametrize("workers", [1, 2, 4])
def test_nothing_is_known_at_first(server: redis.Redis, scenario: Scenario, workers: int) -> None:
    """A few calls find out. Where answers take 5 s, so does the first header; and a hidden quantum is learned too."""
    outcome = run_batch(scenario, server, workers=workers, known=False)
    assert outcome.over_ideal <= (1.2 if scenario.latency > 1 else 1.1), outcome
    hidden = scenario.limits.quantum_seconds < scenario.limits.announced_seconds
    assert outcome.refused <= (0.04 * outcome.done if hidden else 0), outcome
    assert outcome.done == scenario.batch


@pytest.mark.parametrize("scenario", BATCHES, ids=lambda one: one.name)
@pytest.mark.parametrize("workers", [1, 4, 8])
def test_a_hidden_quantum_is_found_once(server: redis.Redis, scenario: Scenario, workers: int) -> None:
    hidden = with_quantum(scenario, 1.0)
    first = run_batch(hidden, server, workers=workers)
    assert 0 < first.refused <= 10
    assert first.learned is not None
    after = run_batch(hidden, server, workers=workers, learned=first.learned)
    assert after.refused == 0
    assert after.learned == first.learned


@pytest.mark.slow
@pytest.mark.parametrize("share", [0.2, 0.4])
@pytest.mark.parametrize("quantum", [0.5, 60.0])
def test_others_on_the_account(server: redis.Redis, share: float, quantum: float) -> None:
    """Utilization counts both; more than 100 % is stored quota."""
    limits = replace(LARGE, quantum_seconds=quantum)
    scenario = replace(SATURATED, limits=limits, outage=False, seconds=200, warm_seconds=30, foreign=(60, 160, share))
    outcome = run_script(scenario, server)
    assert outcome.utilization >= 0.96, outcome
    assert outcome.refused < 0.01, outcome


def test_limits_that_change_in_mid_run(server: redis.Redis) -> None:
    small = replace(LARGE, rpm=2_000, tpm=1_600_000)
    changing = Scenario(
        name="changes", limits=small, seconds=240, warm_seconds=20, outage=False, changes=((80, 0.5), (160, 1.0))
    )
    outcome = run_script(changing, server)
    assert outcome.utilization >= 0.97, outcome
    assert outcome.known_utilization >= 0.98, outcome
    assert outcome.refused < 0.004, "at 13 calls a second eight workers hear of it late"
