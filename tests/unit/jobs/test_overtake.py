"""Interactive jobs in a process whose next start times are all given away."""

from dataclasses import replace

from pressroom.jobs.lane import LaneJob
from pressroom.jobs.overtake import slot_to_take
from pressroom.limits.costs import Cost
from tests.unit.jobs.leased import lane_job


def job(tokens: float, *, urgent: bool = False) -> LaneJob:
    """One that takes so many tokens."""
    made = lane_job()
    made.cost = Cost(1.0, tokens, 0.0)
    made.lease = replace(made.lease, urgent=urgent)
    return made


def test_the_earliest_start_time_whose_quota_is_enough_is_taken() -> None:
    granted = [(3.0, 1, job(900)), (1.0, 2, job(100)), (2.0, 3, job(600))]

    assert slot_to_take(granted, job(500, urgent=True)) == 2
    assert slot_to_take(granted, job(100, urgent=True)) == 1
    assert slot_to_take(granted, job(901, urgent=True)) is None


def test_neither_urgent_jobs_nor_those_on_the_books_are_overtaken() -> None:
    started = job(600)
    started.started = True

    assert slot_to_take([(1.0, 1, job(600, urgent=True)), (2.0, 2, started)], job(1, urgent=True)) is None
