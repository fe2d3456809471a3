"""The migrations with work on the books, both ways: no job is left where nothing looks for it."""

from sqlalchemy import create_engine

from migrations.migrate import downgrade, upgrade
from models import PriorityClass
from models.job import PARKED_UNTIL
from tests.fixtures.desk import Desk


def test_queued_and_parked_jobs_live_through_every_step_down_and_up(desk: Desk, database_url: str) -> None:
    desk.submit(6, priority=1)
    desk.submit(3, priority_class=PriorityClass.BULK)
    query = "UPDATE jobs SET run_at = CAST(:until AS timestamptz), waiting_budget_id = 7 WHERE line_no < 3"
    desk.execute(query, until=PARKED_UNTIL)
    desk.sweep()
    desk.execute(
        "UPDATE flows SET active = EXISTS (SELECT 1 FROM jobs j WHERE j.flow_id = flows.id AND run_at IS NULL)"
    )
    desk.engine.dispose()

    downgrade(database_url, "0002")
    assert desk.scalar("SELECT count(*) FROM jobs WHERE run_at IS NOT NULL") == 0
    assert desk.scalar("SELECT count(*) FROM flows WHERE active") == 2
    desk.engine.dispose()
    downgrade(database_url, "0001")
    upgrade(database_url)
    desk.engine = create_engine(database_url)

    assert desk.faults() == {}
    desk.dispatch()
    assert desk.states() == {"leased": 9}
    desk.engine.dispose()
