"""What a worker process knows of its pools: limits for the limiter, rates for the books, the limiter's epoch."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import orjson
from sqlalchemy import Connection, Engine, text

from pressroom.jobs.lease import ClaimedLease
from pressroom.jobs.rates import Rates, effective_limits, pool_limits
from pressroom.limits.costs import Cost
from pressroom.limits.pool_limits import PoolLimits, StatedBefore

_RUNNING = text(
    "SELECT count(*) FROM jobs j JOIN leases l ON l.id = j.lease_id JOIN pools p ON p.id = l.pool_id"
    " WHERE p.name = :pool AND j.state = 'running'"
)

# Limits that another process learned meanwhile stay, unless this one learned another value of the same.
_STORE = text(
    """
    UPDATE pools SET limiter_epoch = coalesce(:epoch, limiter_epoch),
      learned_limits = learned_limits || CAST(:learned AS jsonb), stated_limits = CAST(:stated AS jsonb)
    WHERE name = :pool
    """
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
    stated: Mapping[str, Sequence[float]] = field(default_factory=dict)


class PoolStates:
    """Filled from claimed leases; read by the limiter and the books. Belongs to one process."""

    def __init__(self, *, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._known: dict[str, _Known] = {}
        self._unwritten: set[str] = set()

    def saw(self, lease: ClaimedLease) -> None:
        """Remember what a claim read of its pool."""
        known = self._known.get(lease.pool_name)
        explicit, learned, catalog = lease.limit_layers
        stated = lease.stated_limits
        epoch = lease.limiter_epoch or (known.epoch if known is not None else None)
        if known is not None and lease.pool_name in self._unwritten:
            # What the books say is older than what they have not been told yet.
            learned, epoch, stated = known.layers[1], known.epoch, known.stated
        rates = Rates.of(effective_limits(explicit, learned, catalog))
        self._known[lease.pool_name] = _Known((explicit, learned, catalog), epoch, rates, stated)

    def names(self) -> list[str]:
        """All pools seen so far."""
        return sorted(self._known)

    def limits(self, pool: str) -> PoolLimits:
        """Settings, completed by what was learned and what the catalog says."""
        known, now = self._known[pool], self._clock()
        stated = tuple(StatedBefore(name, limit, now - at) for name, (limit, at) in sorted(known.stated.items()))
        return replace(pool_limits(*known.layers), stated=stated)

    def rates(self, pool: str) -> Rates:
        """Seconds of the pool per unit."""
        return self._known[pool].rates

    def epoch(self, pool: str) -> str | None:
        """The life of the limiter's state last seen, None for a pool that never had any."""
        return self._known[pool].epoch

    def epoch_seen(self, pool: str, epoch: str) -> None:
        """Note the epoch of a grant; a new one is stored with the next `store`."""
        known = self._known[pool]
        if known.epoch != epoch:
            known.epoch = epoch
            self._unwritten.add(pool)

    def learned(self, pool: str, learned: Mapping[str, float], stated: Mapping[str, Sequence[float]]) -> None:
        """Note what the limiter learned (limits, burst), and which limits refusals stated, when; what is new is stored
        with the next `store`.

        A limiter that lost its state knows nothing until the next headers, and does not make us forget what we know.
        """
        known = self._known[pool]
        merged = {**known.layers[1], **learned}
        said = {name: [round(limit, 6), round(at, 3)] for name, (limit, at) in stated.items()}
        if merged == dict(known.layers[1]) and said == known.stated:
            return
        known.stated = said
        known.layers = (known.layers[0], merged, known.layers[2])
        known.rates = Rates.of(effective_limits(*known.layers))
        self._unwritten.add(pool)

    def store(self, database: Engine) -> None:
        """Write what is new, so that neither a flush nor a restart learns it again. Raises what a lost database raises.

        What could not be written is tried again with the next call: to a process that starts later, a pool without an
        epoch is a new one, and would get its full rate at once after a flush.
        """
        for pool in sorted(self._unwritten):
            known = self._known[pool]
            epoch, learned, stated = known.epoch, known.layers[1], known.stated
            bound = {"pool": pool, "epoch": epoch, "learned": orjson.dumps(dict(learned)).decode()}
            bound["stated"] = orjson.dumps(dict(stated)).decode()
            with database.begin() as conn:
                conn.execute(_STORE, bound)
            if (known.epoch, known.layers[1], known.stated) == (epoch, learned, stated):
                self._unwritten.discard(pool)

    @staticmethod
    def running(conn: Connection, pool: str) -> int:
        """Calls in flight by the books."""
        return int(conn.execute(_RUNNING, {"pool": pool}).scalar_one())

    @staticmethod
    def day_used(conn: Connection, pool: str) -> Cost:
        """What the pool used in the last 24 hours, by the books."""
        row = conn.execute(_DAY_USED, {"pool": pool}).one()
        return Cost(row.calls, row.tokens, 0.0)
