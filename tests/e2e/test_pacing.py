"""The shared limiter in real processes: killed holders, lost state, and limits that change under load."""

import time
from typing import Any

import pytest
import redis
from sqlalchemy import text

from pressroom.jobs.resolve import resolve_deployments
from pressroom.limits.messages import PoolStatus
from pressroom.limits.redis_limiter import LimiterAdmin
from pressroom.settings import SANDBOX
from tests.e2e.accounts import ALL_CALLS, assert_books_and_calls_agree
from tests.fixtures.system import QUICK, System

MODEL = "gpt-4o-mini"
LEASE_SECONDS = 6 * float(QUICK["WORKER_DEAD_AFTER_SECONDS"])


def pool_status(system: System) -> PoolStatus:
    """The limiter's account of the one pool."""
    name = system.scalar("SELECT name FROM pools")
    with redis.Redis.from_url(system.base_environment["PRESSROOM_REDIS_URL"]) as client:
        return LimiterAdmin(client).status(name)


def guess_limits(system: System, limits: str) -> None:
    """Make the pool before its first job, with limits that headers may correct."""
    with system.engine.begin() as conn:
        resolve_deployments(conn, SANDBOX, {MODEL: MODEL}, {})
        conn.execute(text("UPDATE pools SET learned_limits = CAST(:limits AS jsonb)"), {"limits": limits})


def calls_since(system: System, moment: float) -> list[dict[str, Any]]:
    """Calls that arrived at the sandbox after this time of day."""
    return [call for call in system.sandbox.calls(ALL_CALLS) if call["time"] > moment]


def refused(calls: list[dict[str, Any]]) -> int:
    return sum(1 for call in calls if call["status"] == 429)


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_the_places_of_a_killed_worker_come_back_within_its_lease(system: System) -> None:
    system.sandbox.configure(latency={"chat": {"kind": "fixed", "seconds": 0.5}})
    victim, _ = system.start_workers(2)
    batch_id = system.submit(texts=200, limits={"concurrency": 8})
    system.wait_until("both make calls", lambda: sorted(pool_status(system).workers.values()) >= [2, 2], 30)

    victim.kill()

    system.wait_until("its places are lost at first", lambda: len(pool_status(system).workers) == 2, 5)
    system.wait_until("only the survivor holds any", lambda: len(pool_status(system).workers) == 1, LEASE_SECONDS + 10)
    system.wait_for_batch(batch_id, 60)
    assert system.counts("jobs", "state") == {"succeeded": 200}
    assert system.sandbox.stats()["totals"]["max_in_flight"] <= 8
    assert_books_and_calls_agree(system)


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_a_limiter_that_forgets_everything_under_load_loses_nothing_and_hardly_overshoots(system: System) -> None:
    system.sandbox.configure(limits={MODEL: {"rpm": 1800, "burst_seconds": 1, "quantum_seconds": 1}})
    system.start_workers(2)
    batch_id = system.submit(texts=500, limits={"rpm": 1800})
    system.wait_until("a quarter is done", lambda: system.finished() >= 125, 40)

    flushed_at = time.time()
    with redis.Redis.from_url(system.base_environment["PRESSROOM_REDIS_URL"]) as client:
        client.flushdb()

    system.wait_for_batch(batch_id, 60)
    assert system.counts("jobs", "state") == {"succeeded": 500}
    after = calls_since(system, flushed_at)
    assert refused(after) <= 0.05 * len(after)
    assert system.scalar("SELECT limiter_epoch FROM pools") == pool_status(system).epoch
    assert_books_and_calls_agree(system)


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_limits_that_are_halved_in_mid_run_are_obeyed(system: System) -> None:
    limits = {"rpm": 2400, "burst_seconds": 5}
    system.sandbox.configure(limits={MODEL: limits})
    guess_limits(system, '{"rpm": 2400}')
    system.start_workers(2)
    batch_id = system.submit(texts=700)
    system.wait_until("some are done", lambda: system.finished() >= 200, 40)

    system.sandbox.configure(limits={MODEL: {**limits, "rpm": 1200}})

    system.wait_until("it is learned", lambda: round(pool_status(system).learned.get("rpm", 0)) == 1200, 20)
    learned_at = time.time()
    system.wait_for_batch(batch_id, 60)
    assert system.counts("jobs", "state") == {"succeeded": 700}
    after = calls_since(system, learned_at)
    # What was stored, or already had its start time, comes on top of the rate.
    assert len(after) <= 20 * (time.time() - learned_at) * 1.05 + 5 * 20
    assert refused(after) <= 0.05 * len(after)
    stored = "SELECT (learned_limits ->> 'rpm')::float8 FROM pools"
    system.wait_until("it is on the books", lambda: system.scalar(stored) == pytest.approx(1200), 10)
    assert_books_and_calls_agree(system)
