"""Who calls. Every route of /v1 takes one of `Submits`, `Reads` or `Admins`.

`Caller.project_id` is the project that all queries are filtered by: it comes from the key and from nowhere else.
"""

from dataclasses import dataclass
from typing import Annotated
from uuid import UUID

from fastapi import Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from api.errors import ApiError
from api.gate import refused
from models import DEFAULT_PROJECT_ID, Scope
from pressroom.tenants.keys import KnownKey

__all__ = ["Admins", "Caller", "Needs", "Reads", "Scope", "Submits"]

_BEARER = HTTPBearer(
    auto_error=False,
    scheme_name="ApiKey",
    bearerFormat="pr_<12 characters>_<64 characters>",
    description="An API key of `pressroom keys create`.",
)


@dataclass(frozen=True, slots=True)
class Caller:
    """Whoever holds the key of this request."""

    project_id: UUID
    api_key_id: UUID
    scopes: frozenset[Scope]

    @property
    def is_operator(self) -> bool:
        """Whether routes that say so may show all projects and pools: `admin`, in the installation's own project.

        A tenant's administrator is none: projects that were made for others see nothing but themselves.
        """
        return Scope.ADMIN in self.scopes and self.project_id == DEFAULT_PROJECT_ID


class Needs:
    """A dependency: the request's key has `scope`. 403 where it has not; the gate has answered 401 before."""

    def __init__(self, scope: Scope) -> None:
        self.scope = scope

    async def __call__(
        self, request: Request, _credentials: Annotated[HTTPAuthorizationCredentials | None, Security(_BEARER)]
    ) -> Caller:
        key: KnownKey | None = getattr(request.state, "key", None)
        if key is None:  # a route outside of what the gate guards
            raise refused("this address is not open to API keys")
        if self.scope not in key.scopes:
            raise ApiError(
                403,
                code="missing_scope",
                message=f"this key has no scope {self.scope.value}: use one that has it, or make one with "
                f"`pressroom keys create NAME --scope {self.scope.value}`",
            )
        return Caller(key.project_id, key.id, key.scopes)


Submits = Annotated[Caller, Security(Needs(Scope.SUBMIT))]
"""A caller who may hand work in."""
Reads = Annotated[Caller, Security(Needs(Scope.READ))]
"""A caller who may see the project's work."""
Admins = Annotated[Caller, Security(Needs(Scope.ADMIN))]
"""A caller who may manage the project's keys, webhooks and budgets."""
