"""API keys in the books: make, find, list, revoke, rotate, and note when they were used. Always within a project."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, text

from models import Scope
from pressroom.errors import InvalidInput, NotFound, Problem
from pressroom.ids import new_id, show_id
from pressroom.tenants.secrets import KeyText, new_key

DEFAULT_SCOPES = (Scope.SUBMIT, Scope.READ)
DEFAULT_GRACE_SECONDS = 86_400.0
_LONGEST_GRACE_SECONDS = 30 * 86_400.0
_MAX_NAME_CHARACTERS = 100
_MOST_REQUESTS_PER_MINUTE = 10_000_000

_COLUMNS = """
    id, project_id, name, prefix, scopes, requests_per_minute, expires_at, revoked_at, last_used_at, created_at,
    CASE WHEN previous_until > now() THEN previous_until END AS previous_until
"""
_INSERT = text(
    f"""
    INSERT INTO api_keys (id, project_id, name, prefix, secret_hash, scopes, requests_per_minute, expires_at)
    VALUES (:id, :project_id, :name, :prefix, :secret_hash, :scopes, :requests_per_minute, :expires_at)
    RETURNING {_COLUMNS}
    """  # noqa: S608
)
_FIND = text(
    """
    SELECT id, project_id, scopes, requests_per_minute, secret_hash, previous_hash,
      extract(epoch FROM previous_until - now())::float8 AS previous_seconds,
      extract(epoch FROM expires_at - now())::float8 AS expires_seconds
    FROM api_keys WHERE prefix = :prefix AND revoked_at IS NULL
    """
)
_LIST = text(f"SELECT {_COLUMNS} FROM api_keys WHERE project_id = :project_id ORDER BY id")  # noqa: S608
_REVOKE = text(
    f"""
    UPDATE api_keys SET revoked_at = coalesce(revoked_at, now()) WHERE id = :id AND project_id = :project_id
    RETURNING {_COLUMNS}
    """  # noqa: S608
)
_ROTATE = text(
    f"""
    UPDATE api_keys SET secret_hash = :secret_hash, previous_hash = secret_hash,
      previous_until = now() + :grace
    WHERE id = :id AND project_id = :project_id AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now())
    RETURNING {_COLUMNS}
    """  # noqa: S608
)
_USED = text(
    """
    UPDATE api_keys k SET last_used_at = now() - make_interval(secs => u.ago)
    FROM unnest(CAST(:ids AS uuid[]), CAST(:ago AS float8[])) AS u (id, ago)
    WHERE k.id = u.id AND (k.last_used_at IS NULL OR k.last_used_at < now() - make_interval(secs => u.ago))
    """
)


@dataclass(frozen=True, slots=True)
class KeyRow:
    """A key as lists show it: all but its secret."""

    id: UUID
    project_id: UUID
    name: str
    prefix: str
    scopes: tuple[Scope, ...]
    requests_per_minute: int | None
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None
    created_at: datetime
    previous_until: datetime | None
    """Until when the secret before the last rotation is valid too; None when it is not any more."""


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key and its text, which is shown once and kept nowhere."""

    row: KeyRow
    text: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class KnownKey:
    """What a request is judged by. Seconds count from the moment it was read, and may be negative."""

    id: UUID
    project_id: UUID
    scopes: frozenset[Scope]
    requests_per_minute: int | None
    secret_hash: bytes = field(repr=False)
    previous_hash: bytes | None = field(repr=False)
    previous_seconds: float | None
    expires_seconds: float | None

    def admits(self, key: KeyText, age_seconds: float) -> bool:
        """Whether the secret is valid, `age_seconds` after the key was read."""
        if self.expires_seconds is not None and age_seconds >= self.expires_seconds:
            return False
        current = key.matches(self.secret_hash)
        before = self.previous_hash is not None and key.matches(self.previous_hash)
        return current or (before and age_seconds < (self.previous_seconds or 0.0))


def create_key(
    conn: Connection,
    project_id: UUID,
    name: str,
    *,
    scopes: Sequence[Scope] = DEFAULT_SCOPES,
    requests_per_minute: int | None = None,
    expires_at: datetime | None = None,
) -> NewKey:
    """A new key of the project. Its text is in the answer and nowhere else. Raises InvalidInput."""
    _check(name, scopes, requests_per_minute, expires_at)
    key = new_key()
    bound = {
        "id": new_id(),
        "project_id": project_id,
        "name": name,
        "prefix": key.prefix,
        "secret_hash": key.hash(),
        "scopes": [scope.value for scope in Scope if scope in scopes],
        "requests_per_minute": requests_per_minute,
        "expires_at": expires_at,
    }
    return NewKey(_row(conn.execute(_INSERT, bound).one()), key.show())


def find_key(conn: Connection, prefix: str) -> KnownKey | None:
    """The key of this prefix, unless it was revoked. The only question about keys that names no project."""
    row = conn.execute(_FIND, {"prefix": prefix}).one_or_none()
    if row is None:
        return None
    return KnownKey(**{**row._mapping, "scopes": frozenset(Scope(scope) for scope in row.scopes)})


def require_key(conn: Connection, key_id: UUID) -> None:
    """Raises NotFound where no project has a key of this id."""
    if conn.execute(text("SELECT 1 FROM api_keys WHERE id = :id"), {"id": key_id}).scalar() is None:
        raise NotFound(f"there is no key {show_id('key', key_id)}: `pressroom keys list` shows a project's")


def list_keys(conn: Connection, project_id: UUID) -> list[KeyRow]:
    """The project's keys, oldest first, revoked ones too."""
    return [_row(row) for row in conn.execute(_LIST, {"project_id": project_id})]


def revoke_key(conn: Connection, project_id: UUID, key_id: UUID) -> KeyRow:
    """End the key; every process hears of it within seconds. Again is no error. Raises NotFound."""
    return _row(_must(conn.execute(_REVOKE, {"id": key_id, "project_id": project_id}).one_or_none(), key_id))


def rotate_key(
    conn: Connection, project_id: UUID, key_id: UUID, *, grace_seconds: float = DEFAULT_GRACE_SECONDS
) -> NewKey:
    """A new secret for the key; the one before is valid for `grace_seconds` more, one before that no longer.

    Scopes, budgets and limits stay, for the key stays. Raises NotFound, for revoked and expired keys too.
    """
    if not 0 <= grace_seconds <= _LONGEST_GRACE_SECONDS:
        remedy = f"Give 0 to {_LONGEST_GRACE_SECONDS:.0f} seconds"
        raise InvalidInput([Problem("grace_seconds", "is no time of grace", remedy, value=f"{grace_seconds:g}")])
    prefix = conn.execute(
        text("SELECT prefix FROM api_keys WHERE id = :id AND project_id = :project_id FOR UPDATE"),
        {"id": key_id, "project_id": project_id},
    ).scalar_one_or_none()
    key = new_key(prefix)
    bound = {
        "id": key_id,
        "project_id": project_id,
        "secret_hash": key.hash(),
        "grace": timedelta(seconds=grace_seconds),
    }
    return NewKey(_row(_must(conn.execute(_ROTATE, bound).one_or_none(), key_id)), key.show())


def note_used(conn: Connection, seconds_ago: Mapping[UUID, float]) -> int:
    """Write when keys were last used, in one statement. Returns how many rows that made newer."""
    ids = sorted(seconds_ago)
    return conn.execute(_USED, {"ids": ids, "ago": [seconds_ago[id_] for id_ in ids]}).rowcount


def parse_scopes(names: Sequence[str]) -> tuple[Scope, ...]:
    """Scopes by name. Raises InvalidInput."""
    try:
        return tuple(Scope(name) for name in names)
    except ValueError as error:
        known = ", ".join(scope.value for scope in Scope)
        raise InvalidInput([Problem("scopes", f"holds an unknown scope: {error}", f"Known are {known}")]) from None


def _check(name: str, scopes: Sequence[Scope], requests_per_minute: int | None, expires_at: datetime | None) -> None:
    problems = []
    if not name.strip() or len(name) > _MAX_NAME_CHARACTERS:
        remedy = f"Give a name of 1 to {_MAX_NAME_CHARACTERS} characters that tells what the key is for"
        problems.append(Problem("name", "is not a key's name", remedy, value=name[:_MAX_NAME_CHARACTERS]))
    if not scopes:
        problems.append(Problem("scopes", "is empty", "Give one or more of submit, read and admin"))
    if requests_per_minute is not None and not 1 <= requests_per_minute <= _MOST_REQUESTS_PER_MINUTE:
        remedy = f"Give 1 to {_MOST_REQUESTS_PER_MINUTE}, or nothing for no limit"
        problems.append(Problem("requests_per_minute", "is no limit", remedy, value=str(requests_per_minute)))
    if expires_at is not None and expires_at.tzinfo is None:
        remedy = "Give it with an offset, as 2030-01-31T00:00:00Z"
        problems.append(Problem("expires_at", "has no time zone", remedy, value=expires_at.isoformat()))
    if problems:
        raise InvalidInput(problems)


def _must(row: Row[Any] | None, key_id: UUID) -> Row[Any]:
    if row is None:
        raise NotFound(f"this project has no valid key {show_id('key', key_id)}: `pressroom keys list` shows all")
    return row


def _row(row: Row[Any]) -> KeyRow:
    return KeyRow(**{**row._mapping, "scopes": tuple(Scope(scope) for scope in row.scopes)})
