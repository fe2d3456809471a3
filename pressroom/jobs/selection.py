"""Which jobs: the filter that lists, cancels and retries share. Values are always bound, never spliced in."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from models import JobState

OUT = frozenset({JobState.LEASED, JobState.RUNNING})
UNSUCCESSFUL = frozenset({JobState.FAILED, JobState.CANCELLED, JobState.EXPIRED})

_TAGGED = """EXISTS (SELECT 1 FROM job_tags t
    WHERE t.project_id = :project_id AND t.tag = :tag AND t.job_id = j.id)"""

_ID_SLACK = timedelta(minutes=15)
"""An id carries the time at which it was made: by the producer's clock, while its submission was under way.

Object stores take no request of a clock that is further off.
"""


@dataclass(frozen=True, slots=True)
class Selection:
    """All conditions must hold; an empty one holds always. `project_id` is not optional: nothing crosses projects.

    An `error_code` without states selects jobs that ended with it, not those that met it and were queued again. A
    `custom_id` without a batch selects jobs outside batches.
    """

    project_id: UUID
    ids: Sequence[UUID] = ()
    states: Sequence[JobState] = ()
    batch_id: UUID | None = None
    model: str | None = None
    error_code: str | None = None
    created_from: datetime | None = None
    created_until: datetime | None = None
    finished_from: datetime | None = None
    finished_until: datetime | None = None
    url: str | None = None
    tag: str | None = None
    custom_id: str | None = None

    @property
    def is_of_flows(self) -> bool:
        """Whether all that it names are whole flows: what waits of a project, batch or model."""
        waits = set(self.states) <= {JobState.QUEUED, JobState.BLOCKED, JobState.LEASED}
        of_jobs = (self.error_code, self.url, self.tag, self.custom_id, *self._times)
        return waits and not self.ids and all(one is None for one in of_jobs)

    @property
    def _times(self) -> tuple[datetime | None, ...]:
        return self.created_from, self.created_until, self.finished_from, self.finished_until

    def where(self) -> tuple[str, dict[str, Any]]:
        """SQL over `jobs j`, and its parameters."""
        clauses = ["j.project_id = :project_id"]
        bound: dict[str, Any] = {"project_id": self.project_id}
        options: list[tuple[str, str, Any]] = [
            ("j.id = ANY(CAST(:ids AS uuid[]))", "ids", list(self.ids) or None),
            ("j.state = ANY(CAST(:states AS job_state[]))", "states", [s.value for s in self.states] or None),
            ("j.batch_id = :batch_id", "batch_id", self.batch_id),
            ("j.deployment_id IN (SELECT id FROM deployments WHERE model = :model)", "model", self.model),
            ("j.error_code = :error_code", "error_code", self.error_code),
            ("j.created_at >= :created_from", "created_from", self.created_from),
            ("j.created_at < :created_until", "created_until", self.created_until),
            ("j.finished_at >= :finished_from", "finished_from", self.finished_from),
            ("j.finished_at < :finished_until", "finished_until", self.finished_until),
            ("j.url = :url", "url", self.url),
            ("j.custom_id = :custom_id", "custom_id", self.custom_id),
            (_TAGGED, "tag", self.tag),
            # Implied; said so that every index that ends with the id serves.
            ("j.id >= CAST(:first_id AS uuid)", "first_id", _id_at(self.created_from, -_ID_SLACK)),
            ("j.id < CAST(:end_id AS uuid)", "end_id", _id_at(self.created_until, _ID_SLACK)),
        ]
        for clause, name, value in options:
            if value is not None:
                clauses.append(clause)
                bound[name] = value
        # Of single jobs, whose names are in an index; a batch's are looked for in the batch.
        if self.custom_id is not None and self.batch_id is None:
            clauses.append("j.batch_id IS NULL")
        # Implied; said so that the partial indexes serve.
        if self.states and set(self.states) <= OUT:
            clauses.append("j.lease_id IS NOT NULL")
        if (self.states and set(self.states) <= UNSUCCESSFUL) or (self.error_code is not None and not self.states):
            clauses.append("j.state IN ('failed', 'cancelled', 'expired')")
        return " AND ".join(clauses), bound


def _id_at(time: datetime | None, slack: timedelta) -> UUID | None:
    """The smallest UUIDv7 of that moment."""
    if time is None:
        return None
    milliseconds = max(0, int((time + slack).timestamp() * 1000))
    return UUID(int=milliseconds << 80)
