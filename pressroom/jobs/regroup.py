"""Put a deployment into another pool of its account: models that share one limit must share one account of it."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row, text

from models import PriorityClass
from pressroom.errors import InvalidInput, Problem
from pressroom.jobs.deployments import DeploymentRow
from pressroom.jobs.flows import ensure_stake, restake
from pressroom.jobs.resolve import pool_name

MAX_NAME_CHARACTERS = 100

_FLOWS = """
    SELECT f.id, f.project_id, s.priority_class, d.pool_id FROM flows f JOIN stakes s ON s.id = f.stake_id
      JOIN deployments d ON d.id = f.deployment_id
    WHERE f.pool_id <> d.pool_id AND {which} ORDER BY f.id
"""
_FLOWS_OF = text(_FLOWS.format(which="f.deployment_id = :deployment"))
_LEFT_BEHIND = text(_FLOWS.format(which="f.queued > 0"))


def regroup(conn: Connection, deployment: DeploymentRow, name: str) -> str:
    """Let the deployment draw on the pool `name` of its account, made where missing; returns the pool's whole name.

    Its jobs go along; leases that are out end in the old pool. A new pool begins with the limits of the old one, those
    that were learned too, and like one that lost its state: the account's quota may be in use. One that exists keeps
    its own. Raises InvalidInput.
    """
    if not name or len(name) > MAX_NAME_CHARACTERS or "/" in name or "@" in name:
        remedy = "Give the name of the group alone, as in pool=small-models: the account and endpoint are added"
        raise InvalidInput([Problem("pool", "is not a name of a pool", remedy, value=name[:MAX_NAME_CHARACTERS])])
    whole = pool_name(deployment.base_url, name, deployment.account)
    if whole == deployment.pool:
        return whole
    conn.execute(
        text(
            "INSERT INTO pools (name, explicit_limits, learned_limits, catalog_limits, stated_limits, limiter_epoch)"
            " SELECT :name, explicit_limits, learned_limits, catalog_limits, stated_limits, limiter_epoch FROM pools"
            " WHERE id = :old"
            " ON CONFLICT DO NOTHING"
        ),
        {"name": whole, "old": deployment.pool_id},
    )
    pool_id = conn.execute(text("SELECT id FROM pools WHERE name = :name"), {"name": whole}).scalar_one()
    conn.execute(text("UPDATE deployments SET pool_id = :pool WHERE id = :id"), {"pool": pool_id, "id": deployment.id})
    _move_flows(conn, conn.execute(_FLOWS_OF, {"deployment": deployment.id}).all())
    return whole


def fetch_left_behind(conn: Connection) -> int:
    """Put flows with jobs into their deployment's pool that were made in its old one while it changed; how many.

    A submission that was under way cannot be seen by `regroup`, and the old pool starts no jobs of the deployment.
    """
    flows = conn.execute(_LEFT_BEHIND).all()
    _move_flows(conn, flows)
    return len(flows)


def _move_flows(conn: Connection, flows: Sequence[Row[Any]]) -> None:
    stakes = {
        (pool_id, project_id, kind): ensure_stake(
            conn, pool_id=pool_id, project_id=project_id, priority_class=PriorityClass(kind)
        )
        for pool_id, project_id, kind in sorted(
            {(flow.pool_id, flow.project_id, flow.priority_class) for flow in flows}
        )
    }
    restake(conn, {flow.id: stakes[flow.pool_id, flow.project_id, flow.priority_class] for flow in flows})
