"""One HTTP call to a provider: what was sent, what came back, what it cost."""

import enum
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, ForeignKey, Index, Integer, Text, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base, CreatedAt, Timestamp, UuidKey, enum_column


class AttemptOutcome(enum.StrEnum):
    """How a call ended.

    `rejected` is a 429: it cost nothing and uses up none of the job's attempts. `unknown` may have been billed.
    `released` was never sent (cancelled, or its start time passed first).
    """

    STARTED = "started"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    REJECTED = "rejected"
    UNKNOWN = "unknown"
    RELEASED = "released"


class Attempt(Base):
    """Written before the call, so that no call is ever off the books; its id goes out as `X-Client-Request-Id`.

    `at_risk_usd` is the estimate of an `unknown` attempt until somebody settles it; `price_id` the price row used.
    """

    __tablename__ = "attempts"
    __table_args__ = (
        UniqueConstraint("job_id", "number"),
        Index("ix_attempts_at_risk", "id", postgresql_where=text("at_risk_usd IS NOT NULL")),
        {"postgresql_with": {"fillfactor": "60"}},
    )

    id: Mapped[UuidKey]
    job_id: Mapped[UUID] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"))
    number: Mapped[int] = mapped_column(Integer)
    lease_id: Mapped[UUID]
    worker_id: Mapped[UUID]
    deployment_id: Mapped[int] = mapped_column(BigInteger)
    outcome: Mapped[AttemptOutcome] = mapped_column(enum_column(AttemptOutcome, "attempt_outcome"))
    started_at: Mapped[CreatedAt]
    sent_at: Mapped[Timestamp | None]
    finished_at: Mapped[Timestamp | None]
    status_code: Mapped[int | None] = mapped_column(Integer)
    error_code: Mapped[str | None] = mapped_column(Text)
    error_message: Mapped[str | None] = mapped_column(Text)
    request_id: Mapped[str | None] = mapped_column(Text)
    usage: Mapped[dict[str, Any] | None] = mapped_column(JSONB)
    service_tier: Mapped[str | None] = mapped_column(Text)
    est_cost_usd: Mapped[Decimal]
    cost_usd: Mapped[Decimal | None]
    at_risk_usd: Mapped[Decimal | None]
    price_id: Mapped[int | None] = mapped_column(ForeignKey("prices.id"))
