"""End jobs that have not been called: cancelled by people, or expired by their deadline. One statement for millions."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Engine, Row, text

from models import JobState
from pressroom.events.outbox import record_batches, record_ended_early, record_jobs
from pressroom.jobs.books import Books
from pressroom.jobs.dependencies import release_missed
from pressroom.jobs.flows import FlowChange, change_flows
from pressroom.jobs.holds import release_held
from pressroom.jobs.lease import close_in_leases
from pressroom.jobs.over_budget import wake
from pressroom.jobs.selection import Selection
from pressroom.jobs.stops import flows_of, refresh_paused, stopped, wait_for_dispatch

# One statement for all states: a job that goes from `running` back to `queued` while others are being cancelled would
# slip between two. What counts is the state of the locked row. Locked in id order, as by everybody who writes several.
_CANCEL = """
    WITH mine AS MATERIALIZED (
      SELECT j.id FROM jobs j WHERE {where} AND j.state IN ('blocked', 'queued', 'leased', 'running')
      ORDER BY j.id FOR NO KEY UPDATE
    ), ended AS (
      UPDATE jobs j SET cancel_requested = j.state = 'running',
        state = CASE j.state WHEN 'running' THEN j.state ELSE 'cancelled' END,
        lease_id = CASE j.state WHEN 'running' THEN j.lease_id END,
        run_at = NULL,
        finished_at = CASE WHEN j.state <> 'running' THEN now() END,
        error_code = CASE j.state WHEN 'running' THEN j.error_code ELSE 'cancelled' END
      FROM mine WHERE j.id = mine.id AND j.state IN ('blocked', 'queued', 'leased', 'running')
      RETURNING j.id, j.batch_id, j.flow_id, old.state AS was, old.lease_id, old.cancel_requested AS asked_before
    )
    SELECT batch_id, flow_id, was, CASE WHEN was = 'leased' THEN lease_id END AS lease_id, asked_before,
      count(*)::int AS n, array_agg(id) FILTER (WHERE was = 'leased') AS leased,
      array_agg(id) FILTER (WHERE batch_id IS NULL) AS single
    FROM ended GROUP BY 1, 2, 3, 4, 5
"""

_EXPIRE = text(
    """
    WITH mine AS MATERIALIZED (
      SELECT id FROM jobs WHERE deadline <= now() AND state IN ('blocked', 'queued', 'leased')
      ORDER BY deadline LIMIT :limit FOR NO KEY UPDATE SKIP LOCKED
    ), ended AS (
      UPDATE jobs j SET state = 'expired', lease_id = NULL, run_at = NULL, finished_at = now(), error_code = 'expired'
      FROM mine WHERE j.id = mine.id
      RETURNING j.id, j.batch_id, j.flow_id, old.state AS was, old.lease_id
    )
    SELECT batch_id, flow_id, was, lease_id, count(*)::int AS n, array_agg(id) FILTER (WHERE was = 'leased') AS leased,
      array_agg(id) AS single
    FROM ended GROUP BY 1, 2, 3, 4
    """
)
_EXPIRE_LIMIT = 2000

_MARK_BATCH = text(
    """
    UPDATE batches SET state = 'cancelling', cancelling_at = now(), clerk_until = NULL
    WHERE id = :id AND project_id = :project_id AND state = 'in_progress'
    """
)

# One that nobody has taken in yet. Whoever is at it finds it taken away.
_END_UNREAD = text(
    """
    UPDATE batches SET state = 'cancelled', cancelling_at = now(), finished_at = now(), finalized_at = now()
    WHERE id = :id AND project_id = :project_id AND state = 'validating'
    """
)


@dataclass(frozen=True, slots=True)
class Cancelled:
    """`cancelled` jobs ended at once; `asked` are running: they end after their call, and a paid result is kept."""

    cancelled: int
    asked: int


def cancel(conn: Connection, which: Selection) -> Cancelled:
    """Cancel the selected jobs that have not ended. Cooperative for jobs whose call is on its way."""
    where, bound = which.where()
    rows = conn.execute(text(_CANCEL.format(where=where)), bound).all()
    asked = sum(row.n for row in rows if row.was == "running" and not row.asked_before)
    return Cancelled(_book(conn, [row for row in rows if row.was != "running"], JobState.CANCELLED), asked)


def cancel_batch(engine: Engine, project_id: UUID, batch_id: UUID) -> Cancelled:
    """Cancel all of a batch that has not ended; the batch becomes `cancelled` with its last job.

    The batch is marked in a transaction of its own: held while jobs are waited for, its row would stop settlement. From
    then on nothing of it is leased.
    """
    begin_cancel(engine, project_id, batch_id)
    return finish_cancel(engine, project_id, batch_id)


def begin_cancel(engine: Engine, project_id: UUID, batch_id: UUID) -> bool:
    """Start no more of the batch, from this moment on: quick, however large it is. False if there was nothing to stop.

    Its jobs are ended by `finish_cancel`, which a worker does where nobody else does (`pressroom/batches/clerk.py`).
    """
    which = {"id": batch_id, "project_id": project_id}
    with engine.begin() as conn:
        unread = conn.execute(_END_UNREAD, which).rowcount
        marked = conn.execute(_MARK_BATCH, which).rowcount if not unread else 1
        refresh_paused(conn, flows_of(conn, project_id, batch_id=batch_id))
        record_batches(conn, [batch_id] if marked else [])
    return bool(marked)


def finish_cancel(engine: Engine, project_id: UUID, batch_id: UUID) -> Cancelled:
    """End the jobs of a batch of which nothing more starts."""
    with engine.connect() as conn:
        flows = flows_of(conn, project_id, batch_id=batch_id)
    wait_for_dispatch(engine, flows)
    return _cancel_stopped(engine, Selection(project_id=project_id, batch_id=batch_id))


def cancel_selected(engine: Engine, which: Selection) -> Cancelled:
    """As `cancel`, in transactions of its own. Of whole projects, batches and models nothing more starts meanwhile."""
    if not replace(which, states=()).is_of_flows:
        with engine.begin() as conn:
            done = cancel(conn, which)
        release_missed(engine)
        return done
    with engine.connect() as conn:
        flows = flows_of(conn, which.project_id, batch_id=which.batch_id, model=which.model)
    with stopped(engine, flows):
        return _cancel_stopped(engine, which)


def _cancel_stopped(engine: Engine, which: Selection) -> Cancelled:
    """What is out first: a few jobs, of which the next may start at any moment. Then all, however long that takes."""
    out = [state for state in (JobState.LEASED, JobState.RUNNING) if not which.states or state in which.states]
    first = Cancelled(0, 0)
    if out:
        with engine.begin() as conn:
            first = cancel(conn, replace(which, states=out))
    with engine.begin() as conn:
        rest = cancel(conn, which)
    release_missed(engine)
    return Cancelled(first.cancelled + rest.cancelled, first.asked + rest.asked)


def expire(conn: Connection) -> int:
    """End jobs whose deadline passed before they were started, 2,000 at most. Returns how many."""
    return _book(conn, conn.execute(_EXPIRE, {"limit": _EXPIRE_LIMIT}).all(), JobState.EXPIRED)


def _book(conn: Connection, rows: Sequence[Row[Any]], final: JobState) -> int:
    """Move the counters of leases, batches, flows and budgets by grouped rows of jobs that ended; returns how many."""
    books, flows, closed = Books(), dict[int, FlowChange](), dict[UUID, int]()
    for row in rows:
        books.add_end(row.batch_id, final.value, row.n)
        if row.was == "queued":
            flows.setdefault(row.flow_id, FlowChange()).queued -= row.n
        if row.lease_id is not None:
            closed[row.lease_id] = closed.get(row.lease_id, 0) + row.n
    close_in_leases(conn, closed, unstarted=closed)
    books.write(conn)
    moved = release_held(conn, [(job, False) for row in rows for job in row.leased or ()])
    change_flows(conn, flows)
    wake(conn, moved.waited_for, eager=False)
    if final is JobState.EXPIRED:
        record_jobs(conn, [job for row in rows if books.tells_of(row.batch_id) for job in row.single])
    else:
        record_jobs(conn, [job for row in rows for job in row.single or ()])
        record_ended_early(conn, books.wanted)
    books.tell(conn)
    return sum(row.n for row in rows)
