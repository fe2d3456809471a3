"""Every way out of a lease gives its money back, or says that it is in doubt: nothing leaks.

The numbers are issues of a gateway that got it wrong, where reservations leaked until they could be switched off.
"""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from models import DEFAULT_PROJECT_ID, BudgetPeriod, BudgetScope
from pressroom.ids import new_id
from pressroom.jobs import over_budget
from pressroom.jobs.budgets import BudgetKey, resolve_uncertain, set_budget
from pressroom.jobs.end_early import cancel, cancel_batch, expire
from pressroom.jobs.holds import forget_resolved, post_overdue
from pressroom.jobs.lease import LeasedJob, hand_back
from pressroom.jobs.recover import take_back_jobs
from pressroom.jobs.retry import retry as run_again
from pressroom.jobs.selection import Selection
from tests.fixtures.desk import COST_USD, EST_USD, Desk, limited, refusal, retry, success, unknown, unsent
from tests.integration.jobs.test_budgets import PROJECT, figures, put, window

MINE = Selection(project_id=DEFAULT_PROJECT_ID)
CAP = Decimal(1)


def _hand_back(desk: Desk, jobs: list[LeasedJob]) -> None:
    with desk.engine.begin() as conn:
        assert hand_back(conn, [(job.id, job.lease_id) for job in jobs]) == len(jobs)


def _cancel(desk: Desk, jobs: list[LeasedJob]) -> None:
    with desk.engine.begin() as conn:
        assert cancel(conn, MINE).cancelled == len(jobs)


def _cancel_batch(desk: Desk, jobs: list[LeasedJob]) -> None:
    assert jobs[0].batch_id is not None
    assert cancel_batch(desk.engine, DEFAULT_PROJECT_ID, jobs[0].batch_id).cancelled == len(jobs)


def _expire(desk: Desk, jobs: list[LeasedJob]) -> None:
    desk.execute("UPDATE jobs SET deadline = now() - interval '1 s'")
    with desk.engine.begin() as conn:
        assert expire(conn) == len(jobs)


def _take_back(desk: Desk, jobs: list[LeasedJob]) -> None:
    with desk.engine.begin() as conn:
        assert take_back_jobs(conn, [(job.id, job.lease_id) for job in jobs]) == len(jobs)


# LiteLLM #27639, #30460, #36926, #40050: leaked on error, cancel and timeout.
@pytest.mark.parametrize("way_out", [_hand_back, _cancel, _cancel_batch, _expire, _take_back])
def test_a_job_that_leaves_its_lease_uncalled_costs_nothing(
    desk: Desk, way_out: Callable[[Desk, list[LeasedJob]], None]
) -> None:
    put(desk, CAP)
    desk.submit(3)
    jobs = desk.take(desk.worker())
    assert figures(desk) == (0, 3 * EST_USD)

    way_out(desk, jobs)

    assert figures(desk) == (0, 0)
    assert desk.faults() == {}


# LiteLLM #27955: four leaked slots blocked a key for an hour.
def test_a_lost_workers_money_is_void_before_the_call_and_uncertain_after_it(desk: Desk) -> None:
    put(desk, CAP)
    desk.submit(3)
    worker = desk.worker()
    jobs = desk.take(worker)
    attempts = desk.start(jobs[:2], worker)

    assert desk.lose(worker) == 3

    assert figures(desk) == (0, 2 * EST_USD)
    assert window(desk).uncertain_usd == 2 * EST_USD
    assert desk.faults() == {}
    desk.settle(*[success(job, attempts[job.id]) for job in jobs[:2]])
    assert figures(desk) == (2 * COST_USD, 0), "the late answers say what it was"
    assert desk.faults() == {}


def test_a_cancel_during_the_call_keeps_the_money_until_the_call_ends(desk: Desk) -> None:
    put(desk, CAP)
    [job], attempts, _ = desk.run(1)
    with desk.engine.begin() as conn:
        cancel(conn, MINE)
    assert figures(desk) == (0, EST_USD)

    desk.settle(success(job, attempts[job.id]))

    assert figures(desk) == (COST_USD, 0)


# LiteLLM #35569, #35570: settled twice, and after a reset.
@pytest.mark.parametrize("kind", [success, refusal, retry, limited, unsent])
def test_settling_twice_or_after_the_lease_was_lost_moves_money_once(desk: Desk, kind: Callable[..., object]) -> None:
    put(desk, CAP)
    [job], attempts, worker = desk.run(1)
    desk.settle(kind(job, attempts[job.id]))  # type: ignore[arg-type]
    once = figures(desk)

    desk.settle(kind(job, attempts[job.id]))  # type: ignore[arg-type]
    desk.lose(worker)
    desk.settle(kind(job, attempts[job.id]))  # type: ignore[arg-type]

    assert figures(desk) == once
    assert desk.faults() == {}


def test_settling_after_the_window_turned_counts_where_it_was_reserved(desk: Desk) -> None:
    put(desk, CAP, period=BudgetPeriod.DAY)
    [job], attempts, _ = desk.run(1)
    desk.execute("UPDATE budget_windows SET starts_at = starts_at - interval '1 day'")
    assert figures(desk) == (0, 0)

    desk.settle(success(job, attempts[job.id]))
    desk.settle(success(job, attempts[job.id]))

    assert figures(desk) == (0, 0)
    yesterday = desk.scalar("SELECT spent_usd FROM budget_windows WHERE is_sandbox")
    assert (yesterday, desk.scalar("SELECT sum(reserved_usd) FROM budget_windows")) == (COST_USD, 0)


def test_what_nobody_learns_is_posted_as_an_estimate_and_corrected_by_who_does(desk: Desk) -> None:
    put(desk, CAP)
    [job], attempts, _ = desk.run(1)
    desk.settle(unknown(job, attempts[job.id]))

    with desk.engine.begin() as conn:
        assert post_overdue(conn, after_seconds=3600) == 0
    desk.execute("UPDATE holds SET resolved_at = now() - interval '2 hours'")
    with desk.engine.begin() as conn:
        assert post_overdue(conn, after_seconds=3600) == 1
        assert post_overdue(conn, after_seconds=3600) == 0
    assert figures(desk) == (EST_USD, 0)
    assert desk.faults() == {}

    desk.settle(success(job, attempts[job.id]))
    assert figures(desk) == (COST_USD, 0)
    assert desk.faults() == {}


@pytest.mark.parametrize("actual", [Decimal(0), COST_USD, Decimal("0.09")])
def test_what_is_uncertain_can_be_resolved_by_hand_once(desk: Desk, actual: Decimal) -> None:
    put(desk, CAP)
    [job], attempts, _ = desk.run(1)
    desk.settle(unknown(job, attempts[job.id]))

    with desk.engine.begin() as conn:
        assert resolve_uncertain(conn, {attempts[job.id]: actual}) == 1
        assert resolve_uncertain(conn, {attempts[job.id]: actual}) == 0

    assert figures(desk) == (actual, 0)


def test_a_retry_by_hand_needs_money_of_its_own(desk: Desk) -> None:
    batch = desk.submit(1)
    put(desk, Decimal("0.03"), BudgetScope.BATCH, batch)
    worker = desk.worker()
    [job] = desk.take(worker)
    attempts = desk.start([job], worker)
    desk.settle(refusal(job, attempts[job.id], cost_usd=Decimal("0.02")))

    with desk.engine.begin() as conn:
        assert run_again(conn, MINE) == 1
    assert desk.take(worker) == []
    put(desk, Decimal("0.04"), BudgetScope.BATCH, batch)
    [again] = desk.take(worker)
    assert again.id != job.id
    assert desk.faults() == {}


def test_parked_jobs_expire_and_are_cancelled_as_any_others(desk: Desk) -> None:
    batch = desk.submit(6, deadline=datetime.now(UTC) + timedelta(hours=1))
    put(desk, EST_USD, BudgetScope.BATCH, batch)
    desk.take(desk.worker())
    desk.execute("UPDATE jobs SET deadline = now() WHERE line_no IN (3, 4)")
    desk.sweep()
    assert desk.states() == {"leased": 1, "queued": 3, "expired": 2}

    cancel_batch(desk.engine, DEFAULT_PROJECT_ID, batch)

    assert desk.states() == {"cancelled": 4, "expired": 2}
    assert figures(desk) == (0, 0)
    assert desk.faults() == {}


def test_a_new_budget_takes_in_what_is_on_its_way_in_doubt_and_spent(desk: Desk) -> None:
    jobs, attempts, worker = desk.run(4)
    desk.settle(success(jobs[0], attempts[jobs[0].id]), unknown(jobs[1], attempts[jobs[1].id]))
    put(desk, CAP)
    assert figures(desk) == (COST_USD, 3 * EST_USD)
    assert window(desk).uncertain_usd == EST_USD
    assert desk.faults() == {}

    narrow = put(desk, CAP, BudgetScope.BATCH, jobs[0].batch_id)
    assert figures(desk, narrow) == (COST_USD, 3 * EST_USD)
    desk.settle(*[success(job, attempts[job.id]) for job in jobs[1:]])

    assert figures(desk, narrow) == (4 * COST_USD, 0)
    [again] = desk.take(worker)
    with desk.engine.begin() as conn:
        set_budget(conn, BudgetKey(BudgetScope.INSTALLATION), CAP)
    _hand_back(desk, [again])
    assert desk.scalar("SELECT sum(reserved_usd) FROM budget_windows") == 0
    assert desk.faults() == {}


# LiteLLM #39309: a request that one limit refused still used up another.
def test_a_refusal_by_any_budget_charges_none(desk: Desk) -> None:
    wide = put(desk, CAP, BudgetScope.INSTALLATION, None)
    batch = desk.submit(4)
    put(desk, EST_USD * 2, BudgetScope.BATCH, batch)
    narrow = put(desk, EST_USD / 2, PROJECT, DEFAULT_PROJECT_ID)

    assert desk.take(desk.worker()) == []

    assert figures(desk, wide) == figures(desk, narrow) == (0, 0)
    assert desk.scalar("SELECT count(*) FROM holds") == 0
    assert desk.scalar("SELECT max(vtime) FROM stakes") == 0, "nor is anybody charged for service"
    assert desk.faults() == {}


# LiteLLM #35422: an increment of zero skipped the check.
def test_a_job_that_costs_nothing_waits_too_once_the_budget_is_overdrawn(desk: Desk) -> None:
    put(desk, EST_USD)
    jobs, attempts, worker = desk.run(1)
    desk.submit(2)
    desk.execute("UPDATE jobs SET est_cost_usd = 0 WHERE state = 'queued'")
    desk.settle(success(jobs[0], attempts[jobs[0].id], cost_usd=EST_USD))
    free = desk.take(worker)
    assert len(free) == 2, "nothing left is enough for nothing"
    running = desk.start(free, worker)
    desk.settle(*[success(job, running[job.id], cost_usd=COST_USD) for job in free])
    assert figures(desk) == (EST_USD + 2 * COST_USD, 0)

    desk.submit(1)
    desk.execute("UPDATE jobs SET est_cost_usd = 0 WHERE state = 'queued'")
    assert desk.take(worker) == []
    assert desk.faults() == {}


def test_near_the_cap_flows_are_let_go_in_waves(desk: Desk) -> None:
    put(desk, 20 * EST_USD)
    jobs, attempts, worker = desk.run(30)
    assert len(jobs) == 20
    ends = [success(job, attempts[job.id], cost_usd=Decimal("0.0001")) for job in jobs]

    for ended in ends[:4]:
        desk.settle(ended)
        assert desk.take(worker) == []
    desk.settle(ends[4])
    assert len(desk.take(worker)) == 4, "a quarter of what is out has come back"

    desk.settle(ends[5])
    assert desk.take(worker) == []
    desk.sweep()
    assert len(desk.take(worker)) == 1, "the sweep waits for no wave"
    assert desk.faults() == {}


def test_many_jobs_of_a_used_up_key_are_parked_in_steps_and_others_go_on(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(over_budget, "_PARK_AT_ONCE", 10)
    desk.policy = replace(desk.policy, unlimited_ahead_jobs=4)
    desk.submit(30)
    key = new_id()
    desk.execute("UPDATE jobs SET api_key_id = :key WHERE line_no < 27", key=key)
    budget = put(desk, EST_USD, BudgetScope.API_KEY, key)
    worker, got = desk.worker(), list[LeasedJob]()
    for _ in range(8):
        got += desk.take(worker)
        desk.sweep()

    assert len(got) == 1 + 3
    assert window(desk, budget).waiting_jobs == 26
    assert desk.faults() == {}
    put(desk, 100 * EST_USD, BudgetScope.API_KEY, key)
    desk.policy = replace(desk.policy, unlimited_ahead_jobs=400)
    assert len(desk.take(worker)) == 26
    assert desk.faults() == {}


AGED = "UPDATE holds SET resolved_at = now() - interval '8 days' WHERE state <> 'held'"
GUESSED = "UPDATE holds SET state = 'posted', actual_usd = amount_usd, is_estimate = true WHERE job_id = :job"
LEFT = "SELECT array_agg(state || CASE WHEN is_estimate THEN '?' ELSE '' END ORDER BY state, is_estimate) FROM holds"


def test_resolved_holds_are_forgotten_after_a_while_and_no_others(desk: Desk) -> None:
    put(desk, CAP)
    desk.submit(5)
    worker = desk.worker()
    jobs = desk.take(worker)
    attempts = desk.start(jobs[:3], worker)
    desk.settle(success(jobs[0], attempts[jobs[0].id]), *(unknown(job, attempts[job.id]) for job in jobs[1:3]))
    _hand_back(desk, jobs[3:4])
    spent = figures(desk)
    desk.execute(GUESSED, job=jobs[2].id)
    desk.execute(AGED)

    def forget(after_seconds: float) -> int:
        with desk.engine.begin() as conn:
            return forget_resolved(conn, after_seconds=after_seconds)

    assert forget(7 * 86_400) == 0, "a young job's holds are not even looked at"
    assert forget(0) == 2
    assert forget(0) == 0
    assert desk.scalar(LEFT) == ["held", "posted?", "uncertain"]
    assert figures(desk) == spent
