"""The worker's side of a lease: claim it, start its jobs, hand back what will not be started here.

Every write is fenced by the lease id: a row that was taken back in the meantime is not touched.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, text

from pressroom.jobs.array import array
from pressroom.jobs.flows import FlowChange, change_flows
from pressroom.jobs.holds import release_held
from pressroom.jobs.over_budget import wake

# A claim that a crash loses is a lease nobody claimed, which is sent again: it is not waited for until it is on disk.
_CLAIM = text(
    """
    UPDATE leases l SET worker_id = :worker FROM deployments d, pools p, workers w
    WHERE l.id = :lease AND (l.worker_id IS NULL OR (:again AND l.worker_id = :worker))
      AND d.id = l.deployment_id AND p.id = l.pool_id
      AND w.id = :worker AND w.gave_up_at IS NULL
    RETURNING l.pool_id, l.deployment_id, d.model, d.base_url, d.is_sandbox, d.token_ratio, p.name AS pool_name,
      p.explicit_limits, p.learned_limits, p.catalog_limits, p.stated_limits, p.limiter_epoch,
      d.account, d.api_key_env, l.urgent,
      EXISTS (SELECT 1 FROM routes r JOIN routes o ON o.model = r.model
        AND o.project_id IS NOT DISTINCT FROM r.project_id AND o.deployment_id <> r.deployment_id
        WHERE r.deployment_id = d.id) AS routed, set_config('synchronous_commit', 'off', true)
    """
)

_JOBS = text(
    """
    SELECT j.id, j.project_id, j.batch_id, j.flow_id, j.url, j.attempts_used, j.max_attempts, j.deadline,
      j.est_tokens, j.est_images, j.est_cost_usd, r.body
    FROM jobs j JOIN job_requests r ON r.job_id = j.id JOIN flows f ON f.id = j.flow_id
    WHERE j.lease_id = :lease AND j.state = 'leased' ORDER BY f.priority, f.deadline, f.id, j.id
    """
)

# Only the worker on the lease's row may start its jobs: a claim that the database lost in a crash is nobody's.
# `mine` here and below locks in id order, so that starts, cancels and recovery cannot deadlock.
_START = text(
    """
    WITH wanted AS (
      SELECT * FROM unnest(CAST(:jobs AS uuid[]), CAST(:leases AS uuid[]), CAST(:attempts AS uuid[]))
        AS t (job_id, lease_id, attempt_id)
    ), mine AS MATERIALIZED (
      SELECT j.id FROM jobs j JOIN wanted t ON t.job_id = j.id
        JOIN leases l ON l.id = t.lease_id AND l.worker_id = :worker ORDER BY j.id FOR NO KEY UPDATE OF j
    ), started AS (
      UPDATE jobs j SET state = 'running', started_at = coalesce(j.started_at, now()), calls = j.calls + 1
      FROM wanted t JOIN mine ON mine.id = t.job_id
      WHERE j.id = t.job_id AND j.lease_id = t.lease_id AND j.state = 'leased' AND NOT j.cancel_requested
      RETURNING j.id, j.lease_id, j.deployment_id, j.calls, j.est_cost_usd, t.attempt_id
    ), booked AS (
      INSERT INTO attempts (id, job_id, number, lease_id, worker_id, deployment_id, outcome, est_cost_usd)
      SELECT attempt_id, id, calls, lease_id, :worker, deployment_id, 'started', est_cost_usd FROM started
    ), done AS (
      SELECT lease_id, count(*) AS n FROM started GROUP BY lease_id
    ), held AS MATERIALIZED (
      SELECT id FROM leases WHERE id IN (SELECT lease_id FROM done) ORDER BY id FOR NO KEY UPDATE
    ), counted AS (
      UPDATE leases l SET waiting = l.waiting - done.n,
        waiting_seconds = CASE WHEN l.waiting <= done.n THEN 0
          ELSE l.waiting_seconds * (l.waiting - done.n) / l.waiting END
      FROM done JOIN held ON held.id = done.lease_id WHERE l.id = held.id
    )
    SELECT attempt_id FROM started UNION ALL
    SELECT a.id FROM attempts a JOIN wanted t ON t.attempt_id = a.id JOIN jobs j ON j.id = a.job_id
      AND j.lease_id = t.lease_id AND j.state = 'running'
    """
)

_HAND_BACK = text(
    """
    WITH mine AS MATERIALIZED (
      SELECT id FROM jobs WHERE id = ANY(CAST(:jobs AS uuid[])) ORDER BY id FOR NO KEY UPDATE
    )
    UPDATE jobs j SET state = 'queued', lease_id = NULL
    FROM unnest(CAST(:jobs AS uuid[]), CAST(:leases AS uuid[])) AS t (job_id, lease_id) JOIN mine ON mine.id = job_id
      JOIN leases l ON l.id = t.lease_id
    WHERE j.id = t.job_id AND j.lease_id = t.lease_id AND j.state = 'leased'
    RETURNING j.id, j.flow_id, t.lease_id, l.job_seconds AS seconds
    """
)

# Locked as they are now, in id order; one statement, for everybody who settles or hands back asks it.
_CLOSE = text(
    """
    WITH t AS (
      SELECT * FROM unnest(CAST(:leases AS uuid[]), CAST(:closed AS int[]), CAST(:unstarted AS int[]))
        AS t (id, closed, unstarted)
    ), held AS MATERIALIZED (
      SELECT l.id, l.open - t.closed AS left_open, t.unstarted FROM leases l JOIN t ON t.id = l.id
      ORDER BY l.id FOR UPDATE OF l
    ), gone AS (
      DELETE FROM leases l USING held WHERE l.id = held.id AND held.left_open <= 0
    )
    UPDATE leases l SET open = held.left_open, waiting = greatest(0, l.waiting - held.unstarted),
      waiting_seconds = CASE WHEN l.waiting <= held.unstarted THEN 0
        ELSE l.waiting_seconds * (l.waiting - held.unstarted) / l.waiting END
    FROM held WHERE l.id = held.id AND held.left_open > 0
    """
)


@dataclass(frozen=True, slots=True)
class LeasedJob:
    """A job as its worker sees it. `body` is the request as submitted."""

    id: UUID
    lease_id: UUID
    project_id: UUID
    batch_id: UUID | None
    flow_id: int
    url: str
    body: dict[str, Any]
    attempts_used: int
    max_attempts: int
    deadline: datetime | None
    est_tokens: int
    est_images: int
    est_cost_usd: Decimal


@dataclass(frozen=True, slots=True)
class ClaimedLease:
    """A lease that this worker now holds, with what is needed to pace and call its deployment."""

    id: UUID
    pool_id: int
    pool_name: str
    deployment_id: int
    model: str
    base_url: str
    is_sandbox: bool
    limit_layers: tuple[Mapping[str, Any], Mapping[str, Any], Mapping[str, Any]]
    limiter_epoch: str | None
    jobs: Sequence[LeasedJob]
    token_ratio: float = 1.0
    """By which dispatch multiplied the estimated tokens of these jobs."""
    stated_limits: Mapping[str, Sequence[float]] = field(default_factory=dict)
    account: str = ""
    api_key_env: str | None = None
    routed: bool = False
    """Whether a route names other deployments that may serve the model too."""
    urgent: bool = False
    """Whether its jobs are interactive, and start before others that wait in the same process."""


@dataclass(frozen=True, slots=True)
class Start:
    """One job about to be called, and the attempt under which it will be on the books."""

    job_id: UUID
    lease_id: UUID
    attempt_id: UUID


def claim_lease(conn: Connection, lease_id: UUID, worker_id: UUID, *, again: bool = False) -> ClaimedLease | None:
    """Make the lease this worker's. None when it is gone or taken, or the worker given up: the message is stale.

    `again`: a claim of it failed without an answer and may have been made. The claim stands by itself: its two
    statements need no transaction around them.
    """
    row = conn.execute(_CLAIM, {"lease": lease_id, "worker": worker_id, "again": again}).one_or_none()
    if row is None:
        return None
    jobs = [LeasedJob(lease_id=lease_id, **job._asdict()) for job in conn.execute(_JOBS, {"lease": lease_id})]
    return ClaimedLease(
        id=lease_id,
        pool_id=row.pool_id,
        pool_name=row.pool_name,
        deployment_id=row.deployment_id,
        model=row.model,
        base_url=row.base_url,
        is_sandbox=row.is_sandbox,
        limit_layers=(row.explicit_limits, row.learned_limits, row.catalog_limits),
        limiter_epoch=row.limiter_epoch,
        stated_limits=row.stated_limits,
        jobs=jobs,
        token_ratio=row.token_ratio,
        account=row.account,
        api_key_env=row.api_key_env,
        routed=row.routed,
        urgent=row.urgent,
    )


def start_jobs(conn: Connection, worker_id: UUID, starts: Sequence[Start]) -> set[UUID]:
    """Turn `leased` into `running` and book the attempts, in one statement. Returns the attempts that may be called.

    Jobs of attempts missing from the answer were cancelled or taken back, or run under another attempt: they must not
    be called. Of two attempts of one job among `starts` one is booked, and only that one is in the answer. Asking
    again with the same attempt ids, after a commit whose answer was lost, gives the same answer.
    """
    rows = conn.execute(
        _START,
        {
            "jobs": [s.job_id for s in starts],
            "leases": [s.lease_id for s in starts],
            "attempts": [s.attempt_id for s in starts],
            "worker": worker_id,
        },
    )
    return set(rows.scalars())


def hand_back(conn: Connection, jobs: Sequence[tuple[UUID, UUID]]) -> int:
    """Return jobs that were never started, as (job id, lease id), to their flows. Returns how many went back.

    Their flows get back what dispatch charged them, at the mean of each lease.
    """
    rows = conn.execute(_HAND_BACK, {"jobs": [j[0] for j in jobs], "leases": [j[1] for j in jobs]}).all()
    closed: dict[UUID, int] = {}
    for row in rows:
        closed[row.lease_id] = closed.get(row.lease_id, 0) + 1
    close_in_leases(conn, closed, unstarted=closed)
    flows: dict[int, FlowChange] = {}
    for row in rows:
        change = flows.setdefault(row.flow_id, FlowChange(ready=True))
        change.queued += 1
        change.seconds -= row.seconds
    moved = release_held(conn, [(row.id, False) for row in rows])
    change_flows(conn, flows)
    wake(conn, moved.waited_for, eager=False)
    return len(rows)


def close_in_leases(conn: Connection, closed: Mapping[UUID, int], *, unstarted: Mapping[UUID, int]) -> None:
    """Count jobs out of their leases; a lease with none left is deleted. `unstarted` of them had not been started."""
    if not closed:
        return
    ids = sorted(closed)
    conn.execute(
        _CLOSE,
        {
            "leases": array(ids),
            "closed": array([closed[i] for i in ids]),
            "unstarted": array([unstarted.get(i, 0) for i in ids]),
        },
    )
