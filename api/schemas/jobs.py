"""`/v1/jobs` on the wire."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.config import JsonDict

from api.schemas.artifacts import Artifact
from api.schemas.values import GivenMoment, Moment, Usd

MAX_JOBS = 1000
"""In one request; more belong in a batch."""

MAX_TAGS = 16
Class = Literal["interactive", "normal", "bulk"]
State = Literal["blocked", "queued", "leased", "running", "succeeded", "failed", "cancelled", "expired"]
Priority = Annotated[int, Field(ge=-100, le=100, strict=True)]
Tag = Annotated[str, Field(min_length=1, max_length=64)]
"""Short: tags are there to be looked up by."""

_EXAMPLE: JsonDict = {
    "url": "/v1/chat/completions",
    "body": {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Name three typefaces."}]},
    "custom_id": "typefaces-1",
    "class": "bulk",
    "tags": ["catalogue"],
}


class _Given(BaseModel):
    """What clients send: a field that nobody knows is a mistake and is told."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)


class NewJob(_Given):
    """One request to a model, and how it is to be treated."""

    model_config = ConfigDict(json_schema_extra={"examples": [_EXAMPLE]})

    url: str = Field(description="The endpoint, as `/v1/chat/completions`.")
    body: dict[str, Any] = Field(description="The request, as the provider takes it.")
    custom_id: str | None = Field(None, min_length=1, max_length=512, description="Your own name for it.")
    priority_class: Class = Field("normal", alias="class", description="How urgent it is.")
    priority: Priority = Field(0, description="Order within the project's class: smaller is sooner.")
    run_at: GivenMoment | None = Field(None, description="Starts no sooner. With a UTC offset.")
    deadline: GivenMoment | None = Field(None, description="Expires if it has not started by then.")
    max_attempts: int | None = Field(
        None, ge=1, le=100, strict=True, description="Calls that may fail before it does; the installation's if null."
    )
    tags: Sequence[Tag] = Field((), max_length=MAX_TAGS, description="Words to find it by.")
    metadata: dict[str, str] | None = Field(None, description="Up to 16 pairs, for yourself.")
    depends_on: Sequence[Annotated[str, Field(min_length=1)]] = Field(
        (), max_length=MAX_JOBS, description="Ids of jobs, or `custom_id`s of this request, that must end before."
    )
    on_dependency_failure: Literal["fail", "run"] = Field(
        "fail", description="What becomes of it when one of those does not succeed."
    )


class NewJobs(_Given):
    """Many at once: all are stored, or none."""

    jobs: Sequence[NewJob] = Field(min_length=1, max_length=MAX_JOBS)


class JobError(BaseModel):
    """Why a job did not succeed. The provider's own words, if it came to a call."""

    code: str | None
    message: str | None
    type: str | None = None
    param: str | None = None


class Waits(BaseModel):
    """What a job that has not started waits for.

    `dependencies`, `run_at` (its time has not come), `retry` (a pause between attempts), `budget`, `paused` (its
    project or batch), `breaker` (its deployment is stopped), `limits` (its limit group is), `workers` (none runs, or
    none has the key), `turn` (others are before it), `ending` (it is about to expire or being cancelled).
    """

    reason: Literal[
        "dependencies", "run_at", "retry", "budget", "paused", "breaker", "limits", "workers", "turn", "ending"
    ]
    message: str
    jobs_ahead: int | None = Field(
        description="Jobs of its project and class that are served before it; null where it has no place, or a far one."
    )
    estimated_start: Moment | None = Field(description="By the rate of its limit group; null where nobody can tell.")


class Job(BaseModel):
    """A job as lists show it."""

    id: str = Field(examples=["job_01993f2c6ad07c2f9a3e5d8b1c0f4e21"])
    object: Literal["job"] = "job"
    state: State
    url: str
    model: str
    sandbox: bool = Field(description="The answer is made up, and nothing is billed.")
    custom_id: str | None
    batch_id: str | None
    line: int | None = Field(description="Of the batch's file.")
    priority_class: Class = Field(serialization_alias="class")
    priority: int
    run_at: Moment | None
    deadline: Moment | None
    calls: int = Field(description="Calls made for it.")
    attempts_used: int = Field(description="Of them, those that count: a 429 does not.")
    max_attempts: int
    tags: Sequence[str]
    metadata: dict[str, str]
    est_cost_usd: Usd = Field(description="What it may cost at most.")
    cost_usd: Usd | None = Field(description="What it has cost so far; null before its first answer.")
    at_risk_usd: Usd | None = Field(description="What calls without an answer may have cost on top.")
    error_code: str | None
    waits: Waits | None = Field(description="While it is blocked or queued.")
    superseded_by: str | None = Field(description="The job that took its place when it was retried.")
    created_at: Moment
    started_at: Moment | None
    finished_at: Moment | None


class Attempt(BaseModel):
    """One call to the provider."""

    id: str
    number: int
    outcome: Literal["started", "succeeded", "failed", "rejected", "unknown", "released"] = Field(
        description="`rejected` is a 429; `unknown` may have been billed; `released` was never sent."
    )
    started_at: Moment
    finished_at: Moment | None
    status_code: int | None
    error_code: str | None
    error_message: str | None
    request_id: str | None = Field(description="The provider's.")
    usage: dict[str, Any] | None
    service_tier: str | None
    est_cost_usd: Usd
    cost_usd: Usd | None
    at_risk_usd: Usd | None


class Dependency(BaseModel):
    """A job that this one needs."""

    id: str
    state: State


class JobDetail(Job):
    """Everything about one job but the bodies: those are at `/request` and `/result`."""

    error: JobError | None
    depends_on: Sequence[Dependency]
    on_dependency_failure: Literal["fail", "run"]
    attempts: Sequence[Attempt]
    artifacts: Sequence[Artifact]


class JobPage(BaseModel):
    """A page of jobs. `after=<last_id>` gives the next one."""

    object: Literal["list"] = "list"
    data: Sequence[Job]
    first_id: str | None
    last_id: str | None
    has_more: bool


class JobFilter(_Given):
    """Which jobs: all that is given must hold. At least one field, or `"all": true` for everything of the project."""

    ids: Sequence[str] | None = Field(None, min_length=1, max_length=MAX_JOBS)
    states: Sequence[State] | None = Field(None, min_length=1)
    model: str | None = None
    batch_id: str | None = None
    tag: Tag | None = None
    error_code: str | None = None
    url: str | None = None
    custom_id: str | None = None
    created_after: GivenMoment | None = None
    created_before: GivenMoment | None = None
    finished_after: GivenMoment | None = None
    finished_before: GivenMoment | None = None
    all: bool = Field(False, strict=True)
    dry_run: bool = Field(False, strict=True, description="Only count what would be meant.")


class Urgency(_Given):
    """What jobs that wait change to: a class, a priority, or both; one of them is needed."""

    priority_class: Class | None = Field(None, alias="class")
    priority: Priority | None = None


class Reprioritise(JobFilter, Urgency):
    """Which jobs, and what they change to."""


class Selected(BaseModel):
    """What a call by filter did; with `dry_run`, what it would have been about, and nothing was done."""

    object: Literal["jobs.selected"] = "jobs.selected"
    dry_run: bool
    matched: dict[str, int] | None = Field(
        description="Of a dry run: the jobs that it concerns, by state.", examples=[{"queued": 120}]
    )
    exact: bool = Field(description="False where `matched` was not counted to the end: there are more.")
    changed: int = Field(description="Jobs cancelled, queued again, or moved.")
    running: int = Field(description="Of a cancel: jobs being called, which end with their call.")
