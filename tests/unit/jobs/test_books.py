"""What a transaction adds to totals, before it is written."""

from dataclasses import replace
from datetime import date
from decimal import Decimal

import pytest

from models import AttemptOutcome
from pressroom.ids import new_id
from pressroom.jobs.books import Books
from pressroom.jobs.outcome import Next, Outcome
from pressroom.operations.base import Usage
from tests.unit.jobs.leased import PROJECT

BATCH = new_id()
DAY = (PROJECT, 7, None)
EST = Decimal("0.02")


def outcome(kind: AttemptOutcome, **fields: object) -> Outcome:
    """An outcome of deployment 7."""
    made = Outcome(new_id(), new_id(), new_id(), PROJECT, 7, attempt=kind, then=Next.QUEUE)
    return replace(made, **fields)  # type: ignore[arg-type]


def test_ends_are_counted_by_state_and_others_are_not() -> None:
    books = Books()
    for state in ("succeeded", "failed", "succeeded", "queued", "running"):
        books.add_end(BATCH, state)
    books.add_end(BATCH, "cancelled", 5)
    books.add_end(None, "failed")

    assert books.batches[BATCH].ends == {"succeeded": 2, "failed": 1, "cancelled": 5}


def test_a_call_adds_its_usage_and_cost_to_day_and_batch() -> None:
    books = Books()
    usage = Usage(input_tokens=3, output_tokens=4, images=1)

    books.add_attempt(outcome(AttemptOutcome.SUCCEEDED, cost_usd=EST, usage=usage), BATCH)

    day = books.days[DAY]
    assert (day.calls, day.answered, day.input_tokens, day.output_tokens, day.images, day.cost_usd) == (
        1,
        1,
        3,
        4,
        1,
        EST,
    )
    assert books.batches[BATCH].cost_usd == EST


@pytest.mark.parametrize(
    ("kind", "cost", "calls", "at_risk"),
    [
        (AttemptOutcome.SUCCEEDED, EST, 0, -EST),
        (AttemptOutcome.FAILED, None, 0, -EST),
        (AttemptOutcome.REJECTED, None, 0, -EST),
        (AttemptOutcome.RELEASED, None, -1, -EST),
    ],
)
def test_the_truth_about_an_unknown_attempt_takes_its_place(
    kind: AttemptOutcome, cost: Decimal | None, calls: int, at_risk: Decimal
) -> None:
    books = Books()

    books.add_attempt(outcome(kind, cost_usd=cost), BATCH, was_unknown=True, was_at_risk=EST)

    assert (books.days[DAY].calls, books.days[DAY].at_risk_usd) == (calls, at_risk)
    assert books.batches[BATCH].at_risk_usd == at_risk


def test_what_was_never_sent_leaves_no_trace() -> None:
    books = Books()

    books.add_attempt(outcome(AttemptOutcome.RELEASED), BATCH)

    assert (books.days, books.batches) == ({}, {})


def test_a_correction_goes_to_the_day_on_which_the_call_was_booked() -> None:
    books, yesterday = Books(), date(2026, 11, 23)

    books.add_attempt(
        outcome(AttemptOutcome.SUCCEEDED, cost_usd=EST), BATCH, was_unknown=True, was_at_risk=EST, booked_on=yesterday
    )

    assert list(books.days) == [(PROJECT, 7, yesterday)]
    assert books.days[PROJECT, 7, yesterday].answered == 1
