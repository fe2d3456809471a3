"""Places in the queue, and when a job's turn is likely to come: by limits, weights and what stands before it."""

from datetime import timedelta
from typing import Any
from uuid import UUID

from models import DEFAULT_PROJECT_ID, PriorityClass
from pressroom.jobs.queries import JobRow, list_oldest_jobs
from pressroom.jobs.selection import Selection
from pressroom.jobs.waiting import Reason
from tests.fixtures.desk import Desk

MODEL = "gpt-4o-mini"


def _jobs(desk: Desk, batch: UUID) -> list[JobRow]:
    with desk.engine.connect() as conn:
        return list_oldest_jobs(conn, Selection(DEFAULT_PROJECT_ID, batch_id=batch), limit=100)


def _seconds(desk: Desk, row: JobRow) -> float:
    """From now until its turn."""
    assert row.estimated_start is not None
    now = desk.scalar("SELECT clock_timestamp()")
    return float((row.estimated_start - now) / timedelta(seconds=1))


def _submit(desk: Desk, count: int, **more: Any) -> UUID:
    batch = desk.submit(count, **more)
    desk.worker()
    return batch


def test_the_tenth_of_sixty_a_minute_starts_in_nine_seconds(desk: Desk) -> None:
    desk.deployment(MODEL, limits={"rpm": 60})
    rows = _jobs(desk, _submit(desk, 10))
    assert [row.jobs_ahead for row in rows] == list(range(10))
    assert {row.waiting_for for row in rows} == {Reason.TURN}
    assert 5 < _seconds(desk, rows[9]) <= 9


def test_the_scarcest_of_the_limits_counts(desk: Desk) -> None:
    desk.deployment(MODEL, limits={"rpm": 60_000, "tpm": 600})
    rows = _jobs(desk, _submit(desk, 4, tokens=100))
    assert 26 < _seconds(desk, rows[3]) <= 30


def test_a_class_gets_its_part(desk: Desk) -> None:
    desk.deployment(MODEL, limits={"rpm": 60})
    _submit(desk, 5, priority_class=PriorityClass.NORMAL)
    bulk = _jobs(desk, _submit(desk, 3, priority_class=PriorityClass.BULK))
    assert [row.jobs_ahead for row in bulk] == [0, 1, 2]
    # A fifth of one a second.
    assert 6 < _seconds(desk, bulk[2]) <= 10


def test_flows_that_go_first_are_counted(desk: Desk) -> None:
    desk.deployment(MODEL, limits={"rpm": 60})
    later = _submit(desk, 1, priority=5)
    _submit(desk, 7, priority=-5)
    [row] = _jobs(desk, later)
    assert row.jobs_ahead == 7


def test_without_limits_nobody_can_tell(desk: Desk) -> None:
    rows = _jobs(desk, _submit(desk, 2))
    assert [(row.jobs_ahead, row.estimated_start) for row in rows] == [(0, None), (1, None)]
