"""Recovery: what a fault left behind is put right once, and nobody who lives loses anything."""

from datetime import UTC, datetime, timedelta

import pytest

from pressroom.jobs import workers
from tests.fixtures.desk import EST_USD, Desk, retry, success


def test_a_silent_worker_loses_its_leases_and_its_calls_are_in_doubt(desk: Desk) -> None:
    desk.submit(4)
    worker = desk.worker()
    jobs = desk.take(worker)
    attempts = desk.start(jobs[:2], worker)

    assert desk.lose(worker) == 4

    assert desk.states() == {"queued": 4}
    assert {desk.row("attempts", a).outcome for a in attempts.values()} == {"unknown"}
    assert desk.scalar("SELECT at_risk_usd FROM batches") == 2 * EST_USD
    assert [desk.row("jobs", job.id).attempts_used for job in jobs] == [1, 1, 0, 0]
    assert desk.scalar("SELECT count(*) FROM leases") == 0
    assert desk.faults() == {}


def test_a_worker_that_beats_loses_nothing(desk: Desk) -> None:
    desk.run(2)

    assert desk.sweep(dead_after_seconds=5) == 0
    assert desk.states() == {"running": 2}


def test_sweeping_again_does_nothing_twice(desk: Desk) -> None:
    _, _, worker = desk.run(3)
    desk.lose(worker)
    before = desk.scalar("SELECT json_agg(b)::text FROM batches b")

    assert desk.sweep() == 0
    assert desk.scalar("SELECT json_agg(b)::text FROM batches b") == before


def test_a_worker_that_signed_off_gives_up_what_it_left_at_once(desk: Desk) -> None:
    _, _, worker = desk.run(2)
    with desk.engine.begin() as conn:
        workers.sign_off(conn, worker)

    assert desk.sweep() == 2
    assert desk.faults() == {}


def test_a_given_up_worker_is_told_so_at_its_next_beat(desk: Desk) -> None:
    worker = desk.worker()
    with desk.engine.begin() as conn:
        assert workers.beat(conn, worker)
    desk.lose(worker)

    with desk.engine.begin() as conn:
        assert not workers.beat(conn, worker)


def test_a_job_that_kills_its_workers_fails_when_its_attempts_are_used_up(desk: Desk) -> None:
    desk.submit(1, max_attempts=3)
    for _ in range(3):
        worker = desk.worker()
        desk.start(desk.take(worker), worker)
        desk.lose(worker)

    assert desk.states() == {"failed": 1}
    assert desk.scalar("SELECT error_code FROM jobs") == "worker_lost"
    assert desk.scalar("SELECT error ->> 'code' FROM job_results") == "worker_lost"
    assert desk.scalar("SELECT state::text FROM batches") == "completed"
    assert desk.scalar("SELECT at_risk_usd FROM batches") == 3 * EST_USD
    assert desk.faults() == {}


def test_jobs_that_only_waited_in_a_lost_worker_use_no_attempt(desk: Desk) -> None:
    desk.submit(1, max_attempts=1)
    for _ in range(5):
        worker = desk.worker()
        desk.take(worker)
        desk.lose(worker)

    assert desk.states() == {"queued": 1}


def test_a_running_job_whose_cancel_was_asked_for_ends_with_its_worker(desk: Desk) -> None:
    _, _, worker = desk.run(1)
    desk.execute("UPDATE jobs SET cancel_requested = true")

    desk.lose(worker)

    assert desk.states() == {"cancelled": 1}
    assert desk.scalar("SELECT state::text FROM batches") == "completed"
    assert desk.faults() == {}


def test_a_worker_given_up_while_it_claims_still_loses_that_lease(desk: Desk) -> None:
    """The claim read the worker's row just before it was given up, and commits after the sweep looked."""
    desk.submit(2)
    [lease, *_] = desk.dispatch()
    worker = desk.worker()
    desk.claim(lease, worker)
    desk.execute("UPDATE workers SET gave_up_at = now() WHERE id = :id", id=worker)

    assert desk.sweep() == 1
    assert desk.faults() == {}


def test_a_message_that_nobody_took_is_sent_again_ever_less_often(desk: Desk) -> None:
    desk.submit(1)
    [lease] = desk.dispatch()
    desk.sweep(resend_seconds=5)
    assert desk.postbox.messages == [lease]

    desk.execute("UPDATE leases SET published_at = now() - interval '6 seconds'")
    desk.sweep(resend_seconds=5)
    assert desk.postbox.messages == [lease, lease]
    desk.execute("UPDATE leases SET published_at = now() - interval '6 seconds'")
    desk.sweep(resend_seconds=5)
    assert desk.postbox.messages == [lease, lease]

    desk.execute("UPDATE leases SET published_at = now() - interval '31 seconds', publish_count = 30000")
    desk.sweep(resend_seconds=5)
    assert desk.postbox.messages == [lease] * 3


def test_a_lease_that_was_taken_is_not_sent_again(desk: Desk) -> None:
    desk.submit(1)
    [lease] = desk.dispatch()
    desk.claim(lease, desk.worker())
    desk.execute("UPDATE leases SET published_at = now() - interval '1 hour'")

    desk.sweep(resend_seconds=5)

    assert desk.postbox.messages == [lease]


@pytest.mark.parametrize("due", [True, False])
def test_a_job_becomes_ready_when_its_time_has_come(desk: Desk, due: bool) -> None:
    jobs, attempts, _ = desk.run(1)
    desk.settle(retry(jobs[0], attempts[jobs[0].id], -1.0 if due else 60.0))
    assert desk.dispatch() == []
    desk.dispatch()
    assert not desk.scalar("SELECT active FROM flows")

    desk.sweep()

    assert len(desk.dispatch()) == int(due)
    assert desk.faults() == {}


def test_a_deadline_that_passed_ends_queued_and_leased_jobs_but_no_call(desk: Desk) -> None:
    soon = datetime.now(UTC) + timedelta(hours=1)
    desk.submit(3, deadline=soon)
    worker = desk.worker()
    jobs = desk.take(worker)
    attempts = desk.start(jobs[:1], worker)
    desk.submit(2, deadline=soon)
    desk.execute("UPDATE jobs SET deadline = now() - interval '1 second'")

    desk.sweep()

    assert desk.states() == {"running": 1, "expired": 4}
    assert desk.faults() == {}
    desk.settle(success(jobs[0], attempts[jobs[0].id]))
    assert desk.scalar("SELECT count(*) FROM batches WHERE state = 'completed'") == 2
    assert desk.faults() == {}
