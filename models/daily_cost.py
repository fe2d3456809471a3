"""Spending by day, project and deployment: what `costs` reads instead of adding up millions of attempts."""

from datetime import date
from decimal import Decimal
from uuid import UUID

from sqlalchemy import BigInteger, ForeignKey, text
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base


class DailyCost(Base):
    """Kept by the transaction that settles attempts. `day` is the UTC day on which the call ended.

    A call whose fate was settled later is corrected on the day it was booked. `calls` counts every call that was made,
    `answered` those that did what they were for: what the provider counts.
    """

    __tablename__ = "daily_costs"
    __table_args__ = ({"postgresql_with": {"fillfactor": "50"}},)

    day: Mapped[date] = mapped_column(primary_key=True)
    project_id: Mapped[UUID] = mapped_column(ForeignKey("projects.id"), primary_key=True)
    deployment_id: Mapped[int] = mapped_column(ForeignKey("deployments.id"), primary_key=True)
    calls: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    answered: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    input_tokens: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    output_tokens: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    images: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    cost_usd: Mapped[Decimal] = mapped_column(server_default=text("0"))
    at_risk_usd: Mapped[Decimal] = mapped_column(server_default=text("0"))
