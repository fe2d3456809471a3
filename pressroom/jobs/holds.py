"""What becomes of held money: posted with what the call cost, void, or uncertain. Once, however often it is said.

The order of locks is jobs, attempts, leases, batches, costs, budget windows, flows: the jobs' locks guard their holds.
Whoever returns money calls `wake` (over_budget.py) with the budgets that are waited for, once its flows are written.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, text

from models import HoldState
from pressroom.jobs.alerts import raise_alert
from pressroom.jobs.over_budget import wake

_ZERO = Decimal(0)

# One that was posted at its full amount because nobody knew better is corrected by whoever does.
_RESOLVE = text(
    """
    UPDATE holds h SET state = t.state, actual_usd = t.actual, is_estimate = false, resolved_at = now()
    FROM unnest(CAST(:jobs AS uuid[]), CAST(:numbers AS int[]), CAST(:states AS hold_state[]),
      CAST(:actuals AS numeric[])) AS t (job_id, number, state, actual)
    WHERE h.job_id = t.job_id AND h.number = t.number AND ((h.state IN ('held', 'uncertain') AND h.state <> t.state)
      OR (h.is_estimate AND t.state IN ('posted', 'void')))
    RETURNING h.job_id, h.amount_usd, h.windows, h.state::text AS state, h.actual_usd, old.state::text AS was,
      old.actual_usd AS was_usd
    """
)

_RESOLVE_HELD = text(
    """
    UPDATE holds h SET state = t.state, resolved_at = now()
    FROM unnest(CAST(:jobs AS uuid[]), CAST(:states AS hold_state[])) AS t (job_id, state)
    WHERE h.job_id = t.job_id AND h.state = 'held'
    RETURNING h.job_id, h.amount_usd, h.windows, h.state::text AS state, h.actual_usd, old.state::text AS was,
      old.actual_usd AS was_usd
    """
)

_LOCK_OVERDUE = text(
    """
    SELECT j.id FROM jobs j WHERE j.id IN (SELECT h.job_id FROM holds h WHERE h.state = 'uncertain'
      AND h.resolved_at < now() - make_interval(secs => :after) ORDER BY h.resolved_at LIMIT 1000)
    ORDER BY j.id FOR NO KEY UPDATE SKIP LOCKED
    """
)

_ESTIMATE = text(
    """
    UPDATE holds h SET state = 'posted', actual_usd = h.amount_usd, is_estimate = true, resolved_at = now()
    WHERE h.job_id = ANY(:jobs) AND h.state = 'uncertain' AND h.resolved_at < now() - make_interval(secs => :after)
    RETURNING h.job_id, h.amount_usd, h.windows, h.state::text AS state, h.actual_usd, old.state::text AS was,
      old.actual_usd AS was_usd
    """
)

_LOCK = text("SELECT 1 FROM budget_windows WHERE id = ANY(:ids) ORDER BY id FOR NO KEY UPDATE")

# A statement after the lock: it sees whom another transaction, which held the window before us, has put aside.
_MOVE = text(
    """
    UPDATE budget_windows w SET reserved_usd = w.reserved_usd + t.reserved, spent_usd = w.spent_usd + t.spent
    FROM unnest(CAST(:ids AS bigint[]), CAST(:reserved AS numeric[]), CAST(:spent AS numeric[]))
      AS t (id, reserved, spent) WHERE w.id = t.id
    RETURNING w.id, w.budget_id, w.cap_usd, w.spent_usd, w.reserved_usd,
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
    bound = {
        "jobs": [call.job_id for call in calls],
        "numbers": [call.number for call in calls],
        "states": [call.state.value for call in calls],
        "actuals": [call.cost_usd for call in calls],
    }
    return _move(conn, conn.execute(_RESOLVE, bound).all())


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


def _move(conn: Connection, resolved: Sequence[Row[Any]]) -> Moved:
    """Carry resolved holds over to their windows, and tell of overruns."""
    reserved: dict[int, Decimal] = {}
    spent: dict[int, Decimal] = {}
    for hold in resolved:
        back = hold.amount_usd if hold.was in ("held", "uncertain") and hold.state in ("posted", "void") else _ZERO
        more = (hold.actual_usd or _ZERO) - (hold.was_usd or _ZERO)
        for window in hold.windows:
            reserved[window] = reserved.get(window, _ZERO) - back
            spent[window] = spent.get(window, _ZERO) + more
    ids = sorted(window for window in reserved if reserved[window] or spent[window])
    if not ids:
        return Moved(len(resolved))
    conn.execute(_LOCK, {"ids": ids})
    figures = {"reserved": [reserved[i] for i in ids], "spent": [spent[i] for i in ids]}
    moved = conn.execute(_MOVE, {"ids": ids, **figures}).all()
    _tell(conn, resolved, moved)
    return Moved(len(resolved), frozenset(row.budget_id for row in moved if row.waited_for))


def _tell(conn: Connection, resolved: Sequence[Row[Any]], moved: Sequence[Row[Any]]) -> None:
    """The ledger is never clamped: a call that cost more than its upper bound is booked, and a person is told."""
    over = [hold for hold in resolved if (hold.actual_usd or _ZERO) > hold.amount_usd]
    if not over:
        return
    windows = {window for hold in over for window in hold.windows}
    for row in moved:
        if row.id not in windows:
            continue
        worst = max((hold for hold in over if row.id in hold.windows), key=lambda h: h.actual_usd - h.amount_usd)
        used = row.spent_usd + row.reserved_usd
        raise_alert(
            conn,
            "budget_overrun",
            f"budget {row.budget_id}",
            f"a call cost ${worst.actual_usd:f}, more than its upper bound of ${worst.amount_usd:f} (job "
            f"{worst.job_id}): ${used:f} of ${row.cap_usd:f} are spent or reserved. Nothing was left out of the books; "
            "check the model's price (docs/catalog.md), or raise the budget",
        )
