"""Something that happened, told to listeners and webhooks: a row of the outbox."""

from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, ForeignKey, Identity, Index, Text, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base, CreatedAt


class Event(Base):
    """Written in the transaction that made it true, and kept for some days.

    `id` is the cursor of whoever reads. Writers hold a shared lock from before they are given ids until they have
    committed (a trigger takes it, migrations/versions/0010), so that a reader can tell up to where nothing more will
    appear: pressroom/events/horizon.py. `project_id` is null for what belongs to the installation.
    """

    __tablename__ = "events"
    __table_args__ = (
        Index("ix_events_project_id_id", "project_id", "id"),
        Index("ix_events_job_id", "job_id", "id", postgresql_where=text("job_id IS NOT NULL")),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    project_id: Mapped[UUID | None] = mapped_column(ForeignKey("projects.id"))
    type: Mapped[str] = mapped_column(Text)
    job_id: Mapped[UUID | None]
    batch_id: Mapped[UUID | None]
    data: Mapped[dict[str, Any]] = mapped_column(JSONB, server_default=text("'{}'"))
    created_at: Mapped[CreatedAt]
