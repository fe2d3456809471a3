"""Budgets as people set and see them: caps, what is spent and reserved, who waits."""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, text

from models import BudgetPeriod, BudgetScope
from models.job import PARKED_UNTIL
from pressroom.errors import InvalidInput, NotFound, Problem
from pressroom.ids import show_id
from pressroom.jobs.adopt import adopt
from pressroom.jobs.budget_news import tell_raised
from pressroom.jobs.holds import Known, resolve_holds
from pressroom.jobs.over_budget import STARTS_AT, wake
from pressroom.jobs.sleep import wake_stakes
from pressroom.money.budgets import BudgetKey as BudgetKey
from pressroom.money.budgets import Ceiling, dollars, window_end

_LARGEST_USD = Decimal(10) ** 10
_PLACES = -10

_FIND = text(
    """
    SELECT b.id FROM budgets b WHERE b.scope = CAST(:scope AS budget_scope)
      AND b.scope_id IS NOT DISTINCT FROM CAST(:scope_id AS uuid) AND b.period = CAST(:period AS budget_period)
    FOR UPDATE
    """
)

# Dispatch holds its pool's row while it reserves. With all of them, nothing is being dispatched that has not seen the
# budgets as they are now. In id order, and not against those who only refer to a pool. They are written, so that a
# statement that began before we committed, and locks a pool after it, notices (`express`).
_STOP_DISPATCH = text(
    """
    WITH held AS MATERIALIZED (SELECT id FROM pools ORDER BY id FOR NO KEY UPDATE)
    UPDATE pools p SET paused_at = p.paused_at FROM held WHERE p.id = held.id
    """
)

_INSERT = text(
    """
    INSERT INTO budgets (scope, scope_id, period, cap_usd)
    VALUES (CAST(:scope AS budget_scope), :scope_id, CAST(:period AS budget_period), :cap_usd) RETURNING id
    """
)

_CAP = text("UPDATE budgets SET cap_usd = :cap_usd WHERE id = :id RETURNING old.cap_usd")

_RECAP = text(
    f"""
    UPDATE budget_windows w SET cap_usd = :cap_usd FROM budgets b
    WHERE b.id = :id AND w.budget_id = b.id AND w.starts_at = {STARTS_AT}
    """  # noqa: S608
)

# Those that wait as flows have nothing of their own to undo.
_UNPARK_ALL = text(
    """
    WITH mine AS MATERIALIZED (
      SELECT id FROM jobs WHERE waiting_budget_id = :id AND state = 'queued' ORDER BY id FOR NO KEY UPDATE
    ), ready AS (
      UPDATE jobs j SET waiting_budget_id = NULL, run_at = CASE WHEN j.run_at < :parked_until THEN j.run_at END
      FROM mine WHERE j.id = mine.id RETURNING j.flow_id
    )
    SELECT DISTINCT flow_id FROM ready
    """
)

_LIST = f"""
    WITH uncertain AS (
      SELECT window_id, sum(amount_usd) AS usd FROM holds, unnest(windows) AS window_id
      WHERE state = 'uncertain' GROUP BY 1
    )
    SELECT b.id, b.scope::text AS scope, b.scope_id, p.name AS project, b.period::text AS period, k.is_sandbox,
      coalesce(w.cap_usd, b.cap_usd) AS cap_usd, coalesce(w.spent_usd, 0) AS spent_usd,
      coalesce(w.reserved_usd, 0) AS reserved_usd, coalesce(u.usd, 0) AS uncertain_usd, now() AS read_at,
      (SELECT coalesce(sum(f.queued), 0) FROM flows f WHERE f.blocked_by = b.id AND k.is_sandbox = coalesce(
        (SELECT bool_or(d.is_sandbox) FROM deployments d WHERE d.pool_id = f.pool_id), false))
      + (SELECT count(*) FROM (SELECT 1 FROM jobs j JOIN flows f ON f.id = j.flow_id
          JOIN deployments d ON d.id = j.deployment_id
        WHERE j.waiting_budget_id = b.id AND j.state = 'queued' AND j.run_at = '{PARKED_UNTIL}'
          AND f.blocked_by IS DISTINCT FROM b.id AND d.is_sandbox = k.is_sandbox LIMIT :counted) AS x) AS waiting_jobs
    FROM budgets b CROSS JOIN (VALUES (false), (true)) AS k (is_sandbox)
      LEFT JOIN budget_windows w ON w.budget_id = b.id AND w.is_sandbox = k.is_sandbox AND w.starts_at = {STARTS_AT}
      LEFT JOIN uncertain u ON u.window_id = w.id LEFT JOIN projects p ON p.id = b.scope_id AND b.scope = 'project'
    WHERE {{where}}
    ORDER BY b.scope, p.name, b.scope_id, b.period, k.is_sandbox
"""  # noqa: S608

_OF_PROJECT = """(CAST(:project AS uuid) IS NULL OR (b.scope = 'project' AND b.scope_id = :project)
    OR (b.scope = 'batch' AND EXISTS (SELECT 1 FROM batches x WHERE x.id = b.scope_id AND x.project_id = :project))
    OR (b.scope = 'api_key' AND EXISTS (SELECT 1 FROM api_keys x WHERE x.id = b.scope_id AND x.project_id = :project)))
"""

# What of the batch could go on by itself: on its way, in backoff, or ready in a flow that nothing holds up.
_MAY_MOVE = text(
    f"""
    SELECT EXISTS (SELECT 1 FROM jobs WHERE batch_id = :batch AND lease_id IS NOT NULL)
      OR EXISTS (SELECT 1 FROM jobs WHERE batch_id = :batch AND state = 'queued' AND run_at < '{PARKED_UNTIL}')
      OR EXISTS (SELECT 1 FROM jobs j JOIN flows f ON f.id = j.flow_id WHERE j.batch_id = :batch
        AND j.state = 'queued' AND j.run_at IS NULL AND f.blocked_by IS NULL)
    """  # noqa: S608
)

_BUDGETS_OF_BATCH = text(
    f"""
    SELECT DISTINCT coalesce(CASE WHEN j.run_at = '{PARKED_UNTIL}' THEN j.waiting_budget_id END, f.blocked_by) AS id,
      d.is_sandbox
    FROM jobs j JOIN flows f ON f.id = j.flow_id JOIN deployments d ON d.id = j.deployment_id
    WHERE j.batch_id = :batch AND j.state = 'queued' AND (f.blocked_by IS NOT NULL OR j.run_at = '{PARKED_UNTIL}')
    """  # noqa: S608
)

_SHOWN_WITH_BATCH = text(
    f"""
    SELECT b.id FROM budgets b WHERE b.scope = 'batch' AND b.scope_id = :batch
    UNION SELECT b.id FROM budgets b WHERE b.scope = 'api_key' AND EXISTS (SELECT 1 FROM jobs j
      WHERE j.batch_id = :batch AND j.waiting_budget_id = b.id AND j.state = 'queued' AND j.run_at = '{PARKED_UNTIL}')
    UNION SELECT f.blocked_by FROM flows f WHERE f.blocked_by IS NOT NULL AND EXISTS (SELECT 1 FROM jobs j
      WHERE j.batch_id = :batch AND j.flow_id = f.id AND j.state = 'queued')
    """  # noqa: S608
)

_ATTEMPTS = text("SELECT id, job_id, number FROM attempts WHERE id = ANY(:ids) ORDER BY job_id, number")


@dataclass(frozen=True, slots=True)
class BudgetRow:
    """A budget and its open window, of real money or of the sandbox's.

    `uncertain_usd` is the part of `reserved_usd` that calls without an answer may have cost. `resets_at` is null for a
    budget without periods. `scope_name` is a project's name, or the id of a batch or an API key as people see it.
    """

    id: int
    scope: BudgetScope
    scope_id: UUID | None
    scope_name: str | None
    period: BudgetPeriod
    is_sandbox: bool
    cap_usd: Decimal
    spent_usd: Decimal
    reserved_usd: Decimal
    uncertain_usd: Decimal
    waiting_jobs: int
    resets_at: datetime | None

    @property
    def left_usd(self) -> Decimal:
        """What calls may still be started for; negative where the cap was lowered below what is spent."""
        return self.cap_usd - self.spent_usd - self.reserved_usd

    @property
    def name(self) -> str:
        """`day budget of project acme`, `budget of batch_0193…`, `month budget of the installation`."""
        return _name(self.scope, self.scope_name, self.period)

    @property
    def used(self) -> str:
        """`$4.98 of $5.00 spent, $0.02 reserved; starts anew 2026-11-25 00:00 UTC`."""
        uncertain = f" ({dollars(self.uncertain_usd)} of it uncertain)" if self.uncertain_usd else ""
        reserved = f", {dollars(self.reserved_usd)} reserved{uncertain}" if self.reserved_usd else ""
        anew = f"; starts anew {self.resets_at.astimezone(UTC):%Y-%m-%d %H:%M} UTC" if self.resets_at else ""
        kind = " of the sandbox's money" if self.is_sandbox else ""
        return f"{dollars(self.spent_usd)} of {dollars(self.cap_usd)} spent{kind}{reserved}{anew}"

    @property
    def command(self) -> str:
        """What to type to give it another cap, but for the cap."""
        return f"budgets set USD{_options(self.scope, self.scope_name, self.period)}"


def set_budget(conn: Connection, which: BudgetKey, cap_usd: Decimal) -> int:
    """Make a budget or change its cap, at once and for jobs already on their way; returns its id.

    For a new batch, call it in the batch's transaction before its jobs are inserted. Jobs that the new cap has room for
    start by themselves. Raises InvalidInput for a cap below zero or with more than ten decimal places, and for a batch
    with a period; NotFound for an unknown project or batch. Dispatch stands still until the transaction ends.
    """
    _check(conn, which, cap_usd)
    key = _columns(which)
    if which.scope is not BudgetScope.BATCH or _has_jobs(conn, which.scope_id):
        conn.execute(_STOP_DISPATCH)
    found = conn.execute(_FIND, key).scalar_one_or_none()
    if found is None:
        made = int(conn.execute(_INSERT, key | {"cap_usd": cap_usd}).scalar_one())
        adopt(conn, made, which, cap_usd)
        return made
    before: Decimal = conn.execute(_CAP, {"id": found, "cap_usd": cap_usd}).scalar_one()
    conn.execute(_RECAP, {"cap_usd": cap_usd, "id": found})
    wake(conn, [found], eager=True)
    tell_raised(conn, int(found), before_usd=before, cap_usd=cap_usd)
    return int(found)


def remove_budget(conn: Connection, which: BudgetKey) -> bool:
    """Remove a budget; its waiting jobs are ready again. False when there is none."""
    conn.execute(_STOP_DISPATCH)
    found = conn.execute(_FIND, _columns(which)).scalar_one_or_none()
    if found is None:
        return False
    flows = conn.execute(_UNPARK_ALL, {"id": found, "parked_until": PARKED_UNTIL}).scalars().all()
    conn.execute(text("DELETE FROM budgets WHERE id = :id"), {"id": found})
    conn.execute(text("SELECT 1 FROM flows WHERE id = ANY(:ids) ORDER BY id FOR NO KEY UPDATE"), {"ids": sorted(flows)})
    conn.execute(text("UPDATE flows SET active = true WHERE id = ANY(:ids)"), {"ids": sorted(flows)})
    wake_stakes(conn, sorted(flows))
    wake(conn, [found], eager=True)
    return True


def list_budgets(
    conn: Connection, *, is_sandbox: bool | None = None, project_id: UUID | None = None
) -> list[BudgetRow]:
    """Every budget with its open window, the widest scope first. With None, of both kinds of money.

    With a project: its own, its batches' and its API keys'.
    """
    where = f"(CAST(:kind AS boolean) IS NULL OR k.is_sandbox = :kind) AND {_OF_PROJECT}"
    bound = {"kind": is_sandbox, "project": project_id, "counted": None}
    return [_row(row) for row in conn.execute(text(_LIST.format(where=where)), bound)]


def budgets_of(conn: Connection, which: Mapping[int, bool]) -> list[BudgetRow]:
    """These budgets, by id, each with the kind of money asked for. Of parked jobs they count one at most."""
    if not which:
        return []
    where = "(b.id, k.is_sandbox) IN (SELECT * FROM unnest(CAST(:ids AS bigint[]), CAST(:kinds AS boolean[])))"
    bound = {"ids": list(which), "kinds": list(which.values()), "counted": 1}
    return [_row(row) for row in conn.execute(text(_LIST.format(where=where)), bound)]


def budgets_of_batch(conn: Connection, batch_id: UUID, *, is_sandbox: bool) -> list[BudgetRow]:
    """The batch's own budget, and those that some of its jobs wait for. Cheap enough to be asked every second."""
    ids = conn.execute(_SHOWN_WITH_BATCH, {"batch": batch_id}).scalars()
    return budgets_of(conn, dict.fromkeys(ids, is_sandbox))


def ceiling(
    conn: Connection, project_id: UUID, *, api_key_id: UUID | None = None, batch_usd: Decimal | None = None
) -> Ceiling | None:
    """What a single job may cost at most to be able to start at all; None for no bound.

    Under the budgets of the installation, its project and its key, and `batch_usd`, the one its batch is to have.
    """
    row = conn.execute(
        text(
            "SELECT b.scope::text AS scope, b.period::text AS period, b.cap_usd, b.scope_id, p.name FROM budgets b"
            " LEFT JOIN projects p ON p.id = b.scope_id WHERE b.scope = 'installation'"
            " OR (b.scope = 'project' AND b.scope_id = :project) OR (b.scope = 'api_key' AND b.scope_id = :key)"
            " ORDER BY b.cap_usd LIMIT 1"
        ),
        {"project": project_id, "key": api_key_id},
    ).one_or_none()
    if batch_usd is not None and (row is None or batch_usd < row.cap_usd):
        return Ceiling(batch_usd, "budget of this batch", "give the batch a larger one")
    if row is None:
        return None
    scope, period = BudgetScope(row.scope), BudgetPeriod(row.period)
    name = _scope_name(scope, row.scope_id, row.name)
    remedy = f"raise it: pressroom budgets set USD{_options(scope, name, period)}"
    return Ceiling(row.cap_usd, _name(scope, name, period), remedy)


def waiting_for(conn: Connection, batch_id: UUID) -> list[BudgetRow]:
    """The budgets that a batch waits for; empty when any of its jobs may run without more money."""
    if conn.execute(_MAY_MOVE, {"batch": batch_id}).scalar_one():
        return []
    return budgets_of(conn, {row.id: row.is_sandbox for row in conn.execute(_BUDGETS_OF_BATCH, {"batch": batch_id})})


def resolve_uncertain(conn: Connection, actual_usd: Mapping[UUID, Decimal]) -> int:
    """Post what attempts of unknown outcome turned out to cost (by attempt id, 0 for not billed) against budgets.

    Moves holds and windows only; attempts, batches and daily costs are the caller's, in the same transaction. The
    caller has locked the jobs. Call it last: windows are locked after all of these. Returns how many holds were
    resolved; attempts without a hold, or whose hold is resolved, are passed over.
    """
    attempts = conn.execute(_ATTEMPTS, {"ids": list(actual_usd)}).all()
    moved = resolve_holds(conn, [Known(a.job_id, a.number, actual_usd[a.id], None) for a in attempts])
    wake(conn, moved.waited_for, eager=False)
    return moved.holds


def _check(conn: Connection, which: BudgetKey, cap_usd: Decimal) -> None:
    exponent = cap_usd.normalize().as_tuple().exponent if cap_usd.is_finite() else 0
    if not cap_usd.is_finite() or not 0 <= cap_usd < _LARGEST_USD or (isinstance(exponent, int) and exponent < _PLACES):
        remedy = "Give dollars from 0 to below 10,000,000,000, with ten decimal places at most, as 5 or 2.50"
        raise InvalidInput([Problem("budget", "is not an amount", remedy, value=str(cap_usd)[:40])])
    if which.scope is BudgetScope.BATCH and which.period is not BudgetPeriod.TOTAL:
        remedy = "Leave the period out, or set one for the batch's project"
        raise InvalidInput([Problem("period", "a batch's budget has none", remedy, value=which.period.value)])
    table = {BudgetScope.PROJECT: "projects", BudgetScope.BATCH: "batches"}.get(which.scope)
    if table is not None:
        query = text(f"SELECT 1 FROM {table} WHERE id = :id")  # noqa: S608  (from the table above)
        if conn.execute(query, {"id": which.scope_id}).scalar() is None:
            name = _scope_name(which.scope, which.scope_id, None)
            raise NotFound(f"there is no {which.scope.value} {name} to set a budget for")


def _columns(which: BudgetKey) -> dict[str, Any]:
    return {"scope": which.scope.value, "scope_id": which.scope_id, "period": which.period.value}


def _has_jobs(conn: Connection, batch_id: UUID | None) -> bool:
    query = text("SELECT EXISTS (SELECT 1 FROM jobs WHERE batch_id = :id)")
    return bool(conn.execute(query, {"id": batch_id}).scalar_one())


def _row(row: Row[Any]) -> BudgetRow:
    scope, period = BudgetScope(row.scope), BudgetPeriod(row.period)
    return BudgetRow(
        id=row.id,
        scope=scope,
        scope_id=row.scope_id,
        scope_name=_scope_name(scope, row.scope_id, row.project),
        period=period,
        is_sandbox=row.is_sandbox,
        cap_usd=row.cap_usd,
        spent_usd=row.spent_usd,
        reserved_usd=row.reserved_usd,
        uncertain_usd=row.uncertain_usd,
        waiting_jobs=int(row.waiting_jobs),
        resets_at=window_end(period, row.read_at),
    )


def _scope_name(scope: BudgetScope, scope_id: UUID | None, project: str | None) -> str | None:
    if scope_id is None:
        return None
    match scope:
        case BudgetScope.BATCH:
            return show_id("batch", scope_id)
        case BudgetScope.API_KEY:
            return show_id("key", scope_id)
        case _:
            return project if project is not None else str(scope_id)


def _name(scope: BudgetScope, scope_name: str | None, period: BudgetPeriod) -> str:
    every = "" if period is BudgetPeriod.TOTAL else f"{period.value} "
    match scope:
        case BudgetScope.INSTALLATION:
            return f"{every}budget of the installation"
        case BudgetScope.PROJECT:
            return f"{every}budget of project {scope_name}"
        case _:
            return f"{every}budget of {scope_name}"


def _options(scope: BudgetScope, scope_name: str | None, period: BudgetPeriod) -> str:
    whose = {
        BudgetScope.INSTALLATION: " --installation",
        BudgetScope.PROJECT: f" --project {shlex.quote(scope_name or '')}",
        BudgetScope.BATCH: f" --batch {scope_name}",
        BudgetScope.API_KEY: f" --api-key {scope_name}",
    }[scope]
    return whose if period is BudgetPeriod.TOTAL else f"{whose} --period {period.value}"
