"""Change the class or priority of queued jobs. Whole batches, models and projects change by their flows: at once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Engine, Row, text

from models import PriorityClass
from pressroom.jobs.flows import FlowChange, FlowKey, change_flows, ensure_flow, ensure_stake, restake
from pressroom.jobs.selection import Selection
from pressroom.jobs.stops import fetch_leased, flows_of

_FLOWS = text(
    """
    SELECT f.id, f.pool_id, f.project_id, s.priority_class, f.stake_id, f.deployment_id, f.batch_id, f.priority,
      f.deadline, f.queued
    FROM flows f JOIN stakes s ON s.id = f.stake_id WHERE f.id = ANY(CAST(:ids AS bigint[])) ORDER BY f.id
    """
)
_LOCK = text("SELECT 1 FROM flows WHERE id = ANY(CAST(:ids AS bigint[])) ORDER BY id FOR NO KEY UPDATE")
_SET_PRIORITY = text("UPDATE flows SET priority = :priority WHERE id = ANY(CAST(:ids AS bigint[]))")

_MOVING = "SELECT DISTINCT j.flow_id FROM jobs j WHERE {where} AND j.state IN ('blocked', 'queued')"
_MOVE = """
    WITH t AS (
      SELECT * FROM unnest(CAST(:old AS bigint[]), CAST(:new AS bigint[])) AS t (old, new)
    ), mine AS MATERIALIZED (
      SELECT j.id, t.new FROM jobs j JOIN t ON t.old = j.flow_id
      WHERE {where} AND j.state IN ('blocked', 'queued') ORDER BY j.id FOR NO KEY UPDATE OF j
    ), moved AS (
      UPDATE jobs SET flow_id = mine.new FROM mine WHERE jobs.id = mine.id
      RETURNING old.flow_id AS old, jobs.flow_id AS new, jobs.state = 'queued' AS queued,
        jobs.state = 'queued' AND jobs.run_at IS NULL AS ready, jobs.est_tokens, jobs.est_images
    )
    SELECT old, new, count(*)::int AS n, count(*) FILTER (WHERE queued)::int AS queued, bool_or(ready) AS ready,
      sum(est_tokens)::bigint AS tokens, sum(est_images)::bigint AS images
    FROM moved GROUP BY 1, 2 ORDER BY 1, 2
"""


@dataclass(frozen=True, slots=True)
class Urgency:
    """What to change to: a class, a priority within it (smaller is sooner), or both."""

    priority_class: PriorityClass | None = None
    priority: int | None = None


def reprioritise(engine: Engine, which: Selection, to: Urgency) -> int:
    """Give the selected jobs that wait another urgency; returns how many. Those that have started keep theirs.

    Where the selection names no more than a project, batch or model, its flows change, in a moment, and jobs that were
    leased and have not started come back to take their new places. Else its jobs change, one by one.
    """
    if not which.is_of_flows:
        with engine.begin() as conn:
            return _move_jobs(conn, which, to)
    with engine.begin() as conn:
        flows = flows_of(conn, which.project_id, batch_id=which.batch_id, model=which.model)
        if to.priority_class is not None:
            # Before the flows are locked: a stake that a long submission is making has to be waited for.
            _stakes(conn, conn.execute(_FLOWS, {"ids": flows}).all(), to.priority_class)
    with engine.begin() as conn:
        conn.execute(_LOCK, {"ids": flows})
        changed = _change_flows(conn, conn.execute(_FLOWS, {"ids": flows}).all(), to)
    return changed + fetch_leased(engine, flows)


def _change_flows(conn: Connection, flows: Sequence[Row[Any]], to: Urgency) -> int:
    if to.priority is not None:
        conn.execute(_SET_PRIORITY, {"ids": [flow.id for flow in flows], "priority": to.priority})
    if to.priority_class is not None:
        stakes = _stakes(conn, flows, to.priority_class)
        restake(conn, {flow.id: stakes[flow.id] for flow in flows})
    return sum(flow.queued for flow in flows)


def _move_jobs(conn: Connection, which: Selection, to: Urgency) -> int:
    where, bound = which.where()
    found = list(conn.execute(text(_MOVING.format(where=where)), bound).scalars())
    flows = conn.execute(_FLOWS, {"ids": found}).all()
    if not flows:
        return 0
    stakes: Mapping[int, int] = {flow.id: flow.stake_id for flow in flows}
    if to.priority_class is not None:
        stakes = _stakes(conn, flows, to.priority_class)
    new = {
        flow.id: ensure_flow(
            conn,
            FlowKey(
                stakes[flow.id],
                flow.deployment_id,
                flow.batch_id,
                flow.priority if to.priority is None else to.priority,
                flow.deadline,
            ),
        )
        for flow in flows
    }
    places = {"old": list(new), "new": list(new.values())}
    changes: dict[int, FlowChange] = {}
    moved = 0
    for row in conn.execute(text(_MOVE.format(where=where)), {**bound, **places}):
        moved += row.n
        changes.setdefault(row.old, FlowChange()).queued -= row.queued
        change = changes.setdefault(row.new, FlowChange())
        change.queued += row.queued
        change.ready = change.ready or row.ready
        change.jobs += row.n
        change.tokens += row.tokens
        change.images += row.images
    change_flows(conn, changes)
    return moved


def _stakes(conn: Connection, flows: Sequence[Row[Any]], kind: PriorityClass) -> Mapping[int, int]:
    """For each flow the stake of its project and pool in another class."""
    found = {
        (pool, project): ensure_stake(conn, pool_id=pool, project_id=project, priority_class=kind)
        for pool, project in sorted({(flow.pool_id, flow.project_id) for flow in flows})
    }
    return {flow.id: found[flow.pool_id, flow.project_id] for flow in flows}
