"""How the cost at risk of one attempt was settled: by a file of the provider's, or by hand."""

from decimal import Decimal
from uuid import UUID

from sqlalchemy import ForeignKey, Text
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base, CreatedAt


class Settlement(Base):
    """Once for each attempt, never changed. `reconciliation_id` is null for those made by hand; `note` says why.

    No foreign key to attempts: the record of a correction outlives them.
    """

    __tablename__ = "settlements"

    attempt_id: Mapped[UUID] = mapped_column(primary_key=True)
    job_id: Mapped[UUID]
    reconciliation_id: Mapped[UUID | None] = mapped_column(ForeignKey("reconciliations.id"), index=True)
    at_risk_usd: Mapped[Decimal]
    cost_usd: Mapped[Decimal]
    note: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[CreatedAt]
