"""Jobs submitted together as one file in the OpenAI Batch format."""

import enum
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import ForeignKey, Index, Integer, Text, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base, CreatedAt, Timestamp, UuidKey, enum_column


class BatchState(enum.StrEnum):
    """The provider's words: `in_progress → finalizing → completed`, or `cancelling → cancelled`."""

    IN_PROGRESS = "in_progress"
    CANCELLING = "cancelling"
    COMPLETED = "completed"
    CANCELLED = "cancelled"


class Batch(Base):
    """Counters are kept by the transactions that finish jobs, so reading progress never counts rows.

    `fingerprint` is the sha256 of the input's jobs and of the provider: submitting the same file again finds it.
    While `paused_at` is set none of its jobs start.
    `cost_usd` is what is known to be spent; `at_risk_usd` what `unknown` attempts may have cost on top.
    """

    __tablename__ = "batches"
    __table_args__ = (
        Index("ix_batches_fingerprint", "project_id", "fingerprint"),
        {"postgresql_with": {"fillfactor": "50"}},
    )

    id: Mapped[UuidKey]
    project_id: Mapped[UUID] = mapped_column(ForeignKey("projects.id"))
    state: Mapped[BatchState] = mapped_column(enum_column(BatchState, "batch_state"))
    input_name: Mapped[str] = mapped_column(Text)
    fingerprint: Mapped[str] = mapped_column(Text)
    batch_metadata: Mapped[dict[str, Any]] = mapped_column("metadata", JSONB, server_default=text("'{}'"))
    total: Mapped[int] = mapped_column(Integer)
    succeeded: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    failed: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    cancelled: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    expired: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    est_cost_usd: Mapped[Decimal]
    cost_usd: Mapped[Decimal] = mapped_column(server_default=text("0"))
    at_risk_usd: Mapped[Decimal] = mapped_column(server_default=text("0"))
    paused_at: Mapped[Timestamp | None]
    created_at: Mapped[CreatedAt]
    finished_at: Mapped[Timestamp | None]
