"""9. Budgets: the most that a call may cost is reserved before it starts, so what is spent never exceeds the cap."""

from decimal import Decimal

from models import DEFAULT_PROJECT_ID, BudgetScope
from pressroom.jobs.budgets import BudgetKey, list_budgets, set_budget
from tests.fixtures.desk import COST_USD, EST_USD, Desk, success


def allow(desk: Desk, usd: Decimal) -> None:
    """Let the default project spend so much in all."""
    with desk.engine.begin() as conn:
        set_budget(conn, BudgetKey(BudgetScope.PROJECT, DEFAULT_PROJECT_ID), usd)


def spent_and_reserved(desk: Desk) -> list[Decimal]:
    """Of the sandbox's money, which is counted apart from real money."""
    with desk.engine.connect() as conn:
        [row] = list_budgets(conn, is_sandbox=True)
    return [row.spent_usd, row.reserved_usd]


def test_calls_start_only_with_their_upper_bound_reserved(desk: Desk) -> None:
    allow(desk, 2 * EST_USD)
    desk.submit(3)

    jobs = desk.take(desk.worker())

    assert len(jobs) == 2
    assert spent_and_reserved(desk) == [Decimal(0), 2 * EST_USD]


def test_what_a_call_did_not_cost_lets_others_start(desk: Desk) -> None:
    allow(desk, 2 * EST_USD)
    desk.submit(3)
    worker = desk.worker()
    jobs = desk.take(worker)
    attempts = desk.start(jobs, worker)

    desk.settle(*[success(job, attempts[job.id], cost_usd=EST_USD / 4) for job in jobs])

    assert len(desk.take(worker)) == 1
    assert spent_and_reserved(desk) == [EST_USD / 2, EST_USD]


def test_a_job_without_money_waits_and_says_so_until_the_cap_is_raised(desk: Desk) -> None:
    allow(desk, EST_USD)
    [job], attempts, worker = desk.run(1)
    desk.settle(success(job, attempts[job.id]))
    desk.submit(1)
    assert desk.take(worker) == []

    allow(desk, EST_USD + COST_USD)

    assert len(desk.take(worker)) == 1
