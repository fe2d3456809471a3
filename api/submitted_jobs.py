"""The body of `POST /v1/jobs`: one job, or many, read so that everything that is wrong with any of them is told."""

from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from pydantic import ValidationError

from api.errors import ApiError
from api.schemas.jobs import MAX_JOBS, NewJob
from models import PriorityClass
from pressroom.errors import InvalidInput, Problem
from pressroom.jobs.drafts import JobDraft
from pressroom.operations import checks

_FIELDS = ", ".join(field.alias or name for name, field in NewJob.model_fields.items())
_MANY = f"Send {{url, body, …}}, or {{jobs: […]}} with 1 to {MAX_JOBS:,} of them; more belong in a batch"


def read_jobs(data: bytes, *, max_attempts: int) -> tuple[list[JobDraft | Sequence[Problem]], bool]:
    """The jobs in order, each read or with what is wrong with it; and whether it was one job and no list.

    `max_attempts` is for those that say nothing. Raises ApiError and InvalidInput for what is no list of jobs at all.
    """
    try:
        given = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise ApiError(400, code="invalid_json", message=f"the body is not JSON: {error}") from None
    if not isinstance(given, dict):
        raise InvalidInput([Problem("body", "is not an object", _MANY, code="invalid_type")])
    if "jobs" not in given:
        return [_read(given, max_attempts)], True
    jobs = given["jobs"]
    if len(given) > 1:
        extra = next(name for name in given if name != "jobs")
        raise InvalidInput([Problem(checks.shortened(extra), "stands beside `jobs`", "Write it into each job")])
    if not isinstance(jobs, list) or not 1 <= len(jobs) <= MAX_JOBS:
        value = f"{len(jobs):,} entries" if isinstance(jobs, list) else checks.shown(jobs)
        raise InvalidInput([Problem("jobs", f"is not a list of 1 to {MAX_JOBS:,} jobs", _MANY, value=value)])
    return [_read(job, max_attempts) for job in jobs], False


def _read(given: Any, max_attempts: int) -> JobDraft | list[Problem]:
    try:
        job = NewJob.model_validate(given)
        text = orjson.dumps(job.body).decode()
    except ValidationError as error:
        return [_problem(fault) for fault in error.errors(include_url=False)]
    except orjson.JSONEncodeError:
        return [Problem("body", "is nested too deeply", "Give at most 250 levels")]
    return JobDraft(
        url=job.url,
        body=job.body,
        text=text,
        custom_id=job.custom_id,
        priority_class=PriorityClass(job.priority_class),
        priority=job.priority,
        run_at=job.run_at,
        deadline=job.deadline,
        max_attempts=job.max_attempts or max_attempts,
        tags=job.tags,
        metadata=job.metadata or {},
        depends_on=job.depends_on,
        run_on_failure=job.on_dependency_failure == "run",
    )


def _problem(fault: Mapping[str, Any]) -> Problem:
    """A fault as pydantic found it, in the house's words."""
    field = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in fault["loc"]).removeprefix(".")
    if fault["type"] == "missing":
        return checks.missing(field, "A job has at least a url and a body")
    if fault["type"] == "extra_forbidden":
        return Problem(checks.shortened(field), "is not a field of a job", f"Give only: {_FIELDS}")
    reason = f"cannot be used: {fault['msg'][:1].lower()}{fault['msg'][1:]}"
    value = checks.shown(fault["input"])
    code = "invalid_type" if fault["type"].endswith("_type") else "invalid_value"
    return Problem(field or "job", reason, "See POST /v1/jobs in /openapi.json", value=value, code=code)
