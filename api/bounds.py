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
FORMS = frozenset({UPLOADS, "/v1/images/edits", "/v1/images/variations"})
"""Where clients send files."""
_FORM = "multipart/form-data"
_JSON = "application/json"
_LARGE_JSON_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True)
class BodyBounds:
    """Bytes and levels. Uploads may be larger than all else, and are never held in memory whole."""

    upload_bytes: int
    body_bytes: int
    json_depth: int

    def most_bytes(self, scope: Scope, media_type: str) -> int:
        """How much the body at this address may have: JSON is held whole, wherever it is sent."""
        is_upload = scope["path"].rstrip("/") == UPLOADS and media_type == _FORM
        return self.upload_bytes if is_upload else self.body_bytes


class Bounds:
    """JSON is taken in whole and checked; other bodies are counted as the route reads them."""

    def __init__(self, app: ASGIApp, bounds: BodyBounds) -> None:
        self._app = app
        self._bounds = bounds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As ASGI says. Raises ApiError: 400, 413 or 415."""
        if scope["type"] == "http" and scope["path"].startswith(GUARDED):
            headers = Headers(scope=scope)
            length = headers.get("content-length")
            has_body = length != "0" and (length is not None or "transfer-encoding" in headers)
            if has_body:
                media_type = _media_type(headers, scope)
                most = self._bounds.most_bytes(scope, media_type)
                if length is not None and (not length.isdecimal() or len(length) > 18 or int(length) > most):
                    raise ApiError(413, code="request_too_large", message=_too_large(most))
                receive = await self._bounded(media_type, receive, most)
        await self._app(scope, receive, send)

    async def _bounded(self, media_type: str, receive: Receive, most: int) -> Receive:
        counted = _counting(receive, most)
        if media_type == _FORM:
            return counted
        chunks = [chunk async for chunk in _chunks(counted)]
        body = b"".join(chunks)
        depth = self._bounds.json_depth
        large = len(body) > _LARGE_JSON_BYTES
        if await in_thread(is_deeper, body, depth) if large else is_deeper(body, depth):
            message = f"the body nests deeper than {depth} levels: flatten it"
            raise ApiError(400, code="json_too_deep", message=message)
        return _replaying(body, receive)


def _media_type(headers: Headers, scope: Scope) -> str:
    """Forms are taken where a file is: elsewhere they would bring JSON past its bounds. Raises ApiError 415."""
    if headers.get("content-encoding", "identity").lower() != "identity":
        message = f"Content-Encoding {headers['content-encoding']!r} is not taken: send the body as it is"
        raise ApiError(415, code="unsupported_media_type", message=message)
    media_type = headers.get("content-type", "").partition(";")[0].strip().lower()
    takes_forms = scope["path"].rstrip("/") in FORMS
    if media_type == _JSON or (media_type == _FORM and takes_forms):
        return media_type
    remedy = f"send {_JSON}, or {_FORM} for files" if takes_forms else f"send {_JSON}"
    message = f"Content-Type {media_type or 'nothing'!r} is not taken here: {remedy}"
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
