"""Take queued jobs fairly, lease them in groups, and tell the workers. Safe to run in any number of processes at once.

Per pool, at most `ahead_seconds` of its rate is leased and not yet started, so the queue stays in SQL, where cancel,
pause and priority take effect at once, and Redis holds seconds of work.
"""

import logging
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Engine, Row, text
from sqlalchemy.exc import InterfaceError, OperationalError

from pressroom.ids import new_id
from pressroom.jobs.array import array
from pressroom.jobs.claim import Claims, Lane, Room
from pressroom.jobs.claimed import ClaimedJob
from pressroom.jobs.flows import CHANGE, FlowChange, change_columns
from pressroom.jobs.publish import Publisher
from pressroom.jobs.rates import Rates, effective_limits
from pressroom.jobs.reserve import reserve
from pressroom.jobs.sleep import put_to_sleep
from pressroom.settings import Settings

_log = logging.getLogger("pressroom.dispatch")

_WORTH_FILLING = 0.2
OUT_OF_TURN = 0.3
"""The part of a pool that interactive jobs may have before all others, and late ones again."""

_CREDIT_SECONDS = 10.0
"""Of what passes through a pool in this time, the part out of turn may be had at once."""

# Dispatch writes nothing that a crash may not lose: an uncommitted lease is a job still queued.
_LAX_COMMIT = text("SET LOCAL synchronous_commit = off")

_POOLS = text(
    """
    SELECT DISTINCT p.id, d.base_url, d.api_key_env FROM pools p JOIN deployments d ON d.pool_id = p.id
    WHERE p.paused_at IS NULL AND d.paused_at IS NULL
      AND EXISTS (SELECT 1 FROM stakes s WHERE s.pool_id = p.id AND s.active)
    """
)

_KEYS_OF_POOLS = text("SELECT pool_id, base_url, api_key_env FROM deployments WHERE pool_id = ANY(:pools)")

# One dispatcher per pool at a time; the others skip it.
_LOCK_POOL = text(
    """
    SELECT id, explicit_limits, learned_limits, catalog_limits, strict_credit, late_credit FROM pools
    WHERE id = :pool AND paused_at IS NULL FOR NO KEY UPDATE SKIP LOCKED
    """
)

# In a statement after the one that locked: it sees what the dispatcher before us committed.
_SITUATION = text(
    """
    SELECT coalesce(sum(waiting), 0)::bigint AS jobs, coalesce(sum(waiting_seconds), 0)::float8 AS seconds,
      coalesce(sum(waiting) FILTER (WHERE urgent), 0)::bigint AS urgent_jobs,
      coalesce(sum(waiting_seconds) FILTER (WHERE urgent), 0)::float8 AS urgent_seconds,
      EXISTS (SELECT 1 FROM stakes WHERE pool_id = :pool AND active AND priority_class = 'interactive') AS interactive,
      EXISTS (SELECT 1 FROM flows WHERE pool_id = :pool AND active AND deadline IS NOT NULL AND late) AS late,
      (SELECT coalesce(array_agg(id ORDER BY id), '{}') FROM deployments
        WHERE pool_id = :pool AND paused_at IS NULL) AS open
    FROM leases WHERE pool_id = :pool
    """
)

_UNCLAIMED_URGENT = text(
    """
    SELECT l.id, d.base_url, d.api_key_env FROM leases l JOIN deployments d ON d.id = l.deployment_id
    WHERE l.urgent AND l.worker_id IS NULL ORDER BY l.created_at
    """
)

_KEEP_CREDITS = text("UPDATE pools SET strict_credit = :strict, late_credit = :late WHERE id = :pool")

# One statement: on a busy server a round trip costs more than what it asks for. The jobs are locked already, and the
# leases nobody knows, so flows and stakes are still the last that are waited for. A locked row stays where it is: that
# saves looking for it, a quarter of what the update reads.
_LEASE = text(
    f"""
    WITH leased AS (
      UPDATE jobs SET state = 'leased', lease_id = t.lease_id
      FROM unnest(CAST(:places AS tid[]), CAST(:leases_of_jobs AS uuid[])) AS t (place, lease_id)
      WHERE jobs.ctid = t.place AND jobs.state = 'queued' RETURNING 1
    ), made AS (
      INSERT INTO leases (id, pool_id, deployment_id, waiting, waiting_seconds, job_seconds, urgent, open)
      SELECT id, :pool_id, deployment_id, size, pace_seconds, job_seconds, urgent, size
      FROM unnest(CAST(:leases AS uuid[]), CAST(:deployment_id AS bigint[]), CAST(:size AS int[]),
        CAST(:pace_seconds AS float8[]), CAST(:job_seconds AS float8[]), CAST(:urgent AS bool[]))
        AS t (id, deployment_id, size, pace_seconds, job_seconds, urgent)
    ), {CHANGE} RETURNING (SELECT count(*) FROM leased)
    """  # noqa: S608  (no values)
)


@dataclass(frozen=True, slots=True)
class DispatchPolicy:
    """For which accounts, how far ahead, in what groups. Other accounts' jobs wait for workers that have their key.

    `base_url` is the provider that our own key is for; `key_names` are environment variables that hold other keys.
    """

    base_url: str

    ahead_seconds: float = 2.5
    unlimited_ahead_jobs: int = 600
    lease_max_jobs: int = 50
    key_names: frozenset[str] = field(default=frozenset(), repr=False)

    @classmethod
    def of(cls, settings: Settings) -> "DispatchPolicy":
        """As the settings say."""
        return cls(
            base_url=settings.provider,
            ahead_seconds=settings.dispatch_ahead_seconds,
            unlimited_ahead_jobs=settings.unlimited_ahead_jobs,
            lease_max_jobs=settings.lease_max_jobs,
            key_names=frozenset(name for name, value in os.environ.items() if value),
        )

    def serves(self, base_url: str, api_key_env: str | None) -> bool:
        """Whether workers with our environment have the key of a deployment."""
        return base_url == self.base_url if api_key_env is None else api_key_env in self.key_names


def dispatch(engine: Engine, publisher: Publisher, policy: DispatchPolicy) -> int:
    """Lease what each pool has room for and publish the leases. Returns the number of jobs leased.

    A pool whose turn fails is logged and left out, and the others go on; an unreachable database is raised.
    """
    with engine.connect() as conn:
        rows = conn.execute(_POOLS).all()
    pools = sorted({row.id for row in rows if policy.serves(row.base_url, row.api_key_env)})
    return dispatch_pools(engine, publisher, policy, pools)


def dispatch_pools(engine: Engine, publisher: Publisher, policy: DispatchPolicy, pools: Sequence[int]) -> int:
    """As `dispatch`, of these pools, whose keys workers like us have."""
    leased = 0
    for pool in pools:
        try:
            with engine.begin() as conn:
                conn.execute(_LAX_COMMIT)
                leases = lease_pool(conn, pool, policy)
        except (OperationalError, InterfaceError):
            raise
        except Exception:  # noqa: BLE001
            # One pool's books that are wrong must be seen, and must not stop everybody else's jobs.
            _log.exception("dispatch.pool_failed", extra={"pool_id": pool})
            continue
        publisher.publish(list(leases))
        leased += sum(leases.values())
    return leased


def pools_served(conn: Connection, pools: Sequence[int], policy: DispatchPolicy) -> set[int]:
    """Those of the pools that workers like us can call."""
    rows = conn.execute(_KEYS_OF_POOLS, {"pools": list(pools)})
    return {row.pool_id for row in rows if policy.serves(row.base_url, row.api_key_env)}


def unclaimed_urgent(conn: Connection, policy: DispatchPolicy) -> list[UUID]:
    """Leases of interactive jobs that no worker has claimed yet, and that workers like us can call.

    Their messages may stand behind others, or wait for a thread, for as long as what is leased ahead takes to start.
    """
    rows = conn.execute(_UNCLAIMED_URGENT)
    return [row.id for row in rows if policy.serves(row.base_url, row.api_key_env)]


def lease_pool(conn: Connection, pool: int, policy: DispatchPolicy) -> dict[UUID, int]:
    """Lease what one pool has room for, in the caller's transaction: lease id to number of jobs."""
    row = conn.execute(_LOCK_POOL, {"pool": pool}).one_or_none()
    if row is None:
        return {}
    rates = Rates.of(effective_limits(row.explicit_limits, row.learned_limits, row.catalog_limits))
    now = conn.execute(_SITUATION, {"pool": pool}).one()
    claims = Claims(pool, rates, now.open)
    _claim(conn, claims, row, now=now, policy=policy)
    leases = _lease(conn, claims, policy.lease_max_jobs)
    if claims.drained:
        put_to_sleep(conn, sorted(claims.drained), now.open)
    return leases


def lease_probe(conn: Connection, pool: int, deployment_id: int, *, jobs: int) -> list[UUID]:
    """Lease a few jobs of one deployment, though it is stopped, to try whether it is well again."""
    row = conn.execute(_LOCK_POOL, {"pool": pool}).one_or_none()
    if row is None:
        return []
    rates = Rates.of(effective_limits(row.explicit_limits, row.learned_limits, row.catalog_limits))
    claims = Claims(pool, rates, [deployment_id])
    claims.take(conn, Lane.PROBE, Room(math.inf, jobs))
    return list(_lease(conn, claims, jobs))


def _lease(conn: Connection, claims: Claims, lease_max_jobs: int) -> dict[UUID, int]:
    """Reserve money for what was claimed, lease it, and charge it: last of all, as the order of locks wants it.

    What no budget has room for is not charged, and does not come again: its flow is blocked, or it is parked.
    """
    if not claims.jobs:
        return {}
    got = reserve(conn, claims.jobs) if claims.is_budgeted else claims.jobs
    return write_leases(conn, claims.pool_id, got, lease_max_jobs)


def _claim(conn: Connection, claims: Claims, pool: Row[Any], *, now: Row[Any], policy: DispatchPolicy) -> None:
    """Interactive jobs first, out of turn within their credit; then late ones likewise; then everybody by weight.

    Until `ahead_seconds` of the pool are out, and at most the last job beyond it. Interactive jobs have room of their
    own beyond that: they do not wait for others to start. While jobs are out, room for less than a fifth is left to
    grow: leases of a few jobs cost the workers more than the jobs do.
    """
    most_jobs, most = claims.rates.ahead_jobs(policy.unlimited_ahead_jobs), policy.ahead_seconds
    strict = _Credit(pool.strict_credit)
    late = _Credit(pool.late_credit)
    used_strict = used_late = 0.0
    if now.interactive:
        own = Room(
            min(strict.seconds, OUT_OF_TURN * most - now.urgent_seconds),
            max(1, int(OUT_OF_TURN * most_jobs)) - now.urgent_jobs,
        )
        used_strict = claims.take(conn, Lane.INTERACTIVE, own)
    room = Room(
        math.inf if claims.rates.unlimited else most - now.seconds - used_strict,
        most_jobs - now.jobs - len(claims.jobs),
    )
    if now.jobs and min(room.jobs / policy.unlimited_ahead_jobs, room.seconds / most) < _WORTH_FILLING:
        room.jobs = 0
    used = used_strict
    if now.late and room.is_open:
        behind = Room(min(late.seconds, OUT_OF_TURN * most, room.seconds), room.jobs)
        before = len(claims.jobs)
        used_late = claims.take(conn, Lane.LATE, behind)
        room.seconds -= used_late
        room.jobs -= len(claims.jobs) - before
        used += used_late
    used += claims.take(conn, Lane.ALL, room)
    credits_now = strict.after(used, used_strict), late.after(used, used_late)
    if credits_now != (pool.strict_credit, pool.late_credit):
        conn.execute(_KEEP_CREDITS, {"pool": pool.id, "strict": credits_now[0], "late": credits_now[1]})


@dataclass(frozen=True, slots=True)
class _Credit:
    """Seconds that may be had out of turn; null is as many as can be saved up."""

    kept: float | None

    @property
    def seconds(self) -> float:
        return OUT_OF_TURN * _CREDIT_SECONDS if self.kept is None else self.kept

    def after(self, passed: float, used: float) -> float | None:
        """What is left when `passed` seconds went through the pool, `used` of them on this credit."""
        left = self.seconds + OUT_OF_TURN * passed - used
        return left if left < OUT_OF_TURN * _CREDIT_SECONDS else None


def write_leases(conn: Connection, pool: int, claimed: Sequence[ClaimedJob], lease_max_jobs: int) -> dict[UUID, int]:
    """Lease claimed jobs and charge their stakes: lease id to number of jobs."""
    kinds: dict[tuple[int, bool], list[ClaimedJob]] = {}
    for job in claimed:
        kinds.setdefault((job.deployment_id, not job.urgent), []).append(job)
    groups: dict[UUID, list[ClaimedJob]] = {}
    for _, jobs in sorted(kinds.items()):
        size = max(1, min(lease_max_jobs, -(-len(jobs) // 4)))
        for start in range(0, len(jobs), size):
            groups[new_id()] = jobs[start : start + size]
    if not groups:
        return {}
    changes: dict[int, FlowChange] = {}
    for job in claimed:
        change = changes.setdefault(job.flow_id, FlowChange())
        change.queued -= 1
        change.seconds += job.seconds
    sizes = [len(jobs) for jobs in groups.values()]
    names = [str(lease_id) for lease_id in groups]
    leased = conn.execute(
        _LEASE,
        {
            "pool_id": pool,
            "leases": names,
            "deployment_id": [jobs[0].deployment_id for jobs in groups.values()],
            "size": sizes,
            "pace_seconds": [sum(job.pace_seconds for job in jobs) for jobs in groups.values()],
            "job_seconds": [sum(job.seconds for job in jobs) / len(jobs) for jobs in groups.values()],
            "urgent": [jobs[0].urgent for jobs in groups.values()],
            "places": array(f'"{job.place}"' for jobs in groups.values() for job in jobs),
            "leases_of_jobs": array(name for name, size in zip(names, sizes, strict=True) for _ in range(size)),
            **change_columns(changes),
        },
    ).scalars()
    if (written := next(iter(leased))) != len(claimed):
        raise RuntimeError(f"{written} of {len(claimed)} claimed jobs were where they had been locked")
    return {lease_id: len(jobs) for lease_id, jobs in groups.items()}
