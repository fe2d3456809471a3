"""What every answer has, whoever gives it: an id, safe headers, a line in the log, and the one shape for a bug too.

`Manners` is the outermost of the application's own layers and `Answered` the one around those that may refuse.
"""

import logging
import time
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.errors import ApiError, answer, base_url, respond
from pressroom.ids import new_id, show_id

_CLIENT_ID_CHARACTERS = 512
_SAFE_HEADERS = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "cache-control": "no-store",
}
_HTTPS_HEADERS = {"strict-transport-security": "max-age=31536000"}
_QUIET = ("/healthz", "/readyz")

_log = logging.getLogger("pressroom.access")


@dataclass(slots=True)
class _Exchange:
    """One request and what became of it."""

    scope: Scope
    id: str
    client_id: str | None
    started: float = field(default_factory=time.perf_counter)
    status: int = 0
    bytes_out: int = 0

    def note(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self._add_headers(MutableHeaders(scope=message))
        elif message["type"] == "http.response.body":
            self.bytes_out += len(message.get("body", b""))

    def _add_headers(self, headers: MutableHeaders) -> None:
        headers["x-request-id"] = self.id
        if self.client_id is not None:
            headers["x-client-request-id"] = self.client_id
        safe = _SAFE_HEADERS if self.scope["scheme"] != "https" else _SAFE_HEADERS | _HTTPS_HEADERS
        for name, value in [*safe.items(), *self.scope["state"].get("rate_headers", {}).items()]:
            headers.setdefault(name, value)

    def log(self) -> None:
        """Without the query and the headers: both may hold secrets."""
        scope, key = self.scope, self.scope["state"].get("key")
        client = scope.get("client")
        known: dict[str, Any] = {} if key is None else {"project_id": key.project_id, "api_key_id": key.id}
        fields = {
            "method": scope["method"],
            "path": scope["path"],
            "status": self.status,
            "ms": round((time.perf_counter() - self.started) * 1000, 1),
            "bytes_out": self.bytes_out,
            "client": client[0] if client else None,
            **{name: str(value) if isinstance(value, UUID) else value for name, value in known.items()},
        }
        if self.client_id is not None:
            fields["client_request_id"] = self.client_id
        level = logging.DEBUG if scope["path"] in _QUIET and self.status < 400 else logging.INFO
        _log.log(level, "api.request", extra=fields)


class Manners:
    """Ids, headers and log."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As ASGI says."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        scope.setdefault("state", {})
        request = Request(scope, receive)
        base_url.set(f"{request.url.scheme}://{request.url.netloc}")
        client_id = Headers(scope=scope).get("x-client-request-id")
        usable = client_id is None or _is_usable(client_id)
        exchange = _Exchange(scope, show_id("req", new_id()), client_id if usable else None)
        structlog.contextvars.bind_contextvars(request_id=exchange.id)

        async def noting(message: Message) -> None:
            exchange.note(message)
            await send(message)

        try:
            if usable:
                await self._app(scope, receive, noting)
            else:
                message = f"X-Client-Request-Id: give 1 to {_CLIENT_ID_CHARACTERS} printable ASCII characters"
                error = ApiError(400, code="invalid_value", message=message, param="X-Client-Request-Id")
                await respond(error)(scope, receive, noting)
        finally:
            exchange.log()
            structlog.contextvars.clear_contextvars()


class Answered:
    """Turns whatever is raised inside, by layers too, into an answer of the one shape."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As ASGI says."""
        started = False

        async def noting(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self._app(scope, receive, noting)
        except Exception as error:
            if scope["type"] != "http":
                raise
            response = await answer(Request(scope, receive), error)
            if started:
                raise  # half of another answer is out; the server cuts the connection
            await response(scope, receive, send)


def _is_usable(client_id: str) -> bool:
    return 0 < len(client_id) <= _CLIENT_ID_CHARACTERS and client_id.isascii() and client_id.isprintable()
