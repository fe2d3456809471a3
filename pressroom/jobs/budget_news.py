"""Events of budgets: most of one is used, all of it is, or there is more again. Each once for a window and a cap."""

from collections.abc import Collection, Sequence
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, text

from pressroom.events.outbox import NewEvent, record_events
from pressroom.ids import show_id
from pressroom.jobs.over_budget import STARTS_AT

WARN_SHARE = Decimal("0.8")
"""Of a cap: when this much is spent, whoever listens is told."""

# Whose it is says who hears of it: the installation's own has no project.
_COLUMNS = """
    b.scope::text AS scope, b.scope_id, b.period::text AS period, coalesce(w.is_sandbox, false) AS is_sandbox,
    b.cap_usd, coalesce(w.spent_usd, 0) AS spent_usd, coalesce(w.reserved_usd, 0) AS reserved_usd,
    CASE b.scope WHEN 'project' THEN b.scope_id
      WHEN 'batch' THEN (SELECT project_id FROM batches WHERE id = b.scope_id)
      WHEN 'api_key' THEN (SELECT project_id FROM api_keys WHERE id = b.scope_id) END AS project_id
"""
_WINDOWS = text(
    f"""
    SELECT {_COLUMNS} FROM budgets b JOIN budget_windows w ON w.budget_id = b.id
    WHERE w.id = ANY(:windows) ORDER BY w.id
    """  # noqa: S608
)
# A cap is of both kinds of money: told is how the one stands that is used.
_BUDGET = text(
    f"""
    SELECT {_COLUMNS} FROM budgets b LEFT JOIN LATERAL (
      SELECT * FROM budget_windows w WHERE w.budget_id = b.id AND w.starts_at = {STARTS_AT}
      ORDER BY w.spent_usd + w.reserved_usd DESC, w.is_sandbox LIMIT 1) w ON true
    WHERE b.id = :budget
    """  # noqa: S608
)

# Jobs wait for it, and nothing that is on its way can give money back to it. What calls of unknown outcome hold may
# come back, in a day: until then it is not there.
_EXHAUSTED = text(
    f"""
    WITH waited_for AS MATERIALIZED (
      SELECT w.id FROM budget_windows w JOIN budgets b ON b.id = w.budget_id
      WHERE w.exhausted_at IS NULL AND w.starts_at = {STARTS_AT} AND w.spent_usd > 0
        AND (EXISTS (SELECT 1 FROM flows f WHERE f.blocked_by = b.id)
          OR EXISTS (SELECT 1 FROM jobs j WHERE j.state = 'queued' AND j.waiting_budget_id = b.id
            AND j.run_at IS NOT NULL AND j.est_cost_usd <= w.cap_usd))
      ORDER BY w.id FOR NO KEY UPDATE OF w
    )
    UPDATE budget_windows w SET exhausted_at = now() FROM waited_for
    WHERE w.id = waited_for.id AND w.reserved_usd <= (
      SELECT coalesce(sum(h.amount_usd), 0) FROM holds h WHERE h.state = 'uncertain' AND waited_for.id = ANY(h.windows))
    RETURNING w.id
    """  # noqa: S608
)

_LIFT = text(
    f"""
    UPDATE budget_windows w SET exhausted_at = NULL,
      warned_at = CASE WHEN w.spent_usd >= w.cap_usd * CAST(:share AS numeric) THEN w.warned_at END
    FROM budgets b WHERE b.id = :id AND w.budget_id = b.id AND w.starts_at = {STARTS_AT}
    """  # noqa: S608
)


def tell_warned(conn: Connection, windows: Collection[int]) -> None:
    """`budget.warning` for these windows, in the transaction that spent the money."""
    if windows:
        _tell(conn, "budget.warning", conn.execute(_WINDOWS, {"windows": list(windows)}).all())


def tell_exhausted(conn: Connection) -> int:
    """`budget.exhausted` for every window that jobs wait for and that has nothing on its way; returns how many.

    Call it once whatever there is money for was woken, in a transaction of its own: it locks windows.
    """
    windows = list(conn.execute(_EXHAUSTED).scalars())
    if windows:
        _tell(conn, "budget.exhausted", conn.execute(_WINDOWS, {"windows": windows}).all())
    return len(windows)


def tell_raised(conn: Connection, budget_id: int, *, before_usd: Decimal, cap_usd: Decimal) -> None:
    """`budget.raised` where the cap is higher than before; what is told of it begins anew."""
    if cap_usd <= before_usd:
        return
    conn.execute(_LIFT, {"id": budget_id, "share": WARN_SHARE})
    _tell(conn, "budget.raised", conn.execute(_BUDGET, {"budget": budget_id}).all())


def _tell(conn: Connection, event_type: str, rows: Sequence[Row[Any]]) -> None:
    events = []
    for row in rows:
        data = {
            "scope": row.scope,
            "scope_id": None if row.scope_id is None else _shown(row.scope, row.scope_id),
            "period": row.period,
            "sandbox": row.is_sandbox,
            "cap_usd": str(row.cap_usd),
            "spent_usd": str(row.spent_usd),
            "reserved_usd": str(row.reserved_usd),
        }
        events.append(NewEvent(event_type, project_id=row.project_id, data=data))
    record_events(conn, events)


def _shown(scope: str, scope_id: UUID) -> str:
    kinds = {"batch": "batch", "api_key": "key"}
    return show_id(kinds[scope], scope_id) if scope in kinds else str(scope_id)
