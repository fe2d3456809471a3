"""`/v1/events`: what happens, as server-sent events (docs/events.md)."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Response
from fastapi.responses import StreamingResponse

from api.auth import Reads
from api.errors import ApiError
from api.services import Services, Serving
from api.threads import in_thread
from pressroom.errors import InvalidInput, Problem
from pressroom.events.read import STREAM_TYPES, Event, Interest, parse_patterns
from pressroom.events.stream import EventsGone, Following
from pressroom.ids import parse_id

router = APIRouter(tags=["events"])

_TYPE = "text/event-stream"
_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
_COME_AGAIN = b"retry: 1000\n\n"

_EVENT: dict[str, Any] = {
    "type": "object",
    "description": "One event of the stream.",
    "properties": {"id": {"type": "string"}, "event": {"type": "string"}, "data": {"type": "string"}},
}

_ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "Events as they happen: `id` to go on from, `event` the type, `data` JSON as webhooks get it.",
        "content": {_TYPE: {"schema": _EVENT, "example": "id: 12\nevent: job.succeeded\ndata: {}\n\n"}},
    },
    204: {"description": "The job or batch is over, and nothing came after Last-Event-ID: do not come again."},
    410: {
        "description": "Events after Last-Event-ID are not kept any more.",
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}},
    },
}


class EventStream(StreamingResponse):
    """For the OpenAPI document: the one type of this answer."""

    media_type = _TYPE


@router.get("/v1/events", summary="Follow events", response_class=EventStream, responses=_ANSWERS)
async def follow(
    caller: Reads,
    services: Serving,
    *,
    job: Annotated[str | None, Query(description="Only of this job; ends with it.")] = None,
    batch: Annotated[str | None, Query(description="Only of this batch; ends with it.")] = None,
    types: Annotated[
        str | None, Query(description="Types, separated by commas, each with one `*` at most.", examples=["job.*"])
    ] = None,
    last_event_id: Annotated[
        str | None, Header(description="Go on after this event.", pattern="^[0-9]{1,18}$", examples=["512"])
    ] = None,
) -> Response:
    """Everything that happens in the project from now on, or after the event of Last-Event-ID, once and in order.

    A stream of a job or batch ends with its last event. Without `job` and `batch` it goes on until you leave.
    """
    if job is not None and batch is not None:
        raise InvalidInput([Problem("job", "is given with batch", "Give one of them: a job's stream is of it alone")])
    interest = Interest(
        caller.project_id,
        None if job is None else parse_id("job", job),
        None if batch is None else parse_id("batch", batch),
        ("*",) if types is None else parse_patterns(types.split(","), name="types", known=STREAM_TYPES),
    )
    following = Following(services.events, services.database, in_thread, interest)
    body = _body(services, following, None if last_event_id is None else int(last_event_id))
    # What is refused is refused with a status: before the stream begins.
    first = await anext(body)
    if not first:
        await body.aclose()
        return Response(status_code=204)
    return EventStream(_with_first(first, body), headers=_HEADERS)


async def _with_first(first: bytes, body: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
    yield first
    async with aclosing(body):
        async for chunk in body:
            yield chunk


async def _body(services: Services, following: Following, last_id: int | None) -> AsyncGenerator[bytes, None]:
    """The stream's bytes; first of all an empty chunk where nothing can come any more."""
    with services.events.joined():
        try:
            beginning = await following.begin(last_id)
        except EventsGone as error:
            raise ApiError(410, code="events_gone", message=str(error), param="Last-Event-ID") from None
        if beginning.is_over and beginning.standing is None:
            yield b""
            return
        yield _COME_AGAIN
        async with aclosing(following.events(beginning, seconds=services.settings.event_stream_seconds)) as events:
            async for event in events:
                yield _frame(event)


def _frame(event: Event | int) -> bytes:
    """One event of the stream, or a place without one, which clients take for theirs and nobody hears of.

    An event that is not kept (`batch.progress`) has no id, and so moves nobody's place.
    """
    if isinstance(event, int):
        return f": still here\nid: {event}\n\n".encode()
    place = f"id: {event.id}\n" if event.id else ""
    return f"{place}event: {event.type}\ndata: {event.body().decode()}\n\n".encode()
