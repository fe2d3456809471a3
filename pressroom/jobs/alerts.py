"""What a person must see to, told once until it is acknowledged."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, text

from pressroom.events.outbox import NewEvent, record_events

_RAISE = text(
    """
    INSERT INTO alerts (kind, subject, message) VALUES (:kind, :subject, :message)
    ON CONFLICT (kind, subject) WHERE acknowledged_at IS NULL DO NOTHING
    """
)

_LIST = text(
    """
    SELECT id, at, kind, subject, message, acknowledged_at FROM alerts
    WHERE acknowledged_at IS NULL OR :everything ORDER BY id DESC LIMIT :limit
    """
)

_ACKNOWLEDGE = text("UPDATE alerts SET acknowledged_at = now() WHERE id = :id AND acknowledged_at IS NULL")


_OF_DEPLOYMENTS = "deployment_"
"""Kinds that begin so are events, too, of the installation alone: they name accounts and addresses."""


@dataclass(frozen=True, slots=True)
class AlertRow:
    """One alert; open while `acknowledged_at` is null."""

    id: int
    at: datetime
    kind: str
    subject: str
    message: str
    acknowledged_at: datetime | None


def raise_alert(conn: Connection, kind: str, subject: str, message: str) -> bool:
    """Tell of it, in the caller's transaction; False, nothing written, while one of its kind and subject is open."""
    alert = {"kind": kind, "subject": subject, "message": message}
    raised = conn.execute(_RAISE, alert).rowcount == 1
    if raised and kind.startswith(_OF_DEPLOYMENTS):
        record_events(conn, [NewEvent("deployment.alert", data=alert)])
    return raised


def list_alerts(conn: Connection, *, everything: bool = False, limit: int = 100) -> list[AlertRow]:
    """Open alerts, or all of them, newest first."""
    rows = conn.execute(_LIST, {"everything": everything, "limit": limit})
    return [AlertRow(**row._mapping) for row in rows]


def acknowledge(conn: Connection, alert_id: int) -> bool:
    """Close an open alert; False if there is none of this number. The next of its kind and subject is told anew."""
    return conn.execute(_ACKNOWLEDGE, {"id": alert_id}).rowcount == 1
