"""A model served at one endpoint under one account."""

from sqlalchemy import BigInteger, Boolean, ForeignKey, Identity, Text, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base, CreatedAt, Timestamp


class Deployment(Base):
    """What has rate limits (through its pool), a price and a lifecycle.

    `base_url` is the provider's address as configured; for the sandbox it is the constant `sandbox:`, because the
    sandbox gets another port at every start and its books must never mix with a real account's.
    `token_ratio` is what its calls take of tokens over what was estimated, as a moving mean of what they took lately.
    """

    __tablename__ = "deployments"
    __table_args__ = (UniqueConstraint("base_url", "model"),)

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    base_url: Mapped[str] = mapped_column(Text)
    model: Mapped[str] = mapped_column(Text)
    is_sandbox: Mapped[bool] = mapped_column(Boolean, server_default=text("false"))
    pool_id: Mapped[int] = mapped_column(ForeignKey("pools.id"))
    token_ratio: Mapped[float] = mapped_column(server_default=text("1.0"))
    paused_at: Mapped[Timestamp | None]
    pause_reason: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[CreatedAt]
