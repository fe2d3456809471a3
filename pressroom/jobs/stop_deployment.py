"""Stop a deployment that would fail every job alike: in the books, and in the limiter for all workers at once."""

from sqlalchemy import Connection, text

from pressroom.limits.redis_limiter import LimiterAdmin

_PAUSE = text(
    """
    UPDATE deployments SET paused_at = coalesce(paused_at, now()), pause_reason = coalesce(pause_reason, :reason)
    WHERE id = :id
    """
)

_SHARED = text(
    """
    SELECT p.name, (SELECT count(*) FROM deployments o WHERE o.pool_id = p.id AND o.paused_at IS NULL) AS others
    FROM deployments d JOIN pools p ON p.id = d.pool_id WHERE d.id = :id
    """
)


def stop_deployment(conn: Connection, limiter: LimiterAdmin, deployment_id: int, reason: str) -> None:
    """Lease no more of its jobs, and grant no more start times unless others still use its pool.

    The first reason stays. `pressroom deployments resume` lifts both.
    """
    conn.execute(_PAUSE, {"id": deployment_id, "reason": reason})
    row = conn.execute(_SHARED, {"id": deployment_id}).one()
    if row.others == 0:
        limiter.pause(row.name, None, reason)
