"""Budgets as a project may see and set them: its own, and nobody else's.

What bounds the project itself and the installation is for whoever runs the installation to set: a project may bound its
batches and its API keys.
"""

from decimal import Decimal
from uuid import UUID

from sqlalchemy import Connection, text

from models import BudgetPeriod, BudgetScope
from pressroom.errors import NotFound
from pressroom.ids import show_id
from pressroom.jobs.budgets import BudgetKey, BudgetRow, budgets_of, list_budgets, remove_budget, set_budget

_OWNED = {
    BudgetScope.BATCH: text("SELECT 1 FROM batches WHERE id = :id AND project_id = :project_id"),
    BudgetScope.API_KEY: text("SELECT 1 FROM api_keys WHERE id = :id AND project_id = :project_id"),
}
SETTABLE = tuple(_OWNED)


def own_budgets(conn: Connection, project_id: UUID, *, is_sandbox: bool) -> list[BudgetRow]:
    """The budgets of the project, of its batches and of its keys."""
    return list_budgets(conn, is_sandbox=is_sandbox, project_id=project_id)


def set_own_budget(
    conn: Connection, project_id: UUID, which: BudgetKey, cap_usd: Decimal, *, is_sandbox: bool
) -> BudgetRow:
    """As `set_budget`, of a batch or key of this project. Raises NotFound for all others, InvalidInput."""
    _must_own(conn, project_id, which)
    made = set_budget(conn, which, cap_usd)
    [row] = budgets_of(conn, {made: is_sandbox})
    return row


def remove_own_budget(conn: Connection, project_id: UUID, budget_id: int) -> None:
    """As `remove_budget`. Raises NotFound for what is not a batch's or key's of this project."""
    found = conn.execute(
        text("SELECT scope::text AS scope, scope_id, period::text AS period FROM budgets WHERE id = :id"),
        {"id": budget_id},
    ).one_or_none()
    if found is None or found.scope not in [scope.value for scope in SETTABLE]:
        raise NotFound(f"there is no budget {budget_id} that this project may remove: GET /v1/budgets lists its own")
    which = BudgetKey(BudgetScope(found.scope), found.scope_id, BudgetPeriod(found.period))
    _must_own(conn, project_id, which)
    remove_budget(conn, which)


def _must_own(conn: Connection, project_id: UUID, which: BudgetKey) -> None:
    owned = _OWNED.get(which.scope)
    bound = {"id": which.scope_id, "project_id": project_id}
    if owned is None or which.scope_id is None or conn.execute(owned, bound).scalar() is None:
        kind = "key" if which.scope is BudgetScope.API_KEY else which.scope.value
        shown = show_id(kind, which.scope_id) if which.scope_id is not None else kind
        raise NotFound(f"this project has no {shown} to set a budget for")
