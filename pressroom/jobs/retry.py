"""Run ended jobs again. No final state is left: a new job takes the line over, and the old one says by whom."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Engine, text

from pressroom.events.outbox import record_jobs
from pressroom.jobs.dependencies import release
from pressroom.jobs.flows import FlowChange, FlowKey, change_flows, ensure_flow
from pressroom.jobs.selection import Selection
from pressroom.jobs.stops import refresh_paused

# A deadline that has passed is dropped: whoever asks for a retry wants it to run. One that needed other jobs needs them
# again, or those that took their places (`_NEEDS`).
_RETRY = """
    WITH picked AS MATERIALIZED (
      SELECT j.*, uuidv7() AS new_id, coalesce(
        (SELECT t.new FROM unnest(CAST(:overdue AS bigint[]), CAST(:instead AS bigint[])) AS t (old, new)
          WHERE t.old = j.flow_id), j.flow_id) AS new_flow,
        EXISTS (SELECT 1 FROM job_dependencies d WHERE d.job_id = j.id) AS needs FROM jobs j
      WHERE {where} AND j.state IN ('failed', 'cancelled', 'expired') AND j.superseded_by IS NULL
      ORDER BY j.id FOR NO KEY UPDATE OF j
    ), superseded AS (
      UPDATE jobs SET superseded_by = p.new_id FROM picked p WHERE jobs.id = p.id
    ), added AS (
      INSERT INTO jobs (id, project_id, batch_id, api_key_id, line_no, custom_id, flow_id, deployment_id, url, state,
        priority, deadline, max_attempts, est_tokens, est_images, est_cost_usd)
      SELECT new_id, project_id, batch_id, api_key_id, line_no, custom_id, new_flow, deployment_id, url,
        CASE WHEN needs THEN 'blocked' ELSE 'queued' END::job_state, priority,
        CASE WHEN deadline > now() THEN deadline END, max_attempts, est_tokens, est_images, est_cost_usd
      FROM picked
    ), requests AS (
      INSERT INTO job_requests (job_id, body)
      SELECT p.new_id, r.body FROM picked p JOIN job_requests r ON r.job_id = p.id
    ), tagged AS (
      INSERT INTO job_tags (project_id, tag, job_id)
      SELECT p.project_id, t.tag, p.new_id FROM picked p JOIN job_tags t ON t.job_id = p.id
    ), noted AS (
      INSERT INTO job_notes (job_id, metadata)
      SELECT p.new_id, n.metadata FROM picked p JOIN job_notes n ON n.job_id = p.id
    )
    SELECT batch_id, new_flow AS flow_id, state, count(*)::int AS n, count(*) FILTER (WHERE NOT needs)::int AS queued,
      sum(est_tokens)::bigint AS tokens, sum(est_images)::bigint AS images,
      array_agg(id) FILTER (WHERE needs) AS blocked_old, array_agg(new_id) FILTER (WHERE needs) AS blocked,
      array_agg(new_id) FILTER (WHERE batch_id IS NULL) AS single
    FROM picked GROUP BY 1, 2, 3
"""

_NEEDS = text(
    """
    WITH RECURSIVE heirs AS (
      SELECT t.new AS job_id, d.needs_id, d.run_on_failure
      FROM unnest(CAST(:old AS uuid[]), CAST(:new AS uuid[])) AS t (old, new)
        JOIN job_dependencies d ON d.job_id = t.old
      UNION ALL
      SELECT h.job_id, n.superseded_by, h.run_on_failure FROM heirs h JOIN jobs n ON n.id = h.needs_id
      WHERE n.superseded_by IS NOT NULL
    )
    INSERT INTO job_dependencies (job_id, needs_id, run_on_failure)
    SELECT h.job_id, h.needs_id, bool_and(h.run_on_failure) FROM heirs h JOIN jobs n ON n.id = h.needs_id
    WHERE n.superseded_by IS NULL GROUP BY 1, 2
    """
)

_OVERDUE = """
    SELECT f.id, f.stake_id, f.deployment_id, f.batch_id, f.priority FROM flows f
    WHERE f.deadline <= now() AND f.project_id = :project_id AND f.id IN (
      SELECT j.flow_id FROM jobs j WHERE {where} AND j.state IN ('failed', 'cancelled', 'expired')
        AND j.superseded_by IS NULL AND j.deadline IS NOT NULL)
    ORDER BY f.id
"""

_REOPEN = text(
    """
    UPDATE batches b SET failed = b.failed - t.failed, cancelled = b.cancelled - t.cancelled,
      expired = b.expired - t.expired, state = 'in_progress', finished_at = NULL,
      finalized_at = NULL, cancelling_at = NULL
    FROM unnest(CAST(:ids AS uuid[]), CAST(:failed AS int[]), CAST(:cancelled AS int[]), CAST(:expired AS int[]))
      AS t (id, failed, cancelled, expired)
    WHERE b.id = t.id
    """
)

_LOCK_BATCHES = text("SELECT 1 FROM batches WHERE id = ANY(:ids) ORDER BY id FOR NO KEY UPDATE")


def retry(conn: Connection, selection: Selection) -> int:
    """Queue a copy of every selected job that failed, was cancelled or expired; returns how many.

    Jobs in other states, and jobs that were retried already, are passed over: calling it twice retries once. A batch
    that had ended is in progress again. Costs of the old attempts stay on the books. Runs in the caller's transaction;
    those that need other jobs are `blocked` until the next review, or until `retry_selected` lets them go.
    """
    return _retry(conn, selection)[0]


def retry_selected(engine: Engine, selection: Selection) -> int:
    """As `retry`, in transactions of its own."""
    with engine.begin() as conn:
        count, blocked = _retry(conn, selection)
    release(engine, blocked)
    return count


def _retry(conn: Connection, selection: Selection) -> tuple[int, list[UUID]]:
    """How many, and which of the new jobs need others."""
    where, bound = selection.where()
    instead = _flows_without_deadline(conn, where, bound)
    flows_now = {"overdue": list(instead), "instead": list(instead.values())}
    rows = conn.execute(text(_RETRY.format(where=where)), {**bound, **flows_now}).all()
    flows: dict[int, FlowChange] = {}
    for row in rows:
        change = FlowChange(row.queued, ready=row.queued > 0, jobs=row.n, tokens=row.tokens, images=row.images)
        flows.setdefault(row.flow_id, FlowChange()).add(change)
    blocked = [job for row in rows for job in row.blocked or ()]
    if blocked:
        conn.execute(_NEEDS, {"old": [job for row in rows for job in row.blocked_old or ()], "new": blocked})
    ids = sorted({row.batch_id for row in rows if row.batch_id is not None})
    if ids:
        ended = {
            state: [sum(row.n for row in rows if row.batch_id == i and row.state == state) for i in ids]
            for state in ("failed", "cancelled", "expired")
        }
        conn.execute(_LOCK_BATCHES, {"ids": ids})
        conn.execute(_REOPEN, {"ids": ids, **ended})
    change_flows(conn, flows)
    # Flows of a batch that was being cancelled were stopped, and it is in progress again.
    refresh_paused(conn, sorted(flows))
    record_jobs(conn, [job for row in rows for job in row.single or ()])
    return sum(row.n for row in rows), blocked


def _flows_without_deadline(conn: Connection, where: str, bound: Mapping[str, Any]) -> dict[int, int]:
    """For flows whose deadline has passed, which nothing is taken from any more: their like without one."""
    rows = conn.execute(text(_OVERDUE.format(where=where)), bound).all()
    return {
        row.id: ensure_flow(conn, FlowKey(row.stake_id, row.deployment_id, row.batch_id, row.priority)) for row in rows
    }
