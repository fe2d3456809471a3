"""`/v1/batches`: files of requests, in the provider's shapes. Answers at once; the work is done behind it."""

from typing import Annotated

from fastapi import APIRouter, Query, Response

from api.auth import Reads, Submits
from api.routes.jobs import IdempotencyKey
from api.schemas.batches import BatchObject, BatchPage, CreateBatch, batch_object
from api.services import Serving
from api.threads import in_thread
from api.wire_ids import after_id, path_id
from pressroom.batches.create import BatchRequest, create_batch
from pressroom.batches.status import BatchStatus, BatchView, find_view, list_views
from pressroom.errors import Conflict
from pressroom.jobs.end_early import begin_cancel
from pressroom.jobs.idempotency import begin, record, repeatable

router = APIRouter(prefix="/v1/batches", tags=["batches"])

MAX_PAGE = 100
_JSON = "application/json"


@router.post("", summary="Make a batch of an uploaded file", response_model=BatchObject)
async def post_batch(
    asked: CreateBatch, services: Serving, caller: Submits, idempotency_key: IdempotencyKey = None
) -> Response:
    """Answered at once with `validating`. One bad line, and the batch is `failed`: nothing stored, nothing spent."""
    expires = asked.output_expires_after
    request = BatchRequest(
        project_id=caller.project_id,
        input_file_id=asked.input_file_id,
        endpoint=asked.endpoint,
        completion_window=asked.completion_window,
        provider=services.settings.provider,
        metadata=asked.metadata or {},
        output_expires_seconds=expires.seconds if expires is not None else None,
        api_key_id=caller.api_key_id,
    )

    key, said = idempotency_key, asked.model_dump_json()
    repeat = repeatable(caller.project_id, key, "POST /v1/batches", said) if key is not None else None

    def work() -> Response:
        with services.database.begin() as conn:
            earlier = begin(conn, repeat) if repeat is not None else None
            if earlier is not None:
                return Response(earlier.body, 200, {"Idempotent-Replayed": "true"}, _JSON)
            view = find_view(conn, caller.project_id, create_batch(conn, request))
            body = batch_object(view).model_dump_json().encode()
            if repeat is not None:
                record(conn, repeat, status=200, body=body)
            return Response(body, 200, media_type=_JSON)

    return await in_thread(work)


@router.get("", summary="List batches")
async def get_batches(
    services: Serving,
    caller: Reads,
    after: Annotated[str | None, Query(description="The last id of the page before.")] = None,
    limit: Annotated[int, Query(ge=1, le=MAX_PAGE)] = 20,
) -> BatchPage:
    """Newest first, those from the command line too."""
    start = after_id("batch", after)

    def work() -> list[BatchView]:
        with services.database.connect() as conn:
            return list(list_views(conn, caller.project_id, after=start, limit=limit + 1))

    views = await in_thread(work)
    data = [batch_object(view) for view in views[:limit]]
    first, last = (data[0].id, data[-1].id) if data else (None, None)
    return BatchPage(data=data, first_id=first, last_id=last, has_more=len(views) > limit)


@router.get("/{batch_id}", summary="Look at a batch")
async def get_batch(batch_id: str, services: Serving, caller: Reads) -> BatchObject:
    """How it is now."""
    found = path_id("batch", batch_id)

    def work() -> BatchView:
        with services.database.connect() as conn:
            return find_view(conn, caller.project_id, found)

    return batch_object(await in_thread(work))


@router.post("/{batch_id}/cancel", summary="Cancel a batch")
async def cancel_batch(batch_id: str, services: Serving, caller: Submits) -> BatchObject:
    """Nothing more of it starts from now on. Calls on their way finish, and what was paid for is in the output file."""
    found = path_id("batch", batch_id)

    def work() -> BatchView:
        stopped = begin_cancel(services.database, caller.project_id, found)
        with services.database.connect() as conn:
            view = find_view(conn, caller.project_id, found)
        if not stopped and view.status not in (BatchStatus.CANCELLING, BatchStatus.CANCELLED):
            raise Conflict(f"the batch is {view.status.value}: there is nothing left to cancel")
        return view

    return batch_object(await in_thread(work))
