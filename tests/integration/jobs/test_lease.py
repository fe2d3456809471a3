"""The worker's side of a lease: fenced by the lease and by who holds it."""

from uuid import UUID

import pytest
from sqlalchemy import Engine

from pressroom.ids import new_id
from pressroom.jobs.lease import Start, claim_lease, hand_back, start_jobs
from tests.fixtures.desk import Desk, success


def test_only_the_first_claim_of_a_lease_gets_it(desk: Desk) -> None:
    desk.submit(3)
    [first, *_] = desk.dispatch()
    one, other = desk.worker(), desk.worker()

    assert desk.claim(first, one) is not None
    assert desk.claim(first, other) is None
    assert desk.claim(first, one) is None


def test_a_claim_whose_answer_was_lost_may_be_asked_for_again(desk: Desk, engine: Engine) -> None:
    desk.submit(1)
    [lease] = desk.dispatch()
    one, other = desk.worker(), desk.worker()
    desk.claim(lease, one)

    with engine.begin() as conn:
        again = claim_lease(conn, lease, one, again=True)
        assert claim_lease(conn, lease, other, again=True) is None

    assert again is not None
    assert len(again.jobs) == 1


def test_a_message_for_a_lease_that_is_gone_means_nothing(desk: Desk) -> None:
    assert desk.claim(new_id(), desk.worker()) is None


def test_a_worker_that_was_given_up_claims_nothing(desk: Desk) -> None:
    desk.submit(1)
    [lease] = desk.dispatch()
    worker = desk.worker()
    desk.lose(worker)

    assert desk.claim(lease, worker) is None


def test_a_claim_gives_the_jobs_in_order_with_their_bodies(desk: Desk) -> None:
    desk.submit(3, tokens=7)
    [first, *_] = desk.dispatch()

    claimed = desk.claim(first, desk.worker())

    assert claimed is not None
    assert (claimed.model, claimed.pool_name, claimed.is_sandbox) == ("gpt-4o-mini", "sandbox/gpt-4o-mini", True)
    assert [(job.body, job.est_tokens, job.attempts_used) for job in claimed.jobs] == [({"model": "gpt-4o-mini"}, 7, 0)]


def test_starting_twice_with_the_same_attempts_gives_the_same_answer(desk: Desk, engine: Engine) -> None:
    """The commit worked and its answer was lost: the worker asks again and must be told to call."""
    desk.submit(4)
    worker = desk.worker()
    jobs = desk.take(worker)
    starts = [Start(job.id, job.lease_id, new_id()) for job in jobs]

    answers: list[set[UUID]] = []
    for _ in range(2):
        with engine.begin() as conn:
            answers.append(start_jobs(conn, worker, starts))

    assert answers == [{start.attempt_id for start in starts}] * 2
    assert desk.scalar("SELECT count(*) FROM attempts") == 4
    assert desk.faults() == {}


def test_of_two_attempts_of_a_job_in_one_group_one_is_booked_and_may_be_called(desk: Desk, engine: Engine) -> None:
    """A call without an attempt would be paid for and be on nobody's books."""
    desk.submit(3)
    worker = desk.worker()
    jobs = desk.take(worker)
    starts = [Start(job.id, job.lease_id, new_id()) for job in (*jobs, *jobs)]

    answers: list[set[UUID]] = []
    for _ in range(2):
        with engine.begin() as conn:
            answers.append(start_jobs(conn, worker, starts))
            booked = set(conn.exec_driver_sql("SELECT id FROM attempts").scalars())

    assert answers == [booked] * 2
    assert len(booked) == 3
    assert desk.faults() == {}


def test_a_second_start_with_other_attempts_is_refused(desk: Desk) -> None:
    jobs, attempts, worker = desk.run(2)

    assert len(attempts) == 2
    assert desk.start(jobs, worker) == {}
    assert desk.faults() == {}


def test_jobs_that_were_taken_back_cannot_be_started(desk: Desk) -> None:
    desk.submit(2)
    worker = desk.worker()
    jobs = desk.take(worker)
    assert desk.lose(worker) == 2

    assert desk.start(jobs, worker) == {}
    assert desk.scalar("SELECT count(*) FROM attempts") == 0
    assert desk.faults() == {}


def test_a_lease_whose_claim_the_database_lost_is_not_started_by_its_worker(desk: Desk) -> None:
    """Claims are not flushed: after a crash the worker believes in a lease that is nobody's, or somebody else's."""
    desk.submit(1)
    worker, other = desk.worker(), desk.worker()
    [job] = desk.take(worker)
    desk.execute("UPDATE leases SET worker_id = NULL")
    assert desk.start([job], worker) == {}

    desk.claim(job.lease_id, other)

    assert desk.start([job], worker) == {}
    assert len(desk.start([job], other)) == 1
    assert desk.lose(other) == 1
    assert desk.faults() == {}


def test_a_cancelled_job_of_a_lease_is_not_started_and_the_rest_is(desk: Desk) -> None:
    desk.submit(3)
    worker = desk.worker()
    jobs = desk.take(worker)
    desk.execute("UPDATE jobs SET cancel_requested = true WHERE id = :id", id=jobs[0].id)

    assert set(desk.start(jobs, worker)) == {job.id for job in jobs[1:]}


def test_jobs_handed_back_are_ready_again_and_their_lease_is_gone(desk: Desk, engine: Engine) -> None:
    desk.submit(8)
    worker = desk.worker()
    jobs = desk.take(worker)
    pairs = [(job.id, job.lease_id) for job in jobs]

    with engine.begin() as conn:
        assert hand_back(conn, pairs) == 8
        assert hand_back(conn, pairs) == 0

    assert desk.states() == {"queued": 8}
    assert desk.scalar("SELECT count(*) FROM leases") == 0
    assert desk.scalar("SELECT active FROM flows")
    assert desk.faults() == {}


def test_handing_back_skips_what_was_started_and_what_another_lease_has(desk: Desk, engine: Engine) -> None:
    desk.submit(2)
    worker = desk.worker()
    jobs = desk.take(worker)
    desk.start(jobs[:1], worker)

    with engine.begin() as conn:
        assert hand_back(conn, [(jobs[0].id, jobs[0].lease_id), (jobs[1].id, new_id())]) == 0

    assert desk.states() == {"running": 1, "leased": 1}
    assert desk.faults() == {}


@pytest.mark.parametrize("started", [0, 1, 4, 5])
def test_what_a_lease_looks_ahead_by_shrinks_to_nothing_with_its_jobs(desk: Desk, started: int) -> None:
    desk.deployment(limits={"rpm": 600})
    desk.submit(5)
    worker = desk.worker()
    jobs = desk.take(worker)

    attempts = desk.start(jobs[:started], worker)

    assert desk.scalar("SELECT coalesce(sum(waiting_seconds), 0) FROM leases") == pytest.approx(0.1 * (5 - started))
    assert desk.faults() == {}
    desk.settle(*[success(job, attempts[job.id]) for job in jobs[:started]])
    assert desk.faults() == {}
    assert desk.scalar("SELECT coalesce(sum(open), 0) FROM leases") == 5 - started
