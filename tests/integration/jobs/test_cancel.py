"""Cancel in every state a job can be in."""

from concurrent.futures import ThreadPoolExecutor
from uuid import UUID

from sqlalchemy import Engine

from models import DEFAULT_PROJECT_ID, JobState
from pressroom.jobs import workers
from pressroom.jobs.end_early import Cancelled, cancel, cancel_batch
from pressroom.jobs.outcome import Next
from pressroom.jobs.selection import Selection
from tests.fixtures.desk import COST_USD, Desk, retry, success, unsent


def cancel_all(desk: Desk) -> Cancelled:
    """Everything of the default project."""
    with desk.engine.begin() as conn:
        return cancel(conn, Selection(project_id=DEFAULT_PROJECT_ID))


def one_in_every_state(desk: Desk) -> UUID:
    """A batch with a queued, a waiting, a leased, a running, a succeeded and a blocked job, in this order of lines."""
    batch_id = desk.submit(6)
    worker = desk.worker()
    jobs = desk.take(worker)
    attempts = desk.start(jobs[1:5], worker)
    desk.settle(
        retry(jobs[1], attempts[jobs[1].id], None),
        retry(jobs[2], attempts[jobs[2].id], 60.0),
        success(jobs[4], attempts[jobs[4].id]),
    )
    desk.execute("UPDATE flows SET queued = queued + 1, active = true")
    desk.execute(
        "INSERT INTO jobs (id, project_id, batch_id, flow_id, deployment_id, url, state, est_cost_usd)"
        " SELECT gen_random_uuid(), project_id, batch_id, flow_id, deployment_id, url, 'blocked', 0 FROM jobs LIMIT 1"
    )
    desk.execute("UPDATE flows SET queued = queued - 1")
    desk.execute("UPDATE batches SET total = 7")
    return batch_id


def test_whatever_is_not_being_called_ends_at_once(desk: Desk) -> None:
    one_in_every_state(desk)
    assert desk.states() == {"queued": 2, "leased": 2, "running": 1, "succeeded": 1, "blocked": 1}

    assert cancel_all(desk) == Cancelled(cancelled=5, asked=1)

    assert desk.states() == {"cancelled": 5, "running": 1, "succeeded": 1}
    assert desk.scalar("SELECT count(*) FROM leases") == 1
    assert desk.faults() == {}


def test_cancelling_again_asks_nobody_twice(desk: Desk) -> None:
    one_in_every_state(desk)
    cancel_all(desk)

    assert cancel_all(desk) == Cancelled(cancelled=0, asked=0)


def test_a_running_job_is_asked_through_its_workers_heartbeat(desk: Desk) -> None:
    jobs, _, worker = desk.run(2)
    with desk.engine.begin() as conn:
        cancel(conn, Selection(project_id=DEFAULT_PROJECT_ID, ids=[jobs[0].id]))

    with desk.engine.begin() as conn:
        assert workers.cancels_asked(conn, worker) == [jobs[0].id]
        assert workers.cancels_asked(conn, desk.worker()) == []


def test_a_batch_is_cancelled_with_its_last_job_and_keeps_what_it_paid_for(desk: Desk) -> None:
    jobs, attempts, _ = desk.run(3)
    desk.submit(1)
    batch_id = desk.row("jobs", jobs[0].id).batch_id
    assert cancel_batch(desk.engine, DEFAULT_PROJECT_ID, batch_id) == Cancelled(cancelled=0, asked=3)
    assert desk.row("batches", batch_id).state == "cancelling"

    desk.settle(
        success(jobs[0], attempts[jobs[0].id]),
        retry(jobs[1], attempts[jobs[1].id]),
        unsent(jobs[2], attempts[jobs[2].id], Next.CANCEL),
    )

    batch = desk.row("batches", batch_id)
    assert (batch.state, batch.succeeded, batch.cancelled, batch.cost_usd) == ("cancelled", 1, 2, COST_USD)
    assert desk.states() == {"succeeded": 1, "cancelled": 2, "queued": 1}
    assert desk.faults() == {}


def test_cancelling_a_batch_that_has_not_started_ends_it(desk: Desk) -> None:
    batch_id = desk.submit(5)

    cancel_batch(desk.engine, DEFAULT_PROJECT_ID, batch_id)

    assert desk.row("batches", batch_id).state == "cancelled"
    assert desk.dispatch() == []
    assert desk.faults() == {}


def test_nothing_crosses_projects(desk: Desk) -> None:
    other = desk.project("other")
    batch_id = desk.submit(2, project=other)

    assert cancel_batch(desk.engine, DEFAULT_PROJECT_ID, batch_id) == Cancelled(0, 0)

    assert desk.states() == {"queued": 2}
    assert desk.row("batches", batch_id).state == "in_progress"


def test_a_selection_by_state_leaves_the_others(desk: Desk, engine: Engine) -> None:
    one_in_every_state(desk)

    with engine.begin() as conn:
        cancel(conn, Selection(project_id=DEFAULT_PROJECT_ID, states=[JobState.LEASED]))

    assert desk.states() == {"queued": 2, "cancelled": 2, "running": 1, "succeeded": 1, "blocked": 1}
    assert desk.faults() == {}


def test_no_job_slips_between_the_states_while_its_batch_is_cancelled(desk: Desk) -> None:
    """Running jobs go back to `queued` one by one while thousands of their batch are being cancelled."""
    batch_id = desk.submit(3000)
    worker = desk.worker()
    jobs = desk.take(worker)
    attempts = desk.start(jobs, worker)

    with ThreadPoolExecutor(1) as other:
        cancelling = other.submit(cancel_batch, desk.engine, DEFAULT_PROJECT_ID, batch_id)
        for job in jobs:
            desk.settle(retry(job, attempts[job.id], None))
        done = cancelling.result(30)

    assert desk.scalar("SELECT count(*) FROM jobs WHERE state = 'queued'") == 0
    assert done.cancelled + done.asked == 3000
    assert desk.states() == {"cancelled": 3000}
    assert desk.faults() == {}
