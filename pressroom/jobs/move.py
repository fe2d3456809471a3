"""Move queued jobs from one deployment of a model to another."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, text

from models import PriorityClass
from pressroom.jobs.flows import FlowChange, FlowKey, change_flows, ensure_flow, ensure_stake
from pressroom.jobs.stops import mark_paused

_FLOWS = text(
    """
    SELECT f.id, f.project_id, s.priority_class, f.batch_id, f.priority, f.deadline, f.queued
    FROM flows f JOIN stakes s ON s.id = f.stake_id
    WHERE f.deployment_id = :source AND f.queued > 0 AND f.active AND NOT f.paused AND f.blocked_by IS NULL
      AND (CAST(:only AS uuid) IS NULL OR f.project_id = :only) AND f.project_id <> ALL(CAST(:without AS uuid[]))
    ORDER BY f.priority, f.deadline, f.id LIMIT 100
    """
)

_TARGET = text("SELECT pool_id FROM deployments WHERE id = :target")

# From the head of each flow. A job that somebody else has in hand is passed over.
# BETWEEN for the planner, as in `claim`.
_MOVE = text(
    """
    WITH t AS (
      SELECT * FROM unnest(CAST(:old AS bigint[]), CAST(:new AS bigint[]), CAST(:want AS int[])) AS t (old, new, want)
    ), picked AS MATERIALIZED (
      SELECT j.id, t.new FROM t CROSS JOIN LATERAL (
        SELECT id FROM jobs WHERE flow_id BETWEEN t.old AND t.old AND state = 'queued' AND run_at IS NULL
        ORDER BY flow_id, id LIMIT t.want) x JOIN jobs j ON j.id = x.id
      WHERE j.state = 'queued' FOR UPDATE OF j SKIP LOCKED
    ), moved AS (
      UPDATE jobs SET deployment_id = :target, flow_id = picked.new FROM picked WHERE jobs.id = picked.id
      RETURNING old.flow_id AS old, jobs.flow_id AS new, jobs.est_tokens, jobs.est_images
    )
    SELECT old, new, count(*)::int AS n, sum(est_tokens)::bigint AS tokens, sum(est_images)::bigint AS images
    FROM moved GROUP BY 1, 2 ORDER BY 1, 2
    """
)


@dataclass(frozen=True, slots=True)
class Scope:
    """Whose jobs: one project's, or (`only` None) everybody's but those of the projects in `without`."""

    only: UUID | None = None
    without: Collection[UUID] = ()


EVERYBODY = Scope()


def move_jobs(conn: Connection, source: int, target: int, limit: int, *, scope: Scope = EVERYBODY) -> int:
    """Move up to about `limit` ready jobs, of the first flows each its share; returns how many moved.

    They keep their priority, deadline and attempts. Jobs in backoff stay until they are ready.
    """
    bound = {"source": source, "only": scope.only, "without": list(scope.without)}
    flows = conn.execute(_FLOWS, bound).all()
    queued = sum(flow.queued for flow in flows)
    if not queued or limit <= 0:
        return 0
    pool_id = conn.execute(_TARGET, {"target": target}).scalar_one()
    share = min(1.0, limit / queued)
    wants = [max(1, round(flow.queued * share)) for flow in flows]
    new = [_like(conn, flow, target, pool_id) for flow in flows]
    places = {"target": target, "old": [flow.id for flow in flows], "new": new, "want": wants}
    changes: dict[int, FlowChange] = {}
    moved = 0
    for row in conn.execute(_MOVE, places):
        moved += row.n
        changes.setdefault(row.old, FlowChange()).queued -= row.n
        change = changes.setdefault(row.new, FlowChange())
        change.queued += row.n
        change.jobs += row.n
        change.tokens += row.tokens
        change.images += row.images
        change.ready = True
    change_flows(conn, changes)
    mark_paused(conn, list(changes))
    return moved


def _like(conn: Connection, flow: Row[Any], deployment_id: int, pool_id: int) -> int:
    """A flow of the same kind at another deployment."""
    stake = ensure_stake(
        conn, pool_id=pool_id, project_id=flow.project_id, priority_class=PriorityClass(flow.priority_class)
    )
    return ensure_flow(conn, FlowKey(stake, deployment_id, flow.batch_id, flow.priority, flow.deadline))
