"""Events of deployments, which several use-cases write. Every project may hear of them."""

from sqlalchemy import Connection, text

from pressroom.events.outbox import NewEvent, record_events

_DEPLOYMENT = text("SELECT model, stop_kind::text AS kind, retry_at FROM deployments WHERE id = :id")


def record_deployment(conn: Connection, deployment_id: int, event_type: str) -> None:
    """`deployment.stopped` or `deployment.started`. Without its address, account and the provider's words.

    Those are the operator's; `deployment.alert` and `pressroom alerts` have them.
    """
    row = conn.execute(_DEPLOYMENT, {"id": deployment_id}).one()
    data = {"deployment": deployment_id, "model": row.model}
    if row.kind is not None:
        data |= {"kind": row.kind, "retry_at": row.retry_at.isoformat() if row.retry_at is not None else None}
    record_events(conn, [NewEvent(event_type, data=data)])
