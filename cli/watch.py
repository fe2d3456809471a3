"""Follow a batch until it ends, or until nothing can move it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import UUID

from cli.progress import ProgressView, Snapshot

if TYPE_CHECKING:
    from cli.context import System
    from cli.processes import WorkerProcesses
    from pressroom.jobs.progress import QuotaUse
    from pressroom.jobs.queries import BatchProgress

_LOOK_SECONDS = 0.4


@dataclass(frozen=True, slots=True)
class Stopped:
    """Nothing of the batch can run now: `reasons` by model."""

    reasons: dict[str, str]
    seen: BatchProgress


def watch(
    system: System, batch: tuple[UUID, UUID], workers: WorkerProcesses, view: ProgressView
) -> BatchProgress | Stopped:
    """Show progress of `batch` (project id, batch id) until all its jobs ended or every deployment it needs is stopped.

    Raises CouldNotRun when the workers cannot stay alive.
    """
    from pressroom.jobs.progress import Pace, Stillness
    from pressroom.jobs.queries import batch_progress

    began = time.monotonic()
    pace, stillness = Pace(), Stillness()
    pools = _pools(system, batch[1])
    try:
        while True:
            with system.engine.connect() as conn:
                seen = batch_progress(conn, *batch)
            now = time.monotonic()
            pace.saw(now, seen.batch.done)
            left = pace.seconds_left(seen.batch.unfinished)
            view.show(Snapshot(seen, now - began, pace.per_second, left, _quotas(system, pools)))
            if not seen.batch.unfinished:
                return seen
            if stillness.saw(now, seen.batch.done, running=seen.running):
                reasons = _stop_reasons(system, batch[1])
                if reasons is not None:
                    return Stopped(reasons, seen)
            workers.tend()
            time.sleep(_LOOK_SECONDS)
    finally:
        view.close()


def _pools(system: System, batch_id: UUID) -> dict[str, str]:
    """The models that the batch still needs, with their pools."""
    from pressroom.jobs.deployments import remaining

    with system.engine.connect() as conn:
        return {one.model: one.pool for one in remaining(conn, batch_id)}


def _quotas(system: System, pools: dict[str, str]) -> Sequence[QuotaUse]:
    from pressroom.jobs.progress import quota_use

    return [quota_use(model, system.limiter.status(pool)) for model, pool in pools.items()]


def _stop_reasons(system: System, batch_id: UUID) -> dict[str, str] | None:
    """Why each model stands still; None as soon as one of them may move."""
    from pressroom.jobs.deployments import remaining

    with system.engine.connect() as conn:
        left = remaining(conn, batch_id)
    reasons: dict[str, str] = {}
    for one in left:
        stopped = one.pause_reason if one.paused else system.limiter.status(one.pool).stopped_reason
        if stopped is None and not one.paused:
            return None
        reasons[one.model] = stopped or "paused"
    return reasons or None
