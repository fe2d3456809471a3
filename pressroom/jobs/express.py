"""A few interactive requests straight into a lease, in the statement that inserts them, where a pool stands idle.

What `submit` and then `dispatch` do takes some twenty questions to the database, each of which somebody waits for.
Where nobody else has work in the pool there is nothing to be fair about: the statement asks for that itself, and does
nothing where it is not so. Then, and under budgets, the jobs are queued like all others.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple
from uuid import UUID

import orjson
from sqlalchemy import Connection, text

from models import PriorityClass
from pressroom.events.outbox import NewEvent, record_events
from pressroom.ids import new_id
from pressroom.jobs.claim import NOMINAL_SECONDS
from pressroom.jobs.dispatch import OUT_OF_TURN, DispatchPolicy
from pressroom.jobs.fill import NOTHING_SECONDS
from pressroom.jobs.flows import FlowKey, ensure_flow, ensure_stake
from pressroom.jobs.rates import Rates, effective_limits
from pressroom.jobs.resolve import DeploymentRef
from pressroom.jobs.submit import Destination, NewJob

MOST_JOBS = 8
"""More at once are dispatched: they are worth several leases."""

_LANE = text(
    """
    SELECT p.explicit_limits, p.learned_limits, p.catalog_limits, d.token_ratio, d.base_url, d.api_key_env
    FROM deployments d JOIN pools p ON p.id = d.pool_id WHERE d.id = :deployment
    """
)

# In the order of locks: the pool without waiting, then the flow, then the stake. The jobs and the lease are new. A
# stake that sleeps is charged where it stands: nobody is awake whom it would have to start level with. `seen` is the
# pool as it was when the statement began: if it was written since, then perhaps with a budget, which we do not see.
_LEASE_AT_ONCE = text(
    """
    WITH idle AS MATERIALIZED (
      SELECT p.id FROM pools p JOIN pools seen ON seen.id = p.id AND seen.xmin = p.xmin
        JOIN deployments d ON d.pool_id = p.id AND d.id = :deployment
      WHERE p.id = :pool AND p.paused_at IS NULL AND d.paused_at IS NULL AND NOT EXISTS (SELECT 1 FROM budgets)
        AND NOT EXISTS (SELECT 1 FROM stakes s WHERE s.pool_id = p.id AND s.active)
        AND (SELECT coalesce(sum(l.waiting), 0) FROM leases l WHERE l.pool_id = p.id) + :count <= :most_jobs
        AND (SELECT coalesce(sum(l.waiting_seconds), 0) FROM leases l WHERE l.pool_id = p.id) <= :most_seconds
      FOR NO KEY UPDATE OF p SKIP LOCKED
    ), flow AS MATERIALIZED (
      SELECT f.id, f.stake_id FROM flows f JOIN idle ON idle.id = f.pool_id
      WHERE f.id = :flow AND f.stake_id = :stake AND f.queued = 0 AND NOT f.paused AND f.blocked_by IS NULL
      FOR NO KEY UPDATE OF f
    ), stake AS MATERIALIZED (
      SELECT s.id FROM stakes s JOIN flow ON flow.stake_id = s.id FOR NO KEY UPDATE OF s
    ), given AS MATERIALIZED (
      SELECT g.* FROM json_to_recordset(CAST(:rows AS json)) AS g (id uuid, url text, custom_id text, tokens int,
        images int, cost_usd numeric, body text) CROSS JOIN stake
    ), jobs_in AS (
      INSERT INTO jobs (id, project_id, api_key_id, max_attempts, state, flow_id, deployment_id, url, custom_id,
        est_tokens, est_images, est_cost_usd, lease_id)
      SELECT id, :project, CAST(:api_key AS uuid), :max_attempts, 'leased', :flow, :deployment, url, custom_id, tokens,
        images, cost_usd, :lease FROM given
    ), requests AS (
      INSERT INTO job_requests (job_id, body) SELECT id, CAST(body AS json) FROM given
    ), made AS (
      INSERT INTO leases (id, pool_id, deployment_id, waiting, waiting_seconds, job_seconds, urgent, open)
      SELECT :lease, :pool, :deployment, :count, :pace_seconds, :seconds / :count, true, :count FROM stake
    ), counted AS (
      UPDATE flows SET jobs_in = jobs_in + :count, tokens_in = tokens_in + :tokens, images_in = images_in + :images
      FROM flow WHERE flows.id = flow.id
    )
    UPDATE stakes SET vtime = vtime + :seconds / weight FROM stake WHERE stakes.id = stake.id
    """
)


@dataclass(frozen=True, slots=True)
class ExpressLane:
    """What leasing at once must know of a deployment; good for as long as terms are."""

    ref: DeploymentRef
    stake_id: int
    flow_id: int
    rates: Rates
    token_ratio: float
    is_served: bool
    """Whether workers like us have its key."""


class ExpressJob(NamedTuple):
    """A job and the id that it will have."""

    id: UUID
    job: NewJob


def open_lane(conn: Connection, ref: DeploymentRef, project_id: UUID, policy: DispatchPolicy) -> ExpressLane:
    """Look up, or make, what interactive jobs of a project at a deployment need. In a short transaction of its own."""
    row = conn.execute(_LANE, {"deployment": ref.id}).one()
    stake = ensure_stake(conn, pool_id=ref.pool_id, project_id=project_id, priority_class=PriorityClass.INTERACTIVE)
    return ExpressLane(
        ref=ref,
        stake_id=stake,
        flow_id=ensure_flow(conn, FlowKey(stake, ref.id)),
        rates=Rates.of(effective_limits(row.explicit_limits, row.learned_limits, row.catalog_limits)),
        token_ratio=row.token_ratio,
        is_served=policy.serves(row.base_url, row.api_key_env),
    )


def fits(jobs: Sequence[NewJob], to: Destination) -> bool:
    """Whether these may be leased at once at all: few, interactive, and nothing about them is out of the ordinary."""
    return (
        len(jobs) <= MOST_JOBS
        and to.priority_class is PriorityClass.INTERACTIVE
        and to.batch_id is None
        and all(job.run_at is None and job.deadline is None and job.priority == 0 for job in jobs)
    )


def lease_at_once(
    conn: Connection, lane: ExpressLane, jobs: Sequence[ExpressJob], to: Destination, *, policy: DispatchPolicy
) -> UUID | None:
    """Insert jobs that fit, leased, in the caller's transaction; the lease, to be published after the commit.

    None, and nothing was written, where the pool is not idle, or somebody else dispatches it just now.
    """
    lease_id = new_id()
    tokens = sum(one.job.estimate.tokens for one in jobs)
    images = sum(one.job.estimate.images for one in jobs)
    bound = {
        "pool": lane.ref.pool_id,
        "deployment": lane.ref.id,
        "stake": lane.stake_id,
        "flow": lane.flow_id,
        "lease": lease_id,
        "project": to.project_id,
        "api_key": to.api_key_id,
        "max_attempts": to.max_attempts,
        "count": len(jobs),
        "tokens": tokens,
        "images": images,
        "seconds": sum(_charge(lane, one.job) for one in jobs),
        "pace_seconds": sum(_pace(lane, one.job) for one in jobs),
        "most_jobs": int(OUT_OF_TURN * lane.rates.ahead_jobs(policy.unlimited_ahead_jobs)),
        "most_seconds": OUT_OF_TURN * policy.ahead_seconds,
        "rows": orjson.dumps([_row(one) for one in jobs]).decode(),
    }
    if conn.execute(_LEASE_AT_ONCE, bound).rowcount == 0:
        return None
    record_events(conn, [_created(one, lane, to.project_id) for one in jobs])
    return lease_id


def _row(one: ExpressJob) -> dict[str, object]:
    estimate = one.job.estimate
    return {
        "id": one.id,
        "url": one.job.url,
        "custom_id": one.job.custom_id,
        "tokens": estimate.tokens,
        "images": estimate.images,
        "cost_usd": str(estimate.cost_usd),
        "body": one.job.body,
    }


def _created(one: ExpressJob, lane: ExpressLane, project_id: UUID) -> NewEvent:
    """As the outbox tells of any new job."""
    data = {"endpoint": one.job.url, "model": lane.ref.model}
    if one.job.custom_id is not None:
        data["custom_id"] = one.job.custom_id
    return NewEvent("job.created", project_id, one.id, data=data)


def _charge(lane: ExpressLane, job: NewJob) -> float:
    """What its stake is charged, as `claim` reckons it."""
    least = NOMINAL_SECONDS if lane.rates.unlimited else NOTHING_SECONDS
    return max(least, lane.rates.charge(lane.token_ratio * job.estimate.tokens, job.estimate.images))


def _pace(lane: ExpressLane, job: NewJob) -> float:
    least = NOMINAL_SECONDS if lane.rates.unlimited else 0.0
    return max(least, lane.rates.seconds(lane.token_ratio * job.estimate.tokens, job.estimate.images))
