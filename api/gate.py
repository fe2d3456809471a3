"""Who may come in to /v1, decided before a byte of the body is read: a valid key, and its rate.

What a key may do there is each route's own word (`Submits`, `Reads`, `Admins` in auth.py).
"""

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from api.errors import ApiError
from api.services import Services
from pressroom.tenants.keys import KnownKey
from pressroom.tenants.rate import take
from pressroom.tenants.secrets import parse_key

GUARDED = "/v1/"
_SCHEME = "bearer "


class Gate:
    """Puts the key into the request's state as `key`, and what is left of its rate as `rate_headers`."""

    def __init__(self, app: ASGIApp, services: Services) -> None:
        self._app = app
        self._services = services

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As ASGI says. Raises ApiError: 401 or 429."""
        if scope["type"] == "http" and scope["path"].startswith(GUARDED) and not _is_preflight(scope):
            key = await self._admit(Headers(scope=scope).get("authorization"))
            state = scope["state"]
            state["key"] = key
            if key.requests_per_minute is not None:
                state["rate_headers"] = await self._charge(key, key.requests_per_minute)
        await self._app(scope, receive, send)

    async def _admit(self, authorization: str | None) -> KnownKey:
        if authorization is None:
            raise refused("no API key: send `Authorization: Bearer pr_…`; `pressroom keys create` makes one")
        given = authorization[len(_SCHEME) :].strip() if authorization.lower().startswith(_SCHEME) else ""
        text = parse_key(given)
        known = await self._services.keyring.find(text) if text is not None else None
        if known is None:
            raise refused("this API key is not valid: mistyped, expired or revoked; `pressroom keys create` makes one")
        return known

    async def _charge(self, key: KnownKey, per_minute: int) -> dict[str, str]:
        services = self._services
        rate = await take(services.redis.execute_command, services.settings.redis_prefix, key.id, per_minute)
        headers = dict(rate.headers())
        if not rate.granted:
            raise ApiError(
                429,
                code="rate_limit_exceeded",
                message=f"this key may make {per_minute} requests a minute: wait {headers['retry-after']} s, send "
                "several jobs in one request, or ask for a higher limit",
                headers=headers,
            )
        return headers


def refused(message: str) -> ApiError:
    """401."""
    return ApiError(401, code="invalid_api_key", message=message, headers={"WWW-Authenticate": "Bearer"})


def _is_preflight(scope: Scope) -> bool:
    return bool(scope["method"] == "OPTIONS")
