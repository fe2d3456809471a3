"""A file of the provider's that our books were held against, and what was settled by it."""

from datetime import date
from decimal import Decimal
from typing import Any

from sqlalchemy import Integer, Text, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base, CreatedAt, UuidKey


class Reconciliation(Base):
    """Written only when something was applied; `sha256` is the file's, so that the same file counts once.

    `exported_usd` is what the provider says, `booked_usd` and `at_risk_usd` what our books said before. `lines` is the
    comparison by day and model as it was shown.
    """

    __tablename__ = "reconciliations"

    id: Mapped[UuidKey]
    sha256: Mapped[str] = mapped_column(Text, unique=True)
    file_name: Mapped[str] = mapped_column(Text)
    base_url: Mapped[str] = mapped_column(Text)
    first_day: Mapped[date]
    last_day: Mapped[date]
    exported_usd: Mapped[Decimal]
    booked_usd: Mapped[Decimal]
    at_risk_usd: Mapped[Decimal]
    posted_usd: Mapped[Decimal]
    voided_usd: Mapped[Decimal]
    attempts: Mapped[int] = mapped_column(Integer)
    lines: Mapped[list[Any]] = mapped_column(JSONB, server_default=text("'[]'"))
    created_at: Mapped[CreatedAt]
