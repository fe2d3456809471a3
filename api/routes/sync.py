"""The provider's endpoints, one call one answer: through the same queue as everything, in class `interactive`.

Every operation that jobs know is served here; an endpoint whose operation has not landed says so.
"""

from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel

from api.auth import Caller, Submits
from api.errors import ApiError
from api.schemas.sync import AnyRequest, ChatRequest, ImageRequest, PendingJob, ProviderAnswer, ProviderError
from api.services import Services, Serving
from api.sync_call import HungUp, SyncCall
from api.sync_request import read_request
from api.sync_stream import stream
from pressroom.errors import InvalidInput
from pressroom.operations import chat, image_generate
from pressroom.operations.registry import SUPPORTED_URLS, operation_for

_MODEL_NOT_FOUND = "model_not_found"
_CLIENT_CLOSED_REQUEST = 499
"""What the log says of a call whose client did not wait; nobody receives it."""

_ENDPOINTS: dict[str, tuple[str, type[BaseModel]]] = {
    chat.URL: ("Create a chat completion", ChatRequest),
    "/v1/responses": ("Create a response", AnyRequest),
    image_generate.URL: ("Create images", ImageRequest),
    "/v1/images/edits": ("Edit images", AnyRequest),
    "/v1/images/variations": ("Vary an image", AnyRequest),
    "/v1/embeddings": ("Create embeddings", AnyRequest),
    "/v1/moderations": ("Classify content", AnyRequest),
}

_PARAMETERS: list[dict[str, Any]] = [
    {
        "name": "Idempotency-Key",
        "in": "header",
        "required": False,
        "description": "Sent again with the same key and body, the call finds the same job and waits for it.",
        "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"},
    },
    {
        "name": "Prefer",
        "in": "header",
        "required": False,
        "description": "`respond-async` is answered 202 at once; `wait=N` waits N seconds at most.",
        "schema": {"type": "string", "examples": ["respond-async", "wait=30"]},
    },
]

_FAILURES = {
    400: "The request is not valid, here or by the provider's word.",
    401: "No valid API key.",
    403: "The key lacks the scope, or the account may not do this.",
    404: "There is no such model, or the endpoint is not served here yet.",
    409: "The job was cancelled, or the Idempotency-Key was another request's.",
    429: "Over the key's rate.",
    500: "The provider failed, after all attempts that there were.",
    502: "The provider gave no answer that can be used.",
    503: "A server is away: come again after Retry-After.",
    504: "The provider did not answer in time, or the job's deadline passed.",
}
"""A provider's own errors come with its own body."""

router = APIRouter(tags=["synchronous"])


async def serve(request: Request, caller: Caller, services: Services, url: str) -> Response:
    """Answer one call."""
    if operation_for(url) is None:
        message = f"{url} is not served here yet; these are: {', '.join(SUPPORTED_URLS)}"
        raise ApiError(404, code="unsupported_endpoint", message=message)
    call = SyncCall(services, caller, await read_request(request, caller, url))
    try:
        await call.submit()
    except InvalidInput as error:
        raise _as_the_provider_tells(error, url) from None
    try:
        if call.asked.stream:
            return await stream(call, request) or _pending(call)
        job = await call.finish(request, call.longest_wait)
        return await call.response(job) if job is not None else _pending(call)
    except HungUp:
        return Response(status_code=_CLIENT_CLOSED_REQUEST)


def _as_the_provider_tells(error: InvalidInput, url: str) -> Exception:
    """A model that is not there is 404 by the provider's word, so that clients raise NotFoundError; 400 for images."""
    first = error.problems[0] if error.problems else None
    if first is None or first.code != _MODEL_NOT_FOUND or url.startswith("/v1/images/"):
        return error
    return ApiError(404, code=first.code, message=str(error), param=first.field)


def _pending(call: SyncCall) -> Response:
    headers = call.headers_of_job()
    address = headers["Location"]
    if call.asked.respond_async:
        headers["Preference-Applied"] = "respond-async"
    elif call.asked.wait_seconds is not None:
        headers["Preference-Applied"] = f"wait={call.asked.wait_seconds:.0f}"
    pending = PendingJob(id=headers["x-pressroom-job-id"], job_url=address, result_url=f"{address}/result")
    return JSONResponse(pending.model_dump(), 202, headers)


def _route(url: str) -> Callable[[Request, Submits, Serving], Awaitable[Response]]:
    async def endpoint(request: Request, caller: Submits, services: Serving) -> Response:
        return await serve(request, caller, services, url)

    return endpoint


def _described(model: type[BaseModel]) -> dict[str, Any]:
    """The request, which the route reads by itself: what it does not know is passed on."""
    schema = model.model_json_schema()
    return {
        "parameters": _PARAMETERS,
        "requestBody": {"required": True, "content": {"application/json": {"schema": schema}}},
    }


def _answers(*, streams: bool) -> dict[int | str, dict[str, Any]]:
    ok: dict[str, Any] = {"model": ProviderAnswer, "description": "The provider's answer."}
    if streams:
        ok["content"] = {"text/event-stream": {"schema": {"type": "string"}}}
    pending = {"model": PendingJob, "description": "The job has not ended within the wait; it goes on."}
    answers: dict[int | str, dict[str, Any]] = {200: ok, 202: pending}
    for status, description in _FAILURES.items():
        answers[status] = {"model": ProviderError, "description": description}
    return answers


for _url, (_summary, _model) in _ENDPOINTS.items():
    router.add_api_route(
        _url,
        _route(_url),
        methods=["POST"],
        summary=_summary,
        operation_id=_url.removeprefix("/v1/").replace("/", "_"),
        response_class=JSONResponse,
        responses=_answers(streams=_url == chat.URL),
        openapi_extra=_described(_model),
    )
