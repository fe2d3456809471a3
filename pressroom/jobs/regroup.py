"""Put a deployment into another pool of its account: models that share one limit must share one account of it."""

from sqlalchemy import Connection, text

from models import PriorityClass
from pressroom.errors import InvalidInput, Problem
from pressroom.jobs.deployments import DeploymentRow
from pressroom.jobs.flows import ensure_stake, restake
from pressroom.jobs.resolve import pool_name

MAX_NAME_CHARACTERS = 100

_FLOWS = text(
    """
    SELECT f.id, f.project_id, s.priority_class FROM flows f JOIN stakes s ON s.id = f.stake_id
    WHERE f.deployment_id = :deployment AND f.pool_id <> :pool ORDER BY f.id
    """
)


def regroup(conn: Connection, deployment: DeploymentRow, name: str) -> str:
    """Let the deployment draw on the pool `name` of its account, made where missing; returns the pool's whole name.

    Its jobs go along; leases that are out end in the old pool. A new pool begins with the limits of the old one;
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
    _move_flows(conn, deployment, pool_id)
    return whole


def _move_flows(conn: Connection, deployment: DeploymentRow, pool_id: int) -> None:
    flows = conn.execute(_FLOWS, {"deployment": deployment.id, "pool": pool_id}).all()
    stakes = {
        (project_id, kind): ensure_stake(
            conn, pool_id=pool_id, project_id=project_id, priority_class=PriorityClass(kind)
        )
        for project_id, kind in sorted({(flow.project_id, flow.priority_class) for flow in flows})
    }
    restake(conn, {flow.id: stakes[flow.project_id, flow.priority_class] for flow in flows})
