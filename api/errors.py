"""The one shape of every error: `{"error": {"message", "type", "param", "code", "docs"}}`, as OpenAI's clients expect.

House errors and those of servers that are away are translated here and nowhere else. A route raises them as they come,
or `ApiError` for what only HTTP knows.
"""

import logging
from collections.abc import Mapping
from contextvars import ContextVar
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from redis.exceptions import RedisError
from sqlalchemy.exc import DataError, DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from starlette.exceptions import HTTPException
from starlette.routing import Match

from pressroom.errors import Conflict, InvalidInput, NotFound, Problem, Unavailable
from pressroom.jobs.idempotency import RETRY_SECONDS, KeyInUse, KeyReused
from pressroom.storage.errors import StorageUnavailable

RETRY_AFTER_SECONDS = 5
"""What clients are told when a server is away; restarts of PostgreSQL and Redis take about as long."""

_NOT_AGAIN = {"x-should-retry": "false"}
"""OpenAI's clients send a 409 again by themselves; these stay what they are."""

base_url: ContextVar[str] = ContextVar("base_url", default="")
"""The address by which the client reached us, for links in answers; no slash at its end."""

_log = logging.getLogger("pressroom.api")


class ApiError(Exception):
    """An answer that is an error. `code` is one of docs/api.md's; `param` names the field that is at fault."""

    def __init__(
        self,
        status: int,
        *,
        code: str,
        message: str,
        param: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.param = param
        self.headers = dict(headers or {})


def error_type(status: int) -> str:
    """The provider's `type` for a status."""
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return "rate_limit_error"
    return "server_error" if status >= HTTPStatus.INTERNAL_SERVER_ERROR else "invalid_request_error"


def docs_link(code: str) -> str:
    """Where the code is explained, on this very server."""
    return f"{base_url.get()}/docs/errors#{code}"


def error_body(status: int, *, code: str, message: str, param: str | None = None) -> dict[str, Any]:
    """The body of an error answer."""
    return {
        "error": {
            "message": message,
            "type": error_type(status),
            "param": param,
            "code": code,
            "docs": docs_link(code),
        }
    }


def respond(error: ApiError) -> Response:
    """The answer that an ApiError stands for."""
    body = error_body(error.status, code=error.code, message=error.message, param=error.param)
    return JSONResponse(body, error.status, headers=error.headers)


def translate(error: Exception) -> ApiError | None:
    """What is told of a foreseen error; None for one that is a bug."""
    match error:
        case ApiError():
            return error
        case InvalidInput():
            first = error.problems[0] if error.problems else Problem("request", "is not valid", "")
            return ApiError(400, code=first.code, message=str(error), param=first.field)
        case NotFound():
            return ApiError(404, code="not_found", message=str(error))
        case KeyInUse():
            retry = {"Retry-After": str(RETRY_SECONDS)}
            return ApiError(409, code="idempotency_key_in_use", message=str(error), headers=retry)
        case KeyReused():
            return ApiError(
                409, code="idempotency_key_reused", message=str(error), param="Idempotency-Key", headers=_NOT_AGAIN
            )
        case Conflict():
            return ApiError(409, code="conflict", message=str(error), headers=_NOT_AGAIN)
        case Unavailable() | StorageUnavailable():
            return _away(str(error))
        case OperationalError() | InterfaceError() | PoolTimeoutError():
            return _away("the database does not answer; nothing of this request was stored")
        case DBAPIError() if error.connection_invalidated:
            return _away("the database does not answer; nothing of this request was stored")
        case DataError():
            message = "a value cannot be stored: texts may hold no NUL character, and numbers have bounds"
            return ApiError(400, code="invalid_value", message=message)
        case RedisError():
            return _away("the queue does not answer")
        case _:
            return None


def _away(message: str) -> ApiError:
    retry = {"Retry-After": str(RETRY_AFTER_SECONDS)}
    return ApiError(503, code="unavailable", message=f"{message}: try again in some seconds", headers=retry)


_HTTP_CODES = {404: "unknown_url", 405: "method_not_allowed", 413: "request_too_large", 415: "unsupported_media_type"}


async def answer(request: Request, error: Exception) -> Response:
    """The answer to whatever was raised; a bug is logged with its trace and told without."""
    if isinstance(error, HTTPException):  # raised by a layer
        return await _answer_http(request, error)
    told = translate(error)
    if told is None:
        _log.error("api.bug", exc_info=error, extra={"path": request.url.path})
        told = ApiError(500, code="internal_error", message="a bug on our side, and it is in our log: try again later")
    elif told.status == HTTPStatus.SERVICE_UNAVAILABLE:
        _log.warning("api.unavailable", extra={"error": type(error).__name__, "path": request.url.path})
    return respond(told)


async def _answer_http(request: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        raise TypeError(f"not an HTTPException: {error!r}")
    status = error.status_code
    messages = {
        404: f"there is no {request.url.path} here: /openapi.json lists all addresses",
        405: f"{request.method} is not possible on {request.url.path}: /openapi.json lists what is",
    }
    code = _HTTP_CODES.get(status, "bad_request" if status < HTTPStatus.INTERNAL_SERVER_ERROR else "internal_error")
    message = messages.get(status, str(error.detail))
    headers = dict(error.headers or {})
    if status == HTTPStatus.METHOD_NOT_ALLOWED:
        headers["Allow"] = ", ".join(sorted(_methods_at(request)))
    return respond(ApiError(status, code=code, message=message, headers=headers))


def _methods_at(request: Request) -> set[str]:
    """Of all routes with the address that is meant: the router names those of one route only.

    The application's own list holds its routers without their routes, which `create_app` notes beside it.
    """
    routes = [route for route in (*request.app.router.routes, *request.app.state.routes) if hasattr(route, "path")]
    meant = next((route.path for route in routes if route.matches(request.scope)[0] is not Match.NONE), None)
    return {method for route in routes if route.path == meant for method in getattr(route, "methods", None) or ()}


async def _answer_invalid(_request: Request, error: Exception) -> Response:
    if not isinstance(error, RequestValidationError):
        raise TypeError(f"not a RequestValidationError: {error!r}")
    first, *more = error.errors()
    where = [str(part) for part in first["loc"] if part not in ("body", "query", "path", "header")]
    param = ".".join(where) or None
    message = f"{param or 'the request'}: {first['msg']}" + (f"; and {len(more)} more like it" if more else "")
    code = "invalid_json" if first["type"] == "json_invalid" else "invalid_value"
    return respond(ApiError(400, code=code, message=message, param=param))


def add_errors(app: FastAPI) -> None:
    """Answer every error of the application in the one shape."""
    app.add_exception_handler(HTTPException, _answer_http)
    app.add_exception_handler(RequestValidationError, _answer_invalid)
    foreseen = (ApiError, InvalidInput, NotFound, Conflict, Unavailable, StorageUnavailable)
    for kind in (*foreseen, DBAPIError, PoolTimeoutError, RedisError):
        app.add_exception_handler(kind, answer)
