"""Who calls. Every route but health and its like takes one of `Submits`, `Reads` or `Admins`.

`Caller.project_id` is the project that all queries are filtered by: it comes from the key and from nowhere else.
"""

from dataclasses import dataclass
from typing import Annotated
from uuid import UUID

from fastapi import Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from api.errors import ApiError
from api.services import Serving
from models import Scope
from pressroom.tenants.secrets import parse_key

__all__ = ["Admins", "Caller", "Reads", "Scope", "Submits"]

_BEARER = HTTPBearer(auto_error=False, scheme_name="ApiKey", description="`Authorization: Bearer pr_…`")


@dataclass(frozen=True, slots=True)
class Caller:
    """Whoever holds the key of this request."""

    project_id: UUID
    api_key_id: UUID
    scopes: frozenset[Scope]


class Needs:
    """A dependency: a valid key that has `scope`. 401 without a valid key, 403 without the scope."""

    def __init__(self, scope: Scope) -> None:
        self.scope = scope

    async def __call__(
        self,
        services: Serving,
        credentials: Annotated[HTTPAuthorizationCredentials | None, Security(_BEARER)],
    ) -> Caller:
        key = parse_key(credentials.credentials) if credentials is not None else None
        known = await services.keyring.find(key) if key is not None else None
        if known is None:
            raise _no_key(given=credentials is not None)
        if self.scope not in known.scopes:
            raise ApiError(
                403,
                code="missing_scope",
                message=f"this key may not {self.scope.value}: use one with the scope, or make one with `pressroom "
                f"keys create NAME --scope {self.scope.value}`",
            )
        return Caller(known.project_id, known.id, known.scopes)


def _no_key(*, given: bool) -> ApiError:
    message = (
        "this API key is not valid: it is mistyped, expired or revoked; `pressroom keys create` makes another"
        if given
        else "no API key: send `Authorization: Bearer pr_…`; `pressroom keys create` makes one"
    )
    return ApiError(401, code="invalid_api_key", message=message, headers={"WWW-Authenticate": "Bearer"})


Submits = Annotated[Caller, Security(Needs(Scope.SUBMIT))]
"""A caller who may hand work in."""
Reads = Annotated[Caller, Security(Needs(Scope.READ))]
"""A caller who may see the project's work."""
Admins = Annotated[Caller, Security(Needs(Scope.ADMIN))]
"""A caller who may manage keys and see the installation."""
