"""7. Cancelling: at once for a job that waits; a call on its way is not torn down, and a paid answer is kept."""

from models import DEFAULT_PROJECT_ID
from pressroom.jobs.end_early import Cancelled, cancel
from pressroom.jobs.selection import Selection
from tests.fixtures.desk import Desk, retry, success

EVERYTHING = Selection(project_id=DEFAULT_PROJECT_ID)


def test_waiting_jobs_end_and_running_ones_are_asked(desk: Desk) -> None:
    jobs, attempts, _ = desk.run(2)
    desk.submit(3)

    with desk.engine.begin() as conn:
        assert cancel(conn, EVERYTHING) == Cancelled(cancelled=3, asked=2)

    desk.settle(success(jobs[0], attempts[jobs[0].id]), retry(jobs[1], attempts[jobs[1].id]))
    assert desk.states() == {"succeeded": 1, "cancelled": 4}
