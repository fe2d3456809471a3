"""Worker processes: registered at start, kept alive by a heartbeat, given up for good when it stops."""

from collections.abc import Mapping
from uuid import UUID

from sqlalchemy import Connection, text

from pressroom.ids import new_id


def register(conn: Connection, *, host: str, pid: int) -> UUID:
    """A new worker id. One is used until the process stops or is given up, never again."""
    worker_id = new_id()
    conn.execute(
        text("INSERT INTO workers (id, host, pid) VALUES (:id, :host, :pid)"),
        {"id": worker_id, "host": host, "pid": pid},
    )
    return worker_id


def beat(conn: Connection, worker_id: UUID) -> bool:
    """Renew the heartbeat. False when this worker was given up: its leases are no longer its own."""
    query = text("UPDATE workers SET heartbeat_at = now() WHERE id = :id AND gave_up_at IS NULL")
    return conn.execute(query, {"id": worker_id}).rowcount == 1


def tell_keys(conn: Connection, worker_id: UUID, environment: Mapping[str, str]) -> None:
    """Write down which of the keys that deployments name this worker has; their names alone."""
    names = conn.execute(text("SELECT DISTINCT api_key_env FROM deployments WHERE api_key_env IS NOT NULL ORDER BY 1"))
    query = text("UPDATE workers SET key_names = :names WHERE id = :id AND key_names IS DISTINCT FROM :names")
    conn.execute(query, {"id": worker_id, "names": [name for name in names.scalars() if environment.get(name)]})


def keys_known(conn: Connection) -> set[str]:
    """Names of keys that some living worker has."""
    query = text(
        "SELECT DISTINCT unnest(key_names) FROM workers WHERE stopped_at IS NULL AND gave_up_at IS NULL"
        " AND heartbeat_at > now() - interval '30 seconds'"
    )
    return set(conn.execute(query).scalars())


def cancels_asked(conn: Connection, worker_id: UUID) -> list[UUID]:
    """Jobs running here whose cancel was asked for."""
    query = text(
        "SELECT j.id FROM leases l JOIN jobs j ON j.lease_id = l.id WHERE l.worker_id = :id AND j.cancel_requested"
    )
    return list(conn.execute(query, {"id": worker_id}).scalars())


def stopped_leases(conn: Connection, worker_id: UUID) -> list[UUID]:
    """Leases held here of a deployment, or a pool, that was stopped since: what is not called must wait elsewhere.

    A job that is started and missed its start time is such a job too, so `waiting` does not tell. Leases by which a
    breaker tries whether the deployment is well again are not among them.
    """
    query = text(
        "SELECT l.id FROM leases l JOIN deployments d ON d.id = l.deployment_id JOIN pools p ON p.id = l.pool_id"
        " WHERE l.worker_id = :id"
        " AND (d.paused_at IS NOT NULL AND l.id <> ALL(d.probe_leases) OR p.paused_at IS NOT NULL)"
    )
    return list(conn.execute(query, {"id": worker_id}).scalars())


def held(conn: Connection, worker_id: UUID) -> set[tuple[UUID, UUID]]:
    """Every job that the books say this worker holds, as (job id, lease id)."""
    query = text("SELECT j.id, j.lease_id FROM leases l JOIN jobs j ON j.lease_id = l.id WHERE l.worker_id = :id")
    return {(row.id, row.lease_id) for row in conn.execute(query, {"id": worker_id})}


def sign_off(conn: Connection, worker_id: UUID) -> None:
    """An orderly end. What it still held, if anything, is taken back by the next sweep at once."""
    conn.execute(text("UPDATE workers SET stopped_at = now() WHERE id = :id"), {"id": worker_id})


def alive(conn: Connection) -> list[tuple[str, int]]:
    """Host and pid of every worker that was heard of in the last half minute and has not stopped."""
    rows = conn.execute(
        text(
            "SELECT host, pid FROM workers WHERE stopped_at IS NULL AND gave_up_at IS NULL AND pid > 0"
            " AND heartbeat_at > now() - interval '30 seconds' ORDER BY started_at"
        )
    )
    return [(row.host, row.pid) for row in rows]
