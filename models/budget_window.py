"""What one period of a budget has spent, and what is reserved in it for calls on their way."""

from decimal import Decimal

from sqlalchemy import BigInteger, Boolean, CheckConstraint, ForeignKey, Identity, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base, Timestamp


class BudgetWindow(Base):
    """The row that money is counted on. Real money and the sandbox's have windows of their own.

    `reserved_usd` is the sum of the open holds that name the window; `spent_usd` is `opening_usd`, what was spent
    before the budget was made, and the sum of the posted ones. A trigger refuses any update that raises `reserved_usd`
    while `spent_usd + reserved_usd` is above `cap_usd` (migrations/versions/0003). So a cap is exceeded only where it
    was lowered below what is spent, or where a call cost more than its upper bound: the ledger is never clamped.
    `warned_at` and `exhausted_at` are when listeners were told, once, that most or all of it is used.
    """

    __tablename__ = "budget_windows"
    __table_args__ = (
        UniqueConstraint("budget_id", "starts_at", "is_sandbox"),
        CheckConstraint("spent_usd >= 0 AND reserved_usd >= 0", name="not_negative"),
        {
            "postgresql_with": {
                "fillfactor": "20",
                "autovacuum_vacuum_scale_factor": "0",
                "autovacuum_vacuum_threshold": "500",
            }
        },
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    budget_id: Mapped[int] = mapped_column(ForeignKey("budgets.id", ondelete="CASCADE"))
    starts_at: Mapped[Timestamp]
    is_sandbox: Mapped[bool] = mapped_column(Boolean)
    cap_usd: Mapped[Decimal]
    opening_usd: Mapped[Decimal] = mapped_column(server_default=text("0"))
    spent_usd: Mapped[Decimal] = mapped_column(server_default=text("0"))
    reserved_usd: Mapped[Decimal] = mapped_column(server_default=text("0"))
    warned_at: Mapped[Timestamp | None]
    exhausted_at: Mapped[Timestamp | None]
