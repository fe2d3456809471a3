"""Prices that people set, and the list of all. A row is never changed: a new price is a new row that wins."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from decimal import Decimal, InvalidOperation
from typing import Literal

from sqlalchemy import Connection, select
from sqlalchemy.dialects.postgresql import insert

from models.price import Price
from pressroom.catalog.entries import LongContext
from pressroom.catalog.load import Catalog, catalog
from pressroom.errors import InvalidInput, Problem
from pressroom.money.price_book import as_columns, load_price_rows, long_columns
from pressroom.money.prices import LONG, OPTIONS, PriceRow, UnknownPrice, choose_price, price_tier

NONE = "none"
"""Takes a price away."""

_TIERS = ("default", "batch", "flex", "priority", "scale")
_MODEL_CHARACTERS = 200
_TOKEN_PLACES, _IMAGE_PLACES = 4, 10
_MOST_USD = Decimal(1_000_000)
_IMAGE_KEY = re.compile(r"(?:[1-9]\d{0,4}x[1-9]\d{0,4}|auto)(?:/[a-z]+)?", re.ASCII)

_ENOUGH = (("per_image",), ("input_usd", "output_usd"), ("input_usd", "image_output_usd"))
"""A row must price one of these, or nothing could be billed by it."""

_CACHED = {"cached_input_usd": "input_usd", "cached_image_input_usd": "image_input_usd"}
"""What is cached costs as much as what is not, until somebody says less."""


@dataclass(frozen=True, slots=True)
class PriceChange:
    """What somebody wants of a model's price: columns of `prices` by name, and pictures by size; None takes one away.

    What is not named stays as it is in force on `effective_from`.
    """

    model: str
    effective_from: date
    service_tier: str = "default"
    source: str = "set by hand"
    usd: Mapping[str, Decimal | None] = field(default_factory=dict)
    per_image: Mapping[str, Decimal | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ListedPrice:
    """A row, where it comes from, and whether calls are priced by it on the day asked about."""

    row: PriceRow
    source: str
    state: Literal["in force", "past", "to come"]


def parse_change(
    model: str, *, tier: str, effective_from: date, source: str, usd: Mapping[str, str], images: Sequence[str]
) -> PriceChange:
    """From what was typed: `usd` are columns with amounts or `none`, `images` are `SIZE=USD`. Raises InvalidInput."""
    problems: list[Problem] = []
    if not model.strip() or len(model) > _MODEL_CHARACTERS:
        problems.append(Problem("MODEL", "is not a name", "Give the provider's name of the model", value=model[:40]))
    if price_tier(tier) not in _TIERS:
        problems.append(Problem("--tier", "is not a tier", f"Give one of: {', '.join(_TIERS)}", value=tier[:40]))
    columns = {name: _amount(OPTIONS[name], typed, _TOKEN_PLACES, problems) for name, typed in usd.items()}
    pictures: dict[str, Decimal | None] = {}
    for typed in images:
        key, equals, amount = (part.strip() for part in typed.rpartition("="))
        if not equals or not _IMAGE_KEY.fullmatch(key):
            remedy = "Write SIZE=USD or SIZE/QUALITY=USD, as in 1024x1024=0.02 or 1024x1024/high=0.167"
            problems.append(Problem("--image", "is not a price of a picture", remedy, value=typed[:80]))
        else:
            pictures[key] = _amount(f"--image {key}", amount, _IMAGE_PLACES, problems)
    if not columns and not pictures and not problems:
        remedy = f"Give at least one of {', '.join(OPTIONS.values())}"
        problems.append(Problem("prices set", "has no price", remedy))
    if problems:
        raise InvalidInput(problems)
    return PriceChange(model.strip(), effective_from, price_tier(tier), source, columns, pictures)


def set_price(conn: Connection, change: PriceChange, known: Catalog | None = None) -> PriceRow:
    """Add the row, and the one for long contexts where the model has such; the caller commits.

    Raises InvalidInput when the row could price nothing.
    """
    known = known if known is not None else catalog()
    before = _in_force(conn, change)
    row = _changed(before, change)
    added = conn.execute(insert(Price).values(**as_columns(row, change.source)).returning(Price.id)).scalar_one()
    entry = known.model(change.model)
    long: LongContext | None = entry.long_context if entry is not None else None
    if long is not None:
        conn.execute(insert(Price).values(**long_columns(as_columns(row, change.source), long)))
    return replace(row, id=added)


def list_prices(
    conn: Connection, *, model: str | None = None, at: date | None = None, today: date
) -> list[ListedPrice]:
    """All rows, or those in force on the day `at`; by model, tier and date."""
    rows = [row for row in load_price_rows(conn) if model is None or row.model == model]
    sources = {row.id: row.source for row in conn.execute(select(Price.id, Price.source))}
    by_key: dict[tuple[str, str], list[PriceRow]] = {}
    for row in rows:
        by_key.setdefault((row.model, row.service_tier), []).append(row)
    listed = []
    for (name, tier), of_key in sorted(by_key.items()):
        current = _chosen(of_key, name, tier, at or today)
        for row in sorted(of_key, key=lambda row: (row.effective_from, row.id)):
            if row is current:
                listed.append(ListedPrice(row, sources[row.id], "in force"))
            elif at is None:
                listed.append(ListedPrice(row, sources[row.id], "to come" if row.effective_from > today else "past"))
    return listed


def _in_force(conn: Connection, change: PriceChange) -> PriceRow | None:
    rows = [row for row in load_price_rows(conn) if row.model == change.model]
    return _chosen(rows, change.model, change.service_tier, change.effective_from)


def _chosen(rows: Sequence[PriceRow], model: str, tier: str, on: date) -> PriceRow | None:
    try:
        return choose_price(rows, model, tier, on=on)
    except UnknownPrice:
        return None


def _changed(before: PriceRow | None, change: PriceChange) -> PriceRow:
    base = before or PriceRow(0, change.model, change.service_tier, change.effective_from)
    usd = {name: getattr(base, name) for name in OPTIONS if name != "per_image"} | dict(change.usd)
    for cached, fresh in _CACHED.items():
        never_less = getattr(base, cached) in (None, getattr(base, fresh))
        if cached not in change.usd and (never_less or usd[cached] is None):
            usd[cached] = usd[fresh]
    pictures = {key: price for key, price in {**base.per_image, **change.per_image}.items() if price is not None}
    row = PriceRow(
        0, change.model, change.service_tier, change.effective_from, per_image=pictures, origin="operator", **usd
    )
    if not any(_priced(row, kinds) for kinds in _ENOUGH):
        remedy = (
            "Give --input and --output (texts), --input and --image-output (pictures by token), or --image SIZE=USD"
        )
        reason = f"would leave {change.model} ({change.service_tier}) without a price that can be billed"
        raise InvalidInput([Problem("prices set", reason, remedy)])
    return row


def _priced(row: PriceRow, kinds: Sequence[str]) -> bool:
    """Whether all of these are there; 0 is a price too."""
    return all(getattr(row, name) is not None and getattr(row, name) != {} for name in kinds)


def _amount(option: str, typed: str, places: int, problems: list[Problem]) -> Decimal | None:
    if typed == NONE:
        return None
    try:
        amount = Decimal(typed)
    except InvalidOperation:
        amount = Decimal("NaN")
    if not amount.is_finite() or amount < 0 or amount > _MOST_USD:
        remedy = "Give US dollars as in 0.15 (per million tokens, or per picture), or none to take the price away"
        problems.append(Problem(option, "is not an amount", remedy, value=typed[:40]))
    elif amount != round(amount, places):
        reason = f"has more than {places} decimal places, so that costs could not be exact"
        problems.append(Problem(option, reason, f"Give at most {places} decimal places", value=typed[:40]))
    return amount


def is_long(row: PriceRow) -> bool:
    """Whether the row is for requests above the model's long-context threshold, made from an ordinary one."""
    return row.service_tier.endswith(LONG)
