"""Write events down, in the transaction that makes them true, together with the deliveries that webhooks get of them.

Call it last in a transaction: from here to its commit readers wait for it (horizon.py). One statement for any number of
events of a kind, and nothing at all for jobs of batches unless somebody asked for those.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import Connection, text

BATCH_EVENTS_KEY = "pressroom_events"
"""A batch whose metadata has this key with the value `jobs` gets an event for every one of its jobs."""

TEST_TYPE = "webhook.test"
"""Goes only to the endpoint that it was made for."""

OPEN_TO_ALL = ("deployment.started", "deployment.stopped")
"""Types without a project that every project may hear of; others without one are the installation's alone."""

WANTS_JOBS = f"""
    (b.metadata ->> '{BATCH_EVENTS_KEY}' = 'jobs' OR EXISTS (SELECT 1 FROM webhook_endpoints w
      WHERE w.disabled_at IS NULL AND w.batch_jobs AND (w.project_id = b.project_id OR w.project_id IS NULL)))
"""  # noqa: S608  (a constant)
"""SQL: whether events of the jobs of a row `batches b` are wanted. Cheap enough for every group that settles."""

# A pattern's `_` is itself; its `*` is any characters.
_FAN_OUT = f"""
    INSERT INTO webhook_deliveries (endpoint_id, event_id)
    SELECT w.id, e.id FROM written e JOIN webhook_endpoints w ON w.disabled_at IS NULL
      AND (w.project_id IS NULL OR w.project_id = e.project_id
        OR (e.project_id IS NULL AND e.type IN ({", ".join(f"'{name}'" for name in OPEN_TO_ALL)})))
      AND (w.batch_jobs OR e.batch_id IS NULL OR e.job_id IS NULL) AND e.type <> '{TEST_TYPE}'
      AND EXISTS (SELECT 1 FROM unnest(w.events) AS p WHERE e.type LIKE replace(replace(p, '_', '\\_'), '*', '%'))
"""  # noqa: S608  (from the names above)

_RECORD = text(
    f"""
    WITH written AS (
      INSERT INTO events (project_id, type, job_id, batch_id, data)
      SELECT project_id, type, job_id, batch_id, data FROM json_to_recordset(CAST(:rows AS json))
        AS t (project_id uuid, type text, job_id uuid, batch_id uuid, data jsonb)
      RETURNING id, project_id, type, job_id, batch_id
    ) {_FAN_OUT}
    """  # noqa: S608
)

_JOB_DATA = """
    jsonb_strip_nulls(jsonb_build_object('custom_id', j.custom_id, 'endpoint', j.url, 'model', d.model,
      'error_code', CASE WHEN j.state <> 'succeeded' THEN j.error_code END, 'cost_usd', j.cost_usd::text))
"""

_RECORD_JOBS = text(
    f"""
    WITH written AS (
      INSERT INTO events (project_id, type, job_id, batch_id, data)
      SELECT j.project_id, 'job.' || CASE WHEN j.state IN ('queued', 'blocked') THEN 'created' ELSE j.state::text END,
        j.id, j.batch_id, {_JOB_DATA}
      FROM jobs j JOIN deployments d ON d.id = j.deployment_id WHERE j.id = ANY(CAST(:ids AS uuid[])) ORDER BY j.id
      RETURNING id, project_id, type, job_id, batch_id
    ) {_FAN_OUT}
    """  # noqa: S608
)

# Those that this very transaction ended: it wrote the rows last.
_RECORD_ENDED = text(
    f"""
    WITH written AS (
      INSERT INTO events (project_id, type, job_id, batch_id, data)
      SELECT j.project_id, 'job.' || j.state::text, j.id, j.batch_id, {_JOB_DATA}
      FROM jobs j JOIN deployments d ON d.id = j.deployment_id
      WHERE j.batch_id = ANY(CAST(:batches AS uuid[])) AND j.state IN ('cancelled', 'expired')
        AND j.xmin = pg_current_xact_id()::xid ORDER BY j.batch_id, j.line_no
      RETURNING id, project_id, type, job_id, batch_id
    ) {_FAN_OUT}
    """  # noqa: S608
)

_RECORD_BATCHES = text(
    f"""
    WITH written AS (
      INSERT INTO events (project_id, type, batch_id, data)
      SELECT b.project_id, coalesce(CAST(:type AS text), 'batch.' || b.state::text), b.id, jsonb_build_object(
        'state', b.state::text, 'total', b.total, 'succeeded', b.succeeded, 'failed', b.failed,
        'cancelled', b.cancelled, 'expired', b.expired, 'cost_usd', b.cost_usd::text)
      FROM batches b WHERE b.id = ANY(CAST(:ids AS uuid[])) ORDER BY b.id
      RETURNING id, project_id, type, job_id, batch_id
    ) {_FAN_OUT}
    """  # noqa: S608
)


@dataclass(frozen=True, slots=True)
class NewEvent:
    """One thing that happened. `data` is small, and holds what a listener would otherwise have to ask for."""

    type: str
    project_id: UUID | None = None
    job_id: UUID | None = None
    batch_id: UUID | None = None
    data: Mapping[str, Any] = field(default_factory=dict)


def record_events(conn: Connection, events: Sequence[NewEvent]) -> None:
    """Write these down in the caller's transaction; one statement, none without events."""
    if not events:
        return
    rows = [
        {
            "project_id": event.project_id,
            "type": event.type,
            "job_id": event.job_id,
            "batch_id": event.batch_id,
            "data": event.data,
        }
        for event in events
    ]
    conn.execute(_RECORD, {"rows": orjson.dumps(rows).decode()})


def record_jobs(conn: Connection, ids: Collection[UUID]) -> None:
    """`job.created` for jobs that wait, `job.<state>` for those that ended, by what their rows say now."""
    if ids:
        conn.execute(_RECORD_JOBS, {"ids": list(ids)})


def record_ended_early(conn: Connection, batches: Collection[UUID]) -> None:
    """`job.cancelled` or `job.expired` for all jobs of these batches that this transaction ended so."""
    if batches:
        conn.execute(_RECORD_ENDED, {"batches": list(batches)})


def record_batches(conn: Connection, ids: Collection[UUID], event_type: str | None = None) -> None:
    """`batch.<state>` by what their rows say now, or `event_type` (`batch.created`), with their counters."""
    if ids:
        conn.execute(_RECORD_BATCHES, {"ids": list(ids), "type": event_type})
