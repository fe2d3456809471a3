"""1. Submitting: once the transaction commits, the job is on the books and nothing can lose it."""

from tests.fixtures.desk import EST_USD, Desk


def test_a_submitted_job_is_a_row_with_its_price(desk: Desk) -> None:
    desk.submit(3)

    assert desk.states() == {"queued": 3}
    assert desk.scalar("SELECT sum(est_cost_usd) FROM jobs") == 3 * EST_USD


def test_redis_knows_nothing_of_it_until_it_is_dispatched(desk: Desk) -> None:
    desk.submit(3)
    assert desk.postbox.messages == []

    desk.dispatch()

    assert desk.states() == {"leased": 3}
    assert len(desk.postbox.messages) == desk.scalar("SELECT count(*) FROM leases")
