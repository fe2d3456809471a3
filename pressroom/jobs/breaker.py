"""A breaker per deployment: opens on repeated failures, tries again after a while, and closes by itself.

What fails every call alike (a removed model, a key that is refused, a billing stop) opens it at the first answer
(`stop_deployment.py`). While it is open its jobs stay queued, or are moved to others of their route (`reroute.py`).
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, Engine, text

from models import StopKind
from pressroom.events.deployments import record_deployment
from pressroom.jobs.dispatch import DispatchPolicy, lease_probe
from pressroom.jobs.health import HealthBook, Seen
from pressroom.jobs.publish import Publisher
from pressroom.jobs.stop_deployment import Stop, stop_deployment
from pressroom.limits.redis_limiter import LimiterAdmin
from pressroom.settings import Settings

WINDOW_SECONDS = 30
LONG_WINDOW_SECONDS = 300
PROBES = 3
_FLUSH_SECONDS = 1.0
_LOOK_SECONDS = 0.5
_FORGET_SECONDS = 60.0

# What a crash loses of it is seen again.
_LAX_COMMIT = text("SET LOCAL synchronous_commit = off")

_ADD = text(
    """
    INSERT INTO health_windows (deployment_id, since, calls, failed)
    SELECT id, date_bin('5 seconds', now(), 'epoch'), calls, failed
    FROM unnest(CAST(:ids AS bigint[]), CAST(:calls AS int[]), CAST(:failed AS int[])) AS t (id, calls, failed)
    ORDER BY id
    ON CONFLICT (deployment_id, since) DO UPDATE SET calls = health_windows.calls + excluded.calls,
      failed = health_windows.failed + excluded.failed
    """
)

_LATE = f"h.since > now() - interval '{WINDOW_SECONDS} seconds'"

# What failed before the breaker closed last is paid for. Few calls are judged over a longer time, for slow pools.
_FAILING = text(
    f"""
    WITH h AS (
      SELECT d.id, sum(h.calls)::int AS calls, sum(h.failed)::int AS failed,
        coalesce(sum(h.calls) FILTER (WHERE {_LATE}), 0)::int AS late_calls,
        coalesce(sum(h.failed) FILTER (WHERE {_LATE}), 0)::int AS late_failed
      FROM deployments d JOIN health_windows h ON h.deployment_id = d.id
      WHERE d.id = ANY(:ids) AND d.paused_at IS NULL
        AND h.since > greatest(now() - interval '{LONG_WINDOW_SECONDS} seconds', d.closed_at)
      GROUP BY d.id
    )
    SELECT id, CASE WHEN late_calls >= :calls THEN late_calls ELSE calls END AS calls,
      CASE WHEN late_calls >= :calls THEN late_failed ELSE failed END AS failed
    FROM h WHERE late_failed > late_calls * CAST(:share AS float8) AND (late_calls >= :calls
      OR (calls >= :calls AND failed > calls * CAST(:share AS float8))) ORDER BY id
    """  # noqa: S608
)

_FORGET = text("DELETE FROM health_windows WHERE since < now() - interval '10 minutes'")

_TRYING = text(
    """
    SELECT d.id, d.stop_kind, d.probe_leases FROM deployments d
    WHERE d.id = ANY(:ids) AND d.probe_leases && CAST(:leases AS uuid[]) ORDER BY d.id
    """
)

_CLOSE = text(
    """
    UPDATE deployments d SET paused_at = NULL, pause_reason = NULL, stop_kind = NULL, retry_at = NULL,
      probe_leases = '{}', closed_at = now()
    FROM pools p WHERE d.id = :id AND d.probe_leases <> '{}' AND p.id = d.pool_id RETURNING p.name
    """
)

# A probe whose leases are gone without a verdict (its worker was lost, or its jobs were cancelled) is made again.
_DUE = text(
    """
    SELECT d.id, d.base_url, d.api_key_env FROM deployments d WHERE d.retry_at <= now() AND d.paused_at IS NOT NULL
      AND NOT EXISTS (SELECT 1 FROM leases l WHERE l.id = ANY(d.probe_leases)) ORDER BY d.id
    """
)
_LOCK_DUE = text(
    """
    SELECT d.pool_id, p.name AS pool FROM deployments d JOIN pools p ON p.id = d.pool_id
    WHERE d.id = :id AND d.retry_at <= now() AND d.paused_at IS NOT NULL AND p.paused_at IS NULL
      AND NOT EXISTS (SELECT 1 FROM leases l WHERE l.id = ANY(d.probe_leases)) FOR NO KEY UPDATE OF d SKIP LOCKED
    """
)
# What the calls say may be told a moment after their leases are gone.
_PROBE = text(
    "UPDATE deployments SET probe_leases = CAST(:leases AS uuid[]), retry_at = now() + interval '5 seconds'"
    " WHERE id = :id"
)


@dataclass(frozen=True, slots=True)
class BreakerPolicy:
    """Opens when of at least `calls` calls more than `failed_share` failed, within half a minute, or five if fewer.

    `retry_seconds` later it lets a few calls through; each time that those fail it waits twice as long.
    """

    calls: int = 20
    failed_share: float = 0.5
    retry_seconds: float = 15.0

    @classmethod
    def of(cls, settings: Settings) -> "BreakerPolicy":
        """As the settings say."""
        return cls(calls=settings.breaker_calls, retry_seconds=settings.breaker_retry_seconds)


def note_health(conn: Connection, limiter: LimiterAdmin, seen: Sequence[Seen], policy: BreakerPolicy) -> None:
    """Add what one process saw to the books, open the breakers that it opens, and close those that were tried."""
    calls: dict[int, list[int]] = {}
    for one in seen:
        total = calls.setdefault(one.deployment_id, [0, 0])
        total[0] += one.calls
        total[1] += one.failed
    counted = {key: total for key, total in calls.items() if total[0]}
    if counted:
        ids = sorted(counted)
        columns = {"calls": [counted[i][0] for i in ids], "failed": [counted[i][1] for i in ids]}
        conn.execute(_ADD, {"ids": ids, **columns})
    _judge_probes(conn, limiter, seen, policy)
    failing = sorted(key for key, total in counted.items() if total[1])
    if not failing:
        return
    for row in conn.execute(_FAILING, {"ids": failing, "calls": policy.calls, "share": policy.failed_share}).all():
        last = next(one.last_error for one in seen if one.deployment_id == row.id and one.last_error)
        reason = f"{row.failed} of the last {row.calls} calls failed, the last with {last}"
        stop_deployment(conn, limiter, row.id, Stop(StopKind.FAILURES, reason, policy.retry_seconds))


def _judge_probes(conn: Connection, limiter: LimiterAdmin, seen: Sequence[Seen], policy: BreakerPolicy) -> None:
    """One failure opens the breaker again, and any answer closes it."""
    by_lease = {one.lease_id: one for one in seen}
    bound = {"ids": sorted({one.deployment_id for one in seen}), "leases": list(by_lease)}
    for row in conn.execute(_TRYING, bound).all():
        tried = [by_lease[lease] for lease in row.probe_leases if lease in by_lease]
        last = next((one.last_error for one in tried if one.failed), None)
        if last is not None:
            reason = f"a call to try it failed with {last}"
            stop_deployment(conn, limiter, row.id, Stop(StopKind(row.stop_kind), reason, policy.retry_seconds))
        elif any(one.calls or one.answered for one in tried):
            pool = conn.execute(_CLOSE, {"id": row.id}).scalar_one_or_none()
            if pool is not None:
                limiter.resume(pool)
                record_deployment(conn, row.id, "deployment.started")


def probe(engine: Engine, limiter: LimiterAdmin, publisher: Publisher, policy: DispatchPolicy) -> int:
    """Let a few calls of every breaker whose time has come through. Returns how many leases went out.

    A deployment without queued jobs waits for some: as of now new ones are bound to it again.
    """
    with engine.connect() as conn:
        due = [row.id for row in conn.execute(_DUE) if policy.serves(row.base_url, row.api_key_env)]
    sent = 0
    for deployment_id in due:
        with engine.begin() as conn:
            row = conn.execute(_LOCK_DUE, {"id": deployment_id}).one_or_none()
            leases = lease_probe(conn, row.pool_id, deployment_id, jobs=PROBES) if row is not None else []
            if row is None or not leases:
                continue
            conn.execute(_PROBE, {"id": deployment_id, "leases": leases})
            limiter.resume(row.pool)
        sent += publisher.publish(leases)
    return sent


class Breakers:
    """One process's part, called at every turn of its dispatcher: tells what it saw, and tries what is due."""

    def __init__(self, engine: Engine, limiter: LimiterAdmin, health: HealthBook, policy: BreakerPolicy) -> None:
        self._engine, self._limiter, self._health, self._policy = engine, limiter, health, policy
        self._flush_at = self._look_at = self._forget_at = 0.0

    def turn(self, publisher: Publisher, policy: DispatchPolicy) -> None:
        """Raises what an unreachable database or Redis raises."""
        now = time.monotonic()
        if now >= self._flush_at:
            self._flush_at = now + _FLUSH_SECONDS
            self.flush()
        if now >= self._look_at:
            self._look_at = now + _LOOK_SECONDS
            probe(self._engine, self._limiter, publisher, policy)
        if now >= self._forget_at:
            self._forget_at = now + _FORGET_SECONDS
            with self._engine.begin() as conn:
                conn.execute(_FORGET)

    def flush(self) -> None:
        """Tell what was seen since the last time."""
        seen = self._health.take()
        if seen:
            with self._engine.begin() as conn:
                conn.execute(_LAX_COMMIT)
                note_health(conn, self._limiter, seen, self._policy)
