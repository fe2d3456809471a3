"""Jobs that wait for money: put aside when a budget has no room for them, woken when it has.

Where a budget is of all jobs of a flow, the flow is held up: dispatch passes it over without reading a row of it. Jobs
of an API key, of which a flow may hold several, and jobs that are larger than a whole cap are parked one by one, and
others of the flow go on. Waking never waits for a lock: what it cannot have now, the next sweep wakes.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, text

from models.job import PARKED_UNTIL
from pressroom.jobs.claimed import ClaimedJob
from pressroom.jobs.sleep import wake_stakes
from pressroom.money.budgets import Refused, worth_waking

_PARK_AT_ONCE = 20_000
_WAKE_AT_ONCE = 5_000
_RELEASE_AT_ONCE = 500
_EAGER = 10

STARTS_AT = """
    CASE b.period WHEN 'day' THEN date_trunc('day', now(), 'UTC') WHEN 'month' THEN date_trunc('month', now(), 'UTC')
      ELSE to_timestamp(0) END
"""
"""Where the open window of a row `budgets b` begins; pressroom/money/budgets.py says the same."""

_PARK = text(
    f"""
    UPDATE jobs SET run_at = '{PARKED_UNTIL}', waiting_budget_id = t.budget
    FROM unnest(CAST(:jobs AS uuid[]), CAST(:budgets AS bigint[])) AS t (id, budget) WHERE jobs.id = t.id
    """  # noqa: S608
)

# The jobs behind them in the flow that need the same money, so that dispatch does not meet them hundreds at a time.
# BETWEEN for the planner, here and below, as in `claim`.
_PARK_ALIKE = text(
    f"""
    WITH near AS MATERIALIZED (
      SELECT id, api_key_id, est_cost_usd FROM jobs
      WHERE flow_id BETWEEN :flow AND :flow AND state = 'queued' AND run_at IS NULL
      ORDER BY flow_id, id LIMIT :limit
    ), alike AS MATERIALIZED (
      SELECT id FROM jobs WHERE id IN (SELECT id FROM near WHERE api_key_id = :scope_id
        AND est_cost_usd > :left_usd AND id <> ALL(CAST(:granted AS uuid[])))
        AND state = 'queued' AND run_at IS NULL FOR NO KEY UPDATE SKIP LOCKED
    ), parked AS (
      UPDATE jobs SET run_at = '{PARKED_UNTIL}', waiting_budget_id = :budget FROM alike WHERE jobs.id = alike.id
    )
    SELECT (SELECT count(*) FROM near) AS seen, count(*) AS parked FROM alike
    """  # noqa: S608
)

# All flows of the claim, in order: dispatch charges the others at its end.
_LOCK_FLOWS = text("SELECT 1 FROM flows WHERE id = ANY(CAST(:ids AS bigint[])) ORDER BY id FOR NO KEY UPDATE")
_BLOCK = text(
    """
    UPDATE flows f SET blocked_by = t.budget
    FROM unnest(CAST(:ids AS bigint[]), CAST(:budgets AS bigint[])) AS t (id, budget) WHERE f.id = t.id
    """
)

_WAITED_FOR = text(
    """
    WITH RECURSIVE parked AS (
      SELECT min(waiting_budget_id) AS id FROM jobs WHERE state = 'queued' AND waiting_budget_id IS NOT NULL
      UNION ALL
      SELECT (SELECT min(j.waiting_budget_id) FROM jobs j
        WHERE j.state = 'queued' AND j.waiting_budget_id > parked.id) FROM parked WHERE parked.id IS NOT NULL
    )
    SELECT blocked_by FROM flows WHERE blocked_by IS NOT NULL
    UNION SELECT id FROM parked WHERE id IS NOT NULL
    """
)

_LEFT = text(
    f"""
    SELECT b.id, b.scope <> 'api_key' AS shared, k.is_sandbox,
      coalesce(w.cap_usd - w.spent_usd - w.reserved_usd, b.cap_usd) AS left_usd,
      coalesce(w.reserved_usd, 0) AS reserved_usd
    FROM budgets b CROSS JOIN (VALUES (false), (true)) AS k (is_sandbox) LEFT JOIN budget_windows w
      ON w.budget_id = b.id AND w.is_sandbox = k.is_sandbox AND w.starts_at = {STARTS_AT}
    WHERE b.id = ANY(:ids)
    """  # noqa: S608
)

# The next job of each held up flow, in the order in which dispatch serves it; the least served stakes first.
_HELD_UP = text(
    """
    SELECT f.id, f.blocked_by, d.is_sandbox, coalesce(head.est_cost_usd, 0) AS need_usd
    FROM (SELECT f.id, f.blocked_by, f.deployment_id, row_number() OVER () AS turn FROM (
      SELECT f.id, f.blocked_by, f.deployment_id FROM flows f JOIN stakes s ON s.id = f.stake_id
      WHERE f.blocked_by = ANY(CAST(:ids AS bigint[]))
      ORDER BY s.vtime, f.priority, f.deadline, f.id LIMIT :limit FOR NO KEY UPDATE OF f SKIP LOCKED) f) f
    JOIN deployments d ON d.id = f.deployment_id LEFT JOIN LATERAL (
      SELECT j.est_cost_usd FROM jobs j
      WHERE j.flow_id BETWEEN f.id AND f.id AND j.state = 'queued' AND j.run_at IS NULL
        AND (j.deadline IS NULL OR j.deadline > now()) ORDER BY j.flow_id, j.id LIMIT 1) head ON true
    ORDER BY f.turn
    """
)

_OPEN_FLOWS = text("UPDATE flows f SET blocked_by = NULL, active = true WHERE f.id = ANY(:ids)")

_MAY_START = """
    JOIN deployments d ON d.id = f.deployment_id AND d.paused_at IS NULL
    JOIN pools p ON p.id = d.pool_id AND p.paused_at IS NULL"""

# Of flows that are held up, stopped or locked, none is woken; and they do not stand before those that may.
_PARKED = text(
    f"""
    WITH flow AS MATERIALIZED (
      SELECT f.id, f.active FROM flows f WHERE f.blocked_by IS NULL AND NOT f.paused AND f.id IN (
        SELECT j.flow_id FROM jobs j JOIN flows f ON f.id = j.flow_id {_MAY_START}
        WHERE j.waiting_budget_id = :budget AND j.state = 'queued' AND j.run_at = '{PARKED_UNTIL}'
          AND j.est_cost_usd <= :most_usd AND f.blocked_by IS NULL AND NOT f.paused
        ORDER BY j.priority, j.deadline, j.id LIMIT :limit)
      FOR NO KEY UPDATE SKIP LOCKED
    )
    SELECT j.id, j.flow_id, j.est_cost_usd, EXISTS (SELECT 1 FROM deployments d
      WHERE d.id = j.deployment_id AND d.is_sandbox) AS is_sandbox
    FROM jobs j JOIN flow ON flow.id = j.flow_id
    WHERE j.waiting_budget_id = :budget AND j.state = 'queued' AND j.run_at = '{PARKED_UNTIL}'
      AND j.est_cost_usd <= :most_usd
    ORDER BY j.priority, j.deadline, j.id LIMIT :limit FOR NO KEY UPDATE OF j SKIP LOCKED
    """  # noqa: S608
)

# Woken before and not leased yet. Not those that cannot start: a batch that is paused with them would keep the money
# from all others for good.
_SPOKEN_FOR = text(
    f"""
    SELECT d.is_sandbox, sum(j.est_cost_usd) AS usd
    FROM jobs j JOIN flows f ON f.id = j.flow_id {_MAY_START}
    WHERE j.waiting_budget_id = :budget AND j.state = 'queued' AND j.run_at IS NULL
      AND NOT f.paused AND f.blocked_by IS NULL GROUP BY 1
    """  # noqa: S608
)

_UNPARK = text("UPDATE jobs SET run_at = NULL WHERE id = ANY(:ids)")


@dataclass(frozen=True, slots=True)
class Lacking:
    """A claimed job that a budget has no room for. `scope_id` is whose budget it is, null for the installation's."""

    job: ClaimedJob
    refused: Refused
    scope_id: UUID | None

    @property
    def budget(self) -> int:
        """Its id."""
        return self.refused.room.budget


def put_aside(
    conn: Connection, lacking: Sequence[Lacking], granted: Sequence[UUID], *, flows: Collection[int] = ()
) -> None:
    """Let these jobs wait for their budgets: as flows, or one by one. In the transaction that claimed them.

    `flows` are all that the claim took from, which are locked here if any is to be blocked.
    """
    blocked = {one.job.flow_id: one.budget for one in lacking if one.refused.holds_up}
    alone = [one for one in lacking if not one.refused.holds_up]
    if alone:
        conn.execute(_PARK, {"jobs": [one.job.id for one in alone], "budgets": [one.budget for one in alone]})
    alike = {
        (one.job.flow_id, one.budget): one for one in alone if one.scope_id is not None and not one.refused.hopeless
    }
    for (flow, budget), one in alike.items():
        if _park_alike(conn, one, granted):
            blocked.setdefault(flow, budget)
    if blocked:
        conn.execute(_LOCK_FLOWS, {"ids": sorted({*flows, *blocked})})
        conn.execute(_BLOCK, {"ids": list(blocked), "budgets": list(blocked.values())})


def _park_alike(conn: Connection, one: Lacking, granted: Sequence[UUID]) -> bool:
    """Park those like it that are next in the flow; True when there may be more: the flow waits for the next sweep."""
    bound = {
        "flow": one.job.flow_id,
        "limit": _PARK_AT_ONCE,
        "scope_id": one.scope_id,
        "left_usd": max(one.refused.room.left_usd, Decimal(0)),
        "granted": list(granted),
        "budget": one.budget,
    }
    row = conn.execute(_PARK_ALIKE, bound).one()
    return bool(row.seen >= _PARK_AT_ONCE and row.parked)


def wake_all(conn: Connection) -> None:
    """Wake whatever there is money for by now, whatever returned it: a settlement, a new cap, another day."""
    ids = list(conn.execute(_WAITED_FOR).scalars())
    if ids:
        wake(conn, ids, eager=True)


def wake(conn: Connection, budgets: Collection[int], *, eager: bool) -> None:
    """Wake what these budgets have room for now, in the transaction that returned the money, at its end.

    No more flows than there is money for the next job of. Without `eager` they are let go in waves, see `worth_waking`;
    the sweep makes up for it. A flow whose budget is gone is let go, and so is one that was held up because it had more
    of an API key's jobs than are parked at once.
    """
    ids = sorted(budgets)
    if not ids:
        return
    left = {(row.id, row.is_sandbox): row for row in conn.execute(_LEFT, {"ids": ids})}
    free = _release(conn, ids, left, eager=eager)
    for budget in ids:
        free += _unpark(conn, budget, {key[1]: row.left_usd for key, row in left.items() if key[0] == budget})
    if free:
        conn.execute(_OPEN_FLOWS, {"ids": sorted(set(free))})
        wake_stakes(conn, sorted(set(free)))


def _release(
    conn: Connection, ids: Sequence[int], left: Mapping[tuple[int, bool], Row[Any]], *, eager: bool
) -> list[int]:
    """The held up flows that may go on."""
    known = {key[0] for key in left}
    purse = {key: row.left_usd for key, row in left.items() if eager or worth_waking(row.left_usd, row.reserved_usd)}
    asked = [budget for budget in ids if budget not in known or (budget, False) in purse or (budget, True) in purse]
    if not asked:
        return []
    limit = _RELEASE_AT_ONCE * (_EAGER if eager else 1)
    free: list[int] = []
    for flow in conn.execute(_HELD_UP, {"ids": asked, "limit": limit}).all():
        key = (flow.blocked_by, flow.is_sandbox)
        if key not in left or (eager and not left[key].shared):
            free.append(flow.id)
        elif key in purse and flow.need_usd <= purse[key]:
            purse[key] -= flow.need_usd
            free.append(flow.id)
    return free


def _unpark(conn: Connection, budget: int, left: dict[bool, Decimal]) -> list[int]:
    """Make as many of the budget's jobs ready as there is money for; returns their flows, which must wake."""
    if not left or max(left.values()) < 0:
        return []
    bound = {"budget": budget, "limit": _WAKE_AT_ONCE, "most_usd": max(left.values())}
    parked = conn.execute(_PARKED, bound).all()
    if not parked:
        return []
    for row in conn.execute(_SPOKEN_FOR, {"budget": budget}):
        left[row.is_sandbox] -= row.usd
    woken: list[Row[Any]] = []
    for job in parked:
        if job.est_cost_usd <= left[job.is_sandbox]:
            left[job.is_sandbox] -= job.est_cost_usd
            woken.append(job)
    if woken:
        conn.execute(_UNPARK, {"ids": [job.id for job in woken]})
    return [job.flow_id for job in woken]
