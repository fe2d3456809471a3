"""The race for a budget through the whole system: many submitters, worker processes, real calls, pictures included."""

from decimal import Decimal

import pytest
import redis
from sqlalchemy import text

from models import DEFAULT_PROJECT_ID, BudgetPeriod, BudgetScope
from pressroom.jobs.budgets import BudgetKey, BudgetRow, list_budgets, set_budget
from tests.e2e.accounts import assert_books_and_calls_agree
from tests.e2e.budget_submitters import MOST_OF_ONE_USD, submit_at_once
from tests.fixtures.budget_watch import BudgetWatch
from tests.fixtures.system import System


def put(system: System, cap: str, scope: BudgetScope, period: BudgetPeriod = BudgetPeriod.TOTAL) -> None:
    """Set a budget of the default project or of the installation."""
    owner = DEFAULT_PROJECT_ID if scope is BudgetScope.PROJECT else None
    with system.engine.begin() as conn:
        set_budget(conn, BudgetKey(scope, owner, period), Decimal(cap))


def budgets(system: System) -> list[BudgetRow]:
    """The windows of the sandbox's money."""
    with system.engine.connect() as conn:
        return list_budgets(conn, is_sandbox=True)


def wait_until_only_money_is_missing(system: System, seconds: float) -> None:
    """Until nothing is on its way, and what is left waits for a budget."""
    query = """
        SELECT NOT EXISTS (SELECT 1 FROM jobs WHERE lease_id IS NOT NULL) AND NOT EXISTS (
          SELECT 1 FROM jobs j JOIN flows f ON f.id = j.flow_id WHERE j.state = 'queued' AND j.run_at IS NULL
            AND f.blocked_by IS NULL)
    """
    system.wait_until("only money is missing", lambda: bool(system.scalar(query)), seconds)


@pytest.mark.timeout(120)
@pytest.mark.parametrize("submitters", [64, pytest.param(1000, marks=pytest.mark.slow)])
def test_submitters_at_once_never_exceed_a_budget(system: System, submitters: int) -> None:
    cap = Decimal(submitters) / 64 * Decimal("0.25")
    watch = BudgetWatch(system.engine)
    put(system, str(cap), BudgetScope.PROJECT)
    put(system, "1000", BudgetScope.INSTALLATION, BudgetPeriod.DAY)
    system.start_workers(2)

    submit_at_once(system, submitters)
    wait_until_only_money_is_missing(system, 60)

    assert watch.over_cap() == 0
    assert watch.at_cap(MOST_OF_ONE_USD) > 0
    wide, narrow = budgets(system)
    assert narrow.reserved_usd == wide.reserved_usd == 0
    assert cap - MOST_OF_ONE_USD < narrow.spent_usd == wide.spent_usd <= cap
    spent = system.scalar("SELECT sum(cost_usd) FROM attempts")
    assert spent == narrow.spent_usd
    assert system.finished() < 3 * submitters
    assert_books_and_calls_agree(system)

    put(system, "1000", BudgetScope.PROJECT)
    system.wait_until("all the rest has run", lambda: system.finished() == 3 * submitters, 60)
    assert system.counts("jobs", "state") == {"succeeded": 3 * submitters}
    assert all(row.reserved_usd == 0 for row in budgets(system))
    assert watch.over_cap() == 0
    assert_books_and_calls_agree(system)


@pytest.mark.timeout(90)
def test_the_turn_of_the_day_starts_waiting_jobs_within_seconds(system: System) -> None:
    put(system, "0.05", BudgetScope.PROJECT, BudgetPeriod.DAY)
    system.submit(pictures=6)
    system.start_workers(1)
    wait_until_only_money_is_missing(system, 30)
    assert system.finished() == 3

    with system.engine.begin() as conn:
        conn.execute(text("UPDATE budget_windows SET starts_at = starts_at - interval '1 day'"))

    system.wait_until("the new day's money is spent", lambda: system.finished() == 6, 10)
    [row] = budgets(system)
    assert (row.spent_usd, row.reserved_usd) == (3 * MOST_OF_ONE_USD, Decimal(0))


@pytest.mark.timeout(90)
def test_a_flushed_redis_opens_no_budget(system: System) -> None:
    watch = BudgetWatch(system.engine)
    put(system, "0.25", BudgetScope.PROJECT)
    system.start_workers(2)
    system.submit(texts=200, pictures=60)
    with redis.Redis.from_url(system.base_environment["PRESSROOM_REDIS_URL"]) as client:
        for done in (20, 60, 100, 140):
            system.wait_until(f"{done} jobs are done", lambda done=done: system.finished() >= done, 30)  # type: ignore[misc]
            client.flushdb()

    wait_until_only_money_is_missing(system, 60)

    assert watch.over_cap() == 0
    [row] = budgets(system)
    assert row.cap_usd - MOST_OF_ONE_USD < row.spent_usd <= row.cap_usd
    assert row.reserved_usd == row.uncertain_usd == 0
    assert_books_and_calls_agree(system)
