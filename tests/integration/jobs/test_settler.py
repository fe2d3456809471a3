"""The settler against a database that cuts connections, refuses content and goes away."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine, text

from pressroom.jobs.outcome import Outcome
from pressroom.jobs.settler import Settler
from tests.fixtures.desk import Desk, refusal, success, unknown

PATIENCE_SECONDS = 20


async def settle_all(engine: Engine, outcomes: list[Outcome], meanwhile: Callable[[], None] | None = None) -> list[int]:
    """Run a settler over the outcomes until it has nothing left; the order in which they were done."""
    settler = Settler(engine, interval_seconds=0.01)
    done: list[int] = []
    running = asyncio.create_task(settler.run())
    for number, outcome in enumerate(outcomes):
        settler.add(outcome, lambda number=number: done.append(number))  # type: ignore[misc]
    if meanwhile is not None:
        await asyncio.to_thread(meanwhile)
    settler.close()
    await asyncio.wait_for(running, PATIENCE_SECONDS)
    assert settler.unsettled == 0
    return done


def run(work: Coroutine[Any, Any, list[int]]) -> list[int]:
    """On a loop of its own."""
    return asyncio.run(work)


def test_outcomes_of_several_leases_are_settled_together(desk: Desk) -> None:
    jobs, attempts, _ = desk.run(12)

    done = run(settle_all(desk.engine, [success(job, attempts[job.id]) for job in jobs]))

    assert done == list(range(12))
    assert desk.states() == {"succeeded": 12}
    assert desk.faults() == {}


def test_cut_connections_only_cost_time(desk: Desk, database_url: str) -> None:
    jobs, attempts, _ = desk.run(40)
    engine = create_engine(database_url, connect_args={"application_name": "settler"})

    def cut() -> None:
        for _ in range(20):
            desk.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'settler'")

    run(settle_all(engine, [success(job, attempts[job.id]) for job in jobs], cut))

    assert desk.states() == {"succeeded": 40}
    assert desk.faults() == {}
    engine.dispose()


def test_a_table_that_is_locked_for_a_while_is_waited_for(desk: Desk, database_url: str) -> None:
    jobs, attempts, _ = desk.run(2)
    engine = create_engine(database_url, connect_args={"options": "-c lock_timeout=100"})
    with desk.engine.connect() as conn:
        conn.execute(text("LOCK TABLE attempts"))

        def let_go() -> None:
            desk.scalar("SELECT pg_sleep(0.5)")
            conn.rollback()

        run(settle_all(engine, [success(job, attempts[job.id]) for job in jobs], let_go))

    assert desk.states() == {"succeeded": 2}
    engine.dispose()


@pytest.mark.parametrize(
    "spoilt",
    [
        {"body": {"number": 2**70}},
        {"request_id": "\ud800"},
        {"cost_usd": "not a number"},
        {"status_code": 2**40},
    ],
    ids=["number", "surrogate", "cost", "status"],
)
def test_an_answer_that_cannot_be_stored_fails_its_job_and_no_other(desk: Desk, spoilt: dict[str, Any]) -> None:
    jobs, attempts, _ = desk.run(3)
    outcomes = [success(job, attempts[job.id]) for job in jobs]
    outcomes[1] = success(jobs[1], attempts[jobs[1].id], **spoilt)

    run(settle_all(desk.engine, outcomes))

    assert desk.states()["succeeded"] == 2
    state = desk.row("jobs", jobs[1].id)
    assert (state.state, state.error_code) in (("failed", "result_not_storable"), ("running", None))


def test_a_repeated_settlement_after_a_lost_answer_adds_nothing(desk: Desk) -> None:
    jobs, attempts, _ = desk.run(3)
    outcomes = [kind(job, attempts[job.id]) for kind, job in zip((success, refusal, unknown), jobs, strict=True)]
    desk.settle(*outcomes)

    run(settle_all(desk.engine, outcomes))

    assert desk.faults() == {}
    assert desk.scalar("SELECT sum(calls) FROM daily_costs") == 3
