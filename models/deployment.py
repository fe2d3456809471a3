"""A model served at one endpoint under one account."""

import enum
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    ForeignKey,
    Identity,
    SmallInteger,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.dialects.postgresql import UUID as PgUUID
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base, CreatedAt, Timestamp, enum_column


class StopKind(enum.StrEnum):
    """Why a deployment starts no jobs: a person paused it, or its breaker is open."""

    BY_HAND = "by_hand"
    BILLING = "billing"
    UNAUTHORISED = "unauthorised"
    MODEL_REMOVED = "model_removed"
    FAILURES = "failures"


class Deployment(Base):
    """What has rate limits (through its pool), a price and a lifecycle.

    `base_url` is the provider's address as configured; for the sandbox it is the constant `sandbox:`, because the
    sandbox gets another port at every start and its books must never mix with a real account's.
    `account` names the account there, empty for the installation's own, and `api_key_env` the environment variable that
    holds its key, null for the installation's own key; the key itself is never stored.

    While `paused_at` is set none of its jobs start, for the reason of `stop_kind`. At `retry_at` (null: never by
    itself) the breaker lets a few calls through, which are those of `probe_leases`. `trips` counts how often it
    opened without having been closed for long, `closed_at` says when it closed last.

    `token_ratio` is what its calls take of tokens over what was estimated, as a moving mean of what they took lately.
    """

    __tablename__ = "deployments"
    __table_args__ = (
        UniqueConstraint("base_url", "account", "model"),
        CheckConstraint("paused_at IS NOT NULL OR (stop_kind IS NULL AND retry_at IS NULL)", name="stopped"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    base_url: Mapped[str] = mapped_column(Text)
    account: Mapped[str] = mapped_column(Text, server_default=text("''"))
    model: Mapped[str] = mapped_column(Text)
    api_key_env: Mapped[str | None] = mapped_column(Text)
    is_sandbox: Mapped[bool] = mapped_column(Boolean, server_default=text("false"))
    pool_id: Mapped[int] = mapped_column(ForeignKey("pools.id"))
    token_ratio: Mapped[float] = mapped_column(server_default=text("1.0"))
    paused_at: Mapped[Timestamp | None]
    pause_reason: Mapped[str | None] = mapped_column(Text)
    stop_kind: Mapped[StopKind | None] = mapped_column(enum_column(StopKind, "stop_kind"))
    retry_at: Mapped[Timestamp | None]
    trips: Mapped[int] = mapped_column(SmallInteger, server_default=text("0"))
    closed_at: Mapped[Timestamp | None]
    probe_leases: Mapped[list[UUID]] = mapped_column(ARRAY(PgUUID(as_uuid=True)), server_default=text("'{}'"))
    created_at: Mapped[CreatedAt]
