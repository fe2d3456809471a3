"""`/v1/keys` on the wire."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from api.schemas.values import GivenMoment, Moment
from models import Scope
from pressroom.ids import show_id
from pressroom.tenants.keys import KeyRow, NewKey

_ID = "key_019a0000000070008000000000000001"


class NewKeyRequest(BaseModel):
    """A key to make in the caller's project."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"name": "shop", "scopes": ["submit", "read"], "requests_per_minute": 600}]},
    )

    name: str = Field(min_length=1, max_length=100, description="What the key is for.")
    scopes: list[Scope] = Field([Scope.SUBMIT, Scope.READ], min_length=1, max_length=3)
    requests_per_minute: int | None = Field(None, ge=1, le=10_000_000, description="No bound if null.")
    expires_at: GivenMoment | None = Field(None, description="Valid until then; for ever if null.")


class RotateRequest(BaseModel):
    """How long the secret before stays valid."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"grace_seconds": 86400}]})

    grace_seconds: float = Field(86_400, ge=0, le=30 * 86_400, strict=True)


class Key(BaseModel):
    """A key, without its secret."""

    object: Literal["api_key"] = "api_key"
    id: str = Field(examples=[_ID])
    name: str = Field(examples=["shop"])
    begins_with: str = Field(examples=["pr_3f9a01c2b4d5"], description="The key's public part.")
    scopes: list[Scope]
    requests_per_minute: int | None
    created_at: Moment
    expires_at: Moment | None
    revoked_at: Moment | None
    last_used_at: Moment | None = Field(description="To within a minute or two.")
    previous_secret_until: Moment | None = Field(description="Until when the secret before the rotation is valid too.")


class KeyWithSecret(Key):
    """A key that was just made or rotated."""

    key: str = Field(description="The key itself. It is shown this once and stored nowhere.")


class KeyList(BaseModel):
    """All keys of the project."""

    object: Literal["list"] = "list"
    data: list[Key]
    first_id: str | None
    last_id: str | None
    has_more: bool


def show_key(row: KeyRow) -> Key:
    """As lists show it."""
    return Key(**_fields(row))


def show_new_key(made: NewKey) -> KeyWithSecret:
    """This once."""
    return KeyWithSecret(**_fields(made.row), key=made.text)


def _fields(row: KeyRow) -> dict[str, object]:
    return {
        "id": show_id("key", row.id),
        "name": row.name,
        "begins_with": f"pr_{row.prefix}",
        "scopes": list(row.scopes),
        "requests_per_minute": row.requests_per_minute,
        "created_at": row.created_at,
        "expires_at": row.expires_at,
        "revoked_at": row.revoked_at,
        "last_used_at": row.last_used_at,
        "previous_secret_until": row.previous_until,
    }
