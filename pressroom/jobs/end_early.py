"""End jobs that have not been called: cancelled by people, or expired by their deadline. One statement for millions."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, text

from models import JobState
from pressroom.jobs.books import Books
from pressroom.jobs.flows import FlowChange, change_flows
from pressroom.jobs.lease import close_in_leases
from pressroom.jobs.selection import Selection

# Locked in id order, as by everybody who writes several jobs.
_END = """
    WITH mine AS MATERIALIZED (
      SELECT j.id FROM jobs j WHERE {where} AND j.state IN ('blocked', 'queued', 'leased')
      ORDER BY j.id FOR NO KEY UPDATE
    ), ended AS (
      UPDATE jobs j SET state = CAST(:final AS job_state), lease_id = NULL, run_at = NULL, finished_at = now(),
        error_code = :final
      FROM mine WHERE j.id = mine.id AND j.state IN ('blocked', 'queued', 'leased')
      RETURNING j.batch_id, j.flow_id, old.state AS was, old.lease_id
    )
    SELECT batch_id, flow_id, was, lease_id, count(*)::int AS n FROM ended GROUP BY 1, 2, 3, 4
"""

_ASK_RUNNING = """
    WITH mine AS MATERIALIZED (
      SELECT j.id FROM jobs j WHERE {where} AND j.state = 'running' AND NOT j.cancel_requested
      ORDER BY j.id FOR NO KEY UPDATE
    )
    UPDATE jobs j SET cancel_requested = true FROM mine WHERE j.id = mine.id AND j.state = 'running'
"""

_CLOSE_EMPTY_BATCH = text(
    """
    UPDATE batches SET state = 'cancelling' WHERE id = :id AND project_id = :project_id AND state = 'in_progress'
    """
)

_EXPIRED = "j.deadline <= now()"


@dataclass(frozen=True, slots=True)
class Cancelled:
    """`cancelled` jobs ended at once; `asked` are running: they end after their call, and a paid result is kept."""

    cancelled: int
    asked: int


def cancel(conn: Connection, which: Selection) -> Cancelled:
    """Cancel the selected jobs that have not ended. Cooperative for jobs whose call is on its way."""
    where, bound = which.where()
    cancelled = _end(conn, where, bound, JobState.CANCELLED)
    asked = conn.execute(text(_ASK_RUNNING.format(where=where)), bound).rowcount
    return Cancelled(cancelled, asked)


def cancel_batch(conn: Connection, project_id: UUID, batch_id: UUID) -> Cancelled:
    """Cancel all of a batch that has not ended; the batch becomes `cancelled` with its last job."""
    conn.execute(_CLOSE_EMPTY_BATCH, {"id": batch_id, "project_id": project_id})
    return cancel(conn, Selection(project_id=project_id, batch_id=batch_id))


def expire(conn: Connection) -> int:
    """End jobs whose deadline passed before they were started. Returns how many."""
    return _end(conn, _EXPIRED, {}, JobState.EXPIRED)


def _end(conn: Connection, where: str, bound: dict[str, Any], final: JobState) -> int:
    rows = conn.execute(text(_END.format(where=where)), bound | {"final": final.value}).all()
    books, flows, closed = Books(), dict[int, FlowChange](), dict[UUID, int]()
    for row in rows:
        books.add_end(row.batch_id, final.value, row.n)
        if row.was == "queued":
            flows.setdefault(row.flow_id, FlowChange()).queued -= row.n
        if row.lease_id is not None:
            closed[row.lease_id] = closed.get(row.lease_id, 0) + row.n
    close_in_leases(conn, closed, unstarted=closed)
    books.write(conn)
    change_flows(conn, flows)
    return sum(row.n for row in rows)
