"""Events are kept for some days, the oldest removed first; their deliveries go with them."""

from sqlalchemy import Connection, text

_AT_ONCE = 5_000

# In the order of ids, and always up to one that stays: by it a reader knows that what is before it is gone.
_PURGE = text(
    """
    WITH oldest AS (
      SELECT id, created_at < now() - make_interval(secs => :keep) AS is_old FROM events ORDER BY id LIMIT :limit
    ), over AS (
      SELECT id FROM oldest WHERE is_old AND id < coalesce((SELECT min(id) FROM oldest WHERE NOT is_old), id + 1)
    )
    DELETE FROM events WHERE id IN (SELECT id FROM over) AND id < (SELECT max(id) FROM over)
    """
)


def purge_events(conn: Connection, *, keep_seconds: float, limit: int = _AT_ONCE) -> int:
    """Remove those of the `limit` oldest that are older than that, but for the newest of them; how many."""
    return conn.execute(_PURGE, {"limit": limit, "keep": keep_seconds}).rowcount
