"""Stakes and flows: made when first used, woken when jobs become ready, charged when jobs are served."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import Connection, text

from models import CLASS_WEIGHTS, PriorityClass
from pressroom.jobs.array import array
from pressroom.jobs.sleep import wake_stakes

# The one place where flows and stakes are written together: flows first, then stakes, each in id order, so that two
# writers of several cannot deadlock. A stake that was asleep starts level with the least served of those awake: idle
# time earns no credit. Whether it sleeps is not asked in WHERE: that would be answered as of the statement's beginning,
# and a dispatcher that puts it to sleep meanwhile would be believed to have left it awake. A flow without queued jobs
# sleeps; one whose jobs all wait is put to sleep by `dispatch`.
CHANGE = """
    t AS (
      SELECT * FROM unnest(CAST(:ids AS bigint[]), CAST(:queued AS bigint[]), CAST(:seconds AS float8[]),
        CAST(:ready AS bool[]), CAST(:jobs AS bigint[]), CAST(:tokens AS bigint[]), CAST(:images AS bigint[]))
        AS t (id, queued, seconds, ready, jobs, tokens, images)
    ), held_flows AS MATERIALIZED (
      SELECT id, stake_id FROM flows WHERE id = ANY(CAST(:ids AS bigint[])) ORDER BY id FOR NO KEY UPDATE
    ), held_stakes AS MATERIALIZED (
      SELECT id FROM stakes WHERE id IN (SELECT stake_id FROM held_flows) ORDER BY id FOR NO KEY UPDATE
    ), changed AS (
      UPDATE flows f SET queued = f.queued + t.queued, active = t.ready OR (f.active AND f.queued + t.queued > 0),
        jobs_in = f.jobs_in + t.jobs, tokens_in = f.tokens_in + t.tokens, images_in = f.images_in + t.images
      FROM t JOIN held_flows h ON h.id = t.id WHERE f.id = t.id
    ), sums AS (
      SELECT h.stake_id, sum(t.seconds) AS seconds, bool_or(t.ready) AS ready
      FROM t JOIN held_flows h ON h.id = t.id GROUP BY 1
    )
    UPDATE stakes s SET active = s.active OR sums.ready,
      vtime = CASE WHEN s.active OR NOT sums.ready THEN s.vtime ELSE greatest(s.vtime, coalesce(
          (SELECT min(o.vtime) FROM stakes o WHERE o.pool_id = s.pool_id AND o.active), s.vtime)) END
        + sums.seconds / s.weight
    FROM sums JOIN held_stakes h ON h.id = sums.stake_id
    WHERE s.id = sums.stake_id AND (sums.seconds <> 0 OR sums.ready)
"""
"""`change_flows` without its WITH, for a statement that does something else before; bound as `change_columns` says."""

_CHANGE = text(f"WITH {CHANGE}")

_INSERT_STAKE = text(
    """
    INSERT INTO stakes (pool_id, project_id, priority_class, weight)
    SELECT :pool, :project, CAST(:class AS priority_class), :class_weight * weight FROM projects
    WHERE id = :project ON CONFLICT (pool_id, project_id, priority_class) DO NOTHING
    """
)

_FIND_STAKE = text(
    """
    SELECT id FROM stakes
    WHERE pool_id = :pool AND project_id = :project AND priority_class = CAST(:class AS priority_class)
    """
)

_FIND_FLOW = text(
    """
    SELECT id FROM flows WHERE stake_id = :stake AND deployment_id = :deployment
      AND batch_id IS NOT DISTINCT FROM CAST(:batch AS uuid) AND priority = :priority
      AND deadline IS NOT DISTINCT FROM CAST(:deadline AS timestamptz) ORDER BY id LIMIT 1
    """
)

_INSERT_FLOW = text(
    """
    INSERT INTO flows (stake_id, pool_id, project_id, deployment_id, batch_id, priority, deadline, paused)
    SELECT s.id, s.pool_id, s.project_id, :deployment, CAST(:batch AS uuid), :priority, :deadline,
      p.paused_at IS NOT NULL OR EXISTS (SELECT 1 FROM batches b WHERE b.id = CAST(:batch AS uuid)
        AND (b.paused_at IS NOT NULL OR b.state = 'cancelling'))
    FROM stakes s JOIN projects p ON p.id = s.project_id WHERE s.id = :stake RETURNING id
    """
)

_LOCK = text("SELECT 1 FROM flows WHERE id = ANY(CAST(:ids AS bigint[])) ORDER BY id FOR NO KEY UPDATE")
_RESTAKE = text(
    """
    UPDATE flows f SET stake_id = s.id, pool_id = s.pool_id
    FROM unnest(CAST(:ids AS bigint[]), CAST(:stakes AS bigint[])) AS t (id, stake_id)
      JOIN stakes s ON s.id = t.stake_id
    WHERE f.id = t.id
    """
)


@dataclass(slots=True)
class FlowChange:
    """What a transaction adds to one flow: queued jobs, and seconds of service to charge (or, negative, to refund).

    `ready` says that some of its jobs may start now. `jobs`, `tokens` and `images` count what came in for the first
    time.
    """

    queued: int = 0
    seconds: float = 0.0
    ready: bool = False
    jobs: int = 0
    tokens: int = 0
    images: int = 0

    def add(self, other: "FlowChange") -> None:
        """Take another's part of the same transaction in."""
        self.queued += other.queued
        self.seconds += other.seconds
        self.ready = self.ready or other.ready
        self.jobs += other.jobs
        self.tokens += other.tokens
        self.images += other.images


@dataclass(frozen=True, slots=True)
class FlowKey:
    """What the jobs of one flow have in common."""

    stake_id: int
    deployment_id: int
    batch_id: UUID | None = None
    priority: int = 0
    deadline: datetime | None = None
    """Of the flow: a whole minute, as `flow_deadline` says."""


def flow_deadline(deadline: datetime | None) -> datetime | None:
    """The deadline of the flow that a job of this deadline belongs to: the next whole minute."""
    if deadline is None or (deadline.second == 0 and deadline.microsecond == 0):
        return deadline
    return deadline.replace(second=0, microsecond=0) + timedelta(minutes=1)


def ensure_stake(conn: Connection, *, pool_id: int, project_id: UUID, priority_class: PriorityClass) -> int:
    """The id of the stake, which is made with weight = class weight × project weight when it is new."""
    key = {"pool": pool_id, "project": project_id, "class": priority_class.value}
    found = conn.execute(_FIND_STAKE, key).scalar_one_or_none()
    if found is None:
        conn.execute(_INSERT_STAKE, key | {"class_weight": CLASS_WEIGHTS[priority_class]})
        found = conn.execute(_FIND_STAKE, key).scalar_one()
    return int(found)


def ensure_flow(conn: Connection, key: FlowKey) -> int:
    """The id of a flow for such jobs. One that is new is not active, and paused if its project or batch is."""
    bound = {
        "stake": key.stake_id,
        "deployment": key.deployment_id,
        "batch": key.batch_id,
        "priority": key.priority,
        "deadline": key.deadline,
    }
    found = conn.execute(_FIND_FLOW, bound).scalar_one_or_none()
    return int(found if found is not None else conn.execute(_INSERT_FLOW, bound).scalar_one())


def change_flows(conn: Connection, changes: Mapping[int, FlowChange]) -> None:
    """Apply what a transaction adds to its flows, and charge their stakes; one statement.

    Call it last in a transaction: the rows stay locked until commit.
    """
    if changes:
        conn.execute(_CHANGE, change_columns(changes))


def change_columns(changes: Mapping[int, FlowChange]) -> dict[str, str]:
    """What CHANGE is bound to."""
    ids = sorted(changes)
    ordered = [changes[i] for i in ids]
    return {"ids": array(ids)} | {name: array([getattr(c, name) for c in ordered]) for name in FlowChange.__slots__}


def restake(conn: Connection, stakes: Mapping[int, int]) -> None:
    """Put whole flows (by id) into other stakes: all their jobs go along, however many, and wherever they are."""
    ids = sorted(stakes)
    if ids:
        conn.execute(_LOCK, {"ids": ids})
        conn.execute(_RESTAKE, {"ids": ids, "stakes": [stakes[i] for i in ids]})
        wake_stakes(conn, ids)
