"""What a request may bring: media type, size and depth, checked before a route sees it."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.errors import ApiError
from api.gate import GUARDED
from api.json_depth import is_deeper
from api.threads import in_thread

UPLOADS = "/v1/files"
_LARGE_JSON_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True)
class BodyBounds:
    """Bytes and levels. Uploads may be larger than all else, and are never held in memory whole."""

    upload_bytes: int
    body_bytes: int
    json_depth: int

    def most_bytes(self, scope: Scope) -> int:
        """How much the body at this address may have."""
        return self.upload_bytes if scope["path"].rstrip("/") == UPLOADS else self.body_bytes


class Bounds:
    """JSON is taken in whole and checked; other bodies are counted as the route reads them."""

    def __init__(self, app: ASGIApp, bounds: BodyBounds) -> None:
        self._app = app
        self._bounds = bounds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As ASGI says. Raises ApiError: 400, 413 or 415."""
        if scope["type"] == "http" and scope["path"].startswith(GUARDED):
            headers = Headers(scope=scope)
            most = self._bounds.most_bytes(scope)
            length = headers.get("content-length")
            if length is not None and (not length.isdecimal() or int(length) > most):
                raise ApiError(413, code="request_too_large", message=_too_large(most))
            has_body = length != "0" and (length is not None or "transfer-encoding" in headers)
            if has_body:
                receive = await self._bounded(_media_type(headers), receive, most)
        await self._app(scope, receive, send)

    async def _bounded(self, media_type: str, receive: Receive, most: int) -> Receive:
        counted = _counting(receive, most)
        if media_type == "multipart/form-data":
            return counted
        chunks = [chunk async for chunk in _chunks(counted)]
        body = b"".join(chunks)
        depth = self._bounds.json_depth
        large = len(body) > _LARGE_JSON_BYTES
        if await in_thread(is_deeper, body, depth) if large else is_deeper(body, depth):
            message = f"the body nests deeper than {depth} levels: flatten it"
            raise ApiError(400, code="json_too_deep", message=message)
        return _replaying(body, receive)


def _media_type(headers: Headers) -> str:
    if headers.get("content-encoding", "identity").lower() != "identity":
        message = f"Content-Encoding {headers['content-encoding']!r} is not taken: send the body as it is"
        raise ApiError(415, code="unsupported_media_type", message=message)
    media_type = headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type == "multipart/form-data" or media_type == "application/json":
        return media_type
    message = (
        f"Content-Type {media_type or 'nothing'!r} is not taken: send application/json, or multipart/form-data for "
        "files"
    )
    raise ApiError(415, code="unsupported_media_type", message=message)


def _too_large(most: int) -> str:
    return f"the body is larger than {most:,} bytes, the most that is taken here: split it, or upload it to {UPLOADS}"


def _counting(receive: Receive, most: int) -> Receive:
    """`receive` that raises 413 when more came than announced. An HTTPException: FastAPI lets no other error out."""
    seen = 0

    async def counted() -> Message:
        nonlocal seen
        message = await receive()
        seen += len(message.get("body", b""))
        if seen > most:
            raise HTTPException(413, _too_large(most))
        return message

    return counted


async def _chunks(receive: Receive) -> AsyncIterator[bytes]:
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ApiError(400, code="bad_request", message="the connection ended before the body did")
        yield message.get("body", b"")
        more = message.get("more_body", False)


def _replaying(body: bytes, receive: Receive) -> Receive:
    given = False

    async def replay() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay
