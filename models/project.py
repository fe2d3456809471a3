"""A tenant. Nothing crosses projects."""

from uuid import UUID

from sqlalchemy import CheckConstraint, Text, text
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base, CreatedAt, Timestamp, UuidKey

DEFAULT_PROJECT_ID = UUID("00000000-0000-7000-8000-000000000001")
"""The project of everybody who has not made one; the first migration inserts it."""


class Project(Base):
    """Owner of jobs, weights, limits and budgets. While `paused_at` is set none of its jobs start."""

    __tablename__ = "projects"
    __table_args__ = (CheckConstraint("weight > 0", name="weight_positive"),)

    id: Mapped[UuidKey]
    name: Mapped[str] = mapped_column(Text, unique=True)
    weight: Mapped[float] = mapped_column(server_default=text("1"))
    paused_at: Mapped[Timestamp | None]
    created_at: Mapped[CreatedAt]
