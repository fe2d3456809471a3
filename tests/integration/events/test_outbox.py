"""The outbox: written with what happened, and read without loss whatever order commits come in."""

from uuid import UUID

import pytest
from sqlalchemy import Engine, event, text

from models import DEFAULT_PROJECT_ID
from pressroom.events.horizon import Horizon
from pressroom.events.outbox import NewEvent, record_events
from pressroom.events.purge import purge_events
from pressroom.events.read import Event, is_kept_after, read_all
from pressroom.jobs.end_early import cancel_batch
from tests.fixtures.desk import Desk, refusal, success


def _types(desk: Desk) -> list[str]:
    with desk.engine.connect() as conn:
        return list(conn.execute(text("SELECT type FROM events ORDER BY id")).scalars())


def _read(engine: Engine, horizon: Horizon, after: int) -> list[Event]:
    with engine.connect() as conn:
        return read_all(conn, after, horizon.advance(conn), limit=1000)


def _want_jobs(desk: Desk, batch_id: UUID) -> None:
    desk.execute('UPDATE batches SET metadata = \'{"pressroom_events": "jobs"}\' WHERE id = :id', id=batch_id)


def _batch_of(desk: Desk) -> UUID:
    found: UUID = desk.scalar("SELECT id FROM batches")
    return found


def test_what_is_committed_under_a_lower_id_is_waited_for(engine: Engine) -> None:
    horizon = Horizon()
    with engine.connect() as slow, engine.connect() as quick:
        record_events(slow, [NewEvent("job.succeeded", DEFAULT_PROJECT_ID)])
        record_events(quick, [NewEvent("job.failed", DEFAULT_PROJECT_ID)])
        quick.commit()
        assert _read(engine, horizon, 0) == []
        assert _read(engine, horizon, 0) == []
        slow.commit()

    assert [one.type for one in _read(engine, horizon, 0)] == ["job.succeeded", "job.failed"]
    assert horizon.is_settled


def test_what_is_rolled_back_is_not_waited_for_any_more(engine: Engine) -> None:
    horizon = Horizon()
    with engine.connect() as failing, engine.connect() as quick:
        record_events(failing, [NewEvent("job.succeeded", DEFAULT_PROJECT_ID)])
        record_events(quick, [NewEvent("job.failed", DEFAULT_PROJECT_ID)])
        quick.commit()
        assert _read(engine, horizon, 0) == []
        failing.rollback()

    assert [one.type for one in _read(engine, horizon, 0)] == ["job.failed"]


def test_a_long_transaction_that_writes_no_events_holds_nobody_up(engine: Engine) -> None:
    horizon = Horizon()
    with engine.connect() as long, engine.begin() as conn:
        long.execute(text("SELECT pg_current_xact_id()"))
        record_events(conn, [NewEvent("job.failed", DEFAULT_PROJECT_ID)])
        conn.commit()

        assert [one.type for one in _read(engine, horizon, 0)] == ["job.failed"]


def test_writers_that_never_stop_let_the_horizon_move(engine: Engine) -> None:
    """New ones begin before the old have ended: the reader waits for those that it has seen, and for no other."""
    horizon = Horizon()
    with engine.connect() as first, engine.connect() as second:
        record_events(first, [NewEvent("job.failed", DEFAULT_PROJECT_ID)])
        assert _read(engine, horizon, 0) == []
        record_events(second, [NewEvent("job.failed", DEFAULT_PROJECT_ID)])
        first.commit()

        assert [one.id for one in _read(engine, horizon, 0)] == [1]


def test_jobs_of_a_batch_have_events_only_when_they_are_wanted(desk: Desk) -> None:
    jobs, attempts, _ = desk.run(2)
    desk.settle(success(jobs[0], attempts[jobs[0].id]))
    assert _types(desk) == []

    _want_jobs(desk, _batch_of(desk))
    desk.settle(refusal(jobs[1], attempts[jobs[1].id]))

    assert _types(desk) == ["job.failed", "batch.completed"]


def test_a_settlement_that_is_repeated_tells_nothing_twice(desk: Desk) -> None:
    jobs, attempts, _ = desk.run(1)
    _want_jobs(desk, _batch_of(desk))
    outcome = success(jobs[0], attempts[jobs[0].id])
    desk.settle(outcome)
    desk.settle(outcome)

    assert _types(desk) == ["job.succeeded", "batch.completed"]


def test_cancelling_a_batch_tells_of_every_job_that_it_ended(desk: Desk) -> None:
    batch_id = desk.submit(3)
    _want_jobs(desk, batch_id)
    cancel_batch(desk.engine, DEFAULT_PROJECT_ID, batch_id)

    assert _types(desk) == ["batch.cancelling", "job.cancelled", "job.cancelled", "job.cancelled", "batch.cancelled"]


def test_jobs_that_a_deadline_or_a_lost_worker_ends_are_told(desk: Desk) -> None:
    jobs, _, worker = desk.run(1, max_attempts=1)
    _want_jobs(desk, _batch_of(desk))
    desk.lose(worker)
    late = desk.submit(1)
    _want_jobs(desk, late)
    desk.execute("UPDATE jobs SET deadline = now() - interval '1 second' WHERE batch_id = :id", id=late)
    desk.sweep()

    assert len(jobs) == 1
    assert _types(desk) == ["job.failed", "batch.completed", "job.expired", "batch.completed"]


def test_the_oldest_events_are_removed_when_their_time_is_over(desk: Desk) -> None:
    with desk.engine.begin() as conn:
        record_events(conn, [NewEvent("job.failed", DEFAULT_PROJECT_ID) for _ in range(5)])
        conn.execute(text("UPDATE events SET created_at = now() - interval '8 days' WHERE id <= 3"))
        assert purge_events(conn, keep_seconds=604_800, limit=2) == 1
        assert purge_events(conn, keep_seconds=604_800) == 1
        assert purge_events(conn, keep_seconds=604_800) == 0
        assert [is_kept_after(conn, place) for place in range(5)] == [False, False, True, True, True]


@pytest.mark.parametrize("hears", ["job.*", "*", "job.failed"])
def test_deliveries_are_made_with_their_event(desk: Desk, hears: str) -> None:
    desk.execute(
        "INSERT INTO webhook_endpoints (id, project_id, url, events, secret)"
        " VALUES (gen_random_uuid(), :project, 'https://example.com', ARRAY[:hears], 'whsec_')",
        project=DEFAULT_PROJECT_ID,
        hears=hears,
    )
    with desk.engine.begin() as conn:
        record_events(conn, [NewEvent("job.failed", DEFAULT_PROJECT_ID), NewEvent("budget.raised", None)])
    query = "SELECT count(*) FROM webhook_deliveries d JOIN events e ON e.id = d.event_id WHERE e.type = 'job.failed'"

    assert desk.scalar(query) == 1
    assert desk.scalar("SELECT count(*) FROM webhook_deliveries") == 1


def test_the_underscore_of_a_pattern_is_an_underscore(desk: Desk) -> None:
    desk.execute(
        "INSERT INTO webhook_endpoints (id, project_id, url, events, secret)"
        " VALUES (gen_random_uuid(), :project, 'https://example.com', ARRAY['batch.in_p*'], 'whsec_')",
        project=DEFAULT_PROJECT_ID,
    )
    with desk.engine.begin() as conn:
        record_events(conn, [NewEvent(name, DEFAULT_PROJECT_ID) for name in ("batch.in_progress", "batch.inXprogress")])

    assert (
        desk.scalar("SELECT e.type FROM webhook_deliveries d JOIN events e ON e.id = d.event_id") == "batch.in_progress"
    )


def test_a_settlement_asks_the_outbox_for_nothing_where_nobody_wants_to_know(desk: Desk) -> None:
    """The hot path: not one statement more for jobs of batches."""
    jobs, attempts, _ = desk.run(2)
    seen: list[str] = []

    def note(_conn: object, _cursor: object, statement: str, *_: object) -> None:
        seen.append(statement)

    event.listen(desk.engine, "before_cursor_execute", note)
    desk.settle(success(jobs[0], attempts[jobs[0].id]))

    assert any("UPDATE jobs" in statement for statement in seen)
    assert not any("INTO events" in statement for statement in seen)
