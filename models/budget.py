"""A bound on what may be spent: by whom, in which period, and how much."""

import enum
from decimal import Decimal
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, Identity, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base, CreatedAt, enum_column


class BudgetScope(enum.StrEnum):
    """Whose jobs count. A job may be under one budget of each, and of each period."""

    INSTALLATION = "installation"
    PROJECT = "project"
    BATCH = "batch"
    API_KEY = "api_key"


class BudgetPeriod(enum.StrEnum):
    """How often it starts anew: never, or with each UTC day or month."""

    TOTAL = "total"
    DAY = "day"
    MONTH = "month"


class Budget(Base):
    """`cap_usd` is the cap of windows to come and, by `set_budget`, of the one that is open.

    `scope_id` is a project's, batch's or API key's id, and null for the installation.
    """

    __tablename__ = "budgets"
    __table_args__ = (
        UniqueConstraint("scope", "scope_id", "period", postgresql_nulls_not_distinct=True),
        CheckConstraint("cap_usd >= 0", name="cap_not_negative"),
        CheckConstraint("(scope = 'installation') = (scope_id IS NULL)", name="scope_has_id"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    scope: Mapped[BudgetScope] = mapped_column(enum_column(BudgetScope, "budget_scope"))
    scope_id: Mapped[UUID | None]
    period: Mapped[BudgetPeriod] = mapped_column(enum_column(BudgetPeriod, "budget_period"))
    cap_usd: Mapped[Decimal]
    created_at: Mapped[CreatedAt]
