"""A new budget takes in what is under it already: what its period has spent, and every call on its way or in doubt."""

from decimal import Decimal

from sqlalchemy import Connection, text

from models import BudgetScope
from pressroom.jobs.over_budget import STARTS_AT
from pressroom.money.budgets import BudgetKey

_ZERO = Decimal(0)

_JOBS = {
    BudgetScope.INSTALLATION: "true",
    BudgetScope.PROJECT: "j.project_id = :scope_id",
    BudgetScope.BATCH: "j.batch_id = :scope_id",
    BudgetScope.API_KEY: "j.api_key_id = :scope_id",
}

# Whoever settles one of these waits, and finds the new budget on its hold; whoever settled it before has booked it.
_LOCK_JOBS = """
    SELECT j.id FROM jobs j WHERE {jobs} AND j.id IN (
      SELECT id FROM jobs WHERE lease_id IS NOT NULL UNION SELECT job_id FROM attempts WHERE at_risk_usd IS NOT NULL)
    ORDER BY j.id FOR NO KEY UPDATE
"""

# A job that is leased or running under no budget gets its hold now; one that has a hold has another window on it.
_HOLD = """
    INSERT INTO holds AS h (job_id, number, state, amount_usd, windows, resolved_at)
    SELECT j.id, j.calls + (j.state = 'leased')::int, 'held'::hold_state, j.est_cost_usd,
      ARRAY[CASE WHEN d.is_sandbox THEN :sandbox ELSE :real END]::bigint[], NULL::timestamptz
    FROM jobs j JOIN deployments d ON d.id = j.deployment_id WHERE {jobs} AND j.lease_id IS NOT NULL
    UNION ALL
    SELECT a.job_id, a.number, 'uncertain', a.at_risk_usd,
      ARRAY[CASE WHEN d.is_sandbox THEN :sandbox ELSE :real END]::bigint[], now()
    FROM attempts a JOIN jobs j ON j.id = a.job_id JOIN deployments d ON d.id = a.deployment_id
    WHERE {jobs} AND a.at_risk_usd IS NOT NULL AND a.finished_at >= :starts_at
    ON CONFLICT (job_id, number) DO UPDATE SET
      windows = CASE h.state WHEN 'void' THEN excluded.windows ELSE h.windows || excluded.windows END,
      amount_usd = CASE h.state WHEN 'void' THEN excluded.amount_usd ELSE h.amount_usd END,
      state = CASE h.state WHEN 'void' THEN excluded.state ELSE h.state END,
      resolved_at = CASE h.state WHEN 'void' THEN excluded.resolved_at ELSE h.resolved_at END
    RETURNING windows[cardinality(windows)] AS window_id, state::text AS state, amount_usd, actual_usd
"""

_SPENT_BY_DAY = """
    SELECT d.is_sandbox, sum(c.cost_usd) AS usd FROM daily_costs c JOIN deployments d ON d.id = c.deployment_id
    WHERE c.day >= (CAST(:starts_at AS timestamptz) AT TIME ZONE 'UTC')::date AND {whose} GROUP BY 1
"""

_SPENT = {
    BudgetScope.INSTALLATION: _SPENT_BY_DAY.format(whose="true"),
    BudgetScope.PROJECT: _SPENT_BY_DAY.format(whose="c.project_id = :scope_id"),
    BudgetScope.BATCH: """
        SELECT coalesce((SELECT d.is_sandbox FROM jobs j JOIN deployments d ON d.id = j.deployment_id
          WHERE j.batch_id = b.id ORDER BY j.line_no LIMIT 1), false) AS is_sandbox, b.cost_usd AS usd
        FROM batches b WHERE b.id = :scope_id
    """,
}
"""By kind of money. Nothing is kept by API key: a key's first window counts from when its budget is made."""

_STARTS_AT = text(f"SELECT {STARTS_AT} FROM budgets b WHERE b.id = :id")  # noqa: S608
_NEXT_ID = text("SELECT nextval(pg_get_serial_sequence('budget_windows', 'id'))")

_OPEN = text(
    """
    INSERT INTO budget_windows (id, budget_id, starts_at, is_sandbox, cap_usd, opening_usd, spent_usd, reserved_usd)
    OVERRIDING SYSTEM VALUE
    VALUES (:id, :budget, :starts_at, :is_sandbox, :cap_usd, :opening_usd, :opening_usd + :posted_usd, :reserved_usd)
    """
)


def adopt(conn: Connection, budget: int, which: BudgetKey, cap_usd: Decimal) -> None:
    """Open the windows of a budget that was just inserted, while nothing is dispatched.

    Calls that nobody knows the end of count from the beginning of the period, as what was spent does.
    """
    starts_at = conn.execute(_STARTS_AT, {"id": budget}).scalar_one()
    kinds = {kind: int(conn.execute(_NEXT_ID).scalar_one()) for kind in (False, True)}
    bound = {"scope_id": which.scope_id, "starts_at": starts_at, "real": kinds[False], "sandbox": kinds[True]}
    jobs = _JOBS[which.scope]
    conn.execute(text(_LOCK_JOBS.format(jobs=jobs)), bound)
    reserved = dict.fromkeys(kinds.values(), _ZERO)
    posted = dict.fromkeys(kinds.values(), _ZERO)
    for hold in conn.execute(text(_HOLD.format(jobs=jobs)), bound):
        if hold.state == "posted":
            posted[hold.window_id] += hold.actual_usd
        else:
            reserved[hold.window_id] += hold.amount_usd
    query = _SPENT.get(which.scope)
    spent = {row.is_sandbox: row.usd for row in conn.execute(text(query), bound)} if query is not None else {}
    for kind, window in kinds.items():
        row = {"id": window, "budget": budget, "starts_at": starts_at, "is_sandbox": kind, "cap_usd": cap_usd}
        figures = {"posted_usd": posted[window], "reserved_usd": reserved[window]}
        conn.execute(_OPEN, row | figures | {"opening_usd": spent.get(kind, _ZERO)})
