"""Where ready jobs stand in their queues, and when their turn is likely to come."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, text

from pressroom.jobs.array import array
from pressroom.jobs.rates import Rates, effective_limits

COUNTED = 10_000
"""Places in a queue are told up to here: telling the millionth would read a million rows."""

_LONGEST = timedelta(days=3650)

# The order in which a stake is served (dispatch): whole flows before this one by their counters and mean sizes, jobs
# before it in its own flow by the index, and nothing else of the table is read. `part` is what the stake gets of the
# pool while all that are active now stay so.
_PLACES = text(
    """
    WITH mine AS MATERIALIZED (
      SELECT f.id, f.stake_id, f.pool_id, s.weight / greatest(
          (SELECT sum(o.weight) FROM stakes o WHERE o.pool_id = f.pool_id AND (o.active OR o.id = s.id)), s.weight)
          AS part,
        d.token_ratio * f.tokens_in / greatest(f.jobs_in, 1) AS tokens,
        f.images_in::float8 / greatest(f.jobs_in, 1) AS images, before.*
      FROM flows f JOIN stakes s ON s.id = f.stake_id JOIN deployments d ON d.id = f.deployment_id
      CROSS JOIN LATERAL (
        SELECT coalesce(sum(o.queued), 0)::bigint AS jobs_before,
          coalesce(sum(o.queued * od.token_ratio * o.tokens_in / greatest(o.jobs_in, 1)), 0)::float8 AS tokens_before,
          coalesce(sum(o.queued * o.images_in::float8 / greatest(o.jobs_in, 1)), 0)::float8 AS images_before
        FROM flows o JOIN deployments od ON od.id = o.deployment_id
        WHERE o.stake_id = f.stake_id AND o.active AND NOT o.paused AND o.blocked_by IS NULL
          AND (o.priority, coalesce(o.deadline, 'infinity'), o.id)
            < (f.priority, coalesce(f.deadline, 'infinity'), f.id)) before
      WHERE f.id = ANY(CAST(:flows AS bigint[]))
    )
    SELECT x.id, x.place, m.*, p.explicit_limits, p.learned_limits, p.catalog_limits,
      (SELECT coalesce(sum(l.waiting_seconds), 0) FROM leases l WHERE l.pool_id = m.pool_id)::float8 AS leased_seconds,
      clock_timestamp() AS read_at
    FROM mine m JOIN pools p ON p.id = m.pool_id CROSS JOIN LATERAL (
      SELECT r.id, row_number() OVER (ORDER BY r.id) AS place FROM (
        SELECT j.id FROM jobs j
        WHERE j.flow_id BETWEEN m.id AND m.id AND j.state = 'queued' AND j.run_at IS NULL
          AND (j.deadline IS NULL OR j.deadline > now())
        ORDER BY j.flow_id, j.id LIMIT :counted) r) x (id, place)
    WHERE x.id = ANY(CAST(:jobs AS uuid[]))
    """
)


@dataclass(frozen=True, slots=True)
class Place:
    """`ahead` jobs of its project and class are served before it. `starts_at` is None where nobody can tell."""

    ahead: int
    starts_at: datetime | None


def find_places(conn: Connection, flows: Sequence[int], jobs: Sequence[UUID]) -> dict[UUID, Place]:
    """The places of ready jobs, all of these flows; those beyond COUNTED in their flow are left out."""
    bound = {"flows": array(flows), "jobs": array(jobs), "counted": COUNTED}
    return {row[0]: _place(row) for row in conn.execute(_PLACES, bound)}


def _place(row: Row[Any]) -> Place:
    before = row.place - 1
    rates = Rates.of(effective_limits(row.explicit_limits, row.learned_limits, row.catalog_limits))
    ahead = row.jobs_before + before
    if rates.unlimited:
        return Place(ahead, None)
    # Requests, tokens and images pass at the same time: the scarcest of them makes the wait.
    seconds = max(
        rates.request_seconds * ahead,
        rates.token_seconds * (row.tokens_before + before * row.tokens),
        rates.image_seconds * (row.images_before + before * row.images),
    )
    wait = timedelta(seconds=min(_LONGEST.total_seconds(), row.leased_seconds + seconds / row.part))
    return Place(ahead, row.read_at + wait)
