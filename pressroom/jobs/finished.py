"""Jobs that have ended, with their answers: many in two statements."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, text

_FINISHED = text(
    """
    SELECT j.id, j.project_id, j.url, j.state::text AS state, j.error_code, j.cost_usd, j.est_images, j.created_at,
      j.started_at, j.finished_at, d.model, d.is_sandbox, d.pool_id, r.status_code, r.request_id,
      CAST(r.body AS text) AS body, r.error
    FROM jobs j JOIN deployments d ON d.id = j.deployment_id LEFT JOIN job_results r ON r.job_id = j.id
    WHERE j.id = ANY(CAST(:ids AS uuid[])) AND j.state IN ('succeeded', 'failed', 'cancelled', 'expired')
    """
)

_PICTURES = text(
    """
    SELECT id, job_id, position, key, content_type, byte_size FROM artifacts
    WHERE job_id = ANY(CAST(:ids AS uuid[])) AND kind = 'image' ORDER BY job_id, position
    """
)


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture of an answer, in the store."""

    id: UUID
    position: int
    key: str
    content_type: str
    byte_size: int


@dataclass(frozen=True, slots=True)
class FinishedJob:
    """A job in its final state. `body` is the provider's answer as JSON text, without its pictures."""

    id: UUID
    project_id: UUID
    url: str
    state: str
    error_code: str | None
    cost_usd: Decimal | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime
    model: str
    is_sandbox: bool
    pool_id: int
    status_code: int | None
    request_id: str | None
    body: str | None
    error: dict[str, Any] | None
    pictures: Sequence[Picture] = ()


def load_finished(conn: Connection, job_ids: Collection[UUID]) -> list[FinishedJob]:
    """Those of the jobs that have ended, in any order."""
    rows = [dict(row) for row in conn.execute(_FINISHED, {"ids": list(job_ids)}).mappings()]
    drawn = [row["id"] for row in rows if row.pop("est_images") and row["state"] == "succeeded"]
    pictures: dict[UUID, list[Picture]] = {}
    if drawn:
        for row in conn.execute(_PICTURES, {"ids": drawn}):
            picture = Picture(row.id, row.position, row.key, row.content_type, row.byte_size)
            pictures.setdefault(row.job_id, []).append(picture)
    return [FinishedJob(**row, pictures=pictures.get(row["id"], ())) for row in rows]
