"""6. Money: a job costs what all its calls cost, and a call that nobody answered is at risk, not free."""

from tests.fixtures.desk import COST_USD, EST_USD, Desk, success, unknown


def test_a_call_without_an_answer_may_have_been_billed(desk: Desk) -> None:
    [job], attempts, worker = desk.run(1)
    desk.settle(unknown(job, attempts[job.id]))
    assert desk.scalar("SELECT at_risk_usd FROM batches") == EST_USD

    [again] = desk.take(worker)
    attempts = desk.start([again], worker)
    desk.settle(success(again, attempts[job.id]))

    batch = desk.row("batches", desk.row("jobs", job.id).batch_id)
    assert (batch.cost_usd, batch.at_risk_usd) == (COST_USD, EST_USD)
    assert desk.scalar("SELECT calls FROM daily_costs") == 2


def test_what_the_books_say_in_total_is_what_the_attempts_say_one_by_one(desk: Desk) -> None:
    jobs, attempts, _ = desk.run(5)

    desk.settle(*[success(job, attempts[job.id]) for job in jobs])

    assert desk.scalar("SELECT sum(cost_usd) FROM attempts") == 5 * COST_USD
    assert desk.faults() == {}
