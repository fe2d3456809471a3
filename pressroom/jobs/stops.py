"""Stop and resume projects and batches: by marking a few flows, however many jobs are in them, and at once.

A mark keeps dispatch away. What it had leased just before comes back, for which a turn of it that was under way is
waited for; so once `pause` has returned, no more of these jobs start.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Engine, text

from pressroom.errors import Conflict, NotFound
from pressroom.ids import show_id
from pressroom.jobs.lease import hand_back
from pressroom.jobs.sleep import wake_stakes

_CANCELLING_KEY = 0x63616E63
"""Held, shared, by whoever stops flows only for the time of a cancel: marks without it are left over from a crash."""

_SHOULD_PAUSE = """
    (SELECT p.paused_at IS NOT NULL FROM projects p WHERE p.id = f.project_id)
      OR EXISTS (SELECT 1 FROM batches b
        WHERE b.id = f.batch_id AND (b.paused_at IS NOT NULL OR b.state = 'cancelling'))
"""

_LOCK = text("SELECT id FROM flows WHERE id = ANY(CAST(:ids AS bigint[])) ORDER BY id FOR NO KEY UPDATE")
_REFRESH = text(
    f"""
    UPDATE flows f SET paused = {_SHOULD_PAUSE}
    WHERE f.id = ANY(CAST(:ids AS bigint[])) AND f.paused IS DISTINCT FROM ({_SHOULD_PAUSE})
    """  # noqa: S608  (no values)
)
_STOP = text("UPDATE flows SET paused = true WHERE id = ANY(CAST(:ids AS bigint[]))")
_MARK = text(
    f"""
    UPDATE flows f SET paused = true WHERE f.id = ANY(CAST(:ids AS bigint[])) AND NOT f.paused AND ({_SHOULD_PAUSE})
    """  # noqa: S608  (no values)
)

# Made by a transaction that a pause did not see, and that did not see the pause.
_MISSED = text(
    """
    SELECT f.id FROM flows f WHERE f.active AND NOT f.paused
      AND (f.project_id IN (SELECT id FROM projects WHERE paused_at IS NOT NULL)
        OR f.batch_id IN (SELECT id FROM batches WHERE paused_at IS NOT NULL OR state = 'cancelling')) ORDER BY f.id
    """
)

_LEFT_OVER = text(
    f"""
    SELECT f.id FROM flows f WHERE f.paused AND NOT ({_SHOULD_PAUSE}) AND pg_try_advisory_xact_lock(:key)
    """  # noqa: S608
)

_LEASED = text(
    """
    SELECT j.id, j.lease_id FROM leases l JOIN jobs j ON j.lease_id = l.id
    WHERE l.waiting > 0 AND j.state = 'leased' AND j.flow_id = ANY(CAST(:ids AS bigint[]))
    """
)

_PAUSE_BATCH = text(
    """
    UPDATE batches SET paused_at = coalesce(paused_at, now())
    WHERE id = :id AND project_id = :project_id AND state = 'in_progress'
    """
)
_RESUME_BATCH = text(
    "UPDATE batches SET paused_at = NULL"
    " WHERE id = :id AND project_id = :project_id AND state = 'in_progress' AND paused_at IS NOT NULL"
)
_PAUSE_PROJECT = text("UPDATE projects SET paused_at = coalesce(paused_at, now()) WHERE id = :id")
_RESUME_PROJECT = text("UPDATE projects SET paused_at = NULL WHERE id = :id AND paused_at IS NOT NULL")


def pause_batch(engine: Engine, project_id: UUID, batch_id: UUID) -> int:
    """Start no more of the batch's jobs; calls on their way finish. Returns how many leased ones went back.

    Raises NotFound, or Conflict for a batch that is over.
    """
    with engine.begin() as conn:
        if conn.execute(_PAUSE_BATCH, {"id": batch_id, "project_id": project_id}).rowcount == 0:
            _refuse_batch(conn, project_id, batch_id, "pause")
        flows = flows_of(conn, project_id, batch_id=batch_id)
        refresh_paused(conn, flows)
    return fetch_leased(engine, flows)


def resume_batch(engine: Engine, project_id: UUID, batch_id: UUID) -> bool:
    """Let the batch go on, unless its project is paused. False when it was not paused.

    Raises NotFound, or Conflict for a batch that is over.
    """
    with engine.begin() as conn:
        if conn.execute(_RESUME_BATCH, {"id": batch_id, "project_id": project_id}).rowcount == 0:
            state = _batch_state(conn, project_id, batch_id)
            if state != "in_progress":
                _refuse_batch(conn, project_id, batch_id, "resume")
            return False
        refresh_paused(conn, flows_of(conn, project_id, batch_id=batch_id))
    return True


def pause_project(engine: Engine, project_id: UUID) -> int:
    """Start no more of the project's jobs; calls on their way finish. Returns how many leased ones went back."""
    with engine.begin() as conn:
        conn.execute(_PAUSE_PROJECT, {"id": project_id})
        flows = flows_of(conn, project_id)
        refresh_paused(conn, flows)
    return fetch_leased(engine, flows)


def resume_project(engine: Engine, project_id: UUID) -> bool:
    """Let the project's jobs go on, except those of paused batches. False when it was not paused."""
    with engine.begin() as conn:
        resumed = conn.execute(_RESUME_PROJECT, {"id": project_id}).rowcount > 0
        refresh_paused(conn, flows_of(conn, project_id))
    return resumed


def flows_of(
    conn: Connection, project_id: UUID, *, batch_id: UUID | None = None, model: str | None = None
) -> list[int]:
    """The flows of a project, of one batch or model of it where that is given, in order."""
    where, bound = "f.project_id = :project_id", {"project_id": project_id, "batch_id": batch_id, "model": model}
    if batch_id is not None:
        where += " AND f.batch_id = :batch_id"
    if model is not None:
        where += " AND f.deployment_id IN (SELECT id FROM deployments WHERE model = :model)"
    used = {name: value for name, value in bound.items() if f":{name}" in where}
    query = text(f"SELECT f.id FROM flows f WHERE {where} ORDER BY f.id")  # noqa: S608  (conditions are ours)
    return list(conn.execute(query, used).scalars())


def refresh_paused(conn: Connection, flows: Sequence[int]) -> None:
    """Mark flows, or lift their marks, as their projects and batches say; those that may start again are woken."""
    if flows:
        conn.execute(_LOCK, {"ids": list(flows)})
        conn.execute(_REFRESH, {"ids": list(flows)})
        wake_stakes(conn, flows)


def fetch_leased(engine: Engine, flows: Sequence[int]) -> int:
    """Return what is leased of these flows and has not started, for which nothing is leased any more; how many."""
    wait_for_dispatch(engine, flows)
    with engine.begin() as conn:
        rows = conn.execute(_LEASED, {"ids": list(flows)}).all()
        return hand_back(conn, [(row.id, row.lease_id) for row in rows]) if rows else 0


def wait_for_dispatch(engine: Engine, flows: Sequence[int]) -> None:
    """Until every turn of dispatch that began before now, and may have seen these flows as they were, has ended."""
    pools = text(
        "SELECT id FROM pools WHERE id IN (SELECT pool_id FROM flows WHERE id = ANY(CAST(:ids AS bigint[])))"
        " ORDER BY id FOR NO KEY UPDATE"
    )
    with engine.begin() as conn:
        conn.execute(pools, {"ids": list(flows)}).all()


@contextmanager
def stopped(engine: Engine, flows: Sequence[int]) -> Iterator[None]:
    """Keep dispatch away from these flows for the block, as for a pause; a crash in it leaves no flow stopped."""
    with engine.connect() as conn:
        conn.execute(text("SELECT pg_advisory_lock_shared(:key)"), {"key": _CANCELLING_KEY})
        conn.commit()
        try:
            conn.execute(_LOCK, {"ids": list(flows)})
            conn.execute(_STOP, {"ids": list(flows)})
            conn.commit()
            wait_for_dispatch(engine, flows)
            yield
        finally:
            conn.rollback()
            try:
                refresh_paused(conn, flows)
                conn.commit()
            finally:
                # Whatever happened: the lock is the session's, and the session goes back to the pool.
                conn.rollback()
                conn.execute(text("SELECT pg_advisory_unlock_shared(:key)"), {"key": _CANCELLING_KEY})
                conn.commit()


def mark_paused(conn: Connection, flows: Sequence[int]) -> None:
    """Mark those of these flows whose project or batch was paused since the transaction made them, at its end.

    A pause cannot see flows that are not committed yet, and a submission may take minutes. The caller has locked them.
    """
    conn.execute(_MARK, {"ids": list(flows)})


def mark_missed(conn: Connection) -> int:
    """Mark flows that were committed in the very moment of a pause, neither seeing the other; how many."""
    flows = list(conn.execute(_MISSED).scalars())
    if flows:
        conn.execute(_LOCK, {"ids": flows})
        mark_paused(conn, flows)
    return len(flows)


def lift_left_over(conn: Connection) -> int:
    """Lift marks that nobody stands behind any more: whoever set them for the time of a cancel is gone."""
    flows = list(conn.execute(_LEFT_OVER, {"key": _CANCELLING_KEY}).scalars())
    refresh_paused(conn, sorted(flows))
    return len(flows)


def _batch_state(conn: Connection, project_id: UUID, batch_id: UUID) -> str | None:
    query = text("SELECT state::text FROM batches WHERE id = :id AND project_id = :project_id")
    bound: Mapping[str, Any] = {"id": batch_id, "project_id": project_id}
    found: str | None = conn.execute(query, bound).scalar_one_or_none()
    return found


def _refuse_batch(conn: Connection, project_id: UUID, batch_id: UUID, what: str) -> None:
    state = _batch_state(conn, project_id, batch_id)
    if state is None:
        raise NotFound(f"there is no batch {show_id('batch', batch_id)}")
    raise Conflict(f"{show_id('batch', batch_id)} is {state}: there is nothing to {what}")
