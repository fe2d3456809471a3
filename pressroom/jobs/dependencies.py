"""Jobs that need other jobs: `blocked` until those have ended, then queued, or failed with the first that failed.

Whoever ends jobs learns in the same transaction which blocked ones need them (`WHO_NEEDS`), and lets those go right
after its commit, in a transaction of their own. Within the first it would have to lock jobs out of order, for what a
job needs may be settled by several processes at once; the last of them to look sees what all have committed. What a
crash between the two leaves behind, the next review finds (`release_missed`).
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import Connection, Engine, Row, text

from models import JobState
from pressroom.events.outbox import record_jobs
from pressroom.ids import show_id
from pressroom.jobs.books import Books
from pressroom.jobs.flows import FlowChange, change_flows

DEPENDENCY_FAILED = "dependency_failed"
_AT_ONCE = 1000

WHO_NEEDS = (
    "SELECT DISTINCT d.job_id FROM job_dependencies d WHERE d.waits AND d.needs_id = ANY(CAST(:ended AS uuid[]))"
)
"""Jobs that wait for those in `ended`. One look into an index for each; hardly any job has somebody waiting for it."""

# Shared, so that none of them ends unseen while the jobs that need it are not committed yet.
_HOLD = text(
    """
    SELECT id, state::text AS state FROM jobs WHERE id = ANY(CAST(:ids AS uuid[])) AND project_id = :project_id
    ORDER BY id FOR SHARE
    """
)
_INSERT = text(
    """
    INSERT INTO job_dependencies (job_id, needs_id, run_on_failure)
    SELECT * FROM unnest(CAST(:jobs AS uuid[]), CAST(:needs AS uuid[]), CAST(:run AS bool[]))
    """
)

_LOCK = text(
    """
    SELECT id FROM jobs WHERE id = ANY(CAST(:ids AS uuid[])) AND state = 'blocked' ORDER BY id FOR NO KEY UPDATE
    """
)
# In a statement after the one that locked: whoever ended another of a job's needs meanwhile has committed.
_LOOK = text(
    """
    WITH looked AS MATERIALIZED (
      SELECT d.job_id, d.needs_id, n.state, n.error_code, d.run_on_failure,
        n.state IN ('succeeded', 'failed', 'cancelled', 'expired') AS ended
      FROM job_dependencies d JOIN jobs n ON n.id = d.needs_id
      WHERE d.job_id = ANY(CAST(:ids AS uuid[])) AND d.waits
    ), seen AS (
      UPDATE job_dependencies d SET waits = false FROM looked l
      WHERE l.ended AND d.job_id = l.job_id AND d.needs_id = l.needs_id
    )
    SELECT j.id, count(*) FILTER (WHERE NOT l.ended) AS open,
      (array_agg(l.needs_id ORDER BY l.needs_id) FILTER (WHERE l.ended AND l.state <> 'succeeded'
        AND NOT l.run_on_failure))[1] AS failed_id,
      (array_agg(l.state::text ORDER BY l.needs_id) FILTER (WHERE l.ended AND l.state <> 'succeeded'
        AND NOT l.run_on_failure))[1] AS failed_state,
      (array_agg(l.error_code ORDER BY l.needs_id) FILTER (WHERE l.ended AND l.state <> 'succeeded'
        AND NOT l.run_on_failure))[1] AS failed_code
    FROM unnest(CAST(:ids AS uuid[])) AS j (id) LEFT JOIN looked l ON l.job_id = j.id GROUP BY j.id
    """
)
_QUEUE = text(
    """
    UPDATE jobs SET state = 'queued', run_at = CASE WHEN run_at > now() THEN run_at END
    WHERE id = ANY(CAST(:ids AS uuid[])) RETURNING flow_id, run_at IS NULL AS ready
    """
)
_FAIL = text(
    """
    UPDATE jobs SET state = 'failed', run_at = NULL, finished_at = now(), error_code = :code
    WHERE id = ANY(CAST(:ids AS uuid[])) RETURNING id, batch_id
    """
)
_RESULTS = text(
    """
    INSERT INTO job_results (job_id, error)
    SELECT * FROM json_to_recordset(CAST(:rows AS json)) AS t (job_id uuid, error json)
    """
)
_WHO_NEEDS = text(WHO_NEEDS)

# Of jobs that were cancelled or expired while they were blocked. Those are never blocked again.
_FORGET = text(
    """
    UPDATE job_dependencies d SET waits = false FROM jobs j WHERE d.waits AND j.id = d.job_id AND j.state <> 'blocked'
    """
)
_MISSED = text(
    """
    SELECT DISTINCT d.job_id FROM job_dependencies d JOIN jobs n ON n.id = d.needs_id
    WHERE d.waits AND n.state IN ('succeeded', 'failed', 'cancelled', 'expired')
    """
)

_OF_JOB = text(
    """
    SELECT d.needs_id AS id, n.state::text AS state, d.run_on_failure FROM job_dependencies d
    JOIN jobs n ON n.id = d.needs_id WHERE d.job_id = :job ORDER BY d.needs_id
    """
)


@dataclass(frozen=True, slots=True)
class Needs:
    """What a new job waits for. With `run_on_failure` it does not matter how those end."""

    job_id: UUID
    needs: Sequence[UUID]
    run_on_failure: bool = False


@dataclass(frozen=True, slots=True)
class Dependency:
    """A job that another needs, and its state now."""

    id: UUID
    state: str
    run_on_failure: bool


def hold_needed(conn: Connection, project_id: UUID, ids: Collection[UUID]) -> dict[UUID, JobState]:
    """The project's jobs of these ids by state, kept from ending until the caller's commit.

    Call it first in the transaction that inserts the jobs that need them.
    """
    if not ids:
        return {}
    rows = conn.execute(_HOLD, {"ids": sorted(ids), "project_id": project_id})
    return {row.id: JobState(row.state) for row in rows}


def insert_needs(conn: Connection, needs: Iterable[Needs]) -> None:
    """Write down what jobs wait for, in the transaction that inserts them `blocked`.

    `release` them after the commit: what they need may have ended long ago.
    """
    rows = [(one.job_id, need, one.run_on_failure) for one in needs for need in one.needs]
    if rows:
        jobs, needed, run = zip(*rows, strict=True)
        conn.execute(_INSERT, {"jobs": list(jobs), "needs": list(needed), "run": list(run)})


def release(engine: Engine, job_ids: Collection[UUID]) -> int:
    """Queue or fail those of these blocked jobs that nothing holds any more, and whoever fails with them; how many."""
    released = 0
    waiting = sorted(set(job_ids))
    while waiting:
        further: set[UUID] = set()
        for at in range(0, len(waiting), _AT_ONCE):
            with engine.begin() as conn:
                count, dependants = _release(conn, waiting[at : at + _AT_ONCE])
            released += count
            further |= dependants
        waiting = sorted(further)
    return released


def release_missed(engine: Engine) -> int:
    """Let go whom nobody let go: after a crash, and after jobs were ended by the thousand. Returns how many.

    Reads every dependency that somebody waits for; where there are none, nothing.
    """
    with engine.begin() as conn:
        conn.execute(_FORGET)
        missed = list(conn.execute(_MISSED).scalars())
    return release(engine, missed)


def needs_of(conn: Connection, job_id: UUID) -> list[Dependency]:
    """What a job needs, the oldest first."""
    return [Dependency(**row._mapping) for row in conn.execute(_OF_JOB, {"job": job_id})]


def find_cycle(needs: Mapping[str, Sequence[str]]) -> list[str]:
    """Names that need one another in a circle, the first again at the end; empty where there is none.

    `needs` maps each name to those it needs; names that are no keys need nothing.
    """
    done: set[str] = set()
    for start in needs:
        path: dict[str, None] = {}
        # Each entry is a name and what is left of its needs: without recursion, for a chain may be a thousand long.
        stack = [(start, iter(needs[start]))] if start not in done else []
        if stack:
            path[start] = None
        while stack:
            name, rest = stack[-1]
            for needed in rest:
                if needed in path:
                    names = list(path)
                    return [*names[names.index(needed) :], needed]
                if needed in needs and needed not in done:
                    path[needed] = None
                    stack.append((needed, iter(needs[needed])))
                    break
            else:
                done.add(name)
                del path[name]
                stack.pop()
    return []


def _release(conn: Connection, ids: Sequence[UUID]) -> tuple[int, set[UUID]]:
    """One transaction: how many went, and the jobs that need those that failed."""
    blocked = list(conn.execute(_LOCK, {"ids": list(ids)}).scalars())
    if not blocked:
        return 0, set()
    rows = conn.execute(_LOOK, {"ids": blocked}).all()
    doomed = [row for row in rows if row.failed_id is not None]
    free = [row.id for row in rows if row.failed_id is None and not row.open]
    books, flows = Books(), dict[int, FlowChange]()
    if free:
        for row in conn.execute(_QUEUE, {"ids": free}):
            flows.setdefault(row.flow_id, FlowChange()).add(FlowChange(queued=1, ready=row.ready))
    if doomed:
        for row in conn.execute(_FAIL, {"ids": [row.id for row in doomed], "code": DEPENDENCY_FAILED}):
            books.add_end(row.batch_id, JobState.FAILED.value)
        conn.execute(_RESULTS, {"rows": orjson.dumps([_result(row) for row in doomed]).decode()})
    failed = [row.id for row in doomed]
    dependants = set(conn.execute(_WHO_NEEDS, {"ended": failed}).scalars()) if failed else set()
    books.write(conn)
    change_flows(conn, flows)
    record_jobs(conn, failed)
    books.tell(conn)
    return len(free) + len(doomed), dependants


def _result(row: Row[Any]) -> dict[str, Any]:
    why = f" ({row.failed_code})" if row.failed_code and row.failed_code != row.failed_state else ""
    did = {"failed": "failed", "cancelled": "was cancelled", "expired": "expired"}[row.failed_state]
    needed = show_id("job", row.failed_id)
    message = f"{needed}, which this job needs, {did}{why}: retry that one, then this one"
    return {"job_id": str(row.id), "error": {"code": DEPENDENCY_FAILED, "message": message, "job_id": needed}}
