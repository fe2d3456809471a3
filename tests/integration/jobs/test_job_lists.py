"""Lists and counts of jobs say what a plain query would, whatever is selected, and read no more than they show."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import product
from uuid import UUID

import pytest
from sqlalchemy import Connection, Engine, text

from models import DEFAULT_PROJECT_ID, FINAL_STATES, JobState
from pressroom.ids import new_id
from pressroom.jobs import job_lists
from pressroom.jobs.end_early import cancel
from pressroom.jobs.selection import UNSUCCESSFUL, Selection
from tests.integration.jobs.test_queries import jobs_of, lease, submit

UNFINISHED = set(JobState) - FINAL_STATES
OTHERS = "INSERT INTO projects (id, name) VALUES (:id, 'others')"
END = "UPDATE jobs SET state = CAST(:state AS job_state), lease_id = NULL, error_code = :code WHERE id = ANY(:ids)"
BLOCK = "UPDATE jobs SET state = 'blocked' WHERE id = ANY(:ids)"


@pytest.fixture
def conn(engine: Engine) -> Iterator[Connection]:
    """One transaction for the whole test."""
    with engine.connect() as conn:
        yield conn


def books(conn: Connection) -> tuple[UUID, UUID, list[UUID]]:
    """Two projects and three batches with jobs in every state: a batch of each project, and the jobs of the first."""
    other = new_id()
    conn.execute(text(OTHERS), {"id": other})
    mine, theirs = submit(conn, 12, 6), submit(conn, 5, 5, project=other)
    submit(conn, 3, 2)
    conn.execute(text("ALTER TABLE jobs DISABLE TRIGGER jobs_state_machine"))
    for batch in (mine, theirs):
        ids = jobs_of(conn, batch)
        lease(conn, ids[:6], start=5)
        conn.execute(text(END), {"state": "succeeded", "code": None, "ids": ids[:2]})
        conn.execute(text(END), {"state": "failed", "code": "server_error", "ids": ids[2:3]})
        conn.execute(text(END), {"state": "expired", "code": "expired", "ids": ids[3:4]})
        conn.execute(text(BLOCK), {"ids": ids[7:8]})
        cancel(conn, Selection(other if batch == theirs else DEFAULT_PROJECT_ID, ids=ids[-2:]))
    conn.execute(
        text("UPDATE flows f SET queued = (SELECT count(*) FROM jobs WHERE flow_id = f.id AND state = 'queued')")
    )
    return mine, other, jobs_of(conn, mine)


def selections(batch: UUID, other: UUID, jobs: list[UUID]) -> Iterator[Selection]:
    """All that can be asked for together."""
    now = datetime.now(UTC)
    hour = timedelta(hours=1)
    times = [(None, None), (now - hour, None), (None, now - hour), (now - hour, now + hour)]
    states = [[], *([state] for state in JobState), list(UNSUCCESSFUL), [JobState.QUEUED, JobState.FAILED]]
    for chosen, model, (since, until) in product(states, (None, "dall-e-2", "none-such"), times):
        for project, of_batch in (
            (DEFAULT_PROJECT_ID, None),
            (other, None),
            (DEFAULT_PROJECT_ID, batch),
            (other, batch),
        ):
            yield Selection(
                project, states=chosen, model=model, batch_id=of_batch, created_from=since, created_until=until
            )
    for code in ("server_error", "cancelled", "none-such"):
        yield Selection(DEFAULT_PROJECT_ID, error_code=code)
        yield Selection(DEFAULT_PROJECT_ID, error_code=code, batch_id=batch, states=[JobState.FAILED])
    yield Selection(DEFAULT_PROJECT_ID, ids=jobs[3:9])
    yield Selection(other, ids=jobs[3:9])


def plainly(conn: Connection, which: Selection) -> dict[UUID, JobState]:
    """The selected jobs, newest first."""
    where, bound = which.where()
    query = text(f"SELECT j.id, j.state FROM jobs j WHERE {where} ORDER BY j.id DESC")
    return {row.id: JobState(row.state) for row in conn.execute(query, bound)}


def test_every_list_has_the_newest_and_every_page_goes_on(conn: Connection) -> None:
    asked = list(selections(*books(conn)))

    for which in asked:
        expected = list(plainly(conn, which))
        first = job_lists.newest(conn, which, limit=2)
        assert first == expected[:2], which
        if first:
            assert job_lists.newest(conn, which, limit=50, before=first[-1]) == expected[2:], which


def test_every_count_is_of_the_states_that_a_command_is_about(conn: Connection) -> None:
    asked = list(selections(*books(conn)))

    for which, states in product(asked, (UNFINISHED, UNSUCCESSFUL)):
        expected = [state for state in plainly(conn, which).values() if state in states]
        found = job_lists.count_jobs(conn, which, states)
        assert found.exact
        assert found.by_state == {state: expected.count(state) for state in set(expected)}, which


def test_a_count_ends_at_its_bound_and_says_so(conn: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    batch, *_ = books(conn)
    monkeypatch.setattr(job_lists, "COUNT_AT_MOST", 3)

    several = job_lists.count_jobs(conn, Selection(DEFAULT_PROJECT_ID), UNSUCCESSFUL)
    queued = job_lists.count_jobs(conn, Selection(DEFAULT_PROJECT_ID, batch_id=batch), [JobState.QUEUED])

    assert (several.total, several.exact) == (4, False)
    assert (queued.total, queued.exact) == (9, True), "a counter has no bound"
