"""Deliver again by hand: one event, or all since a time; and a test event. Their ids are the old ones."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import orjson
from sqlalchemy import Connection, text

from pressroom.errors import Conflict, NotFound
from pressroom.events.outbox import OPEN_TO_ALL, TEST_TYPE
from pressroom.webhooks.endpoints import find_endpoint
from pressroom.webhooks.signing import message_id

MOST_REPLAYED = 100_000

_HEARS = f"""
    (CAST(:project AS uuid) IS NULL OR e.project_id = :project
      OR (e.project_id IS NULL AND e.type IN ({", ".join(f"'{name}'" for name in OPEN_TO_ALL)})))
"""

_AGAIN = """
    ON CONFLICT (endpoint_id, event_id) DO UPDATE SET next_at = now(), delivered_at = NULL,
      attempts = CASE WHEN webhook_deliveries.next_at IS NULL THEN 0 ELSE webhook_deliveries.attempts END
"""

_ONE = text(
    f"""
    INSERT INTO webhook_deliveries (endpoint_id, event_id) SELECT :endpoint, e.id FROM events e
    WHERE e.id = :event AND {_HEARS} {_AGAIN}
    """  # noqa: S608
)

_SINCE = text(
    f"""
    INSERT INTO webhook_deliveries (endpoint_id, event_id)
    SELECT w.id, e.id FROM webhook_endpoints w JOIN events e ON e.created_at >= :since AND {_HEARS}
      AND (w.batch_jobs OR e.batch_id IS NULL OR e.job_id IS NULL) AND e.type <> '{TEST_TYPE}'
      AND EXISTS (SELECT 1 FROM unnest(w.events) AS p WHERE e.type LIKE replace(replace(p, '_', '\\_'), '*', '%'))
    WHERE w.id = :endpoint ORDER BY e.id LIMIT {MOST_REPLAYED} {_AGAIN}
    """  # noqa: S608
)

_TEST = text(
    """
    WITH made AS (
      INSERT INTO events (project_id, type, data) VALUES (:project, :type, CAST(:data AS jsonb)) RETURNING id
    ), delivery AS (
      INSERT INTO webhook_deliveries (endpoint_id, event_id) SELECT :endpoint, id FROM made
    )
    SELECT id FROM made
    """
)

_DELIVERIES = text(
    """
    SELECT d.event_id, e.type, d.attempts, d.last_status, d.last_error, d.next_at, d.delivered_at, d.created_at
    FROM webhook_deliveries d JOIN events e ON e.id = d.event_id
    WHERE d.endpoint_id = :endpoint AND (CAST(:before AS bigint) IS NULL OR d.event_id < :before)
    ORDER BY d.event_id DESC LIMIT :limit
    """
)


@dataclass(frozen=True, slots=True)
class DeliveryRow:
    """One event's way to one endpoint. `next_at` is null when it is over: delivered, or given up."""

    event_id: int
    type: str
    attempts: int
    last_status: int | None
    last_error: str | None
    next_at: datetime | None
    delivered_at: datetime | None
    created_at: datetime

    @property
    def name(self) -> str:
        """`evt_…`, which is also its `webhook-id`."""
        return message_id(self.event_id)

    @property
    def state(self) -> str:
        """In a word."""
        if self.delivered_at is not None:
            return "delivered"
        return "given_up" if self.next_at is None else "waiting"


def replay_event(conn: Connection, project_id: UUID | None, endpoint_id: UUID, event_id: int) -> int:
    """Deliver one event (again), whatever types the endpoint asks for.

    Raises NotFound where it is not kept or not for this endpoint's project, Conflict for a disabled endpoint.
    """
    _expect_enabled(conn, project_id, endpoint_id)
    bound = {"endpoint": endpoint_id, "project": project_id, "event": event_id}
    count = conn.execute(_ONE, bound).rowcount
    if not count:
        raise NotFound(f"there is no event {message_id(event_id)}: events are kept for some days (docs/events.md)")
    return count


def replay_since(conn: Connection, project_id: UUID | None, endpoint_id: UUID, since: datetime) -> int:
    """Deliver (again) all events since then that it asks for, MOST_REPLAYED at most. Returns how many.

    Raises NotFound, and Conflict for a disabled endpoint.
    """
    _expect_enabled(conn, project_id, endpoint_id)
    bound = {"endpoint": endpoint_id, "project": project_id, "since": since}
    return conn.execute(_SINCE, bound).rowcount


def send_test(conn: Connection, project_id: UUID | None, endpoint_id: UUID) -> int:
    """Make an event for this endpoint alone, which it gets whatever it asks for; returns its id."""
    endpoint = _expect_enabled(conn, project_id, endpoint_id)
    data = orjson.dumps({"endpoint_id": endpoint}).decode()
    bound = {"project": project_id, "type": TEST_TYPE, "data": data, "endpoint": endpoint_id}
    return int(conn.execute(_TEST, bound).scalar_one())


def list_deliveries(
    conn: Connection, project_id: UUID | None, endpoint_id: UUID, *, before: int | None = None, limit: int = 20
) -> list[DeliveryRow]:
    """What went to the endpoint or is on its way, newest first. Raises NotFound."""
    find_endpoint(conn, project_id, endpoint_id)
    bound = {"endpoint": endpoint_id, "before": before, "limit": limit}
    return [DeliveryRow(**row._mapping) for row in conn.execute(_DELIVERIES, bound)]


def _expect_enabled(conn: Connection, project_id: UUID | None, endpoint_id: UUID) -> str:
    endpoint = find_endpoint(conn, project_id, endpoint_id)
    if endpoint.disabled_at is not None:
        raise Conflict(f"{endpoint.name} is disabled ({endpoint.disabled_reason}): enable it first")
    return endpoint.name
