"""3. Running: the attempt is on the books before the call, so that no call is ever off them."""

from tests.fixtures.desk import Desk


def test_a_started_job_has_its_attempt_before_anything_is_sent(desk: Desk) -> None:
    desk.submit(1)
    worker = desk.worker()
    [job] = desk.take(worker)

    attempts = desk.start([job], worker)

    assert desk.states() == {"running": 1}
    attempt = desk.row("attempts", attempts[job.id])
    assert (attempt.outcome, attempt.number, attempt.worker_id) == ("started", 1, worker)


def test_a_job_that_was_cancelled_meanwhile_is_not_started(desk: Desk) -> None:
    desk.submit(1)
    worker = desk.worker()
    [job] = desk.take(worker)
    desk.execute("UPDATE jobs SET cancel_requested = true")

    assert desk.start([job], worker) == {}
