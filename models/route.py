"""Which deployments may serve a requested model name."""

from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Identity, Integer, SmallInteger, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base, CreatedAt


class Route(Base):
    """One target of a model's route: it takes jobs by `weight`, or stands by as the `fallback`-th to step in.

    A route with a project is that project's own and stands in the place of the installation's (`project_id` null).
    """

    __tablename__ = "routes"
    __table_args__ = (
        UniqueConstraint("project_id", "model", "deployment_id", postgresql_nulls_not_distinct=True),
        CheckConstraint("(weight IS NULL) <> (fallback IS NULL)", name="weight_or_fallback"),
        CheckConstraint("weight > 0 AND fallback > 0", name="positive"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    project_id: Mapped[UUID | None] = mapped_column(ForeignKey("projects.id"))
    model: Mapped[str] = mapped_column(Text)
    deployment_id: Mapped[int] = mapped_column(ForeignKey("deployments.id"))
    weight: Mapped[int | None] = mapped_column(Integer)
    fallback: Mapped[int | None] = mapped_column(SmallInteger)
    created_at: Mapped[CreatedAt]
