"""Prices that people set: a new row each time, which wins, and none that could bill nothing."""

from collections.abc import Iterator, Mapping
from datetime import date
from decimal import Decimal

import pytest
from sqlalchemy import Connection, Engine, func, select

from models.price import Price
from pressroom.errors import InvalidInput
from pressroom.money.operator_prices import PriceChange, list_prices, parse_change, set_price
from pressroom.money.price_book import load_price_book, sync_catalog_prices
from pressroom.operations.base import Usage

TODAY = date(2026, 11, 22)
LATER = date(2026, 12, 1)


@pytest.fixture
def conn(engine: Engine) -> Iterator[Connection]:
    """A transaction on a database with the catalog's prices."""
    with engine.begin() as opened:
        sync_catalog_prices(opened)
        yield opened


def change(model: str, *, images: tuple[str, ...] = (), tier: str = "default", **usd: str) -> PriceChange:
    """As typed today."""
    columns = {f"{name}_usd": typed for name, typed in usd.items()}
    return parse_change(model, tier=tier, effective_from=TODAY, source="test", usd=columns, images=images)


def test_what_is_not_given_stays_as_it_was(conn: Connection) -> None:
    set_price(conn, change("gpt-4o-mini", output="0.48"))

    row = load_price_book(conn).price_for("gpt-4o-mini", None, TODAY)

    assert (row.input_usd, row.cached_input_usd, row.output_usd) == (Decimal("0.15"), Decimal("0.075"), Decimal("0.48"))
    assert load_price_book(conn).price_for("gpt-4o-mini", None, date(2026, 11, 21)).output_usd == Decimal("0.60")


def test_a_mistake_of_the_same_day_is_put_right_by_another_row(conn: Connection) -> None:
    before = conn.scalar(select(func.count()).select_from(Price))
    wrong = set_price(conn, change("gpt-4o-mini", input="15"))
    right = set_price(conn, change("gpt-4o-mini", input="0.14"))

    assert load_price_book(conn).price_for("gpt-4o-mini", "default", TODAY).id == right.id > wrong.id
    assert conn.scalar(select(func.count()).select_from(Price)) == (before or 0) + 2


def test_a_new_model_pays_for_cached_tokens_as_for_fresh_ones(conn: Connection) -> None:
    set_price(conn, change("own", input="1", output="2"))

    usage = Usage(input_tokens=1_000_000, cached_input_tokens=500_000, output_tokens=1_000_000)

    assert load_price_book(conn).bill("own", usage, TODAY).cost_usd == 3


def test_cached_tokens_that_never_cost_less_follow_the_price_of_fresh_ones(conn: Connection) -> None:
    set_price(conn, change("own", input="0", output="2"))
    assert set_price(conn, change("own", input="3")).cached_input_usd == 3
    assert set_price(conn, change("own", cached_input="1")).cached_input_usd == 1
    assert set_price(conn, change("own", input="4")).cached_input_usd == 1


def test_long_contexts_follow_the_operators_price(conn: Connection) -> None:
    set_price(conn, change("gpt-6-luna", input="0.08"))

    bill = load_price_book(conn).bill("gpt-6-luna", Usage(input_tokens=300_000), TODAY)

    assert (bill.price.service_tier, bill.price.input_usd, bill.price.origin) == (
        "default+long",
        Decimal("0.16"),
        "operator",
    )


def test_pictures_have_prices_by_size_and_quality(conn: Connection) -> None:
    set_price(conn, change("painter", images=("256x256=0.01", "1024x1024/high=0.167", "auto=0.2")))
    set_price(conn, change("painter", images=("256x256=none", "512x512=0.0183")))

    row = load_price_book(conn).price_for("painter", None, TODAY)

    assert row.per_image == {
        "1024x1024/high": Decimal("0.167"),
        "auto": Decimal("0.2"),
        "512x512": Decimal("0.0183"),
    }


def test_a_picture_sold_by_the_piece_is_billed_so_even_if_its_tokens_are_counted(conn: Connection) -> None:
    set_price(conn, change("painter", images=("256x256=0.01",)))
    usage = Usage(input_tokens=9, output_tokens=300, image_output_tokens=300, images=3, image_key="256x256")

    assert load_price_book(conn).bill("painter", usage, TODAY).cost_usd == Decimal("0.03")


def test_a_book_in_use_takes_up_what_is_added(conn: Connection) -> None:
    book = load_price_book(conn)
    assert book.price_for("gpt-4o-mini", None, TODAY).input_usd == Decimal("0.15")
    assert book.renew(conn) is False

    set_price(conn, change("gpt-4o-mini", input="0.10"))

    assert book.renew(conn) is True
    assert book.price_for("gpt-4o-mini", None, TODAY).input_usd == Decimal("0.10")


def test_the_list_says_what_is_in_force(conn: Connection) -> None:
    set_price(conn, change("gpt-4o-mini", input="0.10"))
    columns = {"input_usd": "0.05"}
    set_price(
        conn, parse_change("gpt-4o-mini", tier="default", effective_from=LATER, source="", usd=columns, images=())
    )

    def states(at: date | None) -> list[tuple[str, Decimal | None]]:
        listed = list_prices(conn, model="gpt-4o-mini", at=at, today=TODAY)
        return [(one.state, one.row.input_usd) for one in listed if one.row.service_tier == "default"]

    assert states(None) == [("past", Decimal("0.15")), ("in force", Decimal("0.10")), ("to come", Decimal("0.05"))]
    assert states(LATER) == [("in force", Decimal("0.05"))]


@pytest.mark.parametrize(
    ("usd", "images", "said"),
    [
        ({}, (), "prices set: has no price"),
        ({"input_usd": "-1"}, (), "--input: is not an amount (got -1)"),
        ({"input_usd": "NaN"}, (), "--input: is not an amount (got NaN)"),
        ({"output_usd": "0.00001"}, (), "--output: has more than 4 decimal places"),
        ({}, ("256x256",), "--image: is not a price of a picture (got 256x256)"),
        ({}, ("big=1",), "--image: is not a price of a picture (got big=1)"),
        ({}, ("256x256=x",), "--image 256x256: is not an amount (got x)"),
    ],
)
def test_what_is_no_price_is_refused(usd: Mapping[str, str], images: tuple[str, ...], said: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_change("m", tier="default", effective_from=TODAY, source="", usd=usd, images=images)
    assert str(caught.value).startswith(said)


@pytest.mark.parametrize("usd", [{"input": "1"}, {"input": "1", "cached_input": "1"}, {"output": "1"}])
def test_a_price_that_could_bill_nothing_is_refused(conn: Connection, usd: Mapping[str, str]) -> None:
    with pytest.raises(InvalidInput, match="without a price that can be billed"):
        set_price(conn, change("own", images=(), **usd))


def test_unknown_tiers_are_refused() -> None:
    with pytest.raises(InvalidInput, match="--tier: is not a tier"):
        change("m", tier="express", input="1")
