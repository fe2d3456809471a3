"""Prices: the row a call is billed by, and which of several rows that is."""

import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal

from pressroom.errors import InvalidInput, Problem

LONG = "+long"
"""Ends the tier of rows for requests above the model's long-context threshold: `default+long`."""

_SAME_TIER = {"": "default", "auto": "default", "standard": "default", "fast": "priority"}
"""Other names of a tier. The provider renamed priority to fast and answers `priority` for both."""


OPTIONS: Mapping[str, str] = {
    "input_usd": "--input",
    "cached_input_usd": "--cached-input",
    "cache_write_usd": "--cache-write",
    "output_usd": "--output",
    "image_input_usd": "--image-input",
    "cached_image_input_usd": "--cached-image-input",
    "image_output_usd": "--image-output",
    "per_image": "--image",
}
"""Columns of a price row, and the option of `pressroom prices set` that gives each."""


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
    origin: str = "catalog"


class UnknownPrice(InvalidInput):
    """Nothing says what this model costs at this tier on this day; nothing may be spent on it."""


def price_command(model: str, *kinds: str, tier: str = "default", image_key: str = "1024x1024") -> str:
    """What to type to add a price for these columns, USD standing for the figure."""
    words = ["pressroom prices set", shlex.quote(model)]
    if price_tier(tier) != "default":
        words.append(f"--tier {shlex.quote(tier.removesuffix(LONG))}")
    for kind in kinds:
        words.append(f"{OPTIONS[kind]} {shlex.quote(image_key)}=USD" if kind == "per_image" else f"{OPTIONS[kind]} USD")
    return " ".join(words)


def price_tier(service_tier: str | None) -> str:
    """The tier's one name in `prices`. Endpoints that name no tier serve the default one."""
    named = service_tier or ""
    return _SAME_TIER.get(named, named)


def choose_price(rows: Iterable[PriceRow], model: str, tier: str, *, on: date) -> PriceRow:
    """The row in force on that day: the one with the latest date, and of two with the same date the operator's.

    Of several by the operator the newest counts. So an operator's row beats catalog rows of the same and earlier dates,
    and a catalog price that takes effect later ends it. Tiers do not stand in for one another: a missing one raises
    UnknownPrice, as a guess would be off by half.
    """
    wanted = price_tier(tier)
    in_force = [row for row in rows if row.model == model and row.service_tier == wanted and row.effective_from <= on]
    if not in_force:
        command = price_command(model, "input_usd", "output_usd", tier=wanted)
        remedy = f"Add one: {command} --from {on.isoformat()} (docs/prices.md)"
        reason = f"no price is known for service tier {wanted!r} on {on.isoformat()}"
        raise UnknownPrice([Problem("model", reason, remedy, value=model, code="unknown_price")])
    return max(in_force, key=lambda row: (row.effective_from, row.origin == "operator", row.id))
