"""`/v1/events`: everything once and in order, however often a client comes again."""

import random
import threading
import time
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import httpx2
import pytest
from sqlalchemy import Engine, event, text

from models import DEFAULT_PROJECT_ID
from pressroom.events.outbox import NewEvent, record_batches, record_events
from pressroom.ids import new_id, show_id
from tests.fixtures.api import LiveApi
from tests.fixtures.desk import Desk, success
from tests.fixtures.sse import Told, following


def _tell(engine: Engine, *types: str, project: UUID | None = DEFAULT_PROJECT_ID, **data: Any) -> None:
    with engine.begin() as conn:
        record_events(conn, [NewEvent(name, project, data=data) for name in types])


def _single(desk: Desk) -> Any:
    """A job outside batches, running: its row, its attempt."""
    jobs, attempts, _ = desk.run(1)
    desk.execute("UPDATE jobs SET batch_id = NULL")
    return jobs[0], attempts[jobs[0].id]


def test_a_project_hears_of_itself_and_of_deployments_and_of_nobody_else(api: LiveApi) -> None:
    with following(api.client()) as events:
        _tell(api.system.engine, "job.failed", project=api.other_project_id)
        _tell(api.system.engine, "deployment.alert", "budget.exhausted", project=None)
        _tell(api.system.engine, "deployment.stopped", project=None, model="gpt-4o-mini")
        _tell(api.system.engine, "job.succeeded", custom_id="mine")
        told = [next(events), next(events)]

    assert [one.type for one in told] == ["deployment.stopped", "job.succeeded"]
    assert told[1].data == {"custom_id": "mine"}
    assert told[0].id is not None
    assert told[1].id == told[0].id + 1


def test_types_are_chosen_by_pattern(api: LiveApi) -> None:
    with following(api.client(), types="batch.*,job.failed") as events:
        _tell(api.system.engine, "job.succeeded", "batch.completed", "job.failed", "budget.raised")

        assert [next(events).type, next(events).type] == ["batch.completed", "job.failed"]


@pytest.mark.parametrize("query", [{"types": "jobs"}, {"types": "j**"}, {"job": "x"}, {"job": "a", "batch": "b"}])
def test_what_cannot_be_followed_is_refused(api: LiveApi, query: dict[str, str]) -> None:
    answer = api.client().get("/v1/events", params=query)

    assert answer.status_code == 400
    assert answer.json()["error"]["param"]


def test_the_stream_of_a_job_ends_with_it(api: LiveApi, desk: Desk) -> None:
    job, attempt = _single(desk)
    with following(api.client(), job=show_id("job", job.id)) as events:
        desk.settle(success(job, attempt))
        told = list(events)

    assert [one.type for one in told] == ["job.succeeded"]
    assert told[0].data["job_id"] == show_id("job", job.id)
    assert told[0].data["model"] == "gpt-4o-mini"
    assert told[0].id


def test_the_end_comes_whatever_types_are_asked_for(api: LiveApi, desk: Desk) -> None:
    job, attempt = _single(desk)
    with following(api.client(), job=show_id("job", job.id), types="job.created") as events:
        desk.settle(success(job, attempt))

        assert [one.type for one in events] == ["job.succeeded"]


def test_the_stream_of_a_job_in_a_batch_ends_though_it_has_no_events(api: LiveApi, desk: Desk) -> None:
    jobs, attempts, _ = desk.run(2)
    with following(api.client(), job=show_id("job", jobs[0].id)) as events:
        desk.settle(success(jobs[0], attempts[jobs[0].id]))
        told = list(events)

    assert [(one.type, one.id) for one in told] == [("job.succeeded", None)]


def test_what_is_over_already_says_so_and_ends(api: LiveApi, desk: Desk) -> None:
    job, attempt = _single(desk)
    desk.settle(success(job, attempt))
    shown = show_id("job", job.id)
    with following(api.client(), job=shown) as events:
        assert [one.type for one in events] == ["job.succeeded"]
    last = desk.scalar("SELECT max(id) FROM events WHERE job_id IS NOT NULL")
    again = api.client().get("/v1/events", params={"job": shown}, headers={"Last-Event-ID": str(last)})

    assert again.status_code == 204


def test_an_end_that_was_missed_is_told_to_who_comes_again(api: LiveApi, desk: Desk) -> None:
    job, attempt = _single(desk)
    with desk.engine.begin() as conn:
        record_events(conn, [NewEvent("job.created", DEFAULT_PROJECT_ID, job_id=job.id)])
    created = desk.scalar("SELECT max(id) FROM events")
    desk.settle(success(job, attempt))
    with following(api.client(), job=show_id("job", job.id), last=created) as events:
        assert [one.type for one in events] == ["job.succeeded"]


def test_a_batch_tells_its_progress_and_its_end(api: LiveApi, desk: Desk) -> None:
    jobs, attempts, _ = desk.run(2)
    batch_id = desk.scalar("SELECT id FROM batches")
    with following(api.client(), batch=show_id("batch", batch_id)) as events:
        first = next(events)
        desk.settle(success(jobs[0], attempts[jobs[0].id]))
        second = next(events)
        desk.settle(success(jobs[1], attempts[jobs[1].id]))
        rest = list(events)

    assert [(one.type, one.data["succeeded"], one.id) for one in (first, second)] == [
        ("batch.progress", 0, None),
        ("batch.progress", 1, None),
    ]
    assert rest[-1].type == "batch.completed"
    assert rest[-1].data["succeeded"] == 2
    assert rest[-1].id


def test_an_event_whose_state_has_no_event_left_ends_the_stream_all_the_same(api: LiveApi, desk: Desk) -> None:
    """Somebody removed it: the state itself is asked."""
    batch_id = desk.submit(1)
    with following(api.client(), batch=show_id("batch", batch_id)) as events:
        next(events)
        desk.execute("UPDATE batches SET state = 'completed', finished_at = now() WHERE id = :id", id=batch_id)

        assert [one.type for one in events][-1] == "batch.completed"


def test_other_projects_jobs_and_batches_are_not_found(api: LiveApi, desk: Desk) -> None:
    batch_id = desk.submit(1)
    job_id = desk.scalar("SELECT id FROM jobs")
    other = api.client(api.other_key)
    answers = [
        other.get("/v1/events", params={"batch": show_id("batch", batch_id)}),
        other.get("/v1/events", params={"job": show_id("job", job_id)}),
        other.get("/v1/events", params={"job": show_id("job", new_id())}),
    ]

    assert [answer.status_code for answer in answers] == [404, 404, 404]


def test_a_place_that_is_not_kept_any_more_is_told(api: LiveApi) -> None:
    _tell(api.system.engine, "job.failed", "job.failed", "job.failed")
    with api.system.engine.begin() as conn:
        conn.execute(text("DELETE FROM events WHERE id < 3"))
    answer = api.client().get("/v1/events", headers={"Last-Event-ID": "1"})

    assert answer.status_code == 410
    assert answer.json()["error"]["code"] == "events_gone"


def test_many_listeners_share_one_reader(api: LiveApi) -> None:
    assert api.services is not None
    reads: list[str] = []

    def note(_conn: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if "FROM events e" in statement:
            reads.append(statement)

    event.listen(api.services.database, "before_cursor_execute", note)
    client = api.client(limits=httpx2.Limits(max_connections=50))
    heard: list[str] = []
    ready = threading.Barrier(21)

    def listen() -> None:
        with following(client) as events:
            ready.wait(20)
            heard.append(next(events).type)

    threads = [threading.Thread(target=listen) for _ in range(20)]
    for thread in threads:
        thread.start()
    ready.wait(20)
    _tell(api.system.engine, "job.failed")
    for thread in threads:
        thread.join(20)

    assert heard == ["job.failed"] * 20
    assert len(reads) == 1


@pytest.fixture
def busy_writers(engine: Engine) -> Iterator[list[int]]:
    """Three writers whose transactions overlap and sometimes fail; the ids of what they committed, once they ended."""
    committed: list[int] = []
    threads = [threading.Thread(target=_write, args=(engine, committed, seed)) for seed in range(3)]
    for thread in threads:
        thread.start()
    yield committed
    for thread in threads:
        thread.join()


def _write(engine: Engine, committed: list[int], seed: int) -> None:
    chance = random.Random(seed)
    for number in range(120):
        with engine.connect() as conn:
            record_events(conn, [NewEvent("job.failed", DEFAULT_PROJECT_ID, data={"n": number})] * chance.randint(1, 3))
            ids = list(conn.execute(text("SELECT id FROM events WHERE xmin = pg_current_xact_id()::xid")).scalars())
            time.sleep(chance.choice([0, 0, 0.002, 0.03]))
            if chance.random() < 0.1:
                conn.rollback()
            else:
                conn.commit()
                committed.extend(ids)


def test_nothing_is_lost_or_told_twice_by_coming_again_at_random(
    api: LiveApi, engine: Engine, request: pytest.FixtureRequest
) -> None:
    """From the first event to the last, over dozens of connections that break off anywhere."""
    client, chance = api.client(), random.Random(7)
    with following(client) as events:
        _tell(engine, "budget.raised")
        last = next(events).id
    committed: list[int] = request.getfixturevalue("busy_writers")
    heard: list[Told] = []
    connections = 0
    finished = False
    while not finished:
        connections += 1
        with following(client, last=last) as events:
            for one in events:
                heard.append(one)
                last = one.id
                if len(heard) == 150:
                    _tell(engine, "budget.warning")
                if chance.random() < 0.08:
                    break
                if one.type == "budget.exhausted":
                    finished = True
                    break
        if len(committed) > 450 and not any(one.type == "budget.exhausted" for one in heard):
            _finish_once(engine)
    ids = [one.id for one in heard]

    assert connections > 10
    assert ids == sorted(set(ids))  # type: ignore[type-var]
    assert set(committed) <= set(ids)


def _finish_once(engine: Engine) -> None:
    """An event after all others, when the writers have ended."""
    while any(thread.name.startswith("Thread") and "_write" in thread.name for thread in threading.enumerate()):
        time.sleep(0.02)
    with engine.connect() as conn:
        told = conn.execute(text("SELECT count(*) FROM events WHERE type = 'budget.exhausted'")).scalar_one()
    if not told:
        _tell(engine, "budget.exhausted")


def test_a_stream_that_heard_nothing_goes_on_where_it_was(api: LiveApi, engine: Engine) -> None:
    """The place is told before the first event: what happens between two connections is not lost."""
    client = api.client()
    with client.stream("GET", "/v1/events") as answer:
        lines = answer.iter_lines()
        place = next(int(line.removeprefix("id: ")) for line in lines if line.startswith("id: "))
    _tell(engine, "job.failed")
    with following(client, last=place) as events:
        assert next(events).type == "job.failed"


class TestShortStreams:
    """As shipped a stream is held open for an hour."""

    @pytest.fixture
    def api_changes(self) -> dict[str, Any]:
        return {"event_stream_seconds": 1.0}

    def test_a_stream_ends_after_its_time_and_is_gone_on_with(self, api: LiveApi, engine: Engine) -> None:
        with following(api.client()) as events:
            assert list(events) == []
        _tell(engine, "job.failed")
        with following(api.client(), last=0) as events:
            assert [one.type for one in events] == ["job.failed"]


def test_who_is_far_behind_catches_up_from_the_table(api: LiveApi, engine: Engine) -> None:
    _tell(engine, "budget.raised")
    _tell(engine, *["job.failed"] * 1_200)
    with following(api.client(), last=1) as events:
        ids = [next(events).id for _ in range(1_200)]
        _tell(engine, "budget.raised")

        assert next(events).type == "budget.raised"
    assert ids == list(range(2, 1_202))


def test_streams_end_when_the_process_is_told_to_stop(api_process: LiveApi, engine: Engine) -> None:
    with following(api_process.client()) as events:
        _tell(engine, "job.failed")
        assert next(events).type == "job.failed"
        assert api_process.process is not None
        api_process.process.process.terminate()

        assert list(events) == []


def test_batches_by_their_rows(desk: Desk) -> None:
    batch_id = desk.submit(1)
    with desk.engine.begin() as conn:
        record_batches(conn, [batch_id], "batch.created")
    row = desk.scalar("SELECT data FROM events WHERE type = 'batch.created'")

    assert row["state"] == "in_progress"
    assert row["total"] == 1
