"""Cost at risk, settled by the provider's own account or by hand: exactly once, and in every total."""

import json
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from uuid import UUID

import pytest
from sqlalchemy import text

from models import DEFAULT_PROJECT_ID, BudgetScope
from pressroom.errors import Conflict, InvalidInput, NotFound
from pressroom.ids import new_id, show_id
from pressroom.jobs.at_risk import Settled, settle_by_hand
from pressroom.jobs.budgets import BudgetKey, list_budgets, set_budget
from pressroom.jobs.reconcile import Applied, Comparison, Scope, apply_file, compare_file
from pressroom.money.reconciling import Verdict
from pressroom.settings import SANDBOX
from tests.fixtures.desk import COST_USD, EST_USD, Desk, success, unknown

TODAY = datetime.now(UTC).date()
TOMORROW = TODAY + timedelta(days=1)
SCOPE = Scope(SANDBOX)
NOTHING = Decimal(0)
MODEL = "gpt-4o-mini"

Export = Callable[..., Path]


@pytest.fixture
def export(tmp_path: Path) -> Export:
    """Write the provider's costs of one model on one day."""

    def write(usd: Decimal | str, *, model: str = MODEL, day: date = TODAY) -> Path:
        path = tmp_path / f"costs-{usd}-{day}.csv"
        path.write_text(f'date,amount_value,amount_currency,line_item\n{day},{usd},usd,"{model}, input"\n')
        return path

    return write


def doubts(desk: Desk, answered: int, lost: int) -> dict[UUID, UUID]:
    """So many jobs answered, and so many called without an answer; the latter's attempts by job."""
    jobs, attempts, _ = desk.run(answered + lost)
    desk.settle(*[success(job, attempts[job.id]) for job in jobs[:answered]])
    desk.settle(*[unknown(job, attempts[job.id]) for job in jobs[answered:]])
    return {job.id: attempts[job.id] for job in jobs[answered:]}


def reconcile(desk: Desk, path: Path, *, today: date = TOMORROW) -> tuple[Comparison, Applied]:
    with desk.engine.begin() as conn:
        found = compare_file(conn, path, SCOPE)
        return found, apply_file(conn, found, SCOPE, today=today)


def settle(desk: Desk, shown: str, usd: Decimal | int) -> list[Settled]:
    with desk.engine.begin() as conn:
        return settle_by_hand(conn, shown, Decimal(usd), note="test")


def money(desk: Desk) -> tuple[Decimal, Decimal]:
    """Cost and cost at risk of the newest batch, which the days, jobs and attempts must agree with."""
    assert desk.faults() == {}
    with desk.engine.connect() as conn:
        row = conn.execute(text("SELECT cost_usd, at_risk_usd FROM batches ORDER BY id DESC LIMIT 1")).one()
    return row.cost_usd, row.at_risk_usd


def test_the_providers_total_tells_how_much_of_the_risk_was_billed(desk: Desk, export: Export) -> None:
    lost = doubts(desk, answered=4, lost=3)
    path = export(4 * COST_USD + EST_USD + Decimal("0.005"))

    found, applied = reconcile(desk, path)

    [line] = found.lines
    assert (line.booked.usd, line.booked.at_risk_usd) == (4 * COST_USD, 3 * EST_USD)
    assert (line.booked.calls, line.booked.unknown_calls, line.verdict) == (4, 3, Verdict.AT_RISK)
    assert sorted(one.cost_usd for one in applied.settled) == [NOTHING, Decimal("0.005"), EST_USD]
    assert {one.attempt_id for one in applied.settled} == set(lost.values())
    assert (applied.posted_usd, applied.voided_usd) == (EST_USD + Decimal("0.005"), Decimal("0.035"))
    assert money(desk) == (4 * COST_USD + EST_USD + Decimal("0.005"), NOTHING)
    with desk.engine.begin() as conn:
        assert compare_file(conn, path, SCOPE).lines[0].verdict is Verdict.SAME


def test_the_same_file_again_changes_nothing(desk: Desk, export: Export) -> None:
    doubts(desk, answered=1, lost=2)
    path = export(COST_USD + EST_USD)
    reconcile(desk, path)
    before = money(desk)
    later = doubts(desk, answered=0, lost=1)

    found, applied = reconcile(desk, path)

    assert found.applied_at is not None
    assert applied.settled == []
    assert desk.scalar("SELECT count(*) FROM reconciliations") == 1
    assert desk.scalar("SELECT at_risk_usd FROM attempts WHERE id = :id", id=next(iter(later.values()))) == EST_USD
    assert before == (COST_USD + EST_USD, NOTHING)


def test_today_is_not_over_and_is_left_alone(desk: Desk, export: Export) -> None:
    doubts(desk, answered=1, lost=1)
    _, applied = reconcile(desk, export(COST_USD), today=TODAY)
    assert applied.settled == []
    assert money(desk) == (COST_USD, EST_USD)


def test_a_model_that_the_file_never_names_is_left_alone(desk: Desk, export: Export) -> None:
    doubts(desk, answered=1, lost=1)
    _, applied = reconcile(desk, export("3", model="other"))
    assert applied.left_alone == [MODEL]
    assert money(desk) == (COST_USD, EST_USD)


def test_less_than_ours_voids_the_risk_and_still_differs(desk: Desk, export: Export) -> None:
    doubts(desk, answered=4, lost=1)
    found, applied = reconcile(desk, export("0.01"))
    assert found.differs
    assert [one.cost_usd for one in applied.settled] == [NOTHING]
    assert money(desk) == (4 * COST_USD, NOTHING)


def test_usage_is_compared_by_tokens_and_calls_and_priced_by_our_rows(desk: Desk, tmp_path: Path) -> None:
    doubts(desk, answered=2, lost=0)
    midnight = int(datetime(TODAY.year, TODAY.month, TODAY.day, tzinfo=UTC).timestamp())
    usage = {
        "object": "organization.usage.completions.result",
        "model": "gpt-4o-mini-2024-07-18",
        "num_model_requests": 2,
        "input_tokens": 60,
        "output_tokens": 41,
    }
    path = tmp_path / "usage.json"
    path.write_text(json.dumps({"data": [{"start_time": midnight, "end_time": midnight + 86_400, "results": [usage]}]}))

    with desk.engine.begin() as conn:
        [line] = compare_file(conn, path, SCOPE).lines

    assert (line.booked.calls, line.booked.input_tokens, line.booked.output_tokens) == (2, 60, 40)
    assert (line.verdict, line.off) == (Verdict.DIFFERS, ["output_tokens"])


def test_budgets_follow(desk: Desk, export: Export) -> None:
    with desk.engine.begin() as conn:
        set_budget(conn, BudgetKey(BudgetScope.PROJECT, DEFAULT_PROJECT_ID), Decimal(5))
    doubts(desk, answered=1, lost=2)

    def budget() -> tuple[Decimal, Decimal]:
        with desk.engine.connect() as conn:
            [row] = list_budgets(conn, is_sandbox=True)
        return row.spent_usd, row.uncertain_usd

    assert budget() == (COST_USD, 2 * EST_USD)
    reconcile(desk, export(COST_USD + EST_USD))
    assert budget() == (COST_USD + EST_USD, NOTHING)


def test_an_answer_that_comes_after_the_reconciliation_is_not_booked_again(desk: Desk, export: Export) -> None:
    [job], attempts, worker = desk.run(1)
    assert desk.lose(worker) == 1
    path = export(EST_USD)
    reconcile(desk, path)
    assert money(desk) == (EST_USD, NOTHING)

    desk.settle(success(job, attempts[job.id]))

    assert money(desk) == (EST_USD, NOTHING)


def test_a_late_answer_corrects_the_day_on_which_the_call_was_booked(desk: Desk) -> None:
    [job], attempts, worker = desk.run(1)
    desk.lose(worker)
    yesterday(desk)

    desk.settle(success(job, attempts[job.id]))

    assert money(desk) == (COST_USD, NOTHING)
    with desk.engine.connect() as conn:
        rows = conn.execute(text("SELECT day, calls, answered, cost_usd, at_risk_usd FROM daily_costs")).all()
    assert [tuple(row) for row in rows] == [(TODAY - timedelta(days=1), 1, 1, COST_USD, 0)]


def yesterday(desk: Desk) -> None:
    """Let everything that was booked until now have been booked a day ago."""
    desk.execute("UPDATE attempts SET finished_at = finished_at - interval '1 day' WHERE finished_at IS NOT NULL")
    desk.execute("UPDATE daily_costs SET day = day - 1")


def test_by_hand_a_call_is_settled_by_its_job_or_by_its_own_id(desk: Desk) -> None:
    (one, _), (_, other) = list(doubts(desk, answered=0, lost=2).items())

    settle(desk, show_id("job", one), Decimal("0.0123"))
    assert money(desk) == (Decimal("0.0123"), EST_USD)
    settle(desk, show_id("att", other), 0)
    assert money(desk) == (Decimal("0.0123"), NOTHING)
    assert desk.scalar("SELECT count(*) FROM settlements WHERE note = 'test' AND reconciliation_id IS NULL") == 2


def test_what_is_known_is_not_settled_again(desk: Desk) -> None:
    [(job, attempt)] = doubts(desk, answered=0, lost=1).items()
    settle(desk, show_id("job", job), 0)
    for shown in (show_id("job", job), show_id("att", attempt)):
        with pytest.raises(Conflict, match="at risk: what its calls cost is known"):
            settle(desk, shown, 1)
    with pytest.raises(NotFound, match="there is no job"):
        settle(desk, show_id("job", new_id()), 0)
    assert money(desk) == (NOTHING, NOTHING)


def test_one_amount_is_not_spread_over_several_calls(desk: Desk) -> None:
    [job], attempts, worker = desk.run(1)
    desk.settle(unknown(job, attempts[job.id]))
    [again] = desk.take(worker)
    second: dict[UUID, UUID] = desk.start([again], worker)
    desk.settle(unknown(again, second[job.id]))

    with pytest.raises(InvalidInput, match="is one amount for 2 calls at risk"):
        settle(desk, show_id("job", job.id), 1)
    assert len(settle(desk, show_id("job", job.id), 0)) == 2
    assert money(desk) == (NOTHING, NOTHING)


@pytest.mark.parametrize("usd", ["-1", "NaN", "0.00000000001"])
def test_what_is_no_amount_is_refused(desk: Desk, usd: str) -> None:
    with pytest.raises(InvalidInput, match="--usd: is not an amount"):
        settle(desk, show_id("job", new_id()), Decimal(usd))
