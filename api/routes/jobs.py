"""`/v1/jobs`: jobs handed in one by one or many at once, found, looked into, and changed."""

from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Request, Response
from pydantic import TypeAdapter
from sqlalchemy import Connection
from starlette.background import BackgroundTask
from starlette.exceptions import HTTPException

from api.auth import Caller, Reads, Submits
from api.errors import ApiError
from api.job_selection import PageQuery, list_selection
from api.job_views import detail_view, job_view
from api.schemas.jobs import MAX_JOBS, Job, JobDetail, JobPage, NewJob
from api.services import Services, Serving
from api.submitted_jobs import read_jobs
from api.sync_call import LINK_SECONDS
from api.threads import in_long_thread, in_thread
from api.wire_ids import path_id
from pressroom.errors import Conflict
from pressroom.ids import show_id
from pressroom.jobs import queries
from pressroom.jobs.accept import Answer, Submitter
from pressroom.jobs.answers import answer_of
from pressroom.jobs.artifacts import ArtifactPlace, list_artifacts
from pressroom.jobs.finished import Picture, load_finished
from pressroom.jobs.idempotency import repeatable
from pressroom.jobs.queries import find_job, find_request, jobs_of

router = APIRouter(prefix="/v1/jobs", tags=["jobs"])

MOST_ARTIFACTS = 100
"""Shown with a job; all are at /v1/artifacts."""

VERBS = ("cancel", "retry", "reprioritise")
"""Stand where ids do, and can only be posted to."""

_JSON = "application/json"
_created = TypeAdapter[Job | JobPage](Job | JobPage)

IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=255,
        pattern="^[!-~]+$",
        description="Sent again with the same key and body, the request gets the answer of the first time; kept a day.",
    ),
]


def _documented_body() -> dict[str, Any]:
    """The request's schema. The route reads the body itself, to tell everything that is wrong with any job of it."""
    job = NewJob.model_json_schema()
    many = {
        "type": "object",
        "title": "NewJobs",
        "description": "Many at once: all are stored, or none.",
        "required": ["jobs"],
        "additionalProperties": False,
        "properties": {"jobs": {"type": "array", "minItems": 1, "maxItems": MAX_JOBS, "items": job}},
    }
    content = {_JSON: {"schema": {"oneOf": [job, many]}, "example": {"jobs": job["examples"]}}}
    return {"requestBody": {"required": True, "content": content}}


@router.post(
    "",
    status_code=201,
    summary="Submit jobs",
    response_model=Job | JobPage,
    openapi_extra=_documented_body(),
)
async def post_jobs(
    request: Request, services: Serving, caller: Submits, idempotency_key: IdempotencyKey = None
) -> Response:
    """One job, or up to 1,000: all are stored, or none, and then every problem is named with its index and field.

    They are dispatched at once. More than 1,000 belong in a batch.
    """
    data = await request.body()
    answer = await in_thread(_accept, services, caller, data, idempotency_key)
    headers = {"Idempotent-Replayed": "true"} if answer.replayed else {}
    dispatching = BackgroundTask(in_thread, services.acceptor.dispatch, answer.pools) if answer.pools else None
    return Response(answer.body, answer.status, headers, _JSON, dispatching)


def _accept(services: Services, caller: Caller, data: bytes, key: str | None) -> Answer:
    repeat = repeatable(caller.project_id, key, "POST /v1/jobs", data) if key is not None else None
    drafts, alone = read_jobs(data, max_attempts=services.settings.max_attempts)

    def render(conn: Connection, ids: Any) -> tuple[int, bytes]:
        jobs = [job_view(row) for row in jobs_of(conn, ids)]
        shown = jobs[0] if alone else JobPage(data=jobs, first_id=jobs[0].id, last_id=jobs[-1].id, has_more=False)
        return 201, _created.dump_json(shown, by_alias=True)

    submitter = Submitter(caller.project_id, caller.api_key_id)
    return services.acceptor.accept(drafts, submitter, alone=alone, render=render, repeat=repeat)


@router.get("", summary="List jobs")
async def get_jobs(services: Serving, caller: Reads, query: Annotated[PageQuery, Query()]) -> JobPage:
    """Newest first, or oldest first; jobs of batches among them. All conditions that are given must hold."""

    def work() -> JobPage:
        with services.database.connect() as conn:
            which = list_selection(conn, caller, query)
            most = query.limit + 1
            if query.order == "asc":
                rows = queries.list_oldest_jobs(conn, which, limit=most, after=query.start)
            else:
                rows = queries.list_jobs(conn, which, limit=most, before=query.start)
        data = [job_view(row) for row in rows[: query.limit]]
        first, last = (data[0].id, data[-1].id) if data else (None, None)
        return JobPage(data=data, first_id=first, last_id=last, has_more=len(rows) > query.limit)

    return await in_thread(work)


@router.get("/{job_id}", summary="Look into a job")
async def get_job(job_id: str, services: Serving, caller: Reads) -> JobDetail:
    """With every call that was made for it, what they cost, its pictures, and what it waits for."""
    if job_id in VERBS:
        raise HTTPException(405, headers={"Allow": "POST"})
    return await in_thread(job_detail, services, caller, job_id)


def job_detail(services: Services, caller: Caller, job_id: str) -> JobDetail:
    """The job as the caller may see it. Raises NotFound."""
    found_id = path_id("job", job_id)
    with services.database.connect() as conn:
        found = find_job(conn, caller.project_id, found_id)
        place = ArtifactPlace(job_id=found_id)
        artifacts = list_artifacts(conn, caller.project_id, place, limit=MOST_ARTIFACTS)
    return detail_view(found, artifacts)


@router.get("/{job_id}/request", summary="Read what was asked", response_model=dict[str, Any])
async def get_request(job_id: str, services: Serving, caller: Reads) -> Response:
    """The body as it was handed in."""
    found_id = path_id("job", job_id)

    def work() -> str:
        with services.database.connect() as conn:
            return find_request(conn, caller.project_id, found_id)

    return Response(await in_thread(work), media_type=_JSON)


@router.get("/{job_id}/result", summary="Read the answer", response_model=dict[str, Any])
async def get_result(job_id: str, services: Serving, caller: Reads) -> Response:
    """The provider's own body, pictures put back in as they were asked for: as base64, or as addresses for an hour.

    Always 200 once the job has ended; `X-Provider-Status` is the provider's status, and the body then its error where
    the job failed, or ours where no answer came. 409 until then.
    """
    return await in_long_thread(_result, services, caller, job_id)


def _result(services: Services, caller: Caller, job_id: str) -> Response:
    found_id = path_id("job", job_id)
    with services.database.connect() as conn:
        found = find_job(conn, caller.project_id, found_id)
        ended = load_finished(conn, [found_id])
    if not ended:
        raise ApiError(
            409,
            code="job_not_ended",
            message=f"{show_id('job', found_id)} is {found.job.state}: its answer is there when it has ended",
            headers={"Retry-After": "1"},
        )

    def link(picture: Picture) -> str:
        return services.store.presigned_url(picture.key, expires_seconds=LINK_SECONDS)

    answer = answer_of(ended[0], found.body, store=services.store, link=link)
    headers = {"X-Provider-Status": str(answer.status), "X-Pressroom-Job-State": ended[0].state}
    if ended[0].request_id is not None:
        headers["X-Pressroom-Provider-Request-Id"] = ended[0].request_id
    return Response(answer.body, 200, headers, _JSON)


def refuse_state(detail: JobDetail, what: str, remedy: str) -> Conflict:
    """The job's state does not allow what was asked."""
    return Conflict(f"{detail.id} is {detail.state}: it cannot be {what}; {remedy}")
