"""5. Trying again: a fault of the provider uses up an attempt and waits; a 429 does neither."""

from tests.fixtures.desk import Desk, limited, retry


def test_a_fault_uses_an_attempt_and_the_job_waits_in_sql(desk: Desk) -> None:
    [job], attempts, _ = desk.run(1)

    desk.settle(retry(job, attempts[job.id], wait_seconds=8.0))

    row = desk.row("jobs", job.id)
    assert (row.state, row.attempts_used) == ("queued", 1)
    assert row.run_at is not None
    assert desk.dispatch() == []


def test_a_429_uses_no_attempt_and_the_job_takes_its_turn_again(desk: Desk) -> None:
    [job], attempts, _ = desk.run(1)

    desk.settle(limited(job, attempts[job.id]))

    row = desk.row("jobs", job.id)
    assert (row.state, row.calls, row.attempts_used, row.run_at) == ("queued", 1, 0, None)
    assert len(desk.dispatch()) == 1
