"""`/v1/budgets` and `/v1/costs` on the wire."""

from datetime import date
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from api.schemas.values import Moment, Usd
from models import BudgetPeriod, BudgetScope
from pressroom.jobs.budgets import BudgetRow
from pressroom.jobs.spending import CostRow, CostsBy

GivenUsd = Annotated[Decimal, Field(ge=0, lt=Decimal(10) ** 10, max_digits=20, decimal_places=10)]


class NewBudget(BaseModel):
    """A bound for a batch or an API key of the caller's project."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "scope": "api_key",
                    "scope_id": "key_019a0000000070008000000000000001",
                    "period": "month",
                    "cap_usd": "20.00",
                }
            ]
        },
    )

    scope: Literal["batch", "api_key"]
    scope_id: str = Field(description="The batch's or key's id.")
    period: BudgetPeriod = Field(BudgetPeriod.TOTAL, description="When it starts anew (UTC); a batch's is `total`.")
    cap_usd: GivenUsd = Field(description="The most that may be spent.")


class Budget(BaseModel):
    """A budget and its open window."""

    object: Literal["budget"] = "budget"
    id: int
    name: str = Field(examples=["month budget of project prints"])
    scope: BudgetScope
    scope_name: str | None
    period: BudgetPeriod
    sandbox: bool
    cap_usd: Usd
    spent_usd: Usd
    reserved_usd: Usd = Field(description="Held for calls on their way, at the most that they may cost.")
    uncertain_usd: Usd = Field(description="The part of it that calls without an answer may have cost.")
    left_usd: Usd
    waiting_jobs: int
    resets_at: Moment | None


class BudgetList(BaseModel):
    """All budgets that bound the project's work, but for those of others' too."""

    object: Literal["list"] = "list"
    data: list[Budget]
    has_more: Literal[False] = False


class Cost(BaseModel):
    """Known cost, and cost at risk: of calls that ended without an answer and may have been billed."""

    model: str | None = None
    day: date | None = None
    project: str | None = None
    batch: str | None = None
    sandbox: bool = Field(description="Play money: never add it to real money.")
    cost_usd: Usd
    at_risk_usd: Usd
    calls: int | None = Field(description="Null by batch, as are the units.")
    input_tokens: int | None
    output_tokens: int | None
    images: int | None


class CostList(BaseModel):
    """A row for each combination that cost anything."""

    object: Literal["list"] = "list"
    data: list[Cost]
    has_more: Literal[False] = False


def show_budget(row: BudgetRow) -> Budget:
    """As people and programs see it."""
    return Budget(
        id=row.id,
        name=row.name,
        scope=row.scope,
        scope_name=row.scope_name,
        period=row.period,
        sandbox=row.is_sandbox,
        cap_usd=row.cap_usd,
        spent_usd=row.spent_usd,
        reserved_usd=row.reserved_usd,
        uncertain_usd=row.uncertain_usd,
        left_usd=row.left_usd,
        waiting_jobs=row.waiting_jobs,
        resets_at=row.resets_at,
    )


def show_cost(by: list[CostsBy], row: CostRow) -> Cost:
    """The dimensions that were not asked for are null."""
    named = dict(zip([dimension.value for dimension in by], row.key, strict=True))
    return Cost(
        model=named.get("model"),
        day=date.fromisoformat(named["day"]) if "day" in named else None,
        project=named.get("project"),
        batch=named.get("batch"),
        sandbox=row.is_sandbox,
        cost_usd=row.cost_usd,
        at_risk_usd=row.at_risk_usd,
        calls=row.calls,
        input_tokens=row.input_tokens,
        output_tokens=row.output_tokens,
        images=row.images,
    )
