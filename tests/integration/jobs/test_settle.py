"""Settlement: every counter moves once, whatever is repeated and whatever comes late."""

from decimal import Decimal

import pytest

from models import AttemptOutcome
from pressroom.ids import new_id
from pressroom.jobs.outcome import Next
from tests.fixtures.desk import COST_USD, EST_USD, Desk, Kind, limited, refusal, retry, success, unknown, unsent


def batch_of(desk: Desk) -> object:
    """The one batch's id."""
    return desk.scalar("SELECT id FROM batches")


def test_a_group_of_all_kinds_leaves_the_books_in_order(desk: Desk) -> None:
    jobs, attempts, _ = desk.run(8)
    kinds: list[Kind] = [success, refusal, retry, limited, unknown, unsent]

    desk.settle(*[kind(job, attempts[job.id]) for kind, job in zip(kinds, jobs, strict=False)])

    assert desk.states() == {"succeeded": 1, "failed": 1, "queued": 4, "running": 2}
    assert desk.faults() == {}


def test_settling_twice_adds_nothing(desk: Desk) -> None:
    jobs, attempts, _ = desk.run(6)
    kinds: list[Kind] = [success, refusal, retry, limited, unknown, unsent]
    outcomes = [kind(job, attempts[job.id]) for kind, job in zip(kinds, jobs, strict=True)]
    desk.settle(*outcomes)
    before = [desk.scalar(f"SELECT json_agg(t)::text FROM {table} t") for table in ("batches", "daily_costs", "flows")]

    assert desk.settle(*outcomes) == set()

    after = [desk.scalar(f"SELECT json_agg(t)::text FROM {table} t") for table in ("batches", "daily_costs", "flows")]
    assert after == before
    assert desk.faults() == {}


@pytest.mark.parametrize("kind", [success, refusal, limited, unknown, unsent], ids=lambda kind: kind.__name__)
def test_an_answer_after_the_lease_was_taken_back_corrects_its_attempt_and_not_the_job(desk: Desk, kind: Kind) -> None:
    jobs, attempts, worker = desk.run(1)
    assert desk.lose(worker) == 1
    assert desk.scalar("SELECT at_risk_usd FROM batches") == EST_USD

    late = kind(jobs[0], attempts[jobs[0].id])
    assert desk.settle(late) == set()

    assert desk.states() == {"queued": 1}
    assert desk.row("attempts", attempts[jobs[0].id]).outcome == late.attempt.value
    assert desk.scalar("SELECT at_risk_usd FROM batches") == (late.at_risk_usd or 0)
    assert desk.scalar("SELECT cost_usd FROM batches") == (late.cost_usd or 0)
    assert desk.faults() == {}


def test_the_late_and_the_second_answer_of_a_job_in_one_group_end_it_once(desk: Desk) -> None:
    """A process that was given up while frozen gets its own jobs again, and both calls are answered together."""
    jobs, first, worker = desk.run(3)
    desk.lose(worker)
    again = desk.take(other := desk.worker())
    second = desk.start(again, other)
    late = [refusal(job, first[job.id]) for job in jobs]
    good = [success(job, second[job.id]) for job in again]

    desk.settle(*late, *good)

    assert desk.states() == {"succeeded": 3}
    assert desk.scalar("SELECT succeeded FROM batches") == 3
    assert desk.scalar("SELECT count(*) FROM job_results WHERE status_code = 200 AND error IS NULL") == 3
    assert desk.faults() == {}


@pytest.mark.parametrize("stray_first", [True, False])
def test_two_outcomes_of_a_job_under_one_lease_in_one_group_end_it_once(desk: Desk, stray_first: bool) -> None:
    """However the second came about: the attempt on the books decides, and the other moves nothing."""
    jobs, attempts, _ = desk.run(3)
    booked = [success(job, attempts[job.id]) for job in jobs]
    kinds: list[Kind] = [success, refusal, unsent]
    strays = [kind(job, new_id()) for kind, job in zip(kinds, jobs, strict=True)]

    settled = desk.settle(*(strays + booked if stray_first else booked + strays))

    assert settled == {job.id for job in jobs}
    assert desk.states() == {"succeeded": 3}
    assert desk.scalar("SELECT succeeded FROM batches") == 3
    assert desk.row("jobs", jobs[0].id).cost_usd == COST_USD
    assert desk.scalar("SELECT count(*) FROM leases") == 0
    assert desk.faults() == {}


def test_an_outcome_that_a_group_holds_twice_counts_once(desk: Desk) -> None:
    [job], attempts, _ = desk.run(1)
    outcome = success(job, attempts[job.id])

    desk.settle(outcome, outcome)

    assert desk.scalar("SELECT calls FROM daily_costs") == 1
    assert desk.states() == {"succeeded": 1}
    assert desk.faults() == {}


def test_an_outcome_of_an_attempt_that_was_never_booked_leaves_its_job_alone(desk: Desk) -> None:
    [job], _, _ = desk.run(1)

    assert desk.settle(success(job, new_id())) == set()

    assert desk.states() == {"running": 1}
    assert desk.faults() == {}


def test_a_late_answer_is_paid_for_by_its_job_even_after_that_ended(desk: Desk) -> None:
    jobs, first, worker = desk.run(1)
    desk.lose(worker)
    again = desk.take(other := desk.worker())
    second = desk.start(again, other)
    desk.settle(success(again[0], second[again[0].id]))

    desk.settle(success(jobs[0], first[jobs[0].id]))

    assert desk.row("jobs", jobs[0].id).cost_usd == 2 * COST_USD
    assert desk.scalar("SELECT succeeded FROM batches") == 1
    assert desk.faults() == {}


def test_a_retry_waits_and_a_429_does_not_count(desk: Desk) -> None:
    jobs, attempts, _ = desk.run(2)

    desk.settle(retry(jobs[0], attempts[jobs[0].id], 60.0), limited(jobs[1], attempts[jobs[1].id]))

    waits, ready = desk.row("jobs", jobs[0].id), desk.row("jobs", jobs[1].id)
    assert (waits.attempts_used, waits.run_at is not None) == (1, True)
    assert (ready.attempts_used, ready.run_at) == (0, None)
    assert desk.scalar("SELECT active FROM flows")


def test_the_last_job_ends_the_batch_with_its_cost(desk: Desk) -> None:
    jobs, attempts, _ = desk.run(2)
    desk.settle(success(jobs[0], attempts[jobs[0].id]))
    assert desk.scalar("SELECT state::text FROM batches") == "in_progress"

    desk.settle(refusal(jobs[1], attempts[jobs[1].id]))

    assert desk.scalar("SELECT state::text FROM batches") == "completed"
    assert desk.scalar("SELECT cost_usd FROM batches") == COST_USD
    assert desk.scalar("SELECT count(*) FROM leases") == 0
    assert desk.faults() == {}


def test_an_answer_without_a_price_is_at_risk_at_its_estimate(desk: Desk) -> None:
    jobs, attempts, _ = desk.run(1)

    desk.settle(success(jobs[0], attempts[jobs[0].id], cost_usd=None, at_risk_usd=EST_USD))

    assert desk.scalar("SELECT at_risk_usd FROM daily_costs") == EST_USD
    assert desk.scalar("SELECT cost_usd FROM daily_costs") == Decimal(0)
    assert desk.faults() == {}


def test_a_cancel_asked_for_during_the_call_keeps_a_paid_answer(desk: Desk) -> None:
    jobs, attempts, _ = desk.run(2)
    desk.execute("UPDATE jobs SET cancel_requested = true")

    desk.settle(success(jobs[0], attempts[jobs[0].id]), retry(jobs[1], attempts[jobs[1].id]))

    assert desk.states() == {"succeeded": 1, "cancelled": 1}
    assert desk.row("jobs", jobs[1].id).run_at is None
    assert desk.faults() == {}


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("nul \x00 here", "nul � here"),
        ("the escape \\u0000 itself", "the escape \\u0000 itself"),
        ("both \\\x00", "both \\�"),
    ],
)
def test_characters_that_postgresql_cannot_hold_are_replaced_and_nothing_else_is(
    desk: Desk, said: str, kept: str
) -> None:
    jobs, attempts, _ = desk.run(2)

    desk.settle(
        success(jobs[0], attempts[jobs[0].id], body={"text": said}),
        refusal(jobs[1], attempts[jobs[1].id], error={"message": said}, error_message=said, error_code="x\x00"),
    )

    assert desk.scalar("SELECT body FROM job_results WHERE job_id = :id", id=jobs[0].id) == {"text": kept}
    assert desk.row("attempts", attempts[jobs[1].id]).error_message == kept


def test_an_attempt_that_was_never_sent_is_no_call(desk: Desk) -> None:
    jobs, attempts, _ = desk.run(1)

    desk.settle(unsent(jobs[0], attempts[jobs[0].id], Next.CANCEL))

    assert desk.states() == {"cancelled": 1}
    assert desk.row("attempts", attempts[jobs[0].id]).outcome == AttemptOutcome.RELEASED.value
    assert desk.scalar("SELECT coalesce(sum(calls), 0) FROM daily_costs") == 0
    assert desk.faults() == {}
