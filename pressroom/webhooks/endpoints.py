"""Webhook endpoints as people manage them. A secret is handed out once, when it is made, and never again."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, text

from pressroom.errors import Conflict, InvalidInput, NotFound, Problem
from pressroom.events.read import parse_patterns
from pressroom.ids import new_id, show_id
from pressroom.webhooks.signing import new_secret

MOST_ENDPOINTS = 50
OVERLAP_SECONDS = 86_400.0
"""How long the old secret signs beside the new one after a rotation."""
_LONGEST_DESCRIPTION = 512

_COLUMNS = (
    "id, project_id, url, description, events, batch_jobs, failing_since, disabled_at, disabled_reason, created_at,"
    " CASE WHEN previous_until > now() THEN previous_until END AS previous_until"
)
_OWN = "project_id IS NOT DISTINCT FROM CAST(:project AS uuid)"

_INSERT = text(
    f"""
    INSERT INTO webhook_endpoints (id, project_id, url, description, events, batch_jobs, secret)
    VALUES (:id, :project, :url, :description, :events, :batch_jobs, :secret) RETURNING {_COLUMNS}
    """  # noqa: S608
)
_COUNT = text(f"SELECT count(*) FROM webhook_endpoints WHERE {_OWN}")  # noqa: S608
_LIST = text(
    f"SELECT {_COLUMNS} FROM webhook_endpoints WHERE {_OWN}"  # noqa: S608
    " AND (CAST(:after AS uuid) IS NULL OR id < :after) ORDER BY id DESC LIMIT :limit"
)
_FIND = text(f"SELECT {_COLUMNS} FROM webhook_endpoints WHERE {_OWN} AND id = :id")  # noqa: S608
_UPDATE = """
    UPDATE webhook_endpoints SET {changes} WHERE project_id IS NOT DISTINCT FROM CAST(:project AS uuid) AND id = :id
    RETURNING {columns}
"""
_DELETE = text(f"DELETE FROM webhook_endpoints WHERE {_OWN} AND id = :id")  # noqa: S608
_ROTATE = text(
    f"""
    UPDATE webhook_endpoints SET secret = :secret,
      previous_secret = CASE WHEN CAST(:overlap AS float8) > 0 THEN secret END,
      previous_until = CASE WHEN CAST(:overlap AS float8) > 0 THEN now() + make_interval(secs => :overlap) END
    WHERE {_OWN} AND id = :id RETURNING {_COLUMNS}
    """  # noqa: S608
)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An endpoint without its secret. `previous_until` is set while the secret before the last rotation still signs."""

    id: UUID
    project_id: UUID | None
    url: str
    description: str
    events: list[str]
    batch_jobs: bool
    failing_since: datetime | None
    disabled_at: datetime | None
    disabled_reason: str | None
    created_at: datetime
    previous_until: datetime | None

    @property
    def name(self) -> str:
        """`we_0193…`."""
        return show_id("we", self.id)

    @property
    def status(self) -> str:
        """In a word."""
        if self.disabled_at is not None:
            return "disabled"
        return "failing" if self.failing_since is not None else "enabled"


@dataclass(frozen=True, slots=True)
class NewEndpoint:
    """What an endpoint is made of; `url` was admitted by `pressroom.net.guard.admit`."""

    url: str
    events: Sequence[str] = ("*",)
    description: str = ""
    batch_jobs: bool = False


def create_endpoint(conn: Connection, project_id: UUID | None, new: NewEndpoint) -> tuple[Endpoint, str]:
    """Make one, of a project or (None) of the installation; returns it and its secret. Raises InvalidInput."""
    secret = new_secret()
    row: dict[str, Any] = {
        "id": new_id(),
        "project": project_id,
        "url": new.url,
        "description": _description(new.description),
        "events": parse_patterns(new.events, name="events"),
        "batch_jobs": new.batch_jobs,
        "secret": secret,
    }
    if conn.execute(_COUNT, {"project": project_id}).scalar_one() >= MOST_ENDPOINTS:
        raise Conflict(f"there are {MOST_ENDPOINTS} webhook endpoints already: remove one first")
    return Endpoint(**conn.execute(_INSERT, row).one()._mapping), secret


def list_endpoints(
    conn: Connection, project_id: UUID | None, *, after: UUID | None = None, limit: int = MOST_ENDPOINTS
) -> list[Endpoint]:
    """Newest first, from after that one on."""
    bound = {"project": project_id, "after": after, "limit": limit}
    return [Endpoint(**row._mapping) for row in conn.execute(_LIST, bound)]


def find_endpoint(conn: Connection, project_id: UUID | None, endpoint_id: UUID) -> Endpoint:
    """Raises NotFound for another project's, too."""
    row = conn.execute(_FIND, {"project": project_id, "id": endpoint_id}).one_or_none()
    if row is None:
        raise _missing(endpoint_id)
    return Endpoint(**row._mapping)


def update_endpoint(
    conn: Connection, project_id: UUID | None, endpoint_id: UUID, changes: Mapping[str, Any]
) -> Endpoint:
    """Change `url` (admitted), `events`, `description`, `batch_jobs` or `enabled`.

    Enabled again, it is as if it had never failed, and deliveries that waited go out. Raises NotFound, InvalidInput.
    """
    bound = dict(changes)
    enabled = bound.pop("enabled", None)
    if "events" in bound:
        bound["events"] = parse_patterns(bound["events"], name="events")
    if "description" in bound:
        bound["description"] = _description(bound["description"])
    sets = [f"{name} = :{name}" for name in ("url", "events", "description", "batch_jobs") if name in bound]
    if enabled is True:
        sets.append("disabled_at = NULL, disabled_reason = NULL, failing_since = NULL")
    elif enabled is False:
        sets.append(
            "disabled_at = coalesce(disabled_at, now()), disabled_reason = coalesce(disabled_reason, 'by hand')"
        )
    if not sets:
        return find_endpoint(conn, project_id, endpoint_id)
    query = text(_UPDATE.format(changes=", ".join(sets), columns=_COLUMNS))
    row = conn.execute(query, bound | {"project": project_id, "id": endpoint_id}).one_or_none()
    if row is None:
        raise _missing(endpoint_id)
    return Endpoint(**row._mapping)


def delete_endpoint(conn: Connection, project_id: UUID | None, endpoint_id: UUID) -> None:
    """Remove it, and what was still to be delivered to it. Raises NotFound."""
    if not conn.execute(_DELETE, {"project": project_id, "id": endpoint_id}).rowcount:
        raise _missing(endpoint_id)


def rotate_secret(
    conn: Connection, project_id: UUID | None, endpoint_id: UUID, *, overlap_seconds: float = OVERLAP_SECONDS
) -> tuple[Endpoint, str]:
    """A new secret; the old one signs beside it for a while, unless that is 0. Raises NotFound."""
    secret = new_secret()
    bound = {"project": project_id, "id": endpoint_id, "secret": secret, "overlap": overlap_seconds}
    row = conn.execute(_ROTATE, bound).one_or_none()
    if row is None:
        raise _missing(endpoint_id)
    return Endpoint(**row._mapping), secret


def _description(given: str) -> str:
    if len(given) > _LONGEST_DESCRIPTION or "\x00" in given:
        remedy = f"Give {_LONGEST_DESCRIPTION} characters at most, without NUL"
        raise InvalidInput([Problem("description", "cannot be kept", remedy)])
    return given


def _missing(endpoint_id: UUID) -> NotFound:
    return NotFound(f"there is no webhook endpoint {show_id('we', endpoint_id)}")
