"""What people and programs ask about batches and jobs. Reads only; every answer is one project's."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, text

from models import DEFAULT_PROJECT_ID, BatchState, JobState
from models.job import PARKED_UNTIL
from pressroom.errors import InvalidInput, NotFound, Problem
from pressroom.ids import show_id
from pressroom.jobs import waiting
from pressroom.jobs.batch_counts import BatchCounts
from pressroom.jobs.budgets import BudgetRow, budgets_of_batch
from pressroom.jobs.dependencies import Dependency, needs_of
from pressroom.jobs.job_lists import newest, oldest
from pressroom.jobs.selection import Selection
from pressroom.operations.checks import shortened

# A batch goes to one provider, so its first line tells which.
_BATCH = """
    SELECT b.id, b.input_name, b.state, b.metadata, b.total, b.succeeded, b.failed, b.cancelled, b.expired,
      b.est_cost_usd, b.cost_usd, b.at_risk_usd, b.created_at, b.finished_at, b.paused_at,
      coalesce((SELECT d.is_sandbox FROM jobs j JOIN deployments d ON d.id = j.deployment_id
        WHERE j.batch_id = b.id ORDER BY j.line_no LIMIT 1), false) AS is_sandbox
    FROM batches b
"""

_OUT = text(
    """
    SELECT j.state, count(*)::int AS n FROM jobs j
    WHERE j.lease_id IS NOT NULL AND j.batch_id = :batch GROUP BY 1
    """
)
_IN_BACKOFF = text(
    f"SELECT count(*)::int FROM jobs WHERE state = 'queued' AND run_at < '{PARKED_UNTIL}' AND batch_id = :batch"  # noqa: S608
)

_JOB_COLUMNS = """
    j.id, j.batch_id, j.line_no, j.custom_id, d.model, j.url, j.state, d.is_sandbox, j.calls, j.attempts_used,
    j.max_attempts, j.est_cost_usd, j.cost_usd,
    (SELECT sum(a.at_risk_usd) FROM attempts a WHERE a.job_id = j.id) AS at_risk_usd,
    j.error_code, j.run_at, j.deadline, j.superseded_by, j.created_at,
    j.started_at, j.finished_at, f.priority,
    (SELECT s.priority_class::text FROM stakes s WHERE s.id = f.stake_id) AS priority_class,
    (SELECT coalesce(array_agg(t.tag ORDER BY t.tag), '{}') FROM job_tags t WHERE t.job_id = j.id) AS tags,
    coalesce((SELECT n.metadata FROM job_notes n WHERE n.job_id = j.id), '{}') AS metadata
"""

_ATTEMPTS = text(
    """
    SELECT id, number, outcome, started_at, finished_at, status_code, error_code, error_message, request_id, usage,
      service_tier, est_cost_usd, cost_usd, at_risk_usd
    FROM attempts WHERE job_id = :id ORDER BY number
    """
)
_REQUEST = text(
    """
    SELECT CAST(q.body AS text) FROM jobs j JOIN job_requests q ON q.job_id = j.id
    WHERE j.id = :id AND j.project_id = :project_id
    """
)
_ARTIFACTS = text(
    """
    SELECT id, kind, position, key, content_type, byte_size, sha256, width, height
    FROM artifacts WHERE job_id = :id ORDER BY position, kind
    """
)


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchRow(BatchCounts):
    """A batch and its counters, as the transactions that ended its jobs left them."""

    id: UUID
    input_name: str
    state: str
    metadata: dict[str, Any]
    created_at: datetime
    finished_at: datetime | None
    is_sandbox: bool
    paused_at: datetime | None = None
    """Since when a person holds it up."""


@dataclass(frozen=True, slots=True)
class BatchProgress:
    """A batch in motion. `running` calls are on their way, `waiting` jobs pause before another attempt.

    `budgets` are the batch's own and those that some of its jobs wait for; these have `waiting_jobs`.
    """

    batch: BatchRow
    running: int
    leased: int
    waiting: int
    budgets: Sequence[BudgetRow] = ()

    @property
    def queued(self) -> int:
        """Jobs ready and not yet taken. The counts are of slightly different moments, so never below zero."""
        return max(0, self.batch.unfinished - self.running - self.leased - self.waiting)


@dataclass(frozen=True, slots=True)
class JobRow:
    """A job as lists show it.

    `waiting_for` says in a word (`waiting.Reason`) and `waiting_because` in words why it has not started; `jobs_ahead`
    and `estimated_start` are null where nobody can tell.
    """

    id: UUID
    batch_id: UUID | None
    line_no: int | None
    custom_id: str | None
    model: str
    url: str
    state: str
    is_sandbox: bool
    calls: int
    attempts_used: int
    max_attempts: int
    est_cost_usd: Decimal
    cost_usd: Decimal | None
    at_risk_usd: Decimal | None
    error_code: str | None
    run_at: datetime | None
    deadline: datetime | None
    superseded_by: UUID | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    priority: int
    priority_class: str
    tags: Sequence[str]
    metadata: Mapping[str, str]
    waiting_for: str | None
    waiting_because: str | None
    jobs_ahead: int | None
    estimated_start: datetime | None


@dataclass(frozen=True, slots=True)
class AttemptRow:
    """One call to the provider."""

    id: UUID
    number: int
    outcome: str
    started_at: datetime
    finished_at: datetime | None
    status_code: int | None
    error_code: str | None
    error_message: str | None
    request_id: str | None
    usage: dict[str, Any] | None
    service_tier: str | None
    est_cost_usd: Decimal
    cost_usd: Decimal | None
    at_risk_usd: Decimal | None


@dataclass(frozen=True, slots=True)
class ArtifactRow:
    """A stored object of a job."""

    id: UUID
    kind: str
    position: int
    key: str
    content_type: str
    byte_size: int
    sha256: str
    width: int | None
    height: int | None


@dataclass(frozen=True, slots=True)
class JobDetail:
    """Everything about one job. `body` is the request; the answer is null until it ended."""

    job: JobRow
    body: dict[str, Any]
    status_code: int | None
    answer: dict[str, Any] | None
    error: dict[str, Any] | None
    attempts: Sequence[AttemptRow]
    artifacts: Sequence[ArtifactRow]
    needs: Sequence[Dependency] = ()


def find_project(conn: Connection, name: str | None) -> UUID:
    """The project of that name, or the default one. Raises NotFound."""
    if name is None:
        return DEFAULT_PROJECT_ID
    found = conn.execute(text("SELECT id FROM projects WHERE name = :name"), {"name": name}).scalar_one_or_none()
    if found is None:
        known = ", ".join(conn.execute(text("SELECT name FROM projects ORDER BY name LIMIT 20")).scalars())
        raise NotFound(f"there is no project {shortened(name)!r}: the projects are {known}")
    return UUID(str(found))


def parse_states(names: Sequence[str]) -> list[JobState]:
    """Job states by name. Raises InvalidInput."""
    known = [state.value for state in JobState]
    for name in names:
        if name not in known:
            remedy = f"Use one of {', '.join(known)}"
            raise InvalidInput([Problem("state", "is not a job state", remedy, value=shortened(name))])
    return [JobState(name) for name in names]


def parse_batch_states(names: Sequence[str]) -> list[BatchState]:
    """Batch states by name. Raises InvalidInput."""
    known = [state.value for state in BatchState]
    for name in names:
        if name not in known:
            remedy = f"Use one of {', '.join(known)}"
            raise InvalidInput([Problem("state", "is not a batch state", remedy, value=shortened(name))])
    return [BatchState(name) for name in names]


def find_batch(conn: Connection, project_id: UUID, batch_id: UUID) -> BatchRow:
    """One batch. Raises NotFound."""
    query = text(f"{_BATCH} WHERE b.id = :id AND b.project_id = :project_id")
    row = conn.execute(query, {"id": batch_id, "project_id": project_id}).one_or_none()
    if row is None:
        shown = show_id("batch", batch_id)
        remedy = "`pressroom batches list` shows all there are; give --project NAME for those of another"
        raise NotFound(f"there is no batch {shown} in this project: {remedy}")
    return BatchRow(**row._mapping)


def list_batches(
    conn: Connection,
    project_id: UUID,
    *,
    states: Sequence[BatchState] = (),
    limit: int = 20,
    before: UUID | None = None,
) -> list[BatchRow]:
    """Newest first; `before` continues after the last id of the page before."""
    where, bound = "b.project_id = :project_id", {"project_id": project_id, "limit": limit, "before": before}
    if states:
        where += " AND b.state = ANY(CAST(:states AS batch_state[]))"
        bound["states"] = [state.value for state in states]
    if before is not None:
        where += " AND b.id < :before"
    rows = conn.execute(text(f"{_BATCH} WHERE {where} ORDER BY b.id DESC LIMIT :limit"), bound)
    return [BatchRow(**row._mapping) for row in rows]


def database_time(conn: Connection) -> datetime:
    """Now, by the clock that all other times come from."""
    now: datetime = conn.execute(text("SELECT clock_timestamp()")).scalar_one()
    return now


def batch_progress(conn: Connection, project_id: UUID, batch_id: UUID) -> BatchProgress:
    """From the batch's counters and two small partial indexes; finished and queued jobs are never counted."""
    batch = find_batch(conn, project_id, batch_id)
    if not batch.unfinished:
        return BatchProgress(batch, 0, 0, 0)
    out = {row.state: row.n for row in conn.execute(_OUT, {"batch": batch_id})}
    paused = conn.execute(_IN_BACKOFF, {"batch": batch_id}).scalar_one()
    budgets = budgets_of_batch(conn, batch_id, is_sandbox=batch.is_sandbox)
    return BatchProgress(batch, out.get("running", 0), out.get("leased", 0), paused, budgets)


def list_jobs(conn: Connection, which: Selection, *, limit: int = 50, before: UUID | None = None) -> list[JobRow]:
    """Newest first; `before` continues after the last id of the page before."""
    return jobs_of(conn, newest(conn, which, limit=limit, before=before))


def list_oldest_jobs(conn: Connection, which: Selection, *, limit: int, after: UUID | None = None) -> list[JobRow]:
    """Oldest first; `after` continues after the last id of the page before."""
    return jobs_of(conn, oldest(conn, which, limit=limit, after=after))


def jobs_of(conn: Connection, ids: Sequence[UUID]) -> list[JobRow]:
    """The jobs of these ids, in their order. Which ids a project may see, the caller knows."""
    query = f"""
        SELECT {_JOB_COLUMNS}, {waiting.COLUMNS}
        FROM jobs j JOIN deployments d ON d.id = j.deployment_id {waiting.JOINS}
        WHERE j.id = ANY(CAST(:ids AS uuid[]))
    """  # noqa: S608  (no values)
    rows = [dict(row) for row in conn.execute(text(query), {"ids": list(ids)}).mappings()]
    found = {row["id"]: JobRow(**row) for row in waiting.with_reasons(conn, rows)}
    return [found[id_] for id_ in ids if id_ in found]


def find_job(conn: Connection, project_id: UUID, job_id: UUID) -> JobDetail:
    """One job with its request, answer, attempts and artifacts. Raises NotFound."""
    query = f"""
        SELECT {_JOB_COLUMNS}, {waiting.COLUMNS}, q.body AS request, r.status_code, r.body AS answer, r.error
        FROM jobs j JOIN deployments d ON d.id = j.deployment_id {waiting.JOINS} JOIN job_requests q ON q.job_id = j.id
        LEFT JOIN job_results r ON r.job_id = j.id WHERE j.id = :id AND j.project_id = :project_id
    """  # noqa: S608
    row = conn.execute(text(query), {"id": job_id, "project_id": project_id}).mappings().one_or_none()
    if row is None:
        raise _no_job(job_id)
    [rest] = waiting.with_reasons(conn, [dict(row)])
    body, status_code, answer, error = (rest.pop(name) for name in ("request", "status_code", "answer", "error"))
    return JobDetail(
        job=JobRow(**rest),
        body=body,
        status_code=status_code,
        answer=answer,
        error=error,
        attempts=[AttemptRow(**a._mapping) for a in conn.execute(_ATTEMPTS, {"id": job_id})],
        artifacts=[ArtifactRow(**a._mapping) for a in conn.execute(_ARTIFACTS, {"id": job_id})],
        needs=needs_of(conn, job_id),
    )


def find_request(conn: Connection, project_id: UUID, job_id: UUID) -> str:
    """A job's request body, as JSON text. Raises NotFound."""
    bound = {"id": job_id, "project_id": project_id}
    found: str | None = conn.execute(_REQUEST, bound).scalar_one_or_none()
    if found is None:
        raise _no_job(job_id)
    return found


def _no_job(job_id: UUID) -> NotFound:
    remedy = "`pressroom jobs list` shows the newest; give --project NAME for those of another"
    return NotFound(f"there is no job {show_id('job', job_id)} in this project: {remedy}")
