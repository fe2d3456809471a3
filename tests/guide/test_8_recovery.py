"""8. Recovery: a worker that falls silent loses its leases for good, and what it still says cannot do harm."""

from tests.fixtures.desk import COST_USD, Desk, success


def test_a_silent_workers_jobs_go_back_and_its_calls_are_in_doubt(desk: Desk) -> None:
    [job], attempts, worker = desk.run(1)

    desk.silence(worker)
    desk.sweep()

    assert desk.states() == {"queued": 1}
    assert desk.row("attempts", attempts[job.id]).outcome == "unknown"


def test_its_lease_is_a_fence_against_what_it_says_too_late(desk: Desk) -> None:
    [job], attempts, silent = desk.run(1)
    desk.lose(silent)
    other = desk.worker()
    [again] = desk.take(other)
    running = desk.start([again], other)

    desk.settle(success(job, attempts[job.id], body={"id": "late"}))
    assert desk.states() == {"running": 1}, "the job is the other worker's"

    desk.settle(success(again, running[job.id], body={"id": "good"}))
    assert desk.scalar("SELECT body ->> 'id' FROM job_results") == "good"
    assert desk.row("jobs", job.id).cost_usd == 2 * COST_USD, "both calls were billed"
