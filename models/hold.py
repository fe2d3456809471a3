"""Money reserved against budgets for one call of one job: `held → posted, void or uncertain`."""

import enum
from decimal import Decimal
from uuid import UUID

from sqlalchemy import BigInteger, Boolean, ForeignKey, Index, Integer, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base, CreatedAt, Timestamp, enum_column


class HoldState(enum.StrEnum):
    """`posted` was spent, `void` was not; `uncertain` may have been billed, and stays reserved until somebody knows."""

    HELD = "held"
    POSTED = "posted"
    VOID = "void"
    UNCERTAIN = "uncertain"


class Hold(Base):
    """Made when the job is leased, at the upper bound of what the call may cost; `number` is the attempt's to come.

    A job handed back uncalled voids its hold, and its next lease takes the same number up again. `windows` are the ids
    of the budget windows it counts against. `is_estimate` marks one that was posted at its full amount because nobody
    learned what the call cost; that is corrected when somebody does.
    """

    __tablename__ = "holds"
    __table_args__ = (
        Index("ix_holds_held", "job_id", unique=True, postgresql_where=text("state = 'held'")),
        Index("ix_holds_uncertain", "resolved_at", postgresql_where=text("state = 'uncertain'")),
        {"postgresql_with": {"fillfactor": "70"}},
    )

    job_id: Mapped[UUID] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    number: Mapped[int] = mapped_column(Integer, primary_key=True)
    state: Mapped[HoldState] = mapped_column(enum_column(HoldState, "hold_state"), server_default=text("'held'"))
    amount_usd: Mapped[Decimal]
    windows: Mapped[list[int]] = mapped_column(ARRAY(BigInteger))
    actual_usd: Mapped[Decimal | None]
    is_estimate: Mapped[bool] = mapped_column(Boolean, server_default=text("false"))
    created_at: Mapped[CreatedAt]
    resolved_at: Mapped[Timestamp | None]
