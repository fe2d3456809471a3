"""Flows: made when first used, woken when jobs become ready, charged when jobs are served."""

from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Connection, text

from models import CLASS_WEIGHTS, PriorityClass

# A flow that was idle starts level with the least served of the busy ones: idle time earns no credit.
_WAKE = text(
    """
    UPDATE flows f SET queued = f.queued + t.n, active = true,
      vtime = CASE WHEN f.active THEN f.vtime ELSE greatest(f.vtime, coalesce(
        (SELECT min(o.vtime) FROM flows o WHERE o.pool_id = f.pool_id AND o.active AND NOT o.paused), f.vtime)) END
    FROM unnest(CAST(:ids AS bigint[]), CAST(:counts AS bigint[])) AS t (id, n) WHERE f.id = t.id
    """
)

_ADJUST = text(
    """
    UPDATE flows f SET queued = f.queued + t.queued, vtime = f.vtime + t.seconds / f.weight
    FROM unnest(CAST(:ids AS bigint[]), CAST(:queued AS bigint[]), CAST(:seconds AS float8[]))
      AS t (id, queued, seconds)
    WHERE f.id = t.id
    """
)


@dataclass(slots=True)
class FlowChange:
    """What a transaction adds to one flow: queued jobs, and seconds of service to charge (or, negative, to refund)."""

    queued: int = 0
    seconds: float = 0.0
    ready: bool = False


def ensure_flow(conn: Connection, *, pool_id: int, project_id: UUID, priority_class: PriorityClass) -> int:
    """The id of the flow, which is made with weight = class weight × project weight when it is new."""
    key = {"pool": pool_id, "project": project_id, "class": priority_class.value}
    conn.execute(
        text(
            "INSERT INTO flows (pool_id, project_id, priority_class, weight)"
            " SELECT :pool, :project, CAST(:class AS priority_class), :class_weight * weight FROM projects"
            " WHERE id = :project ON CONFLICT (pool_id, project_id, priority_class) DO NOTHING"
        ),
        key | {"class_weight": CLASS_WEIGHTS[priority_class]},
    )
    row = conn.execute(
        text(
            "SELECT id FROM flows WHERE pool_id = :pool AND project_id = :project"
            " AND priority_class = CAST(:class AS priority_class)"
        ),
        key,
    )
    return int(row.scalar_one())


def wake_flows(conn: Connection, ready: Mapping[int, int]) -> None:
    """Count `ready` (flow id to number of jobs that were just queued) and make those flows eligible for dispatch.

    Call it last in a transaction: the rows stay locked until commit, and dispatch skips locked flows.
    """
    if ready:
        ids = sorted(ready)
        _lock(conn, ids)
        conn.execute(_WAKE, {"ids": ids, "counts": [ready[i] for i in ids]})


def change_flows(conn: Connection, changes: Mapping[int, FlowChange]) -> None:
    """Apply what a settlement or a recovery adds to its flows."""
    ids = sorted(changes)
    if not ids:
        return
    _lock(conn, ids)
    conn.execute(
        _ADJUST,
        {
            "ids": ids,
            "queued": [changes[i].queued for i in ids],
            "seconds": [changes[i].seconds for i in ids],
        },
    )
    woken = [i for i in ids if changes[i].ready]
    if woken:
        conn.execute(_WAKE, {"ids": woken, "counts": [0] * len(woken)})


def _lock(conn: Connection, ids: list[int]) -> None:
    """In id order, so that two writers of several flows cannot deadlock."""
    conn.execute(text("SELECT 1 FROM flows WHERE id = ANY(:ids) ORDER BY id FOR UPDATE"), {"ids": ids})
