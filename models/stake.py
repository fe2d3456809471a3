"""What one project is owed of a pool in one priority class: the unit of fairness."""

import enum
from uuid import UUID

from sqlalchemy import BigInteger, Boolean, CheckConstraint, ForeignKey, Identity, Index, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base, enum_column


class PriorityClass(enum.StrEnum):
    """How urgent a job is: a weight, not an order, so nothing starves."""

    INTERACTIVE = "interactive"
    NORMAL = "normal"
    BULK = "bulk"


CLASS_WEIGHTS = {PriorityClass.INTERACTIVE: 16.0, PriorityClass.NORMAL: 4.0, PriorityClass.BULK: 1.0}


class Stake(Base):
    """Served in order of `vtime`: seconds of the pool's bottleneck consumed so far, divided by `weight`.

    `weight` is the class's times the project's. `active` is false only while none of its flows has a job that may
    start.
    """

    __tablename__ = "stakes"
    __table_args__ = (
        UniqueConstraint("pool_id", "project_id", "priority_class"),
        CheckConstraint("weight > 0", name="weight_positive"),
        Index("ix_stakes_by_vtime", "pool_id", "vtime", postgresql_where=text("active")),
        Index(
            "ix_stakes_interactive",
            "pool_id",
            "vtime",
            postgresql_where=text("active AND priority_class = 'interactive'"),
        ),
        {"postgresql_with": {"fillfactor": "50", "autovacuum_vacuum_scale_factor": "0"}},
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    pool_id: Mapped[int] = mapped_column(ForeignKey("pools.id"))
    project_id: Mapped[UUID] = mapped_column(ForeignKey("projects.id"))
    priority_class: Mapped[PriorityClass] = mapped_column(enum_column(PriorityClass, "priority_class"))
    weight: Mapped[float]
    vtime: Mapped[float] = mapped_column(server_default=text("0"))
    active: Mapped[bool] = mapped_column(Boolean, server_default=text("false"))
