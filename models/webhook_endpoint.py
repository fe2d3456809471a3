"""An address that wants to hear of events."""

from uuid import UUID

from sqlalchemy import Boolean, CheckConstraint, ForeignKey, Index, Text, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base, CreatedAt, Timestamp, UuidKey


class WebhookEndpoint(Base):
    """`project_id` is null for the installation's own, which hears of every project and of the installation.

    `events` are types with `*` for any characters. Of jobs in batches it hears only with `batch_jobs`: a batch may have
    a million. `secret` signs; `previous_secret` too, until `previous_until`. `failing_since` is the first failure after
    the last success; `disabled_at` is null while it is enabled.
    """

    __tablename__ = "webhook_endpoints"
    __table_args__ = (
        Index("ix_webhook_endpoints_project_id", "project_id"),
        CheckConstraint("cardinality(events) > 0", name="events_given"),
        CheckConstraint("(previous_secret IS NULL) = (previous_until IS NULL)", name="previous_until"),
    )

    id: Mapped[UuidKey]
    project_id: Mapped[UUID | None] = mapped_column(ForeignKey("projects.id"))
    url: Mapped[str] = mapped_column(Text)
    description: Mapped[str] = mapped_column(Text, server_default=text("''"))
    events: Mapped[list[str]] = mapped_column(ARRAY(Text))
    batch_jobs: Mapped[bool] = mapped_column(Boolean, server_default=text("false"))
    secret: Mapped[str] = mapped_column(Text)
    previous_secret: Mapped[str | None] = mapped_column(Text)
    previous_until: Mapped[Timestamp | None]
    failing_since: Mapped[Timestamp | None]
    disabled_at: Mapped[Timestamp | None]
    disabled_reason: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[CreatedAt]
