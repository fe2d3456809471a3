"""What may be spent and what was: budgets and costs of the caller's project."""

from typing import Annotated, Literal

from fastapi import APIRouter, Path, Query, Response

from api.auth import Admins, Reads
from api.errors import ApiError
from api.schemas.money import Budget, BudgetList, CostList, NewBudget, show_budget, show_cost
from api.schemas.values import GivenDay
from api.services import Serving
from api.threads import in_thread
from models import BudgetScope
from pressroom.ids import parse_id
from pressroom.jobs.budgets import BudgetKey, BudgetRow
from pressroom.jobs.own_budgets import own_budgets, remove_own_budget, set_own_budget
from pressroom.jobs.spending import CostRow, CostsBy, costs

router = APIRouter(prefix="/v1", tags=["money"])

_KINDS = {BudgetScope.BATCH: "batch", BudgetScope.API_KEY: "key"}


@router.get("/budgets")
async def list_budgets(caller: Reads, services: Serving) -> BudgetList:
    """The budgets of the project, its batches and its keys, each with what is spent and reserved of it."""

    def work() -> list[BudgetRow]:
        with services.database.connect() as conn:
            return own_budgets(conn, caller.project_id, is_sandbox=services.settings.uses_sandbox)

    return BudgetList(data=[show_budget(row) for row in await in_thread(work)])


@router.post("/budgets")
async def set_budget(caller: Admins, services: Serving, asked: NewBudget) -> Budget:
    """Make the budget of a batch or key of the project, or change its cap. It holds at once.

    Budgets of projects and of the installation are set by whoever runs it (`pressroom budgets set`).
    """
    scope = BudgetScope(asked.scope)
    which = BudgetKey(scope, parse_id(_KINDS[scope], asked.scope_id), asked.period)

    def work() -> BudgetRow:
        with services.database.begin() as conn:
            is_sandbox = services.settings.uses_sandbox
            return set_own_budget(conn, caller.project_id, which, asked.cap_usd, is_sandbox=is_sandbox)

    return show_budget(await in_thread(work))


@router.delete("/budgets/{budget_id}", status_code=204)
async def remove_budget(caller: Admins, services: Serving, budget_id: Annotated[int, Path(ge=0, lt=2**63)]) -> Response:
    """Remove the budget of a batch or key of the project: jobs that wait for it may start."""

    def work() -> None:
        with services.database.begin() as conn:
            remove_own_budget(conn, caller.project_id, budget_id)

    await in_thread(work)
    return Response(status_code=204)


@router.get("/costs")
async def list_costs(
    caller: Reads,
    services: Serving,
    *,
    by: Annotated[
        list[Literal["model", "day", "project", "batch"]],
        Query(min_length=1, max_length=3, description="Any of model, day and project; or batch by itself."),
    ] = ["model"],  # noqa: B006  (FastAPI copies it)
    projects: Annotated[
        Literal["own", "all"],
        Query(description="`all`, for admin keys of project default: the whole installation's."),
    ] = "own",
    since: Annotated[GivenDay | None, Query(description="The first UTC day.")] = None,
    until: Annotated[GivenDay | None, Query(description="The UTC day after the last.")] = None,
) -> CostList:
    """What was spent, and what is at risk. The sandbox's amounts are rows of their own."""
    dimensions = [CostsBy(name) for name in dict.fromkeys(by)]
    if CostsBy.BATCH in dimensions and len(dimensions) > 1:
        message = "by: batch stands by itself; costs by day and model are kept for all work together"
        raise ApiError(400, code="invalid_value", message=message, param="by")
    if projects == "all" and not caller.is_operator:
        message = "this key sees its own project only: leave projects=all out, or use an admin key of project default"
        raise ApiError(403, code="missing_scope", message=message, param="projects")

    def work() -> list[CostRow]:
        with services.database.connect() as conn:
            whose = caller.project_id if projects == "own" else None
            return costs(conn, dimensions, project_id=whose, since=since, until=until)

    return CostList(data=[show_cost(dimensions, row) for row in await in_thread(work)])
