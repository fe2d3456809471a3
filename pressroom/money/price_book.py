"""The prices in force, in memory: synced from the catalog into `prices`, and loaded from there."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from datetime import date
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, func, select
from sqlalchemy.dialects.postgresql import insert

from models.price import Price
from pressroom.catalog.entries import CatalogModel, CatalogPrice, LongContext
from pressroom.catalog.load import Catalog, catalog
from pressroom.errors import Conflict, InvalidInput, Problem
from pressroom.money.cost import cost
from pressroom.money.prices import LONG, PriceRow, choose_price, price_tier
from pressroom.money.usage import Usage

INPUT_COLUMNS = ("input_usd", "cached_input_usd", "cache_write_usd", "image_input_usd", "cached_image_input_usd")
OUTPUT_COLUMNS = ("output_usd", "image_output_usd")
_Rows = dict[tuple[str, str], list[PriceRow]]
_TOKEN_PLACES = 4
_IMAGE_PLACES = 10


@dataclass(frozen=True, slots=True)
class Bill:
    """What a call cost, and the row it was billed by."""

    cost_usd: Decimal
    price: PriceRow


class PriceBook:
    """All price rows. `price_for` and `bill` are what a call is priced with; `renew` takes up rows that were added."""

    def __init__(self, rows: Iterable[PriceRow], *, known: Catalog | None = None) -> None:
        """Raises InvalidInput for rows that cannot be billed exactly."""
        self._catalog = known if known is not None else catalog()
        self._take(rows)

    def _take(self, rows: Iterable[PriceRow]) -> None:
        by_key: _Rows = {}
        problems: list[Problem] = []
        newest = 0
        for row in rows:
            problems.extend(_inexact_columns(row))
            by_key.setdefault((row.model, row.service_tier), []).append(row)
            newest = max(newest, row.id)
        if problems:
            raise InvalidInput(problems, source="table prices")
        self._rows, self._newest = by_key, newest
        # One assignment: another thread sees the old rows with what was chosen of them, or the new ones with nothing.
        self._current: tuple[_Rows, dict[tuple[str, str, date], PriceRow]] = (by_key, {})

    def renew(self, connection: Connection) -> bool:
        """Whether rows had been added, which are then in force here too. Rows never change, so the newest id tells.

        May be called from another thread than those that price calls. Raises InvalidInput, and keeps what it has.
        """
        newest = connection.execute(select(func.max(Price.id))).scalar()
        if newest is None or newest == self._newest:
            return False
        self._take(load_price_rows(connection))
        return True

    def price_for(self, model: str, service_tier: str | None, on: date) -> PriceRow:
        """The row in force for the tier that was served (None: the default one). Raises UnknownPrice."""
        tier = price_tier(service_tier)
        key = (model, tier, on)
        rows, chosen = self._current
        found = chosen.get(key)
        if found is None:
            found = choose_price(rows.get((model, tier), ()), model, tier, on=on)
            chosen[key] = found
        return found

    def models(self) -> set[str]:
        """Every name that has a price at any time."""
        return {model for model, _ in self._rows}

    def since(self, model: str) -> date:
        """The day of the model's oldest price. Raises ValueError for a model without any."""
        return min(row.effective_from for (name, _), rows in self._rows.items() if name == model for row in rows)

    def tiers(self, model: str, on: date) -> list[str]:
        """The tiers whose price is known on that day, without the rows for long contexts."""
        return sorted(
            tier
            for (name, tier), rows in self._rows.items()
            if name == model and not tier.endswith(LONG) and any(row.effective_from <= on for row in rows)
        )

    def bill(self, model: str, usage: Usage, on: date) -> Bill:
        """The exact cost by the tier that the response names, at long-context rates where they apply.

        Raises UnknownPrice for a tier without a row, UnpricedUsage for a kind of usage without a price.
        """
        tier = price_tier(usage.service_tier)
        entry = self._catalog.model(model)
        long = entry.long_context if entry is not None else None
        if long is not None and usage.input_tokens > long.above_input_tokens:
            tier += LONG
        price = self.price_for(model, tier, on)
        return Bill(cost(usage, price), price)


def catalog_rows(known: Catalog) -> Iterator[dict[str, Any]]:
    """The catalog's prices as values of the table's columns, snapshots and long-context rows included."""
    for entry in known.models.values():
        for price in entry.prices:
            yield _columns(entry, price)
            if entry.long_context is not None:
                yield long_columns(_columns(entry, price), entry.long_context)


def catalog_price_book(known: Catalog | None = None) -> PriceBook:
    """A book of the catalog alone, for use without a database; its rows have the id 0."""
    known = known if known is not None else catalog()
    names = {column.name for column in fields(PriceRow)}
    rows = [
        PriceRow(id=0, **{**{key: row[key] for key in row if key in names}, "per_image": _decimals(row["per_image"])})
        for row in catalog_rows(known)
    ]
    return PriceBook(rows, known=known)


def sync_catalog_prices(connection: Connection, known: Catalog | None = None) -> int:
    """Insert the catalog's prices that the table does not have; the number inserted. The caller commits.

    Safe to run in any number of processes at once. Raises Conflict when the catalog gives a stored row another figure:
    rows are what past calls were billed by, so a new figure needs a date of its own.
    """
    rows = list(catalog_rows(known if known is not None else catalog()))
    if not rows:
        return 0
    inserted = connection.execute(insert(Price).on_conflict_do_nothing().returning(Price.id), rows).all()
    _refuse_edited_rows(connection, rows)
    return len(inserted)


def load_price_book(connection: Connection) -> PriceBook:
    """All rows of `prices`."""
    return PriceBook(load_price_rows(connection))


def load_price_rows(connection: Connection) -> list[PriceRow]:
    """All rows of `prices`, in the order in which they were added."""
    columns = [column for column in Price.__table__.columns if column.name not in ("source", "created_at")]
    found = connection.execute(select(*columns).order_by(Price.id)).mappings()
    return [PriceRow(**{**row, "per_image": _decimals(row["per_image"])}) for row in found]


def as_columns(row: PriceRow, source: str) -> dict[str, Any]:
    """A row as values of the table's columns."""
    token_prices = {name: getattr(row, name) for name in (*INPUT_COLUMNS, *OUTPUT_COLUMNS)}
    return {
        "model": row.model,
        "service_tier": row.service_tier,
        "effective_from": row.effective_from,
        "origin": row.origin,
        "source": source,
        "per_image": {key: str(usd) for key, usd in row.per_image.items()},
        **token_prices,
    }


def _columns(entry: CatalogModel, price: CatalogPrice) -> dict[str, Any]:
    token_prices = {name: getattr(price, name) for name in (*INPUT_COLUMNS, *OUTPUT_COLUMNS)}
    return {
        "model": entry.name,
        "service_tier": price.service_tier,
        "effective_from": price.effective_from,
        "origin": "catalog",
        "source": f"{price.verified}: {price.source}",
        "per_image": {key: str(usd) for key, usd in price.per_image.items()},
        **token_prices,
    }


def long_columns(row: Mapping[str, Any], long: LongContext) -> dict[str, Any]:
    """The same row for requests above the model's long-context threshold."""
    inputs = {name: row[name] * long.input_factor for name in INPUT_COLUMNS if row[name] is not None}
    outputs = {name: row[name] * long.output_factor for name in OUTPUT_COLUMNS if row[name] is not None}
    return {**row, **inputs, **outputs, "service_tier": row["service_tier"] + LONG}


def _refuse_edited_rows(connection: Connection, rows: list[dict[str, Any]]) -> None:
    names = [*INPUT_COLUMNS, *OUTPUT_COLUMNS, "per_image"]
    stored = {
        (row.model, row.service_tier, row.effective_from): row
        for row in connection.execute(select(Price.__table__).where(Price.origin == "catalog"))
    }
    for row in rows:
        kept = stored[row["model"], row["service_tier"], row["effective_from"]]._mapping
        changed = [name for name in names if kept[name] != row[name]]
        if changed:
            raise Conflict(
                f"the catalog changed {', '.join(changed)} of {row['model']} ({row['service_tier']}, from "
                f"{row['effective_from']}), which calls were already billed by: give the new price a new effective_from"
            )


def _decimals(per_image: Mapping[str, Any]) -> dict[str, Decimal]:
    return {key: Decimal(str(usd)) for key, usd in per_image.items()}


def _inexact_columns(row: PriceRow) -> list[Problem]:
    priced = [(name, getattr(row, name), _TOKEN_PLACES) for name in (*INPUT_COLUMNS, *OUTPUT_COLUMNS)]
    priced += [(f"per_image[{key!r}]", usd, _IMAGE_PLACES) for key, usd in row.per_image.items()]
    return [
        Problem(
            f"{row.model} ({row.service_tier}, from {row.effective_from}) {name}",
            f"is negative or has more than {places} decimal places, so that costs could not be exact",
            f"Give a price of at most {places} decimal places",
            value=str(usd),
        )
        for name, usd, places in priced
        if usd is not None and (usd < 0 or usd != round(usd, places))
    ]
