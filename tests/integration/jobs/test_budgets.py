"""Budgets over the life of jobs: what is reserved, what is spent, what waits, and what wakes it."""

from decimal import Decimal
from uuid import UUID

import pytest
from sqlalchemy import text

from models import DEFAULT_PROJECT_ID, BudgetPeriod, BudgetScope
from pressroom.ids import new_id
from pressroom.jobs import over_budget
from pressroom.jobs.budgets import BudgetKey, BudgetRow, list_budgets, remove_budget, set_budget
from pressroom.jobs.over_budget import STARTS_AT
from pressroom.jobs.stops import pause_batch
from pressroom.money.budgets import window_end, window_start
from tests.fixtures.desk import COST_USD, EST_USD, Desk, limited, refusal, retry, success, unknown, unsent

DAY, TOTAL = BudgetPeriod.DAY, BudgetPeriod.TOTAL
PROJECT = BudgetScope.PROJECT


def put(
    desk: Desk,
    cap: str | Decimal,
    scope: BudgetScope = PROJECT,
    scope_id: UUID | None = DEFAULT_PROJECT_ID,
    *,
    period: BudgetPeriod = TOTAL,
) -> int:
    """Set a budget, by default the project's."""
    with desk.engine.begin() as conn:
        return set_budget(conn, BudgetKey(scope, scope_id, period), Decimal(cap))


def window(desk: Desk, budget: int | None = None) -> BudgetRow:
    """The open window of the sandbox's money; of the only budget if none is named."""
    with desk.engine.connect() as conn:
        [row] = [row for row in list_budgets(conn, is_sandbox=True) if budget in (None, row.id)]
    return row


def figures(desk: Desk, budget: int | None = None) -> tuple[Decimal | int, Decimal | int]:
    """Spent and reserved."""
    row = window(desk, budget)
    return row.spent_usd, row.reserved_usd


def test_without_budgets_nothing_is_held(desk: Desk) -> None:
    desk.run(3)

    assert desk.scalar("SELECT count(*) FROM holds") == 0


def test_dispatch_reserves_the_upper_bound_and_settlement_posts_the_cost(desk: Desk) -> None:
    put(desk, "1")
    jobs, attempts, _ = desk.run(3)
    assert figures(desk) == (0, 3 * EST_USD)

    desk.settle(*[success(job, attempts[job.id]) for job in jobs])

    assert figures(desk) == (3 * COST_USD, 0)
    assert desk.faults() == {}


@pytest.mark.parametrize("scope", [PROJECT, BudgetScope.INSTALLATION])
def test_what_a_shared_budget_has_no_room_for_waits_as_a_flow(desk: Desk, scope: BudgetScope) -> None:
    put(desk, "0.07", scope, DEFAULT_PROJECT_ID if scope is PROJECT else None)
    desk.submit(10)

    jobs = desk.take(desk.worker())

    assert len(jobs) == 3
    assert desk.states() == {"leased": 3, "queued": 7}
    assert desk.dispatch() == []
    assert window(desk).waiting_jobs == 7
    assert desk.faults() == {}


def test_what_a_batchs_budget_has_no_room_for_waits_and_other_batches_go_on(desk: Desk) -> None:
    batch = desk.submit(10)
    put(desk, "0.05", BudgetScope.BATCH, batch)
    desk.submit(4)

    jobs = desk.take(desk.worker())

    assert len([job for job in jobs if job.batch_id == batch]) == 2
    assert len(jobs) == 6
    assert window(desk).waiting_jobs == 8
    assert desk.faults() == {}


@pytest.mark.parametrize("scope", list(BudgetScope))
def test_money_that_comes_back_wakes_as_many_as_it_is_enough_for(desk: Desk, scope: BudgetScope) -> None:
    batch = desk.submit(10)
    desk.execute("UPDATE jobs SET api_key_id = :id", id=batch)
    owners = {PROJECT: DEFAULT_PROJECT_ID, BudgetScope.BATCH: batch, BudgetScope.API_KEY: batch}
    put(desk, 2 * EST_USD, scope, owners.get(scope))
    worker = desk.worker()
    jobs = desk.take(worker)
    attempts = desk.start(jobs, worker)
    assert len(jobs) == 2

    desk.settle(*[success(job, attempts[job.id], cost_usd=EST_USD / 2) for job in jobs])

    [again] = desk.take(worker)
    assert figures(desk) == (EST_USD, EST_USD)
    attempts = desk.start([again], worker)
    desk.settle(success(again, attempts[again.id], cost_usd=EST_USD))
    desk.sweep()
    assert desk.take(worker) == []
    assert figures(desk) == (2 * EST_USD, 0)
    assert desk.faults() == {}


def test_a_job_under_several_budgets_takes_from_all_or_none(desk: Desk) -> None:
    whole = put(desk, "1", BudgetScope.INSTALLATION, None)
    narrow = put(desk, "0.03")
    desk.submit(5)

    assert len(desk.take(desk.worker())) == 1
    assert figures(desk, whole) == figures(desk, narrow) == (0, EST_USD)


@pytest.mark.parametrize("scope", [PROJECT, BudgetScope.BATCH])
def test_a_higher_cap_starts_what_waits(desk: Desk, scope: BudgetScope) -> None:
    batch = desk.submit(10)
    owner = DEFAULT_PROJECT_ID if scope is PROJECT else batch
    put(desk, "0.05", scope, owner)
    worker = desk.worker()
    assert len(desk.take(worker)) == 2

    put(desk, "0.13", scope, owner)

    assert len(desk.take(worker)) == 4
    assert desk.faults() == {}


def test_a_cap_below_what_is_spent_starts_nothing_more(desk: Desk) -> None:
    put(desk, "1")
    jobs, attempts, worker = desk.run(5)
    desk.settle(*[success(job, attempts[job.id]) for job in jobs])
    put(desk, "0.01")
    desk.submit(1)

    assert desk.take(worker) == []
    assert window(desk).left_usd == Decimal("0.01") - 5 * COST_USD
    desk.sweep()
    assert desk.take(worker) == []


@pytest.mark.parametrize("scope", [PROJECT, BudgetScope.BATCH])
def test_removing_a_budget_starts_what_waits(desk: Desk, scope: BudgetScope) -> None:
    batch = desk.submit(10)
    owner = DEFAULT_PROJECT_ID if scope is PROJECT else batch
    put(desk, "0.05", scope, owner)
    worker = desk.worker()
    jobs = desk.take(worker)
    attempts = desk.start(jobs, worker)

    with desk.engine.begin() as conn:
        assert remove_budget(conn, BudgetKey(scope, owner))
        assert not remove_budget(conn, BudgetKey(scope, owner))

    assert len(desk.take(worker)) == 8
    desk.settle(*[success(job, attempts[job.id]) for job in jobs])
    assert desk.faults() == {}


def test_the_turn_of_the_day_starts_what_waits(desk: Desk) -> None:
    put(desk, "0.05", period=DAY)
    worker = desk.worker()
    desk.submit(4)
    yesterdays = desk.take(worker)
    attempts = desk.start(yesterdays, worker)
    assert len(yesterdays) == 2

    desk.execute("UPDATE budget_windows SET starts_at = starts_at - interval '1 day'")
    desk.sweep()

    assert len(desk.take(worker)) == 2
    assert figures(desk) == (0, 2 * EST_USD)
    desk.settle(*[success(job, attempts[job.id]) for job in yesterdays])
    assert figures(desk) == (0, 2 * EST_USD), "yesterday's calls are yesterday's money"
    assert desk.scalar("SELECT sum(spent_usd) FROM budget_windows") == 2 * COST_USD
    assert desk.faults() == {}


def test_settling_twice_posts_once(desk: Desk) -> None:
    put(desk, "1")
    [job], attempts, _ = desk.run(1)

    desk.settle(success(job, attempts[job.id]))
    desk.settle(success(job, attempts[job.id]))

    assert figures(desk) == (COST_USD, 0)


def test_a_call_that_cost_more_than_its_bound_is_booked_and_told(desk: Desk) -> None:
    put(desk, "0.05")
    jobs, attempts, _ = desk.run(2)

    desk.settle(*[success(job, attempts[job.id], cost_usd=Decimal("0.04")) for job in jobs])

    assert figures(desk) == (Decimal("0.08"), 0)
    assert desk.scalar("SELECT count(*) FROM alerts WHERE kind = 'budget_overrun'") == 1
    desk.submit(1)
    assert desk.dispatch() == []
    assert desk.faults() == {}


@pytest.mark.parametrize("kind", [retry, limited, refusal, unsent])
def test_a_call_that_cost_nothing_gives_its_money_back(desk: Desk, kind: object) -> None:
    put(desk, "1")
    [job], attempts, _ = desk.run(1)

    desk.settle(kind(job, attempts[job.id]))  # type: ignore[operator]

    assert figures(desk) == (0, 0)
    assert desk.faults() == {}


def test_a_retry_is_a_hold_of_its_own_beside_the_one_in_doubt(desk: Desk) -> None:
    put(desk, "1")
    [job], attempts, worker = desk.run(1)
    desk.settle(unknown(job, attempts[job.id]))
    assert figures(desk) == (0, EST_USD)
    assert window(desk).uncertain_usd == EST_USD

    [again] = desk.take(worker)
    assert figures(desk) == (0, 2 * EST_USD)
    running = desk.start([again], worker)
    desk.settle(success(again, running[again.id]))
    assert figures(desk) == (COST_USD, EST_USD)
    desk.settle(success(job, attempts[job.id]))
    assert figures(desk) == (2 * COST_USD, 0)
    assert desk.faults() == {}


@pytest.mark.parametrize("period", list(BudgetPeriod))
def test_the_database_and_the_arithmetic_agree_on_where_a_window_begins(desk: Desk, period: BudgetPeriod) -> None:
    put(desk, "1", period=period)

    with desk.engine.connect() as conn:
        query = text(f"SELECT now() AS now, {STARTS_AT} AS starts_at FROM budgets b")
        row = conn.execute(query).one()

    assert row.starts_at == window_start(period, row.now)
    assert window(desk).resets_at == window_end(period, row.now)


def test_what_a_paused_batch_was_woken_for_is_there_for_others(desk: Desk) -> None:
    key = new_id()
    first, second = desk.submit(2), desk.submit(2)
    desk.execute("UPDATE jobs SET api_key_id = :key", key=key)
    put(desk, EST_USD, BudgetScope.API_KEY, key)
    worker = desk.worker()
    [job] = desk.take(worker)
    attempts = desk.start([job], worker)
    desk.settle(refusal(job, attempts[job.id]))
    desk.sweep()
    woken = desk.scalar("SELECT batch_id FROM jobs WHERE state = 'queued' AND run_at IS NULL")
    assert woken == first

    pause_batch(desk.engine, DEFAULT_PROJECT_ID, first)
    desk.sweep()

    assert [job.batch_id for job in desk.take(worker)] == [second]
    assert desk.faults() == {}


def test_parked_jobs_of_a_paused_batch_do_not_stand_before_others(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(over_budget, "_WAKE_AT_ONCE", 1)
    key = new_id()
    first, second = desk.submit(3), desk.submit(2)
    desk.execute("UPDATE jobs SET api_key_id = :key", key=key)
    put(desk, EST_USD, BudgetScope.API_KEY, key)
    worker = desk.worker()
    [job] = desk.take(worker)
    attempts = desk.start([job], worker)
    pause_batch(desk.engine, DEFAULT_PROJECT_ID, first)

    desk.settle(refusal(job, attempts[job.id]))
    desk.sweep()

    assert [job.batch_id for job in desk.take(worker)] == [second]
    assert desk.faults() == {}
