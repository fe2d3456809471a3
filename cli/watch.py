"""Follow a batch until it ends, or until nothing can move it."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import UUID

from cli.outages import POSTGRESQL, REDIS, Outages
from cli.progress import ProgressView, Snapshot

if TYPE_CHECKING:
    from cli.context import System
    from cli.processes import WorkerProcesses
    from pressroom.jobs.budgets import BudgetRow
    from pressroom.jobs.progress import QuotaUse
    from pressroom.jobs.queries import BatchProgress
    from pressroom.limits.pool_limits import PoolLimits

_LOOK_SECONDS = 0.4


@dataclass(frozen=True, slots=True)
class Stopped:
    """Nothing of the batch can run now: `reasons` by model, or the budgets that all of it waits for."""

    reasons: dict[str, str]
    seen: BatchProgress
    budgets: Sequence[BudgetRow] = ()


@dataclass(frozen=True, slots=True)
class _Pool:
    name: str
    limits: PoolLimits


class Watch:
    """One batch (project id, batch id) and the workers that run it. Outages are waited for.

    `seen` is what was seen last, for when nothing answers any more.
    """

    def __init__(self, system: System, batch: tuple[UUID, UUID], outages: Outages) -> None:
        self._system, self._batch, self._outages = system, batch, outages
        self.seen: BatchProgress | None = None
        self._pools: Mapping[str, _Pool] | None = None

    def follow(self, workers: WorkerProcesses, view: ProgressView) -> BatchProgress | Stopped:
        """Show progress until all jobs ended, or all wait for money, or every deployment that they need is stopped.

        Raises CouldNotRun when the workers cannot stay alive, or a server is away for minutes.
        """
        from pressroom.jobs.progress import Pace, Stillness

        began = time.monotonic()
        pace, stillness = Pace(), Stillness()
        try:
            while True:
                self._outages.look_after()
                seen = self._outages.ask(self._progress, POSTGRESQL)
                if seen is not None:
                    self.seen = seen
                    now = time.monotonic()
                    pace.saw(now, seen.batch.done)
                    left = pace.seconds_left(seen.batch.unfinished)
                    view.show(Snapshot(seen, now - began, pace.per_second, left, self._quotas()))
                    if not seen.batch.unfinished:
                        return seen
                    if stillness.saw(now, seen.batch.done, running=seen.running):
                        budgets = self._outages.ask(self._waits_for_money, POSTGRESQL)
                        if budgets:
                            return Stopped({}, seen, budgets)
                        reasons = self._outages.ask(self._stop_reasons, POSTGRESQL, REDIS)
                        if reasons:
                            return Stopped(reasons, seen)
                workers.tend(forgiving=self._outages.any)
                time.sleep(_LOOK_SECONDS)
        finally:
            view.close()

    def _progress(self) -> BatchProgress:
        from pressroom.jobs.queries import batch_progress

        with self._system.engine.connect() as conn:
            return batch_progress(conn, *self._batch)

    def _quotas(self) -> Sequence[QuotaUse]:
        if self._pools is None:
            self._pools = self._outages.ask(self._find_pools, POSTGRESQL)
        return self._outages.ask(self._use_quotas, REDIS) or []

    def _find_pools(self) -> dict[str, _Pool]:
        """Of the models that the batch still needs."""
        from pressroom.jobs.deployments import list_deployments, remaining

        with self._system.engine.connect() as conn:
            limits = {row.pool: row.limits for row in list_deployments(conn)}
            return {one.label: _Pool(one.pool, limits[one.pool]) for one in remaining(conn, self._batch[1])}

    def _use_quotas(self) -> list[QuotaUse]:
        from pressroom.jobs.progress import quota_use

        limiter = self._system.limiter
        return [quota_use(m, limiter.status(pool.name), pool.limits) for m, pool in (self._pools or {}).items()]

    def _waits_for_money(self) -> list[BudgetRow]:
        """The budgets that all that is left waits for; empty when a job of it may start."""
        from pressroom.jobs.budgets import waiting_for

        with self._system.engine.connect() as conn:
            return waiting_for(conn, self._batch[1])

    def _stop_reasons(self) -> dict[str, str]:
        """Why each model stands still; empty as soon as one of them may move, or will by itself."""
        from pressroom.jobs.deployments import remaining

        with self._system.engine.connect() as conn:
            left = remaining(conn, self._batch[1])
        reasons: dict[str, str] = {}
        for one in left:
            stopped = one.pause_reason if one.paused else self._system.limiter.status(one.pool).stopped_reason
            if one.recovers or (stopped is None and not one.paused):
                return {}
            reasons[one.label] = stopped or "no reason was given"
        return reasons
