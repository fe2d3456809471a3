"""Take a deployment away that never had jobs: one made by a slip of the keyboard."""

from sqlalchemy import Connection, text

from pressroom.errors import Conflict
from pressroom.jobs.deployments import DeploymentRow

_USED_BY = text(
    """
    SELECT CASE WHEN EXISTS (SELECT 1 FROM flows WHERE deployment_id = :id)
        OR EXISTS (SELECT 1 FROM leases WHERE deployment_id = :id)
        OR EXISTS (SELECT 1 FROM daily_costs WHERE deployment_id = :id)
        OR EXISTS (SELECT 1 FROM calibrations WHERE deployment_id = :id) THEN 'jobs'
      WHEN EXISTS (SELECT 1 FROM routes WHERE deployment_id = :id) THEN 'route' END
    """
)

_POOL = text(
    """
    DELETE FROM pools p WHERE p.id = :pool AND NOT EXISTS (SELECT 1 FROM deployments WHERE pool_id = p.id)
      AND NOT EXISTS (SELECT 1 FROM stakes WHERE pool_id = p.id)
      AND NOT EXISTS (SELECT 1 FROM flows WHERE pool_id = p.id)
      AND NOT EXISTS (SELECT 1 FROM leases WHERE pool_id = p.id)
    """
)


def remove_deployment(conn: Connection, deployment: DeploymentRow) -> None:
    """Delete it, and its pool where nothing else is in it. Raises Conflict if it ever had jobs, or a route names it.

    The row is locked first: a submission that finds it at the same time waits, or is seen.
    """
    bound = {"id": deployment.id}
    conn.execute(text("SELECT 1 FROM deployments WHERE id = :id FOR UPDATE"), bound)
    used = conn.execute(_USED_BY, bound).scalar_one()
    if used == "jobs":
        raise Conflict(
            f"{deployment.name} has jobs on the books, which name it: `pressroom deployments pause {deployment.name}` "
            "keeps it from starting more"
        )
    if used == "route":
        raise Conflict(f"a route of {deployment.model} names {deployment.name}: change the route first")
    conn.execute(text("DELETE FROM health_windows WHERE deployment_id = :id"), bound)
    conn.execute(text("DELETE FROM deployments WHERE id = :id"), bound)
    conn.execute(_POOL, {"pool": deployment.pool_id})
