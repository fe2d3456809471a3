"""Read the outbox from a place on, in order, without loss and without repetition."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import Connection, text

from pressroom.errors import InvalidInput, Problem
from pressroom.events.outbox import OPEN_TO_ALL
from pressroom.ids import show_id

EVENT_TYPES = (
    "job.created",
    "job.succeeded",
    "job.failed",
    "job.cancelled",
    "job.expired",
    "batch.created",
    "batch.validating",
    "batch.in_progress",
    "batch.finalizing",
    "batch.completed",
    "batch.failed",
    "batch.cancelling",
    "batch.cancelled",
    "batch.expired",
    "budget.warning",
    "budget.exhausted",
    "budget.raised",
    "deployment.stopped",
    "deployment.started",
    "deployment.alert",
    "webhook.disabled",
    "webhook.test",
)
"""Every type that is kept. `batch.progress` is told on a stream only."""

STREAM_TYPES = (*EVENT_TYPES, "batch.progress")
_MOST_PATTERNS = 50
_PATTERN = re.compile(r"(?=.{1,60}$)[a-z_.]*\*?[a-z_.]*", re.ASCII)
"""One `*` at most: what many of them match takes for ever to find out."""

_COLUMNS = "e.id, e.project_id, e.type, e.job_id, e.batch_id, e.data, e.created_at"
_OPEN = ", ".join(f"'{name}'" for name in OPEN_TO_ALL)

_AFTER = text(
    f"SELECT {_COLUMNS} FROM events e WHERE e.id > :after AND e.id <= :upto ORDER BY e.id LIMIT :limit"  # noqa: S608
)

# The project's own, and those without one that are everybody's; each from its own end of the same index.
_OF_PROJECT = text(
    f"""
    SELECT {_COLUMNS} FROM (
      (SELECT * FROM events WHERE project_id = :project AND id > :after AND id <= :upto
         AND (CAST(:job AS uuid) IS NULL OR job_id = :job) AND (CAST(:batch AS uuid) IS NULL OR batch_id = :batch)
       ORDER BY project_id, id LIMIT :limit)
      UNION ALL
      (SELECT * FROM events WHERE project_id IS NULL AND type IN ({_OPEN}) AND id > :after AND id <= :upto
         AND CAST(:job AS uuid) IS NULL AND CAST(:batch AS uuid) IS NULL ORDER BY id LIMIT :limit)
    ) e ORDER BY e.id LIMIT :limit
    """  # noqa: S608
)

_OF_JOB = text(
    f"""
    SELECT {_COLUMNS} FROM events e
    WHERE e.job_id = :job AND e.project_id = :project AND e.id > :after AND e.id <= :upto ORDER BY e.id LIMIT :limit
    """  # noqa: S608
)

_KEPT = text("SELECT coalesce(:id >= min(id) - 1, true) FROM events")


@dataclass(frozen=True, slots=True)
class Event:
    """One event as it was written."""

    id: int
    project_id: UUID | None
    type: str
    job_id: UUID | None
    batch_id: UUID | None
    data: Mapping[str, Any]
    created_at: datetime

    def payload(self) -> dict[str, Any]:
        """As listeners get it: `type`, `timestamp` and `data`, the form of Standard Webhooks."""
        ids: dict[str, Any] = {}
        if self.job_id is not None:
            ids["job_id"] = show_id("job", self.job_id)
        if self.batch_id is not None:
            ids["batch_id"] = show_id("batch", self.batch_id)
        return {"type": self.type, "timestamp": rfc3339(self.created_at), "data": {**ids, **self.data}}

    def body(self) -> bytes:
        """The payload as JSON: always the same bytes for the same event."""
        return orjson.dumps(self.payload(), option=orjson.OPT_SORT_KEYS)


@dataclass(frozen=True, slots=True)
class Interest:
    """What a listener wants of a project's events: of one job or batch or all, and which types (`job.*`)."""

    project_id: UUID
    job_id: UUID | None = None
    batch_id: UUID | None = None
    types: Sequence[str] = field(default=("*",))

    def wants(self, event: Event) -> bool:
        """Whether it is for this listener."""
        if event.project_id != self.project_id and not (event.project_id is None and event.type in OPEN_TO_ALL):
            return False
        if self.job_id is not None and event.job_id != self.job_id:
            return False
        if self.batch_id is not None and event.batch_id != self.batch_id:
            return False
        return self.wants_type(event.type)

    def wants_type(self, event_type: str) -> bool:
        """Whether any of its patterns is of this type."""
        return any(matches(pattern, event_type) for pattern in self.types)


def matches(pattern: str, event_type: str) -> bool:
    """Whether the type is of the pattern, of which one `*` is any characters."""
    begin, star, end = pattern.partition("*")
    if not star:
        return pattern == event_type
    return len(event_type) >= len(begin) + len(end) and event_type.startswith(begin) and event_type.endswith(end)


def parse_patterns(given: Sequence[str], *, name: str, known: Sequence[str] = EVENT_TYPES) -> list[str]:
    """The patterns without repetition, in order. Raises InvalidInput for one that no type of `known` is of."""
    patterns = list(dict.fromkeys(pattern.strip() for pattern in given))
    remedy = f"Give types, or patterns as job.* or *; the types are {', '.join(known)}"
    if not patterns or len(patterns) > _MOST_PATTERNS:
        raise InvalidInput([Problem(name, f"must be 1 to {_MOST_PATTERNS} types of events", remedy)])
    for pattern in patterns:
        if not _PATTERN.fullmatch(pattern) or not any(matches(pattern, one) for one in known):
            raise InvalidInput([Problem(name, "is no type of event", remedy, value=pattern[:80])])
    return patterns


def read_all(conn: Connection, after: int, upto: int, *, limit: int) -> list[Event]:
    """Events of everybody after one place and up to another, which must be within the horizon; the first `limit`."""
    rows = conn.execute(_AFTER, {"after": after, "upto": upto, "limit": limit})
    return [Event(**row._mapping) for row in rows]


def read_for(conn: Connection, interest: Interest, span: tuple[int, int], *, limit: int) -> tuple[list[Event], int]:
    """What a listener wants of (after, up to], and the place up to which that is: the first `limit` rows are looked at.

    `up to` must be within the horizon.
    """
    after, upto = span
    bound = {"project": interest.project_id, "job": interest.job_id, "batch": interest.batch_id}
    query = _OF_JOB if interest.job_id is not None else _OF_PROJECT
    rows = conn.execute(query, bound | {"after": after, "upto": upto, "limit": limit})
    events = [Event(**row._mapping) for row in rows]
    reached = events[-1].id if len(events) == limit else upto
    return [event for event in events if interest.wants(event)], reached


def is_kept_after(conn: Connection, place: int) -> bool:
    """Whether all after the place are still there: the oldest are removed first, and never the last of those."""
    return bool(conn.execute(_KEPT, {"id": place}).scalar_one())


def rfc3339(when: datetime) -> str:
    """`2026-11-24T12:00:00.123456Z`."""
    return when.astimezone(UTC).isoformat(timespec="microseconds").removesuffix("+00:00") + "Z"
