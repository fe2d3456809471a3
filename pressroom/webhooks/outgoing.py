"""Deliveries in SQL, which is the truth of them: take what is due, and write down what became of it.

Whoever takes one moves its next try to when others may take it over, and counts the attempt: a sender that is killed
loses nothing, and what a slow one reports after it was overtaken is not taken for the newer attempt's.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Connection, text

from pressroom.events.outbox import NewEvent, record_events
from pressroom.events.read import Event
from pressroom.ids import show_id
from pressroom.webhooks.schedule import wait_seconds

CLAIM_SECONDS = 60.0
"""How long a sender has for what it took, all in all."""
AT_ONCE = 12
"""Deliveries to one endpoint that a sender takes at a time."""
DISABLE_AFTER_SECONDS = 259_200.0

Tell = Callable[[Connection, str, str, str], bool]
"""Raises an alert: kind, subject, message."""

# From each endpoint some, so that one with a long queue does not keep others waiting.
_CLAIM = text(
    """
    WITH due AS MATERIALIZED (
      SELECT d.endpoint_id, d.event_id FROM (
        SELECT id FROM webhook_endpoints WHERE disabled_at IS NULL AND id <> ALL(CAST(:busy AS uuid[]))) w
      CROSS JOIN LATERAL (
        SELECT endpoint_id, event_id FROM webhook_deliveries
        WHERE endpoint_id = w.id AND next_at <= now() ORDER BY next_at LIMIT :at_once FOR UPDATE SKIP LOCKED) d
      LIMIT :limit
    ), taken AS (
      UPDATE webhook_deliveries d SET attempts = least(d.attempts + 1, 30000),
        next_at = now() + make_interval(secs => :claim)
      FROM due WHERE d.endpoint_id = due.endpoint_id AND d.event_id = due.event_id
      RETURNING d.endpoint_id, d.event_id, d.attempts
    )
    SELECT t.endpoint_id, t.attempts, w.url, w.secret,
      CASE WHEN w.previous_until > now() THEN w.previous_secret END AS previous_secret,
      e.id, e.project_id, e.type, e.job_id, e.batch_id, e.data, e.created_at
    FROM taken t JOIN webhook_endpoints w ON w.id = t.endpoint_id JOIN events e ON e.id = t.event_id ORDER BY e.id
    """
)

_SETTLE = text(
    """
    UPDATE webhook_deliveries d SET last_status = t.status, last_error = t.error,
      delivered_at = CASE WHEN t.wait IS NULL AND t.error IS NULL THEN now() END,
      next_at = CASE WHEN t.wait IS NOT NULL THEN now() + make_interval(secs => t.wait) END
    FROM unnest(CAST(:endpoints AS uuid[]), CAST(:events AS bigint[]), CAST(:attempts AS int[]),
      CAST(:statuses AS int[]), CAST(:errors AS text[]), CAST(:waits AS float8[]))
      AS t (endpoint_id, event_id, attempts, status, error, wait)
    WHERE d.endpoint_id = t.endpoint_id AND d.event_id = t.event_id AND d.attempts = t.attempts
      AND d.next_at IS NOT NULL
    """
)

_WELL = text("UPDATE webhook_endpoints SET failing_since = NULL WHERE id = :id AND failing_since IS NOT NULL")
_UNWELL = text("UPDATE webhook_endpoints SET failing_since = now() WHERE id = :id AND failing_since IS NULL")
_DISABLE = text(
    """
    UPDATE webhook_endpoints SET disabled_at = now(), disabled_reason = :reason
    WHERE id = :id AND disabled_at IS NULL AND (:at_once OR failing_since < now() - make_interval(secs => :after))
    RETURNING project_id, url
    """
)


@dataclass(frozen=True, slots=True, repr=False)
class Outgoing:
    """One delivery to be made now, for the `attempts`th time. Not to be logged: it holds secrets."""

    endpoint_id: UUID
    attempts: int
    url: str
    keys: tuple[str, ...]
    event: Event


@dataclass(frozen=True, slots=True)
class Sent:
    """What became of one: a status, or why there is none. `error` is None for success alone."""

    outgoing: Outgoing
    status: int | None = None
    error: str | None = None


def claim_due(conn: Connection, *, busy: Sequence[UUID] = (), limit: int = 100) -> list[Outgoing]:
    """Take deliveries that are due, but none to endpoints that the caller is `busy` with."""
    bound = {"busy": list(busy), "at_once": AT_ONCE, "limit": limit, "claim": CLAIM_SECONDS}
    found = []
    for row in conn.execute(_CLAIM, bound):
        keys = (row.secret,) if row.previous_secret is None else (row.secret, row.previous_secret)
        event = Event(row.id, row.project_id, row.type, row.job_id, row.batch_id, row.data, row.created_at)
        found.append(Outgoing(row.endpoint_id, row.attempts, row.url, keys, event))
    return found


def settle_sent(
    conn: Connection,
    sent: Sequence[Sent],
    *,
    tell: Tell,
    disable_after_seconds: float = DISABLE_AFTER_SECONDS,
    chance: Callable[[], float] = random.random,
) -> int:
    """Write down what became of deliveries; returns how many endpoints it disabled.

    An endpoint whose every delivery has failed for so long is disabled, and one that answers 410 at once; `tell` raises
    the alert of it.
    """
    if not sent:
        return 0
    waits = [None if one.error is None else wait_seconds(one.outgoing.attempts, chance()) for one in sent]
    ordered = sorted(zip(sent, waits, strict=True), key=lambda pair: _key(pair[0]))
    conn.execute(
        _SETTLE,
        {
            "endpoints": [one.outgoing.endpoint_id for one, _ in ordered],
            "events": [one.outgoing.event.id for one, _ in ordered],
            "attempts": [one.outgoing.attempts for one, _ in ordered],
            "statuses": [one.status for one, _ in ordered],
            "errors": [one.error for one, _ in ordered],
            "waits": [wait for _, wait in ordered],
        },
    )
    by_endpoint: dict[UUID, list[Sent]] = {}
    for one, _ in ordered:
        by_endpoint.setdefault(one.outgoing.endpoint_id, []).append(one)
    return sum(_judge(conn, key, made, tell, after=disable_after_seconds) for key, made in by_endpoint.items())


def _key(one: Sent) -> tuple[UUID, int]:
    return one.outgoing.endpoint_id, one.outgoing.event.id


def _judge(conn: Connection, endpoint_id: UUID, sent: Sequence[Sent], tell: Tell, *, after: float) -> bool:
    """Whether the endpoint was disabled for this."""
    gone = any(one.status == 410 for one in sent)
    if any(one.error is None for one in sent) and not gone:
        conn.execute(_WELL, {"id": endpoint_id})
        return False
    last = sent[-1].error
    reason = "it answered 410 Gone" if gone else f"every delivery has failed for {after / 3600:g} hours, last: {last}"
    conn.execute(_UNWELL, {"id": endpoint_id})
    row = conn.execute(_DISABLE, {"id": endpoint_id, "reason": reason, "at_once": gone, "after": after}).one_or_none()
    if row is None:
        return False
    name = show_id("we", endpoint_id)
    tell(
        conn,
        "webhook_disabled",
        name,
        f"webhook endpoint {name} was disabled: {reason}. When it is mended: pressroom webhooks enable {name}, and "
        f"pressroom webhooks replay {name} --since TIME for what it missed meanwhile",
    )
    record_events(conn, [NewEvent("webhook.disabled", row.project_id, data={"endpoint_id": name, "reason": reason})])
    return True
