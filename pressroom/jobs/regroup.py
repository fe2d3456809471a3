"""Put a deployment into another pool of its account: models that share one limit must share one account of it."""

from sqlalchemy import Connection, text

from models import PriorityClass
from pressroom.errors import InvalidInput, Problem
from pressroom.jobs.deployments import DeploymentRow
from pressroom.jobs.flows import FlowChange, change_flows, ensure_flow
from pressroom.jobs.resolve import pool_name

MAX_NAME_CHARACTERS = 100

_FLOWS = text("SELECT id, project_id, priority_class FROM flows WHERE pool_id = :pool ORDER BY id")

_MOVE = text(
    """
    WITH t AS (
      SELECT * FROM unnest(CAST(:old AS bigint[]), CAST(:new AS bigint[])) AS t (old, new)
    ), mine AS MATERIALIZED (
      SELECT j.id, t.new FROM jobs j JOIN t ON t.old = j.flow_id
      WHERE j.deployment_id = :deployment AND j.state IN ('blocked', 'queued') ORDER BY j.id FOR NO KEY UPDATE OF j
    ), moved AS (
      UPDATE jobs SET flow_id = mine.new FROM mine WHERE jobs.id = mine.id
      RETURNING old.flow_id AS old, jobs.flow_id AS new, jobs.state = 'queued' AS queued, jobs.run_at IS NULL AS ready
    )
    SELECT old, new, count(*) FILTER (WHERE queued)::int AS n, bool_or(queued AND ready) AS ready
    FROM moved GROUP BY 1, 2 ORDER BY 1, 2
    """
)


def regroup(conn: Connection, deployment: DeploymentRow, name: str) -> str:
    """Let the deployment draw on the pool `name` of its account, made where missing; returns the pool's whole name.

    Its queued jobs go along. Leases that are out end in the old pool. A new pool begins with the limits of the old one;
    one that exists keeps its own. Raises InvalidInput.
    """
    if not name or len(name) > MAX_NAME_CHARACTERS or "/" in name or "@" in name:
        remedy = "Give the name of the group alone, as in pool=small-models: the account and endpoint are added"
        raise InvalidInput([Problem("pool", "is not a name of a pool", remedy, value=name[:MAX_NAME_CHARACTERS])])
    whole = pool_name(deployment.base_url, name, deployment.account)
    if whole == deployment.pool:
        return whole
    conn.execute(
        text(
            "INSERT INTO pools (name, explicit_limits, learned_limits, catalog_limits)"
            " SELECT :name, explicit_limits, '{}', catalog_limits FROM pools WHERE id = :old ON CONFLICT DO NOTHING"
        ),
        {"name": whole, "old": deployment.pool_id},
    )
    pool_id = conn.execute(text("SELECT id FROM pools WHERE name = :name"), {"name": whole}).scalar_one()
    conn.execute(text("UPDATE deployments SET pool_id = :pool WHERE id = :id"), {"pool": pool_id, "id": deployment.id})
    _move_queued(conn, deployment, pool_id)
    return whole


def _move_queued(conn: Connection, deployment: DeploymentRow, pool_id: int) -> None:
    flows = conn.execute(_FLOWS, {"pool": deployment.pool_id}).all()
    if not flows:
        return
    new = [
        ensure_flow(
            conn, pool_id=pool_id, project_id=flow.project_id, priority_class=PriorityClass(flow.priority_class)
        )
        for flow in flows
    ]
    changes: dict[int, FlowChange] = {}
    places = {"deployment": deployment.id, "old": [flow.id for flow in flows], "new": new}
    for row in conn.execute(_MOVE, places):
        changes.setdefault(row.old, FlowChange()).queued -= row.n
        change = changes.setdefault(row.new, FlowChange())
        change.queued += row.n
        change.ready = change.ready or row.ready
    change_flows(conn, changes)
