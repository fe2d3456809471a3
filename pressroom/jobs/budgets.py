"""Budgets as people set and see them: caps, what is spent and reserved, who waits."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from sqlalchemy import Connection

from models import BudgetPeriod, BudgetScope


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


@dataclass(frozen=True, slots=True)
class Ceiling:
    """The lowest whole cap that jobs come under: one that may cost more can never start. `said` names the budget."""

    cap_usd: Decimal
    said: str
    command: str


def set_budget(
    conn: Connection, scope: BudgetScope, scope_id: UUID | None, period: BudgetPeriod, cap_usd: Decimal
) -> int:
    """Make a budget or change its cap, at once and for jobs already on their way; returns its id.

    For a new batch, call it in the batch's transaction before its jobs are inserted. Jobs that the new cap has room for
    start by themselves. Raises InvalidInput for a cap below zero or with more than ten decimal places, and for a batch
    with a period; NotFound for an unknown project or batch. Locks all pools: keep the transaction short.
    """
    raise AssertionError(conn, scope, scope_id, period, cap_usd)


def remove_budget(conn: Connection, scope: BudgetScope, scope_id: UUID | None, period: BudgetPeriod) -> bool:
    """Remove a budget; its waiting jobs are ready again. False when there is none."""
    raise AssertionError(conn, scope, scope_id, period)


def list_budgets(conn: Connection, *, is_sandbox: bool | None = None) -> list[BudgetRow]:
    """Every budget with its open window, the widest scope first."""
    raise AssertionError(conn, is_sandbox)


def ceiling(conn: Connection, project_id: UUID, *, api_key_id: UUID | None = None) -> Ceiling | None:
    """What a single job of this project (and key) may cost at most to be able to start at all; None for no bound."""
    raise AssertionError(conn, project_id, api_key_id)


def waiting_for(conn: Connection, batch_id: UUID) -> list[str]:
    """Why jobs of the batch wait for money, a line a budget; empty when any of them may run without more of it."""
    raise AssertionError(conn, batch_id)


def resolve_uncertain(conn: Connection, actual_usd: Mapping[UUID, Decimal]) -> int:
    """Post what attempts of unknown outcome turned out to cost (by attempt id, 0 for not billed) against budgets.

    Moves holds and windows only; attempts, batches and daily costs are the caller's, in the same transaction. The caller
    has locked the jobs. Call it last: windows are locked after everything else. Returns how many holds were resolved;
    attempts without a hold, or whose hold is resolved, are passed over.
    """
    raise AssertionError(conn, actual_usd)
