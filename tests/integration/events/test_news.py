"""Events of budgets and deployments: once, when they become true, and to whom they concern."""

from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
import redis
from sqlalchemy import text

from models import DEFAULT_PROJECT_ID, BudgetScope, StopKind
from pressroom.jobs.budgets import BudgetKey, set_budget
from pressroom.jobs.deployments import resume_deployment
from pressroom.jobs.stop_deployment import Stop, stop_deployment
from pressroom.limits.redis_limiter import LimiterAdmin
from tests.fixtures.desk import COST_USD, Desk, success

PROJECT = BudgetKey(BudgetScope.PROJECT, DEFAULT_PROJECT_ID)


def _cap(desk: Desk, usd: str, which: BudgetKey = PROJECT) -> None:
    with desk.engine.begin() as conn:
        set_budget(conn, which, Decimal(usd))


def _news(desk: Desk, subject: str) -> list[tuple[str, UUID | None, dict[str, Any]]]:
    query = text("SELECT type, project_id, data FROM events WHERE type LIKE :subject ORDER BY id")
    with desk.engine.connect() as conn:
        return [tuple(row) for row in conn.execute(query, {"subject": f"{subject}.%"})]


def _run_all(desk: Desk) -> None:
    """Dispatch, call and settle until nothing moves."""
    worker = desk.worker()
    while jobs := desk.take(worker):
        attempts = desk.start(jobs, worker)
        desk.settle(*(success(job, attempts[job.id]) for job in jobs))
        desk.sweep()


def test_a_budget_warns_once_and_says_when_it_is_used_up(desk: Desk) -> None:
    _cap(desk, "0.06")
    desk.submit(10)
    _run_all(desk)
    desk.sweep()
    told = _news(desk, "budget")

    assert [one[0] for one in told] == ["budget.warning", "budget.exhausted"]
    assert {one[1] for one in told} == {DEFAULT_PROJECT_ID}
    assert Decimal(told[0][2]["spent_usd"]) >= Decimal("0.048")
    assert Decimal(told[1][2]["spent_usd"]) + COST_USD > Decimal("0.03")
    assert told[1][2]["reserved_usd"] == "0E-10" or Decimal(told[1][2]["reserved_usd"]) == 0


def test_money_that_is_only_reserved_does_not_exhaust_a_budget(desk: Desk) -> None:
    """Calls on their way may cost less than is reserved: what waits for them is not without money."""
    _cap(desk, "0.05")
    desk.submit(5)
    worker = desk.worker()
    jobs = desk.take(worker)
    desk.sweep()

    assert len(jobs) == 2
    assert _news(desk, "budget") == []


def test_a_raised_budget_is_told_and_told_of_anew(desk: Desk) -> None:
    _cap(desk, "0.06")
    desk.submit(10)
    _run_all(desk)
    _cap(desk, "0.09")
    _run_all(desk)
    desk.sweep()
    types = [one[0].removeprefix("budget.") for one in _news(desk, "budget")]

    assert types == ["warning", "exhausted", "raised", "warning", "exhausted"]


def test_a_lowered_budget_is_not_raised(desk: Desk) -> None:
    _cap(desk, "5")
    _cap(desk, "4")

    assert _news(desk, "budget") == []


def test_the_installations_budget_concerns_no_project(desk: Desk) -> None:
    whole = BudgetKey(BudgetScope.INSTALLATION)
    _cap(desk, "0.06", whole)
    desk.submit(10)
    _run_all(desk)
    _cap(desk, "1", whole)

    assert {one[1] for one in _news(desk, "budget")} == {None}


@pytest.fixture
def limiter(redis_url: str) -> LimiterAdmin:
    """The operator's side of it."""
    return LimiterAdmin(redis.Redis.from_url(redis_url))


def test_stops_and_starts_of_a_deployment_are_told_without_what_is_the_operators(
    desk: Desk, limiter: LimiterAdmin
) -> None:
    ref = desk.deployment()
    with desk.engine.begin() as conn:
        for _ in range(2):
            stop_deployment(conn, limiter, ref.id, Stop(StopKind.BILLING, "org-123 has no credit"))
    with desk.engine.begin() as conn:
        assert resume_deployment(conn, ref.id)
        assert not resume_deployment(conn, ref.id)
    limiter.resume("gpt-4o-mini")
    told = _news(desk, "deployment")

    assert [one[0] for one in told] == ["deployment.alert", "deployment.stopped", "deployment.started"]
    assert told[1][2] == {"deployment": ref.id, "model": "gpt-4o-mini", "kind": "billing", "retry_at": None}
    assert "org-123" in told[0][2]["message"]
