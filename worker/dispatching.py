"""One turn of the dispatcher: lease what pools have room for, mend what faults left, store what was learned."""

import time
from collections.abc import Callable
from uuid import UUID

from sqlalchemy import text

from pressroom.jobs.breaker import BreakerPolicy, Breakers
from pressroom.jobs.deadlines import mark_late
from pressroom.jobs.dependencies import release_missed
from pressroom.jobs.dispatch import DispatchPolicy, dispatch, unclaimed_urgent
from pressroom.jobs.engine import EngineParts
from pressroom.jobs.idempotency import purge
from pressroom.jobs.recover import sweep
from pressroom.jobs.regroup import fetch_left_behind
from pressroom.jobs.reroute import reroute
from pressroom.jobs.stops import lift_left_over, mark_missed
from worker.assembly import Servers

_SWEEP_SECONDS = 1.0
_REVIEW_SECONDS = 10.0
_REROUTE_SECONDS = 1.0
LEARN_SECONDS = 3.0
# What a crash loses of it is learned again.
_LAX_COMMIT = text("SET LOCAL synchronous_commit = off")


class Dispatching:
    """Every worker process runs one; they take turns pool by pool."""

    def __init__(
        self,
        servers: Servers,
        parts: EngineParts,
        healthy_for: Callable[[], float],
        take_urgent: Callable[[UUID], None],
    ) -> None:
        """`healthy_for`: seconds of unbroken heartbeats. After an outage everybody's are old, and nobody is dead.

        `take_urgent` claims a lease of interactive jobs, if nobody has it, and puts them before all others.
        """
        self._servers = servers
        self._pools = parts.pools
        self._tokens = parts.tokens
        self._prices = parts.prices
        self._breakers = Breakers(servers.database, servers.admin, parts.health, BreakerPolicy.of(servers.settings))
        self._healthy_for = healthy_for
        self._take_urgent = take_urgent
        self._policy = DispatchPolicy.of(servers.settings)
        self._sweep_at = self._learn_at = self._reroute_at = self._review_at = 0.0

    def turn(self) -> None:
        """Raises what an unreachable database or broker raises."""
        settings = self._servers.settings
        self._pools.store(self._servers.database)
        dispatch(self._servers.database, self._servers.publisher, self._policy)
        with self._servers.database.connect() as conn:
            urgent = unclaimed_urgent(conn, self._policy)
        for lease_id in urgent:
            self._take_urgent(lease_id)
        now = time.monotonic()
        if now >= self._sweep_at:
            self._sweep_at = now + _SWEEP_SECONDS
            dead_after_seconds = settings.worker_dead_after_seconds
            sweep(
                self._servers.database,
                self._servers.publisher,
                dead_after_seconds=dead_after_seconds if self._healthy_for() >= dead_after_seconds else None,
                resend_seconds=settings.unclaimed_resend_seconds,
                uncertain_seconds=settings.uncertain_hold_seconds,
            )
        if now >= self._learn_at:
            self._learn_at = now + LEARN_SECONDS
            self._store_learned()
        if now >= self._review_at:
            self._review_at = now + _REVIEW_SECONDS
            self._review()
        self._breakers.turn(self._servers.publisher, self._policy)
        if now >= self._reroute_at:
            self._reroute_at = now + _REROUTE_SECONDS
            reroute(self._servers.database, self._policy)

    def _review(self) -> None:
        """Who needs more than a fair part to make a deadline, and what a crash or a race left in the wrong state."""
        with self._servers.database.begin() as conn:
            mark_late(conn)
        with self._servers.database.begin() as conn:
            lift_left_over(conn)
        with self._servers.database.begin() as conn:
            mark_missed(conn)
        with self._servers.database.begin() as conn:
            fetch_left_behind(conn)
        with self._servers.database.begin() as conn:
            purge(conn)
        release_missed(self._servers.database)

    def _store_learned(self) -> None:
        """What the limiter learned of limits, and this process of tokens; and take up prices that people set."""
        with self._servers.database.begin() as conn:
            conn.execute(_LAX_COMMIT)
            self._tokens.flush(conn)
            self._prices.renew(conn)
        for pool in self._pools.names():
            status = self._servers.admin.status(pool)
            if status.started:
                self._pools.learned(pool, status.learned, status.stated)
