"""One turn of the dispatcher: lease what pools have room for, mend what faults left, store what was learned."""

import time
from collections.abc import Callable

from pressroom.jobs.dispatch import DispatchPolicy, dispatch
from pressroom.jobs.pool_state import PoolStates
from pressroom.jobs.recover import sweep
from worker.assembly import Servers

_SWEEP_SECONDS = 1.0
LEARN_SECONDS = 3.0


class Dispatching:
    """Every worker process runs one; they take turns pool by pool."""

    def __init__(self, servers: Servers, pools: PoolStates, healthy_for: Callable[[], float]) -> None:
        """`healthy_for`: seconds of unbroken heartbeats. After an outage everybody's are old, and nobody is dead."""
        self._servers = servers
        self._pools = pools
        self._healthy_for = healthy_for
        self._policy = DispatchPolicy.of(servers.settings)
        self._sweep_at = self._learn_at = 0.0

    def turn(self) -> None:
        """Raises what an unreachable database or broker raises."""
        settings = self._servers.settings
        dispatch(self._servers.database, self._servers.publisher, self._policy)
        now = time.monotonic()
        if now >= self._sweep_at:
            self._sweep_at = now + _SWEEP_SECONDS
            dead_after_seconds = settings.worker_dead_after_seconds
            sweep(
                self._servers.database,
                self._servers.publisher,
                dead_after_seconds=dead_after_seconds if self._healthy_for() >= dead_after_seconds else None,
                resend_seconds=settings.unclaimed_resend_seconds,
            )
        if now >= self._learn_at:
            self._learn_at = now + LEARN_SECONDS
            self._store_learned()

    def _store_learned(self) -> None:
        for pool in self._pools.names():
            status = self._servers.admin.status(pool)
            if status.started and self._pools.learned_changed(pool, status.learned):
                with self._servers.database.begin() as conn:
                    self._pools.store_learned(conn, pool)
