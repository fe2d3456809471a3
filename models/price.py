"""What a model costs from a date on. Rows are never changed: a new price is a new row."""

from datetime import date
from decimal import Decimal
from typing import Any

from sqlalchemy import BigInteger, Identity, Index, Text, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base, CreatedAt


class Price(Base):
    """USD per million tokens by kind, and `per_image`: an object `{"256x256": "0.016"}` or `{"1024x1024/high": ...}`.

    `origin` is `catalog` for rows of the shipped catalog and `operator` for rows that people add, which win. Of several
    operator rows of one date the newest counts: a mistake is put right by another row, as the first may have been used.
    """

    __tablename__ = "prices"
    __table_args__ = (
        Index(
            "uq_prices_catalog",
            "model",
            "service_tier",
            "effective_from",
            "origin",
            unique=True,
            postgresql_where=text("origin = 'catalog'"),
        ),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    model: Mapped[str] = mapped_column(Text)
    service_tier: Mapped[str] = mapped_column(Text)
    effective_from: Mapped[date]
    origin: Mapped[str] = mapped_column(Text)
    source: Mapped[str] = mapped_column(Text)
    input_usd: Mapped[Decimal | None]
    cached_input_usd: Mapped[Decimal | None]
    cache_write_usd: Mapped[Decimal | None]
    output_usd: Mapped[Decimal | None]
    image_input_usd: Mapped[Decimal | None]
    cached_image_input_usd: Mapped[Decimal | None]
    image_output_usd: Mapped[Decimal | None]
    per_image: Mapped[dict[str, Any]] = mapped_column(JSONB, server_default=text("'{}'"))
    created_at: Mapped[CreatedAt]
