"""How late a call may leave, and what a start time that was not used takes of the pool."""

import pytest

from pressroom.jobs import execute
from pressroom.jobs.lane import slot_expired
from pressroom.limits.messages import Rejected, Settled
from tests.unit.jobs.leased import lane_job

DENSE, SPARSE = 0.006, 12.0


@pytest.mark.parametrize(("late", "expired"), [(0.19, False), (0.21, True)])
def test_where_calls_are_dense_they_leave_within_a_fifth_of_a_second(late: float, expired: bool) -> None:
    assert slot_expired(lane_job(), late, spacing=DENSE) is expired


@pytest.mark.parametrize(("late", "expired"), [(0.9, False), (1.1, True)])
def test_where_they_are_far_apart_a_second_late_is_still_in_turn(late: float, expired: bool) -> None:
    assert slot_expired(lane_job(), late, spacing=SPARSE) is expired


def test_a_job_that_missed_its_time_again_and_again_may_be_later_but_never_more_than_two_seconds() -> None:
    job = lane_job()
    job.misses = 2
    assert not slot_expired(job, 0.79, spacing=DENSE)
    assert slot_expired(job, 0.81, spacing=DENSE)

    job.misses = 2_000
    assert not slot_expired(job, 1.9, spacing=DENSE)
    assert slot_expired(job, 2.1, spacing=DENSE)


def test_a_missed_time_is_gone_where_calls_are_dense_and_given_back_where_they_are_not() -> None:
    job = lane_job()

    gone = execute.limiter_unsent(job, spacing=DENSE, missed=True)
    assert isinstance(gone, Settled)
    assert gone.actual == gone.estimate == job.cost

    for spacing, missed in ((SPARSE, True), (DENSE, False)):
        given_back = execute.limiter_unsent(job, spacing=spacing, missed=missed)
        assert isinstance(given_back, Rejected)
        assert given_back.retry_after == 0.0
