"""One event on its way to one endpoint."""

from uuid import UUID

from sqlalchemy import BigInteger, ForeignKey, Index, SmallInteger, Text, text
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base, CreatedAt, Timestamp


class WebhookDelivery(Base):
    """Made with its event. `next_at` is when it is tried next, and null once it is over.

    It is over with `delivered_at`, or without when it was tried for three days in vain. While it is being sent,
    `next_at` is when somebody else may try; `attempts` then fences the result of whoever is sending.
    """

    __tablename__ = "webhook_deliveries"
    __table_args__ = (
        Index("ix_webhook_deliveries_due", "endpoint_id", "next_at", postgresql_where=text("next_at IS NOT NULL")),
        Index("ix_webhook_deliveries_event_id", "event_id"),
        {"postgresql_with": {"fillfactor": "80"}},
    )

    endpoint_id: Mapped[UUID] = mapped_column(ForeignKey("webhook_endpoints.id", ondelete="CASCADE"), primary_key=True)
    event_id: Mapped[int] = mapped_column(BigInteger, ForeignKey("events.id", ondelete="CASCADE"), primary_key=True)
    next_at: Mapped[Timestamp | None] = mapped_column(server_default=text("now()"))
    attempts: Mapped[int] = mapped_column(SmallInteger, server_default=text("0"))
    last_status: Mapped[int | None] = mapped_column(SmallInteger)
    last_error: Mapped[str | None] = mapped_column(Text)
    delivered_at: Mapped[Timestamp | None]
    created_at: Mapped[CreatedAt]
