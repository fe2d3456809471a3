"""A batch as the provider's API tells of it: its eight statuses, its nine times, what is spent and when it will end."""

import enum
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, text

from models import BatchState
from pressroom.errors import NotFound
from pressroom.ids import show_id
from pressroom.jobs.batch_counts import BatchCounts

_COLUMNS = """
    b.id, b.state, b.input_name, b.metadata, b.total, b.succeeded, b.failed, b.cancelled, b.expired, b.est_cost_usd,
    b.cost_usd, b.at_risk_usd, b.endpoint, b.model, b.input_file_id, b.output_file_id, b.error_file_id,
    b.completion_window, b.deadline, b.errors, b.usage, b.paused_at, b.created_at, b.in_progress_at, b.cancelling_at,
    b.finished_at, b.finalized_at, now() AS read_at,
    coalesce((SELECT d.is_sandbox FROM jobs j JOIN deployments d ON d.id = j.deployment_id
      WHERE j.batch_id = b.id ORDER BY j.line_no LIMIT 1), false) AS is_sandbox
"""


class BatchStatus(enum.StrEnum):
    """The provider's words."""

    VALIDATING = "validating"
    FAILED = "failed"
    IN_PROGRESS = "in_progress"
    FINALIZING = "finalizing"
    COMPLETED = "completed"
    EXPIRED = "expired"
    CANCELLING = "cancelling"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchView(BatchCounts):
    """A batch and all that is told of it. One from the command line has no input file and is over with its last job."""

    id: UUID
    state: str
    input_name: str
    metadata: dict[str, Any]
    endpoint: str | None
    model: str | None
    input_file_id: UUID | None
    output_file_id: UUID
    error_file_id: UUID
    completion_window: str | None
    deadline: datetime | None
    errors: list[dict[str, Any]] | None
    usage: dict[str, Any] | None
    paused_at: datetime | None
    created_at: datetime
    in_progress_at: datetime | None
    cancelling_at: datetime | None
    finished_at: datetime | None
    finalized_at: datetime | None
    read_at: datetime
    is_sandbox: bool

    @property
    def over_at(self) -> datetime | None:
        """When it reached its last status: its files are written, or it has none of its own."""
        return self.finalized_at if self.input_file_id is not None else self.finished_at

    @property
    def status(self) -> BatchStatus:
        """The provider's word for how it is with the batch."""
        if self.state == BatchState.CANCELLED:
            return BatchStatus.CANCELLED if self.over_at is not None else BatchStatus.CANCELLING
        if self.state != BatchState.COMPLETED:
            return BatchStatus(self.state)
        if self.over_at is None:
            return BatchStatus.FINALIZING
        return BatchStatus.EXPIRED if self.expired else BatchStatus.COMPLETED

    @property
    def unsuccessful(self) -> int:
        """Jobs that ended without an answer that is one: lines of the error file."""
        return self.failed + self.cancelled + self.expired

    @property
    def has_output(self) -> bool:
        """Whether the output file has a line by now."""
        return self.succeeded > 0

    def over_as(self, status: BatchStatus) -> datetime | None:
        """When it ended so; None where it did not."""
        return self.over_at if self.status is status else None

    @property
    def finalizing_at(self) -> datetime | None:
        """When its last job ended; a cancelled batch is never said to be finalizing."""
        return self.finished_at if self.state == BatchState.COMPLETED else None

    @property
    def eta(self) -> datetime | None:
        """When it ends if it goes on as since it began; None while that cannot be told."""
        done = self.succeeded + self.unsuccessful
        if self.state != BatchState.IN_PROGRESS or self.paused_at is not None or not done or not self.in_progress_at:
            return None
        elapsed = (self.read_at - self.in_progress_at).total_seconds()
        return self.read_at + timedelta(seconds=(self.total - done) * elapsed / done)


def find_view(conn: Connection, project_id: UUID, batch_id: UUID) -> BatchView:
    """One batch. Raises NotFound."""
    query = text(f"SELECT {_COLUMNS} FROM batches b WHERE b.id = :id AND b.project_id = :project")  # noqa: S608
    row = conn.execute(query, {"id": batch_id, "project": project_id}).one_or_none()
    if row is None:
        raise NotFound(f"there is no batch {show_id('batch', batch_id)} in this project")
    return BatchView(**row._mapping)


def list_views(
    conn: Connection, project_id: UUID, *, after: UUID | None = None, limit: int = 20
) -> Sequence[BatchView]:
    """Newest first; `after` continues after the last id of the page before."""
    query = text(
        f"""
        SELECT {_COLUMNS} FROM batches b WHERE b.project_id = :project
          AND (CAST(:after AS uuid) IS NULL OR b.id < :after) ORDER BY b.id DESC LIMIT :limit
        """  # noqa: S608
    )
    rows = conn.execute(query, {"project": project_id, "after": after, "limit": limit})
    return [BatchView(**row._mapping) for row in rows]
