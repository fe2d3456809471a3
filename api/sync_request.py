"""What a synchronous call asks for: the body as the operation takes it, and how its caller wants to wait."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson
from fastapi import Request

from api.auth import Caller
from api.errors import ApiError
from pressroom.jobs.idempotency import RepeatableRequest, repeatable
from pressroom.operations import chat
from pressroom.operations.checks import shown

STREAMED = frozenset({chat.URL})
"""Endpoints whose whole answers can be told as a stream."""

_KEY = re.compile(r"[!-~]*")
_STREAM_OPTIONS = frozenset({"include_usage", "include_obfuscation"})


@dataclass(frozen=True, slots=True)
class SyncRequest:
    """A call that wants its job's answer. `text` is the body's JSON text; `wait_seconds` None is as long as may be."""

    url: str
    body: Mapping[str, Any]
    text: str
    stream: bool = False
    include_usage: bool = False
    wait_seconds: float | None = None
    respond_async: bool = False
    key: RepeatableRequest | None = None


async def read_request(request: Request, caller: Caller, url: str) -> SyncRequest:
    """The call at `url`. Raises ApiError for a body that is no JSON object, InvalidInput for a key that is none."""
    raw = await request.body()
    body = _object(raw)
    key = request.headers.get("idempotency-key")
    if key is not None and not _KEY.fullmatch(key):
        message = "Idempotency-Key: has characters that a key may not: give visible ASCII, as a UUID"
        raise ApiError(400, code="invalid_value", message=message, param="Idempotency-Key")
    # However its client writes it this time: spaces and the order of fields do not make another request.
    fingerprinted = orjson.dumps(body, option=orjson.OPT_SORT_KEYS) if key is not None else b""
    text, streamed = raw.decode(), {}
    if url in STREAMED and type(body.get("stream")) is bool:
        streamed = {"stream": body.pop("stream")}
        if streamed["stream"]:
            streamed |= _stream_options(body)
        text = orjson.dumps(body).decode()
    asynchronous, seconds = _preferences(request.headers.getlist("prefer"))
    return SyncRequest(
        url=url,
        body=body,
        text=text,
        stream=streamed.get("stream", False),
        include_usage=streamed.get("include_usage", False),
        wait_seconds=seconds,
        respond_async=asynchronous,
        key=repeatable(caller.project_id, key, "POST", url, fingerprinted) if key is not None else None,
    )


def _object(raw: bytes) -> dict[str, Any]:
    try:
        body = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        message = f"the body is not JSON: {error}"
        raise ApiError(400, code="invalid_json", message=message) from None
    if type(body) is not dict:
        raise ApiError(400, code="invalid_type", message="the body must be a JSON object, as the provider takes it")
    return body


def _stream_options(body: dict[str, Any]) -> dict[str, Any]:
    """Taken out of the body: a job keeps a whole answer, and the stream is told from it."""
    options = body.pop("stream_options", None)
    if options is None:
        return {}
    if type(options) is not dict:
        message = f"stream_options: must be an object (got {shown(options)}). Give an object, or leave it out"
        raise ApiError(400, code="invalid_type", message=message, param="stream_options")
    for name, value in options.items():
        if name not in _STREAM_OPTIONS or type(value) is not bool:
            message = f"stream_options.{name}: is not known, or not true or false (got {shown(value)})"
            raise ApiError(400, code="invalid_value", message=message, param=f"stream_options.{name}")
    return {"include_usage": options.get("include_usage", False)}


def _preferences(given: list[str]) -> tuple[bool, float | None]:
    """RFC 7240: `respond-async` and `wait=N` in seconds. What is not understood is no preference."""
    asynchronous, seconds = False, None
    for preference in ",".join(given).split(","):
        name, _, value = preference.partition(";")[0].partition("=")
        name, value = name.strip().lower(), value.strip().strip('"')
        if name == "respond-async":
            asynchronous = True
        elif name == "wait" and value.isascii() and value.isdigit():
            seconds = float(value[:9])
    # Both: an answer within the time, else 202.
    return asynchronous and seconds is None, seconds
