"""4. Settling: what became of many calls is written down in one transaction, and twice is once."""

from tests.fixtures.desk import COST_USD, Desk, refusal, success


def test_a_group_is_settled_together(desk: Desk) -> None:
    jobs, attempts, _ = desk.run(3)

    desk.settle(*[success(job, attempts[job.id]) for job in jobs[:2]], refusal(jobs[2], attempts[jobs[2].id]))

    assert desk.states() == {"succeeded": 2, "failed": 1}
    assert desk.scalar("SELECT state::text FROM batches") == "completed"


def test_settling_again_changes_nothing(desk: Desk) -> None:
    [job], attempts, _ = desk.run(1)
    outcome = success(job, attempts[job.id])
    desk.settle(outcome)

    assert desk.settle(outcome) == set()

    assert desk.scalar("SELECT cost_usd FROM batches") == COST_USD
