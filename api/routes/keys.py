"""API keys of the caller's project: make, list, rotate, revoke."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query

from api.auth import Admins, Caller
from api.errors import ApiError
from api.schemas.keys import Key, KeyList, KeyWithSecret, NewKeyRequest, RotateRequest, show_key, show_new_key
from api.services import Services, Serving
from api.threads import in_thread
from pressroom.errors import InvalidInput
from pressroom.ids import parse_id
from pressroom.tenants.keys import KeyRow, NewKey, create_key, list_keys, revoke_key, rotate_key

router = APIRouter(prefix="/v1/keys", tags=["keys"])


@router.get("")
async def list_(
    caller: Admins,
    services: Serving,
    after: Annotated[str | None, Query(description="Continue after this id.")] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> KeyList:
    """All keys of the project, oldest first, expired and revoked ones too."""

    def work() -> list[KeyRow]:
        with services.database.connect() as conn:
            return list_keys(conn, caller.project_id)

    rows = await in_thread(work)
    if after is not None:
        last = parse_id("key", after)
        rows = [row for row in rows if row.id > last]
    page = [show_key(row) for row in rows[:limit]]
    return KeyList(
        data=page,
        first_id=page[0].id if page else None,
        last_id=page[-1].id if page else None,
        has_more=len(rows) > limit,
    )


@router.post("", status_code=201)
async def create(caller: Admins, services: Serving, asked: NewKeyRequest) -> KeyWithSecret:
    """Make a key of the project. It is in this answer and stored nowhere."""

    def work() -> NewKey:
        with services.database.begin() as conn:
            return create_key(
                conn,
                caller.project_id,
                asked.name,
                scopes=asked.scopes,
                requests_per_minute=asked.requests_per_minute,
                expires_at=asked.expires_at,
            )

    return show_new_key(await in_thread(work))


@router.post("/{key_id}/rotate")
async def rotate(caller: Admins, services: Serving, key_id: str, asked: RotateRequest) -> KeyWithSecret:
    """Give a key a new secret; the one before stays valid for the time of grace."""
    wanted = find_id(key_id)

    def work() -> NewKey:
        with services.database.begin() as conn:
            return rotate_key(conn, caller.project_id, wanted, grace_seconds=asked.grace_seconds)

    return show_new_key(await in_thread(work))


@router.delete("/{key_id}")
async def revoke(caller: Admins, services: Serving, key_id: str) -> Key:
    """End a key, within 5 seconds everywhere. What was submitted with it goes on."""
    return show_key(await in_thread(_revoke, services, caller, find_id(key_id)))


def _revoke(services: Services, caller: Caller, key_id: UUID) -> KeyRow:
    with services.database.begin() as conn:
        return revoke_key(conn, caller.project_id, key_id)


def find_id(key_id: str) -> UUID:
    """404 for what is no id: nothing has it."""
    try:
        return parse_id("key", key_id)
    except InvalidInput:
        message = "there is no such key: give an id as GET /v1/keys shows it"
        raise ApiError(404, code="not_found", message=message) from None
