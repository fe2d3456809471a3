"""Rows of jobs and artifacts as they go over the wire."""

from collections.abc import Mapping, Sequence
from typing import Any

from api.schemas.artifacts import Artifact
from api.schemas.jobs import Attempt, Dependency, Job, JobDetail, JobError, Waits
from pressroom.ids import show_id
from pressroom.jobs.artifacts import StoredArtifact
from pressroom.jobs.queries import AttemptRow, JobRow
from pressroom.jobs.queries import JobDetail as FoundJob


def job_view(row: JobRow) -> Job:
    """As lists show it."""
    return Job.model_validate(_job_fields(row))


def detail_view(found: FoundJob, artifacts: Sequence[StoredArtifact]) -> JobDetail:
    """Everything but the bodies."""
    runs_on_failure = any(need.run_on_failure for need in found.needs)
    return JobDetail.model_validate(
        _job_fields(found.job)
        | {
            "error": _error(found.error),
            "depends_on": [
                Dependency.model_validate({"id": show_id("job", n.id), "state": n.state}) for n in found.needs
            ],
            "on_dependency_failure": "run" if runs_on_failure else "fail",
            "attempts": [_attempt(attempt) for attempt in found.attempts],
            "artifacts": [artifact_view(artifact) for artifact in artifacts],
        }
    )


def artifact_view(row: StoredArtifact) -> Artifact:
    """With the addresses of its content."""
    shown = show_id("art", row.id)
    return Artifact.model_validate(
        {
            "id": shown,
            "kind": row.kind,
            "job_id": show_id("job", row.job_id) if row.job_id is not None else None,
            "batch_id": show_id("batch", row.batch_id) if row.batch_id is not None else None,
            "position": row.position,
            "content_type": row.content_type,
            "size_bytes": row.byte_size,
            "sha256": row.sha256,
            "width": row.width,
            "height": row.height,
            "content_url": f"/v1/artifacts/{shown}/content",
            "thumbnail_url": f"/v1/artifacts/{shown}/thumbnail" if row.has_thumbnail else None,
            "created_at": row.created_at,
        }
    )


def _job_fields(row: JobRow) -> dict[str, Any]:
    same = (
        "state url model custom_id priority_class priority run_at deadline calls attempts_used max_attempts tags"
        " metadata est_cost_usd cost_usd at_risk_usd error_code created_at started_at finished_at"
    )
    return {name: getattr(row, name) for name in same.split()} | {
        "id": show_id("job", row.id),
        "sandbox": row.is_sandbox,
        "batch_id": show_id("batch", row.batch_id) if row.batch_id is not None else None,
        "line": row.line_no,
        "superseded_by": show_id("job", row.superseded_by) if row.superseded_by is not None else None,
        "waits": _waits(row),
    }


def _waits(row: JobRow) -> Waits | None:
    if row.waiting_for is None:
        return None
    return Waits.model_validate(
        {
            "reason": row.waiting_for,
            "message": row.waiting_because,
            "jobs_ahead": row.jobs_ahead,
            "estimated_start": row.estimated_start,
        }
    )


def _error(error: Mapping[str, Any] | None) -> JobError | None:
    if error is None:
        return None
    return JobError(**{name: _text(error.get(name)) for name in ("code", "message", "type", "param")})


def _text(value: Any) -> str | None:
    """Providers put a number there at times."""
    return None if value is None else str(value)


def _attempt(row: AttemptRow) -> Attempt:
    names = (
        "number outcome started_at finished_at status_code error_code error_message request_id usage service_tier"
        " est_cost_usd cost_usd at_risk_usd"
    )
    return Attempt.model_validate({name: getattr(row, name) for name in names.split()} | {"id": show_id("att", row.id)})
