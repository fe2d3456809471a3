"""How a job or batch stands that somebody follows: what its stream has to tell that no event does."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, text

from models import FINAL_STATES, JobState
from pressroom.errors import NotFound
from pressroom.events.outbox import WANTS_JOBS
from pressroom.events.read import Event
from pressroom.ids import show_id

_FINAL_BATCH_STATES = frozenset({"completed", "failed", "cancelled", "expired"})

_JOB = text(
    f"""
    SELECT j.state::text AS state, j.batch_id, j.custom_id, j.error_code, j.cost_usd, d.model, j.url,
      coalesce(j.finished_at, j.started_at, j.created_at) AS at,
      j.batch_id IS NULL OR (SELECT {WANTS_JOBS} FROM batches b WHERE b.id = j.batch_id) AS has_events
    FROM jobs j JOIN deployments d ON d.id = j.deployment_id WHERE j.id = :id AND j.project_id = :project
    """  # noqa: S608  (a constant)
)

_BATCH = text(
    """
    SELECT state::text AS state, total, succeeded, failed, cancelled, expired, cost_usd,
      coalesce(finished_at, now()) AS at
    FROM batches WHERE id = :id AND project_id = :project
    """
)


@dataclass(frozen=True, slots=True)
class Standing:
    """How it stands, as an event that has no place in the outbox (id 0).

    `is_final`: nothing more will happen. `has_events`: the end is told by an event that is kept.
    """

    event: Event
    is_final: bool
    has_events: bool


def look_at_job(conn: Connection, project_id: UUID, job_id: UUID) -> Standing:
    """Raises NotFound for another project's, too."""
    row = conn.execute(_JOB, {"id": job_id, "project": project_id}).one_or_none()
    if row is None:
        raise NotFound(f"there is no job {show_id('job', job_id)}")
    data: dict[str, Any] = {"endpoint": row.url, "model": row.model}
    given = {"custom_id": row.custom_id, "cost_usd": None if row.cost_usd is None else str(row.cost_usd)}
    given["error_code"] = row.error_code if row.state != "succeeded" else None
    data |= {name: value for name, value in given.items() if value is not None}
    event = _as_event(f"job.{row.state}", project_id, data, row.at, job_id=job_id, batch_id=row.batch_id)
    return Standing(event, JobState(row.state) in FINAL_STATES, row.has_events)


def look_at_batch(conn: Connection, project_id: UUID, batch_id: UUID) -> Standing:
    """Raises NotFound for another project's, too."""
    row = conn.execute(_BATCH, {"id": batch_id, "project": project_id}).one_or_none()
    if row is None:
        raise NotFound(f"there is no batch {show_id('batch', batch_id)}")
    names = ("state", "total", "succeeded", "failed", "cancelled", "expired")
    data = {name: getattr(row, name) for name in names} | {"cost_usd": str(row.cost_usd)}
    is_final = row.state in _FINAL_BATCH_STATES
    name = f"batch.{row.state}" if is_final else "batch.progress"
    return Standing(_as_event(name, project_id, data, row.at, batch_id=batch_id), is_final, has_events=True)


def ends(event: Event, *, job_id: UUID | None, batch_id: UUID | None) -> bool:
    """Whether nothing more will happen to the job or batch after this."""
    subject, _, state = event.type.partition(".")
    if job_id is not None:
        return subject == "job" and event.job_id == job_id and state in FINAL_STATES
    return batch_id is not None and subject == "batch" and event.batch_id == batch_id and state in _FINAL_BATCH_STATES


def _as_event(
    event_type: str,
    project_id: UUID,
    data: Mapping[str, Any],
    at: datetime,
    *,
    job_id: UUID | None = None,
    batch_id: UUID | None = None,
) -> Event:
    return Event(0, project_id, event_type, job_id, batch_id, data, at)
