"""Events are kept for some days, the oldest removed first; their deliveries go with them."""

from sqlalchemy import Connection, text

_AT_ONCE = 5_000

# `id` orders them as they were made, but for the length of a transaction.
_PURGE = text(
    """
    DELETE FROM events WHERE id IN (
      SELECT id FROM (SELECT id, created_at FROM events ORDER BY id LIMIT :limit) AS oldest
      WHERE created_at < now() - make_interval(secs => :keep))
    """
)


def purge_events(conn: Connection, *, keep_seconds: float, limit: int = _AT_ONCE) -> int:
    """Remove those of the `limit` oldest that are older than that; how many."""
    return conn.execute(_PURGE, {"limit": limit, "keep": keep_seconds}).rowcount
