"""Stakes and flows with nothing to start sleep, so that no claim looks at them; whatever lets them start wakes them.

Nothing here waits for a lock: what somebody else has in hand is left for the next turn.
"""

from collections.abc import Sequence

from sqlalchemy import Connection, text

ELIGIBLE = """f.active AND NOT f.paused AND f.blocked_by IS NULL AND (f.deadline IS NULL OR f.deadline > now())
      AND f.deployment_id = ANY(CAST(:open AS bigint[]))"""
"""Flows `f` of which jobs may start, those of the deployments in `open`."""

_LOCK_FLOWS = text(
    """
    SELECT id FROM flows WHERE stake_id = ANY(CAST(:stakes AS bigint[])) AND active
    ORDER BY id FOR NO KEY UPDATE SKIP LOCKED
    """
)
# BETWEEN for the planner, as in `claim`.
_SLEEP_FLOWS = text(
    """
    UPDATE flows f SET active = false WHERE f.id = ANY(CAST(:ids AS bigint[])) AND NOT EXISTS (
      SELECT 1 FROM jobs j WHERE j.flow_id BETWEEN f.id AND f.id AND j.state = 'queued' AND j.run_at IS NULL)
    """
)
_LOCK_STAKES = text(
    "SELECT id FROM stakes WHERE id = ANY(CAST(:stakes AS bigint[])) ORDER BY id FOR NO KEY UPDATE SKIP LOCKED"
)
_SLEEP_STAKES = text(
    f"""
    UPDATE stakes s SET active = false WHERE s.id = ANY(CAST(:ids AS bigint[])) AND NOT EXISTS (
      SELECT 1 FROM flows f WHERE f.stake_id = s.id AND {ELIGIBLE})
    """  # noqa: S608  (no values)
)

_ASLEEP = text(
    """
    SELECT s.id FROM stakes s WHERE NOT s.active AND EXISTS (
      SELECT 1 FROM flows f JOIN deployments d ON d.id = f.deployment_id
      WHERE f.stake_id = s.id AND f.active AND NOT f.paused AND f.blocked_by IS NULL AND d.paused_at IS NULL
        AND (f.deadline IS NULL OR f.deadline > now()))
      AND (CAST(:flows AS bigint[]) IS NULL
        OR s.id IN (SELECT stake_id FROM flows WHERE id = ANY(CAST(:flows AS bigint[]))))
    ORDER BY s.id FOR NO KEY UPDATE OF s SKIP LOCKED
    """
)
_WAKE = text(
    """
    UPDATE stakes s SET active = true, vtime = greatest(s.vtime, coalesce(
      (SELECT min(o.vtime) FROM stakes o WHERE o.pool_id = s.pool_id AND o.active), s.vtime))
    WHERE s.id = ANY(CAST(:ids AS bigint[]))
    """
)


def put_to_sleep(conn: Connection, stakes: Sequence[int], open_deployments: Sequence[int]) -> None:
    """Of these stakes and their flows, those with nothing ready sleep.

    Locked first, and looked at by a statement that begins afterwards: whoever queues a job wakes its flow and stake in
    the same transaction, behind our locks or before them.
    """
    flows = list(conn.execute(_LOCK_FLOWS, {"stakes": list(stakes)}).scalars())
    if flows:
        conn.execute(_SLEEP_FLOWS, {"ids": flows})
    ids: list[int] = list(conn.execute(_LOCK_STAKES, {"stakes": list(stakes)}).scalars())
    if ids:
        conn.execute(_SLEEP_STAKES, {"ids": ids, "open": list(open_deployments)})


def wake_stakes(conn: Connection, flows: Sequence[int] | None = None) -> int:
    """Wake stakes, of `flows` or all, that sleep though a flow of theirs may start. Returns how many.

    Whoever lifts a pause or a block only changes flows; this makes up for it, here at once and with every sweep. As
    with a stake that had no jobs, the time that it slept earns no credit.
    """
    ids = list(conn.execute(_ASLEEP, {"flows": None if flows is None else list(flows)}).scalars())
    if ids:
        conn.execute(_WAKE, {"ids": ids})
    return len(ids)
