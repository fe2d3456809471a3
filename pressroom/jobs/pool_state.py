"""What a worker process knows of its pools: limits for the limiter, rates for the books, the limiter's epoch."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson
from sqlalchemy import Connection, text

from pressroom.jobs.lease import ClaimedLease
from pressroom.jobs.rates import Rates, effective_limits, pool_limits
from pressroom.limits.costs import Cost
from pressroom.limits.pool_limits import PoolLimits

_RUNNING = text(
    "SELECT count(*) FROM jobs j JOIN leases l ON l.id = j.lease_id JOIN pools p ON p.id = l.pool_id"
    " WHERE p.name = :pool AND j.state = 'running'"
)

# A rolling day from daily rows: all of today and the part of yesterday that is less than a day ago.
_DAY_USED = text(
    """
    SELECT coalesce(sum(share * calls), 0)::float8 AS calls,
      coalesce(sum(share * (input_tokens + output_tokens)), 0)::float8 AS tokens
    FROM (SELECT c.*, CASE WHEN c.day = (now() AT TIME ZONE 'UTC')::date THEN 1.0
        ELSE 1 - extract(epoch FROM (now() AT TIME ZONE 'UTC')::time) / 86400 END AS share
      FROM daily_costs c JOIN deployments d ON d.id = c.deployment_id JOIN pools p ON p.id = d.pool_id
      WHERE p.name = :pool AND c.day >= (now() AT TIME ZONE 'UTC')::date - 1) s
    """
)


@dataclass(slots=True)
class _Known:
    layers: tuple[Mapping[str, Any], Mapping[str, Any], Mapping[str, Any]]
    epoch: str | None
    rates: Rates


class PoolStates:
    """Filled from claimed leases; read by the limiter and the books. Belongs to one process."""

    def __init__(self) -> None:
        self._known: dict[str, _Known] = {}

    def saw(self, lease: ClaimedLease) -> None:
        """Remember what a claim read of its pool."""
        known = self._known.get(lease.pool_name)
        rates = Rates.of(effective_limits(*lease.limit_layers))
        epoch = lease.limiter_epoch or (known.epoch if known is not None else None)
        self._known[lease.pool_name] = _Known(lease.limit_layers, epoch, rates)

    def names(self) -> list[str]:
        """All pools seen so far."""
        return sorted(self._known)

    def limits(self, pool: str) -> PoolLimits:
        """Settings, completed by what was learned and what the catalog says."""
        return pool_limits(*self._known[pool].layers)

    def rates(self, pool: str) -> Rates:
        """Seconds of the pool per unit."""
        return self._known[pool].rates

    def epoch(self, pool: str) -> str | None:
        """The life of the limiter's state last seen, None for a pool that never had any."""
        return self._known[pool].epoch

    def epoch_changed(self, pool: str, epoch: str) -> bool:
        """Note the epoch of a grant; True when it is a new one, which must be stored."""
        known = self._known[pool]
        changed = known.epoch != epoch
        known.epoch = epoch
        return changed

    def learned_changed(self, pool: str, learned: Mapping[str, float]) -> bool:
        """Note limits read from headers; True when that changes those stored.

        A limiter that lost its state knows none until the next headers, and does not make us forget ours.
        """
        known = self._known[pool]
        merged = {**known.layers[1], **learned}
        if merged == dict(known.layers[1]):
            return False
        known.layers = (known.layers[0], merged, known.layers[2])
        known.rates = Rates.of(effective_limits(*known.layers))
        return True

    @staticmethod
    def store_epoch(conn: Connection, pool: str, epoch: str) -> None:
        """So that a process that starts later knows lost state from a new pool."""
        conn.execute(text("UPDATE pools SET limiter_epoch = :epoch WHERE name = :pool"), {"pool": pool, "epoch": epoch})

    def store_learned(self, conn: Connection, pool: str) -> None:
        """So that a flush or a restart does not learn the limits again."""
        learned = self._known[pool].layers[1]
        query = text("UPDATE pools SET learned_limits = CAST(:learned AS jsonb) WHERE name = :pool")
        conn.execute(query, {"pool": pool, "learned": orjson.dumps(dict(learned)).decode()})

    @staticmethod
    def running(conn: Connection, pool: str) -> int:
        """Calls in flight by the books."""
        return int(conn.execute(_RUNNING, {"pool": pool}).scalar_one())

    @staticmethod
    def day_used(conn: Connection, pool: str) -> Cost:
        """What the pool used in the last 24 hours, by the books."""
        row = conn.execute(_DAY_USED, {"pool": pool}).one()
        return Cost(row.calls, row.tokens, 0.0)
