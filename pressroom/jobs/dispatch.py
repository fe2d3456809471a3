"""Take queued jobs fairly, lease them in groups, and tell the workers. Safe to run in any number of processes at once.

Per pool, at most `ahead_seconds` of its rate is leased and not yet started, so the queue stays in SQL, where cancel,
pause and priority take effect at once, and Redis holds seconds of work.
"""

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Engine, text

from pressroom.ids import new_id
from pressroom.jobs.claimed import ClaimedJob
from pressroom.jobs.publish import Publisher
from pressroom.jobs.rates import Rates, effective_limits
from pressroom.jobs.reserve import Reservations
from pressroom.settings import Settings

_NOTHING_SECONDS = 1e-6
_WORTH_FILLING = 0.2
_PROBED_FLOWS = 200
# What a job of a pool without limits is charged to its flow: turns are still taken by weight.
_NOMINAL_SECONDS = 0.001

# Dispatch writes nothing that a crash may not lose: an uncommitted lease is a job still queued.
_LAX_COMMIT = text("SET LOCAL synchronous_commit = off")

_POOLS = text(
    """
    SELECT DISTINCT p.id, d.base_url, d.api_key_env FROM pools p JOIN deployments d ON d.pool_id = p.id
    WHERE p.paused_at IS NULL AND d.paused_at IS NULL
      AND EXISTS (SELECT 1 FROM flows f WHERE f.pool_id = p.id AND f.active AND NOT f.paused
        AND f.blocked_by IS NULL)
    """
)

# One dispatcher per pool at a time; the others skip it.
_LOCK_POOL = text(
    """
    SELECT explicit_limits, learned_limits, catalog_limits FROM pools
    WHERE id = :pool AND paused_at IS NULL FOR UPDATE SKIP LOCKED
    """
)

_AHEAD = text(
    "SELECT coalesce(sum(waiting), 0)::bigint AS jobs, coalesce(sum(waiting_seconds), 0)::float8 AS seconds"
    " FROM leases WHERE pool_id = :pool"
)

# Start-time fair queueing: every ready job of the least served flows gets the virtual time at which it would be served
# (its flow's, plus what stands before it there by weight), and the pool's room is filled in that order. Nobody else
# dispatches this pool meanwhile; a job that is being cancelled is skipped. `drained` flows had nothing else ready.
# MATERIALIZED: a LIMIT under a nested loop could otherwise be run again and lock more rows than it returns.
_CLAIM = text(
    """
    WITH f AS MATERIALIZED (
      SELECT id, weight, vtime FROM flows WHERE pool_id = :pool AND active AND NOT paused AND blocked_by IS NULL
        AND id <> ALL(CAST(:skip AS bigint[]))
      ORDER BY vtime LIMIT :flows FOR UPDATE SKIP LOCKED
    ), ready AS MATERIALIZED (
      SELECT x.id, f.id AS flow_id, x.seconds,
        f.vtime + (sum(x.seconds) OVER in_flow - x.seconds) / f.weight AS served_at
      FROM f CROSS JOIN LATERAL (
        SELECT id, priority, deadline,
          greatest(:request_seconds, est_tokens * :token_seconds, est_images * :image_seconds)::float8 AS seconds
        FROM jobs WHERE flow_id = f.id AND state = 'queued' AND run_at IS NULL
          AND (deadline IS NULL OR deadline > now()) AND deployment_id <> ALL(CAST(:paused AS bigint[]))
        ORDER BY priority, deadline, id LIMIT :want) x
      WINDOW in_flow AS (PARTITION BY f.id ORDER BY x.priority, x.deadline, x.id)
    ), picked AS MATERIALIZED (
      SELECT id, seconds, served_at FROM (
        SELECT *, sum(seconds) OVER (ORDER BY served_at, id) - seconds AS ahead FROM ready) r
      WHERE ahead < :room_seconds ORDER BY served_at, id LIMIT :want
    ), c AS MATERIALIZED (
      SELECT j.id, j.flow_id, j.deployment_id, j.project_id, j.batch_id, j.api_key_id, j.calls, j.est_cost_usd,
        picked.seconds, picked.served_at
      FROM picked JOIN jobs j USING (id)
      WHERE j.state = 'queued' AND j.run_at IS NULL FOR UPDATE OF j SKIP LOCKED
    ), served AS (
      SELECT f.id, count(c.id) AS n, coalesce(sum(c.seconds), 0) AS seconds,
        (SELECT count(*) FROM ready WHERE ready.flow_id = f.id) AS ready
      FROM f LEFT JOIN c ON c.flow_id = f.id GROUP BY f.id
    ), charged AS (
      UPDATE flows SET queued = flows.queued - served.n, vtime = flows.vtime + served.seconds / flows.weight
      FROM served WHERE flows.id = served.id AND served.n > 0
    )
    SELECT id, flow_id, deployment_id, project_id, batch_id, api_key_id, calls, est_cost_usd, seconds, served_at,
      NULL::bigint AS drained_flow FROM c
    UNION ALL SELECT NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 0, NULL, id FROM served
    WHERE n = ready AND ready < :want
    ORDER BY served_at, id
    """
)

# Only a flow with nothing ready sleeps. Whoever queues a job wakes it in the same transaction, behind our row lock.
_SLEEP = text(
    """
    UPDATE flows f SET active = false WHERE f.id = ANY(:ids) AND NOT EXISTS (
      SELECT 1 FROM jobs j WHERE j.flow_id = f.id AND j.state = 'queued' AND j.run_at IS NULL)
    """
)

_LEASE_JOBS = text(
    """
    UPDATE jobs SET state = 'leased', lease_id = t.lease_id
    FROM unnest(CAST(:jobs AS uuid[]), CAST(:leases AS uuid[])) AS t (id, lease_id) WHERE jobs.id = t.id
    """
)

_INSERT_LEASES = text(
    "INSERT INTO leases (id, pool_id, deployment_id, waiting, waiting_seconds, open)"
    " VALUES (:id, :pool_id, :deployment_id, :size, :seconds, :size)"
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
    flows_per_claim: int = 10
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


@dataclass(frozen=True, slots=True)
class _Room:
    """What one claim may take: jobs, seconds of the pool, from how many flows, and from which not."""

    jobs: int
    seconds: float
    flows: int
    paused: list[int]
    skip: list[int]


def dispatch(engine: Engine, publisher: Publisher, policy: DispatchPolicy) -> int:
    """Lease what each pool has room for and publish the leases. Returns the number of jobs leased."""
    with engine.connect() as conn:
        rows = conn.execute(_POOLS).all()
    pools = sorted({row.id for row in rows if policy.serves(row.base_url, row.api_key_env)})
    leased = 0
    for pool in pools:
        with engine.begin() as conn:
            conn.execute(_LAX_COMMIT)
            leases = lease_pool(conn, pool, policy)
        publisher.publish(list(leases))
        leased += sum(leases.values())
    return leased


def lease_pool(conn: Connection, pool: int, policy: DispatchPolicy) -> dict[UUID, int]:
    """Lease what one pool has room for, in the caller's transaction: lease id to number of jobs."""
    row = conn.execute(_LOCK_POOL, {"pool": pool}).one_or_none()
    if row is None:
        return {}
    rates = Rates.of(effective_limits(row.explicit_limits, row.learned_limits, row.catalog_limits))
    return _fill(conn, pool, rates, policy)


def lease_probe(conn: Connection, pool: int, deployment_id: int, *, jobs: int) -> list[UUID]:
    """Lease a few jobs of one deployment, though it is stopped, to try whether it is well again."""
    row = conn.execute(_LOCK_POOL, {"pool": pool}).one_or_none()
    if row is None:
        return []
    rates = Rates.of(effective_limits(row.explicit_limits, row.learned_limits, row.catalog_limits))
    query = text("SELECT id FROM deployments WHERE pool_id = :pool AND id <> :id")
    others = list(conn.execute(query, {"pool": pool, "id": deployment_id}).scalars())
    claimed, _ = _claim(conn, pool, rates, _Room(jobs, math.inf, _PROBED_FLOWS, others, []))
    return list(_write_leases(conn, pool, Reservations(conn).reserve(claimed), jobs))


def _fill(conn: Connection, pool: int, rates: Rates, policy: DispatchPolicy) -> dict[UUID, int]:
    """Claim and lease until `ahead_seconds` of the pool are out, and at most the last job beyond it.

    How many jobs that will be is only known once they are claimed, so it may take a few steps. While jobs are out, room
    for less than a fifth is left to grow: leases of a few jobs cost the workers more than the jobs do.
    """
    ahead = conn.execute(_AHEAD, {"pool": pool}).one()
    paused = _paused_deployments(conn, pool)
    left_jobs = rates.ahead_jobs(policy.unlimited_ahead_jobs) - int(ahead.jobs)
    left_seconds = math.inf if rates.unlimited else policy.ahead_seconds - float(ahead.seconds)
    if (
        ahead.jobs
        and min(left_jobs / policy.unlimited_ahead_jobs, left_seconds / policy.ahead_seconds) < _WORTH_FILLING
    ):
        return {}
    mean_seconds = max(rates.request_seconds, rates.image_seconds) or policy.ahead_seconds / 10
    leases: dict[UUID, int] = {}
    empty: list[int] = []
    money = Reservations(conn)
    while left_jobs > 0 and left_seconds > _NOTHING_SECONDS:
        want = left_jobs if rates.unlimited else max(1, min(left_jobs, int(left_seconds / mean_seconds)))
        room = _Room(want, left_seconds - _NOTHING_SECONDS, policy.flows_per_claim, paused, empty)
        claimed, drained = _claim(conn, pool, rates, room)
        got = money.reserve(claimed)
        leases |= _write_leases(conn, pool, got, policy.lease_max_jobs)
        if drained and not paused:
            conn.execute(_SLEEP, {"ids": drained})
        # What no budget had room for does not come again: its flow is blocked, or the jobs are parked.
        if money.stuck or (not claimed and not drained):
            break
        # Flows that have only jobs of paused deployments stay awake, and must not hide the flows behind them.
        empty += drained
        seconds = sum(job.seconds for job in got)
        left_jobs -= len(got)
        left_seconds -= seconds
        mean_seconds = max(seconds / len(got), _NOTHING_SECONDS) if got else mean_seconds
    return leases


def _paused_deployments(conn: Connection, pool: int) -> list[int]:
    query = text("SELECT id FROM deployments WHERE pool_id = :pool AND paused_at IS NOT NULL")
    return list(conn.execute(query, {"pool": pool}).scalars())


def _claim(conn: Connection, pool: int, rates: Rates, room: _Room) -> tuple[list[ClaimedJob], list[int]]:
    """The jobs, locked and charged to their flows, in order; and the flows that have nothing else to give."""
    parameters: Mapping[str, Any] = {
        "pool": pool,
        "want": room.jobs,
        "room_seconds": room.seconds,
        "flows": room.flows,
        "request_seconds": _NOMINAL_SECONDS if rates.unlimited else rates.request_seconds,
        "token_seconds": rates.token_seconds,
        "image_seconds": rates.image_seconds,
        "paused": room.paused,
        "skip": room.skip,
    }
    rows = conn.execute(_CLAIM, parameters).all()
    drained = [row.drained_flow for row in rows if row.drained_flow is not None]
    jobs = [row for row in rows if row.id is not None]
    return [ClaimedJob(*row[:9]) for row in jobs], drained


def _write_leases(conn: Connection, pool: int, claimed: list[ClaimedJob], lease_max_jobs: int) -> dict[UUID, int]:
    groups: dict[UUID, list[ClaimedJob]] = {}
    for deployment_id in sorted({job.deployment_id for job in claimed}):
        jobs = [job for job in claimed if job.deployment_id == deployment_id]
        size = max(1, min(lease_max_jobs, -(-len(jobs) // 4)))
        for start in range(0, len(jobs), size):
            groups[new_id()] = jobs[start : start + size]
    if not groups:
        return {}
    conn.execute(
        _INSERT_LEASES,
        [
            {
                "id": lease_id,
                "pool_id": pool,
                "deployment_id": jobs[0].deployment_id,
                "size": len(jobs),
                "seconds": sum(job.seconds for job in jobs),
            }
            for lease_id, jobs in groups.items()
        ],
    )
    pairs = [(job.id, lease_id) for lease_id, jobs in groups.items() for job in jobs]
    conn.execute(_LEASE_JOBS, {"jobs": [p[0] for p in pairs], "leases": [p[1] for p in pairs]})
    return {lease_id: len(jobs) for lease_id, jobs in groups.items()}
