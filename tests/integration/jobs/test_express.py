"""Interactive requests straight into a lease: only where a pool stands idle, and as if they had been dispatched."""

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text

from models import DEFAULT_PROJECT_ID, BudgetScope
from pressroom.jobs import express
from pressroom.jobs.budgets import BudgetKey, set_budget
from pressroom.jobs.dispatch import DispatchPolicy
from pressroom.jobs.intake import Accepted, Intake, NewRequest
from pressroom.jobs.stops import pause_project
from tests.fixtures.desk import Desk, success

BODY: dict[str, Any] = {
    "model": "gpt-4o-mini",
    "messages": [{"role": "user", "content": "Hello"}],
    "max_tokens": 20,
}
OTHER_PROVIDER = "https://elsewhere.example/v1"


def submit(desk: Desk, count: int = 1, **fields: Any) -> list[Accepted]:
    """Hand in so many at once."""

    async def run() -> list[Accepted]:
        intake = Intake(desk.engine, desk.postbox, desk.policy)
        try:
            new = NewRequest(DEFAULT_PROJECT_ID, "/v1/chat/completions", BODY, **fields)
            return await asyncio.gather(*(intake.submit(new) for _ in range(count)))
        finally:
            await intake.close()

    return asyncio.run(run())


def express_leases(desk: Desk) -> list[UUID]:
    """Leases that were made with their jobs: in one transaction they are as old as these."""
    query = "SELECT coalesce(array_agg(DISTINCT l.id), '{}') FROM leases l JOIN jobs j ON j.lease_id = l.id"
    found: list[UUID] = desk.scalar(f"{query} AND j.created_at = l.created_at")
    return found


def test_an_idle_pool_leases_at_once_and_the_books_are_right(desk: Desk) -> None:
    worker_id = desk.worker()

    [accepted] = submit(desk, custom_id="mine")

    [lease_id] = express_leases(desk)
    assert desk.postbox.messages == [lease_id], "told once, after the commit"
    assert desk.faults() == {}
    lease = desk.claim(lease_id, worker_id)
    assert lease is not None
    assert lease.urgent
    [job] = lease.jobs
    assert job.id == accepted.job_id
    assert job.body == BODY
    attempts = desk.start([job], worker_id)
    desk.settle(success(job, attempts[job.id]))
    assert desk.states() == {"succeeded": 1}
    assert desk.faults() == {}
    assert desk.scalar("SELECT count(*) FROM leases") == 0


def test_it_is_charged_and_counted_as_dispatch_would(desk: Desk) -> None:
    desk.deployment(limits={"rpm": 60, "tpm": 6000})
    submit(desk)
    submit(desk, deadline=None, priority=1)  # out of the ordinary: queued, and dispatched

    with desk.engine.connect() as conn:
        rows = conn.exec_driver_sql(
            "SELECT l.waiting, l.waiting_seconds, l.job_seconds, l.urgent, l.open FROM leases l ORDER BY l.created_at"
        ).all()
    assert len(rows) == 2
    assert tuple(rows[0]) == tuple(rows[1])
    assert desk.scalar("SELECT vtime * weight FROM stakes") == pytest.approx(2 * rows[0].job_seconds)
    assert desk.scalar("SELECT sum(jobs_in) FROM flows") == 2
    assert desk.faults() == {}


def test_an_event_tells_of_it_as_of_any_job(desk: Desk) -> None:
    submit(desk, custom_id="a")
    submit(desk, custom_id="a", priority=1)

    with desk.engine.connect() as conn:
        events = conn.exec_driver_sql("SELECT type, data FROM events WHERE job_id IS NOT NULL ORDER BY id").all()
    assert [tuple(one) for one in events] == [tuple(events[0])] * 2
    assert events[0].type == "job.created"


def test_who_finds_others_at_work_waits_his_turn(desk: Desk) -> None:
    desk.submit(1)

    submit(desk)

    assert express_leases(desk) == []
    assert desk.states() == {"leased": 2}, "dispatched together"


def test_under_a_budget_nothing_is_leased_unreserved(desk: Desk) -> None:
    with desk.engine.begin() as conn:
        set_budget(conn, BudgetKey(BudgetScope.PROJECT, DEFAULT_PROJECT_ID), Decimal(10))

    submit(desk)

    assert express_leases(desk) == []
    assert desk.scalar("SELECT count(*) FROM holds WHERE state = 'held'") == 1
    assert desk.faults() == {}


def test_a_pool_that_has_much_ahead_of_it_takes_no_more(desk: Desk) -> None:
    desk.deployment(limits={"rpm": 60})
    for _ in range(6):
        submit(desk)

    seconds = desk.scalar("SELECT sum(waiting_seconds) FROM leases")
    assert len(express_leases(desk)) == 1, "then a third of what may be ahead is"
    assert seconds <= desk.policy.ahead_seconds + 1.0
    assert desk.states()["queued"] > 0
    assert desk.faults() == {}


@pytest.mark.parametrize("what", ["pools", "deployments"])
def test_what_is_paused_starts_nothing(desk: Desk, what: str) -> None:
    desk.deployment()
    desk.execute(f"UPDATE {what} SET paused_at = now()")

    submit(desk)

    assert desk.states() == {"queued": 1}
    assert desk.faults() == {}


def test_a_project_that_is_paused_starts_nothing(desk: Desk) -> None:
    submit(desk)
    pause_project(desk.engine, DEFAULT_PROJECT_ID)

    submit(desk)

    assert desk.states() == {"queued": 2}, "the first was fetched back"


def test_an_account_whose_key_is_elsewhere_is_left_to_workers_that_have_it(desk: Desk) -> None:
    desk.policy = DispatchPolicy(OTHER_PROVIDER)
    ref = desk.deployment()
    desk.execute("UPDATE deployments SET base_url = :url, api_key_env = 'KEY_OF_NOBODY'", url=OTHER_PROVIDER)

    submit(desk)

    assert ref.id == desk.scalar("SELECT deployment_id FROM jobs")
    assert desk.states() == {"queued": 1}
    assert desk.postbox.messages == []


def test_the_same_at_once_by_many_loses_nothing(desk: Desk) -> None:
    accepted = submit(desk, 30)

    assert len({one.job_id for one in accepted}) == 30
    assert sum(desk.states().values()) == 30
    assert desk.faults() == {}


def test_a_budget_that_is_made_after_the_statement_began_holds_all_the_same(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It sees no budget, as none was there; then it waits here until one is, and locks the pool."""
    gate = 770_031
    waits = f"pg_advisory_xact_lock({gate}) IS NOT NULL AND p.paused_at IS NULL"
    held_up = express._LEASE_AT_ONCE.text.replace("p.paused_at IS NULL", waits, 1)
    monkeypatch.setattr(express, "_LEASE_AT_ONCE", text(held_up))
    at_the_gate = f"SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = {gate} AND NOT granted"
    submit(desk)
    monkeypatch.undo()
    assert len(express_leases(desk)) == 1, "nothing is in the way without a budget"

    monkeypatch.setattr(express, "_LEASE_AT_ONCE", text(held_up))
    with desk.engine.connect() as keeper, ThreadPoolExecutor(1) as threads:
        keeper.execute(text(f"SELECT pg_advisory_xact_lock({gate})"))
        waiting = threads.submit(submit, desk)
        while desk.scalar(at_the_gate) == 0:
            time.sleep(0.01)
        with desk.engine.begin() as conn:
            set_budget(conn, BudgetKey(BudgetScope.INSTALLATION), Decimal(5))
        keeper.rollback()
        waiting.result()

    assert len(express_leases(desk)) == 1
    assert desk.scalar("SELECT count(*) FROM holds") == desk.scalar(
        "SELECT count(*) FROM jobs WHERE lease_id IS NOT NULL"
    )
    assert desk.faults() == {}
