"""What becomes of held money: posted with what the call cost, void, or uncertain. Once, however often it is said.

The order of locks is jobs, attempts, leases, batches, costs, budget windows, flows: the jobs' locks guard their holds.
Whoever returns money calls `wake` (over_budget.py) with the budgets that are waited for, once its flows are written.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import Connection, Row, text

from models import HoldState
from pressroom.ids import show_id
from pressroom.jobs.alerts import raise_alert
from pressroom.jobs.budget_news import WARN_SHARE, tell_warned
from pressroom.jobs.over_budget import wake
from pressroom.money.budgets import dollars

# What resolved holds come to, by window: added up here, for rows cost Python more than they cost the database.
_BY_WINDOW = """
    WITH {given} resolved AS (
      UPDATE holds h SET {change}
      RETURNING h.job_id, h.amount_usd, h.windows, h.state, h.actual_usd, old.state AS was, old.actual_usd AS was_usd
    )
    SELECT w.id, (SELECT count(*) FROM resolved) AS holds,
      sum(CASE WHEN r.was IN ('held', 'uncertain') AND r.state IN ('posted', 'void') THEN -r.amount_usd ELSE 0 END)
        AS reserved_usd,
      sum(coalesce(r.actual_usd, 0) - coalesce(r.was_usd, 0)) AS spent_usd,
      max(r.actual_usd - r.amount_usd) AS over_usd,
      (array_agg(r.job_id ORDER BY r.actual_usd - r.amount_usd DESC NULLS LAST))[1] AS worst_job
    FROM resolved r LEFT JOIN LATERAL unnest(r.windows) AS w (id) ON true GROUP BY w.id ORDER BY w.id
"""

# One that was posted at its full amount because nobody knew better is corrected by whoever does.
_RESOLVE = text(
    _BY_WINDOW.format(
        given="""
    t AS (
      SELECT * FROM json_to_recordset(CAST(:rows AS json))
        AS t (job_id uuid, number int, state hold_state, actual numeric)
    ),""",
        change="""
        state = t.state, actual_usd = t.actual, is_estimate = false, resolved_at = now()
      FROM t WHERE h.job_id = t.job_id AND h.number = t.number
        AND ((h.state IN ('held', 'uncertain') AND h.state <> t.state)
          OR (h.is_estimate AND t.state IN ('posted', 'void')))""",
    )
)

_RESOLVE_HELD = text(
    _BY_WINDOW.format(
        given="""
    t AS (
      SELECT * FROM unnest(CAST(:jobs AS uuid[]), CAST(:states AS hold_state[])) AS t (job_id, state)
    ),""",
        change="""
        state = t.state, resolved_at = now()
      FROM t WHERE h.job_id = t.job_id AND h.state = 'held'""",
    )
)

_LOCK_OVERDUE = text(
    """
    SELECT j.id FROM jobs j WHERE j.id IN (SELECT h.job_id FROM holds h WHERE h.state = 'uncertain'
      AND h.resolved_at < now() - make_interval(secs => :after) ORDER BY h.resolved_at LIMIT 1000)
    ORDER BY j.id FOR NO KEY UPDATE SKIP LOCKED
    """
)

_ESTIMATE = text(
    _BY_WINDOW.format(
        given="",
        change="""
        state = 'posted', actual_usd = h.amount_usd, is_estimate = true, resolved_at = now()
      WHERE h.job_id = ANY(:jobs) AND h.state = 'uncertain'
        AND h.resolved_at < now() - make_interval(secs => :after)""",
    )
)

# In the order of the key, which is that of the jobs' age: no index of its own, and nothing young is looked at. What is
# passed over, since somebody may yet say what the call cost, is little.
_FORGET = text(
    """
    DELETE FROM holds WHERE (job_id, number) IN (
      SELECT job_id, number FROM holds
      WHERE job_id < (SELECT uuidv7(make_interval(secs => -:after))) AND state IN ('posted', 'void') AND NOT is_estimate
        AND resolved_at < now() - make_interval(secs => :after)
      ORDER BY job_id, number LIMIT :limit FOR UPDATE SKIP LOCKED)
    """
)
_FORGET_AT_ONCE = 2_000

_LOCK = text("SELECT 1 FROM budget_windows WHERE id = ANY(:ids) ORDER BY id FOR NO KEY UPDATE")

# A statement after the lock: it sees whom another transaction, which held the window before us, has put aside.
_MOVE = text(
    """
    UPDATE budget_windows w SET reserved_usd = w.reserved_usd + t.reserved, spent_usd = w.spent_usd + t.spent,
      warned_at = CASE WHEN w.spent_usd + t.spent >= w.cap_usd * CAST(:warn_share AS numeric)
        THEN coalesce(w.warned_at, now()) ELSE w.warned_at END
    FROM unnest(CAST(:ids AS bigint[]), CAST(:reserved AS numeric[]), CAST(:spent AS numeric[]))
      AS t (id, reserved, spent) WHERE w.id = t.id
    RETURNING w.id, w.budget_id, w.cap_usd, w.spent_usd, w.reserved_usd,
      old.warned_at IS NULL AND new.warned_at IS NOT NULL AND w.cap_usd > 0 AS warns,
      EXISTS (SELECT 1 FROM flows f WHERE f.blocked_by = w.budget_id)
        OR EXISTS (SELECT 1 FROM jobs j WHERE j.state = 'queued' AND j.waiting_budget_id = w.budget_id) AS waited_for
    """
)


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of one call, the job's `number`th: what it cost, or may have cost; neither is nothing."""

    job_id: UUID
    number: int
    cost_usd: Decimal | None
    at_risk_usd: Decimal | None

    @property
    def state(self) -> HoldState:
        """What its hold becomes."""
        if self.cost_usd is not None:
            return HoldState.POSTED
        return HoldState.UNCERTAIN if self.at_risk_usd is not None else HoldState.VOID


@dataclass(frozen=True, slots=True)
class Moved:
    """How many holds were resolved, and the budgets that got money back and are waited for: to be woken."""

    holds: int = 0
    waited_for: frozenset[int] = frozenset()


def resolve_holds(conn: Connection, calls: Sequence[Known]) -> Moved:
    """Resolve the holds of these calls, those that are open. Calls without a hold are passed over."""
    if not calls:
        return Moved()
    rows = [
        {
            "job_id": call.job_id,
            "number": call.number,
            "state": call.state.value,
            "actual": None if call.cost_usd is None else str(call.cost_usd),
        }
        for call in calls
    ]
    return _move(conn, conn.execute(_RESOLVE, {"rows": orjson.dumps(rows).decode()}).all())


def release_held(conn: Connection, jobs: Iterable[tuple[UUID, bool]]) -> Moved:
    """The held money of jobs that leave their lease without an outcome, as (job id, whether it may have been called).

    It is void where there was no call, and uncertain where there may have been one.
    """
    states = {job: (HoldState.UNCERTAIN if called else HoldState.VOID).value for job, called in jobs}
    if not states:
        return Moved()
    return _move(conn, conn.execute(_RESOLVE_HELD, {"jobs": list(states), "states": list(states.values())}).all())


def post_overdue(conn: Connection, *, after_seconds: float) -> int:
    """Post, at their full amount, holds that have been uncertain for so long. Returns how many; 1,000 jobs at most."""
    jobs = list(conn.execute(_LOCK_OVERDUE, {"after": after_seconds}).scalars())
    if not jobs:
        return 0
    moved = _move(conn, conn.execute(_ESTIMATE, {"jobs": jobs, "after": after_seconds}).all())
    wake(conn, moved.waited_for, eager=False)
    return moved.holds


def forget_resolved(conn: Connection, *, after_seconds: float) -> int:
    """Delete holds that were posted or voided so long ago; how many, 2,000 at most. Windows keep what they add up to.

    One that was posted at its full amount because nobody knew better stays, to be corrected. A resolved hold says no
    more than its attempt does.
    """
    return conn.execute(_FORGET, {"after": after_seconds, "limit": _FORGET_AT_ONCE}).rowcount


def _move(conn: Connection, resolved: Sequence[Row[Any]]) -> Moved:
    """Carry resolved holds over to their windows, and tell of overruns."""
    if not resolved:
        return Moved()
    changed = [row for row in resolved if row.id is not None and (row.reserved_usd or row.spent_usd)]
    if not changed:
        return Moved(resolved[0].holds)
    ids = [row.id for row in changed]
    conn.execute(_LOCK, {"ids": ids})
    figures = {"reserved": [row.reserved_usd for row in changed], "spent": [row.spent_usd for row in changed]}
    moved = {row.id: row for row in conn.execute(_MOVE, {"ids": ids, "warn_share": WARN_SHARE, **figures})}
    for row in changed:
        if row.over_usd is not None and row.over_usd > 0 and row.id in moved:
            _tell(conn, row, moved[row.id])
    tell_warned(conn, [row.id for row in moved.values() if row.warns])
    return Moved(resolved[0].holds, frozenset(row.budget_id for row in moved.values() if row.waited_for))


def _tell(conn: Connection, resolved: Row[Any], window: Row[Any]) -> None:
    """The ledger is never clamped: a call that cost more than its upper bound is booked, and a person is told."""
    used = window.spent_usd + window.reserved_usd
    raise_alert(
        conn,
        "budget_overrun",
        f"budget {window.budget_id}",
        f"a call cost {dollars(resolved.over_usd)} more than its upper bound ({show_id('job', resolved.worst_job)}): "
        f"{dollars(used)} of {dollars(window.cap_usd)} are spent or reserved. Nothing was left out of the books; check "
        "the model's price (docs/prices.md), or raise the budget",
    )
