"""Every deployment at work: what its limits are and who uses them, what waits, for how long, and what stops it.

One question for the command line and the API: `overview`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, text

from pressroom.jobs.deployments import DeploymentRow, list_deployments
from pressroom.limits.messages import DimensionStatus, PoolStatus
from pressroom.limits.pool_limits import DIMENSIONS, PoolLimits

# The mean of all jobs that ever came into a flow stands for those that are queued in it.
_BACKLOG = text(
    """
    WITH f AS (
      SELECT f.pool_id, sum(f.queued) AS queued,
        sum(f.queued * d.token_ratio * f.tokens_in / greatest(f.jobs_in, 1))::float8 AS tokens,
        sum(f.queued * f.images_in::float8 / greatest(f.jobs_in, 1)) AS images
      FROM flows f JOIN deployments d ON d.id = f.deployment_id WHERE f.queued > 0 GROUP BY 1
    ), leased AS (
      SELECT pool_id, sum(waiting)::bigint AS jobs FROM leases GROUP BY 1
    )
    SELECT p.id AS pool_id, coalesce(f.queued, 0)::bigint AS queued, coalesce(l.jobs, 0)::bigint AS leased,
      f.tokens / f.queued AS tokens, f.images / f.queued AS images
    FROM pools p LEFT JOIN leased l ON l.pool_id = p.id LEFT JOIN f ON f.pool_id = p.id
    """
)

_MEAN_OF = {"rpm": "requests", "rpd": "requests", "tpm": "tokens", "tpd": "tokens", "ipm": "images"}


@dataclass(frozen=True, slots=True)
class Breaker:
    """`state` is closed, open, trying (a few calls are let through), or paused by a person."""

    state: str
    kind: str | None = None
    reason: str | None = None
    since: datetime | None = None
    retry_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Limit:
    """One limit of a pool. Amounts are per the limit's own minute or day; None is not known."""

    name: str
    limit: float
    source: str
    rate: float | None = None
    """Granted lately."""
    foreign: float | None = None
    """What others on the account use."""
    level: float | None = None
    capacity: float | None = None
    """Left by the last header, less what was granted since."""
    used: float | None = None
    debt: float | None = None
    factor: float | None = None

    @property
    def use(self) -> float | None:
        """Share of the limit that was granted lately."""
        return None if self.rate is None else self.rate / self.limit


@dataclass(frozen=True, slots=True)
class DeploymentView:
    """A deployment as operators see it; all amounts but the breaker's are its whole pool's."""

    deployment: DeploymentRow
    limiter: PoolStatus
    breaker: Breaker
    limits: Sequence[Limit] = field(default_factory=tuple)
    waiting: int = 0
    """Jobs queued, or leased and not yet started."""
    drain_seconds: float | None = None
    """How long what waits will take at the rate that is ours; None where no limit tells."""
    bottleneck: str | None = None


def overview(conn: Connection, status_of: Callable[[str], PoolStatus]) -> list[DeploymentView]:
    """All deployments, real ones first. `status_of` asks the limiter for a pool (`LimiterAdmin.status`)."""
    backlog = {row.pool_id: row for row in conn.execute(_BACKLOG)}
    breakers = _breakers(conn)
    status: dict[str, PoolStatus] = {}
    views = []
    for row in list_deployments(conn):
        if row.pool not in status:
            status[row.pool] = status_of(row.pool)
        limits = _limits(row, status[row.pool])
        waits = backlog[row.pool_id]
        means = {"requests": 1.0, "tokens": waits.tokens or 0.0, "images": waits.images or 0.0}
        waiting = int(waits.queued + waits.leased)
        seconds, bottleneck = drain(waiting, means, limits, row.limits)
        views.append(DeploymentView(row, status[row.pool], breakers[row.id], limits, waiting, seconds, bottleneck))
    return views


def drain(
    waiting: int, means: Mapping[str, float], limits: Sequence[Limit], settings: PoolLimits
) -> tuple[float | None, str | None]:
    """Seconds until `waiting` jobs of the mean size have started, and the limit that makes it so long.

    What others use, a share that is left to them, and what 429s took off a limit are not ours to use.
    """
    worst: tuple[float | None, str | None] = (None, None)
    for one in limits:
        period = DIMENSIONS.get(one.name)
        if period is None:
            continue
        ours = one.limit * min(one.factor if one.factor is not None else 1.0, settings.max_share) - (one.foreign or 0.0)
        units = waiting * means[_MEAN_OF[one.name]]
        seconds = units * period / max(ours, one.limit / 1000)
        if worst[0] is None or seconds > worst[0]:
            worst = (seconds, one.name)
    return worst


def _limits(row: DeploymentRow, status: PoolStatus) -> list[Limit]:
    holds = row.limits
    found = [_running(row, name, one) for name, one in status.dimensions.items()]
    if not status.started:
        for name in DIMENSIONS:
            value = getattr(holds, name)
            if value is not None:
                found.append(Limit(name, value, _source(row, name)))
    if holds.concurrency is not None:
        found.append(Limit("concurrency", holds.concurrency, _source(row, "concurrency"), rate=status.in_flight))
    return found


def _running(row: DeploymentRow, name: str, one: DimensionStatus) -> Limit:
    return Limit(
        name,
        one.limit,
        _source(row, name) if one.source == "default" else one.source,
        rate=one.rate,
        foreign=one.foreign,
        level=one.level,
        capacity=one.capacity,
        used=one.used,
        debt=one.debt,
        factor=one.factor,
    )


def _source(row: DeploymentRow, name: str) -> str:
    origin: dict[str, Mapping[str, Any]] = {
        "setting": row.explicit_limits,
        "headers": row.learned_limits,
        "catalog": row.catalog_limits,
    }
    return next((known for known, layer in origin.items() if layer.get(name) is not None), "setting")


def _breakers(conn: Connection) -> dict[int, Breaker]:
    rows = conn.execute(
        text(
            "SELECT d.id, d.stop_kind, coalesce(d.paused_at, p.paused_at) AS since, d.retry_at,"
            " coalesce(d.pause_reason, p.pause_reason) AS reason, d.probe_leases <> '{}' AS trying"
            " FROM deployments d JOIN pools p ON p.id = d.pool_id"
        )
    )
    return {row.id: _breaker(row) for row in rows}


def _breaker(row: Any) -> Breaker:
    if row.since is None:
        return Breaker("closed")
    kind = row.stop_kind or "by_hand"
    state = "paused" if kind == "by_hand" else "trying" if row.trying else "open"
    return Breaker(state, kind, row.reason, row.since, row.retry_at)
