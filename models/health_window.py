"""How a deployment's calls went lately, as all workers together saw it."""

from sqlalchemy import ForeignKey, Integer
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base, Timestamp


class HealthWindow(Base):
    """Calls of a few seconds: what a breaker opens on. Rows are deleted once they are too old to count."""

    __tablename__ = "health_windows"
    __table_args__ = ({"postgresql_with": {"fillfactor": "50"}},)

    deployment_id: Mapped[int] = mapped_column(ForeignKey("deployments.id"), primary_key=True)
    since: Mapped[Timestamp] = mapped_column(primary_key=True)
    calls: Mapped[int] = mapped_column(Integer)
    failed: Mapped[int] = mapped_column(Integer)
