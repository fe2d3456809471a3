from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from decimal import Decimal

import pytest
from sqlalchemy import Connection, create_engine, func, select
from sqlalchemy.dialects.postgresql import insert

from models.price import Price
from pressroom.catalog.load import Catalog, catalog
from pressroom.errors import Conflict
from pressroom.money.price_book import catalog_price_book, catalog_rows, load_price_book, sync_catalog_prices

DAY = date(2026, 11, 22)


@pytest.fixture
def connection(database_url: str) -> Iterator[Connection]:
    engine = create_engine(database_url)
    with engine.connect() as opened:
        yield opened
    engine.dispose()


def test_syncing_twice_adds_nothing_the_second_time(connection: Connection) -> None:
    rows = len(list(catalog_rows(catalog())))

    assert sync_catalog_prices(connection) == rows
    assert sync_catalog_prices(connection) == 0
    assert connection.scalar(select(func.count()).select_from(Price)) == rows


def test_the_stored_book_prices_as_the_catalog_does(connection: Connection) -> None:
    sync_catalog_prices(connection)
    stored, shipped = load_price_book(connection), catalog_price_book()

    for row in catalog_rows(catalog()):
        found = stored.price_for(row["model"], row["service_tier"], row["effective_from"])
        assert found.id > 0
        assert replace(found, id=0) == shipped.price_for(row["model"], row["service_tier"], row["effective_from"])


def test_an_operators_row_wins_from_its_date_on(connection: Connection) -> None:
    sync_catalog_prices(connection)
    own = {
        "model": "gpt-4o-mini",
        "service_tier": "default",
        "effective_from": date(2026, 11, 1),
        "origin": "operator",
        "source": "our contract",
        "input_usd": Decimal("0.10"),
        "output_usd": Decimal("0.40"),
    }
    connection.execute(insert(Price).values(own))

    book = load_price_book(connection)

    assert book.price_for("gpt-4o-mini", None, DAY).input_usd == Decimal("0.10")
    assert book.price_for("gpt-4o-mini", None, date(2026, 10, 31)).input_usd == Decimal("0.15")


def test_a_price_that_calls_were_billed_by_cannot_be_edited(connection: Connection) -> None:
    sync_catalog_prices(connection)
    entry = catalog().models["dall-e-2"]
    dearer = entry.prices[0].model_copy(update={"per_image": {"256x256": Decimal("0.02")}})
    edited = Catalog({"dall-e-2": entry.model_copy(update={"prices": (dearer,)})})

    with pytest.raises(Conflict, match=r"per_image of dall-e-2 .* give the new price a new effective_from"):
        sync_catalog_prices(connection, edited)
