"""Jobs that wait for money: put aside when a budget has no room for them, woken when it has.

Whose shared budget is used up waits as a flow: dispatch passes it over without reading a row of it. Under a batch's or
an API key's budget, jobs are parked one by one, and others of the flow go on. Waking never waits for a lock: what it
cannot have now, the next sweep wakes.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, text

from models.job import PARKED_UNTIL
from pressroom.jobs.claimed import ClaimedJob
from pressroom.jobs.sleep import wake_stakes
from pressroom.money.budgets import worth_waking

_PARK_AT_ONCE = 20_000
_WAKE_AT_ONCE = 5_000

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
_PARK_ALIKE = text(
    f"""
    WITH near AS MATERIALIZED (
      SELECT id, batch_id, api_key_id, est_cost_usd FROM jobs
      WHERE flow_id = :flow AND state = 'queued' AND run_at IS NULL
      ORDER BY id LIMIT :limit
    ), alike AS MATERIALIZED (
      SELECT id FROM jobs WHERE id IN (SELECT id FROM near WHERE :scope_id IN (batch_id, api_key_id)
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
    SELECT b.id, b.scope IN ('installation', 'project') AS shared, k.is_sandbox,
      coalesce(w.cap_usd - w.spent_usd - w.reserved_usd, b.cap_usd) AS left_usd,
      coalesce(w.reserved_usd, 0) AS reserved_usd
    FROM budgets b CROSS JOIN (VALUES (false), (true)) AS k (is_sandbox) LEFT JOIN budget_windows w
      ON w.budget_id = b.id AND w.is_sandbox = k.is_sandbox AND w.starts_at = {STARTS_AT}
    WHERE b.id = ANY(:ids)
    """  # noqa: S608
)

# The next job of each held up flow, in the order in which dispatch serves it.
_HELD_UP = text(
    """
    SELECT f.id, f.blocked_by, coalesce(head.est_cost_usd, 0) AS need_usd,
      coalesce((SELECT bool_or(d.is_sandbox) FROM deployments d WHERE d.pool_id = f.pool_id), false) AS is_sandbox
    FROM flows f LEFT JOIN LATERAL (
      SELECT j.est_cost_usd FROM jobs j WHERE j.flow_id = f.id AND j.state = 'queued' AND j.run_at IS NULL
        AND (j.deadline IS NULL OR j.deadline > now())
        AND NOT EXISTS (SELECT 1 FROM deployments d WHERE d.id = j.deployment_id AND d.paused_at IS NOT NULL)
      ORDER BY j.id LIMIT 1) head ON true
    WHERE f.blocked_by = ANY(:ids) FOR UPDATE OF f SKIP LOCKED
    """
)

_OPEN_FLOWS = text("UPDATE flows f SET blocked_by = NULL, active = true WHERE f.id = ANY(:ids)")

# `spoken_for`: woken before and not leased yet. Of flows that are held up or locked, none is woken.
_PARKED = text(
    f"""
    WITH flow AS MATERIALIZED (
      SELECT f.id, f.active FROM flows f WHERE f.blocked_by IS NULL AND NOT f.paused AND f.id IN (
        SELECT j.flow_id FROM jobs j WHERE j.waiting_budget_id = :budget AND j.state = 'queued'
          AND j.run_at = '{PARKED_UNTIL}' AND j.est_cost_usd <= :most_usd
        ORDER BY j.priority, j.deadline, j.id LIMIT :limit)
      FOR UPDATE SKIP LOCKED
    )
    SELECT j.id, j.flow_id, j.est_cost_usd, EXISTS (SELECT 1 FROM deployments d
      WHERE d.id = j.deployment_id AND d.is_sandbox) AS is_sandbox
    FROM jobs j JOIN flow ON flow.id = j.flow_id
    WHERE j.waiting_budget_id = :budget AND j.state = 'queued' AND j.run_at = '{PARKED_UNTIL}'
      AND j.est_cost_usd <= :most_usd
    ORDER BY j.priority, j.deadline, j.id LIMIT :limit FOR NO KEY UPDATE OF j SKIP LOCKED
    """  # noqa: S608
)

_SPOKEN_FOR = text(
    """
    SELECT d.is_sandbox, sum(j.est_cost_usd) AS usd FROM jobs j JOIN deployments d ON d.id = j.deployment_id
    WHERE j.waiting_budget_id = :budget AND j.state = 'queued' AND j.run_at IS NULL GROUP BY 1
    """
)

_UNPARK = text("UPDATE jobs SET run_at = NULL WHERE id = ANY(:ids)")


@dataclass(frozen=True, slots=True)
class Lacking:
    """A claimed job that a budget has no room for. `scope_id` is whose budget it is, null for the installation's."""

    job: ClaimedJob
    budget: int
    scope_id: UUID | None
    left_usd: Decimal
    holds_up: bool
    hopeless: bool


def put_aside(
    conn: Connection, lacking: Sequence[Lacking], granted: Sequence[UUID], *, flows: Collection[int] = ()
) -> None:
    """Let these jobs wait for their budgets: as flows, or one by one. In the transaction that claimed them.

    `flows` are all that the claim took from, which are locked here if any is to be blocked.
    """
    blocked = {one.job.flow_id: one.budget for one in lacking if one.holds_up}
    alone = [one for one in lacking if not one.holds_up]
    if alone:
        conn.execute(_PARK, {"jobs": [one.job.id for one in alone], "budgets": [one.budget for one in alone]})
    alike = {(one.job.flow_id, one.budget): one for one in alone if one.scope_id is not None and not one.hopeless}
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
        "left_usd": max(one.left_usd, Decimal(0)),
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

    Without `eager` flows are let go in waves, see `worth_waking`; the sweep makes up for it. A flow whose budget is
    gone is let go, and so is one that was held up because a batch had more jobs than are parked at once.
    """
    ids = sorted(budgets)
    rows = conn.execute(_LEFT, {"ids": ids}).all()
    left = {(row.id, row.is_sandbox): row for row in rows}
    held_up = conn.execute(_HELD_UP, {"ids": ids}).all()
    free = [flow.id for flow in held_up if _may_go(flow, left.get((flow.blocked_by, flow.is_sandbox)), eager=eager)]
    for budget in ids:
        free += _unpark(conn, budget, {key[1]: row.left_usd for key, row in left.items() if key[0] == budget})
    if free:
        conn.execute(_OPEN_FLOWS, {"ids": sorted(set(free))})
        wake_stakes(conn, sorted(set(free)))


def _may_go(flow: Row[Any], window: Row[Any] | None, *, eager: bool) -> bool:
    if window is None or (eager and not window.shared):
        return True
    if flow.need_usd > window.left_usd:
        return False
    return eager or worth_waking(window.left_usd, window.reserved_usd)


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
