"""Jobs submitted together as one file in the OpenAI Batch format."""

import enum
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import ForeignKey, Index, Integer, SmallInteger, Text, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base, CreatedAt, Timestamp, UuidKey, enum_column


class BatchState(enum.StrEnum):
    """What is to be done: `validating → failed | in_progress`, `in_progress → completed`, `cancelling → cancelled`.

    The provider's other two words are seen, not stored (`pressroom/batches/status.py`): `finalizing` while the output
    files of an ended batch are being written, `expired` for one that ended with expired jobs in it.
    """

    VALIDATING = "validating"
    FAILED = "failed"
    IN_PROGRESS = "in_progress"
    CANCELLING = "cancelling"
    COMPLETED = "completed"
    CANCELLED = "cancelled"


AWAITS_CLERK = (
    "state IN ('validating', 'cancelling')"
    " OR (input_file_id IS NOT NULL AND finished_at IS NOT NULL AND finalized_at IS NULL)"
)
"""SQL: something is to be done in the background (`pressroom/batches/clerk.py`)."""


class Batch(Base):
    """Counters are kept by the transactions that finish jobs, so reading progress never counts rows.

    `fingerprint` is the sha256 of the input's jobs and of the provider: submitting the same file again finds it.
    While `paused_at` is set none of its jobs start.
    `cost_usd` is what is known to be spent; `at_risk_usd` what `unknown` attempts may have cost on top.

    `endpoint` and `model` are null where the lines name several. `input_file_id` is null for a batch that came by the
    command line; it is no foreign key, for the file may be deleted first. `output_file_id` and `error_file_id` are
    there from the beginning: until `finalized_at` they name what can be read so far, afterwards rows of `files`.
    `errors` says why a file was refused. `clerk_id` works on it until `clerk_until`, unless it says otherwise.
    """

    __tablename__ = "batches"
    __table_args__ = (
        Index("ix_batches_fingerprint", "project_id", "fingerprint"),
        Index("ix_batches_of_project", "project_id", "id"),
        Index("ix_batches_awaiting_clerk", "id", postgresql_where=text(AWAITS_CLERK)),
        Index("ix_batches_output_file", "output_file_id", unique=True),
        Index("ix_batches_error_file", "error_file_id", unique=True),
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
    endpoint: Mapped[str | None] = mapped_column(Text)
    model: Mapped[str | None] = mapped_column(Text)
    input_file_id: Mapped[UUID | None]
    output_file_id: Mapped[UUID] = mapped_column(server_default=text("uuidv7()"))
    error_file_id: Mapped[UUID] = mapped_column(server_default=text("uuidv7()"))
    output_expires_seconds: Mapped[int | None] = mapped_column(Integer)
    api_key_id: Mapped[UUID | None]
    completion_window: Mapped[str | None] = mapped_column(Text)
    deadline: Mapped[Timestamp | None]
    errors: Mapped[list[dict[str, Any]] | None] = mapped_column(JSONB)
    usage: Mapped[dict[str, Any] | None] = mapped_column(JSONB)
    clerk_id: Mapped[UUID | None]
    clerk_until: Mapped[Timestamp | None]
    clerk_tries: Mapped[int] = mapped_column(SmallInteger, server_default=text("0"))
    paused_at: Mapped[Timestamp | None]
    created_at: Mapped[CreatedAt]
    in_progress_at: Mapped[Timestamp | None]
    cancelling_at: Mapped[Timestamp | None]
    finished_at: Mapped[Timestamp | None]
    finalized_at: Mapped[Timestamp | None]
