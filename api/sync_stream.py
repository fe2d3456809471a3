"""`stream: true`: the answer as server-sent events in the provider's chunks, told once the job has ended.

Jobs are called without streaming: a retry, a budget and a result that stays need the whole answer. So the first words
come when the last ones are there. Meanwhile comments keep the connection open.
"""

import asyncio
from collections.abc import AsyncIterator

import orjson
from fastapi import Request, Response
from fastapi.responses import StreamingResponse

from api.sync_call import SyncCall
from pressroom.jobs.answers import ProviderAnswer
from pressroom.jobs.finished import FinishedJob
from pressroom.operations.chat_chunks import chunks

QUIET_SECONDS = 10.0
"""How long nothing is sent. An answer within it still has its own status; one after it is an event."""

_OK = 200
_DONE = b"data: [DONE]\n\n"
_COMMENT = b": the job has not ended yet\n\n"


async def stream(call: SyncCall, request: Request) -> Response | None:
    """The stream, or the error in its place; None where the call is not to wait for an answer."""
    left = call.longest_wait
    job = await call.finish(request, min(left, QUIET_SECONDS))
    if job is None and (left <= QUIET_SECONDS or call.services.draining.is_set()):
        return None
    if job is not None:
        answer = await call.answer(job)
        if answer.status != _OK:
            return await call.response(job)
        return _respond(_told(call, job, answer), await call.headers(job))
    return _respond(_late(call, left - QUIET_SECONDS), call.headers_of_job())


def _respond(events: AsyncIterator[bytes], headers: dict[str, str]) -> Response:
    return StreamingResponse(events, headers=headers, media_type="text/event-stream")


async def _told(call: SyncCall, job: FinishedJob, answer: ProviderAnswer) -> AsyncIterator[bytes]:
    body = orjson.loads(answer.body)
    if answer.status != _OK:
        yield _event(body)
        return
    for chunk in chunks(body, include_usage=call.asked.include_usage):
        yield _event(chunk)
    yield _DONE


async def _late(call: SyncCall, seconds: float) -> AsyncIterator[bytes]:
    loop = asyncio.get_running_loop()
    until = loop.time() + seconds
    job = None
    try:
        yield _COMMENT
        while job is None and loop.time() < until and not call.services.draining.is_set():
            job = await call.services.waiters.wait(call.job_id, min(QUIET_SECONDS, max(0.0, until - loop.time())))
            if job is None:
                yield _COMMENT
    except asyncio.CancelledError:
        # The client is gone, or the server must not wait any longer.
        if not call.services.draining.is_set():
            await asyncio.shield(call.hang_up())
        raise
    if job is None:
        yield _event(_still_running(call))
        return
    async for event in _told(call, job, await call.answer(job)):
        yield event


def _still_running(call: SyncCall) -> dict[str, object]:
    address = call.headers_of_job()["Location"]
    message = f"The job has not ended within the longest wait; it goes on, and its answer will be at {address}/result."
    return {"error": {"message": message, "type": "server_error", "param": None, "code": "still_running"}}


def _event(data: object) -> bytes:
    return b"data: " + orjson.dumps(data) + b"\n\n"
