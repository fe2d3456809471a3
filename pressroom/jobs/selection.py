"""Which jobs: the filter that lists, cancels and retries share. Values are always bound, never spliced in."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from models import JobState

_OUT = {JobState.LEASED, JobState.RUNNING}
_UNSUCCESSFUL = {JobState.FAILED, JobState.CANCELLED, JobState.EXPIRED}


@dataclass(frozen=True, slots=True)
class Selection:
    """All conditions must hold; an empty one holds always. `project_id` is not optional: nothing crosses projects.

    An `error_code` without states selects jobs that ended with it, not those that met it and were queued again.
    """

    project_id: UUID
    ids: Sequence[UUID] = ()
    states: Sequence[JobState] = ()
    batch_id: UUID | None = None
    model: str | None = None
    error_code: str | None = None
    created_from: datetime | None = None
    created_until: datetime | None = None

    @property
    def is_of_flows(self) -> bool:
        """Whether all that it names are whole flows: what waits of a project, batch or model."""
        waits = set(self.states) <= {JobState.QUEUED, JobState.BLOCKED, JobState.LEASED}
        return waits and not (self.ids or self.error_code or self.created_from or self.created_until)

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
        ]
        for clause, name, value in options:
            if value is not None:
                clauses.append(clause)
                bound[name] = value
        # Implied; said so that the partial indexes serve.
        if self.states and set(self.states) <= _OUT:
            clauses.append("j.lease_id IS NOT NULL")
        if (self.states and set(self.states) <= _UNSUCCESSFUL) or (self.error_code is not None and not self.states):
            clauses.append("j.state IN ('failed', 'cancelled', 'expired')")
        return " AND ".join(clauses), bound
