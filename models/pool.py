"""A limit group of a provider account: what the limiter paces and the dispatcher feeds."""

from typing import Any

from sqlalchemy import BigInteger, Identity, Text, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base, CreatedAt, Timestamp


class Pool(Base):
    """One row per limit group. Its row lock makes dispatch of one pool single-file over all processes.

    `explicit_limits` are set by people and always win; `learned_limits` were read from headers and refusals; both are
    objects of the dimensions rpm, tpm, ipm, rpd, tpd and concurrency, and `burst_seconds`. What neither names comes
    from the catalog (`catalog_limits`). `stated_limits` are those that a refusal's words set, as dimension to
    [limit, unix seconds when it was last said]: they hold down a higher setting for a while. `strict_credit` and
    `late_credit` are seconds that interactive and late jobs may still have out of turn; null is as much as they can
    have. `limiter_epoch` is the life of the Redis state last seen: another one means it was lost.
    """

    __tablename__ = "pools"

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    name: Mapped[str] = mapped_column(Text, unique=True)
    explicit_limits: Mapped[dict[str, Any]] = mapped_column(JSONB, server_default=text("'{}'"))
    learned_limits: Mapped[dict[str, Any]] = mapped_column(JSONB, server_default=text("'{}'"))
    catalog_limits: Mapped[dict[str, Any]] = mapped_column(JSONB, server_default=text("'{}'"))
    stated_limits: Mapped[dict[str, Any]] = mapped_column(JSONB, server_default=text("'{}'"))
    limiter_epoch: Mapped[str | None] = mapped_column(Text)
    strict_credit: Mapped[float | None]
    late_credit: Mapped[float | None]
    paused_at: Mapped[Timestamp | None]
    pause_reason: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[CreatedAt]
