"""Prices and exact cost: pure decimal arithmetic, nothing rounded before the last place of the ledger."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal


@dataclass(frozen=True, slots=True)
class PriceRow:
    """A row of `prices`: USD per million tokens by kind, and per image by `size` or `size/quality`."""

    id: int
    model: str
    service_tier: str
    effective_from: date
    input_usd: Decimal | None = None
    cached_input_usd: Decimal | None = None
    cache_write_usd: Decimal | None = None
    output_usd: Decimal | None = None
    image_input_usd: Decimal | None = None
    cached_image_input_usd: Decimal | None = None
    image_output_usd: Decimal | None = None
    per_image: Mapping[str, Decimal] = field(default_factory=dict)
