"""Calls of a batch that have no outcome on the books: on their way, or cut off with their worker."""

from dataclasses import dataclass
from decimal import Decimal
from uuid import UUID

from sqlalchemy import Connection, text

_STARTED = text(
    """
    SELECT count(*)::int AS calls, coalesce(sum(a.est_cost_usd), 0) AS usd
    FROM jobs j JOIN attempts a ON a.job_id = j.id AND a.outcome = 'started'
    WHERE j.lease_id IS NOT NULL AND j.state = 'running' AND j.batch_id = :batch
    """
)


@dataclass(frozen=True, slots=True)
class OpenCalls:
    """How many, and what they cost at most. With no worker left, that is at risk of being billed for nothing."""

    calls: int
    est_cost_usd: Decimal


def open_calls(conn: Connection, batch_id: UUID) -> OpenCalls:
    """Those of the batch now."""
    row = conn.execute(_STARTED, {"batch": batch_id}).one()
    return OpenCalls(row.calls, row.usd)
