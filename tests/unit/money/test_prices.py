from datetime import date
from decimal import Decimal

import pytest

from pressroom.errors import InvalidInput
from pressroom.money.price_book import PriceBook, catalog_price_book
from pressroom.money.prices import PriceRow, UnknownPrice, choose_price, price_tier
from pressroom.operations.base import Usage

DAY = date(2026, 11, 22)


def _row(number: int, start: date, *, origin: str = "catalog", tier: str = "default") -> PriceRow:
    return PriceRow(number, "m", tier, start, input_usd=Decimal(number), output_usd=Decimal(number), origin=origin)


def test_the_latest_row_in_force_is_chosen() -> None:
    rows = [_row(1, date(2026, 1, 1)), _row(2, date(2026, 6, 1)), _row(3, date(2026, 12, 1))]

    assert choose_price(rows, "m", "default", on=DAY).id == 2
    assert choose_price(rows, "m", "default", on=date(2026, 5, 31)).id == 1
    assert choose_price(rows, "m", "default", on=date(2026, 12, 1)).id == 3


@pytest.mark.parametrize(
    ("operator_from", "chosen"), [(date(2026, 1, 1), 2), (date(2026, 2, 1), 2), (date(2025, 12, 31), 1)]
)
def test_an_operators_row_beats_catalog_rows_of_the_same_and_earlier_dates(operator_from: date, chosen: int) -> None:
    rows = [_row(2, operator_from, origin="operator"), _row(1, date(2026, 1, 1))]

    assert choose_price(rows, "m", "default", on=DAY).id == chosen
    assert choose_price(reversed(rows), "m", "default", on=DAY).id == chosen


@pytest.mark.parametrize(
    ("answered", "tier"),
    [(None, "default"), ("", "default"), ("auto", "default"), ("standard", "default"), ("fast", "priority")],
)
def test_tiers_have_one_name(answered: str | None, tier: str) -> None:
    assert price_tier(answered) == tier


def test_no_tier_stands_in_for_another() -> None:
    with pytest.raises(UnknownPrice) as caught:
        choose_price([_row(1, date(2026, 1, 1))], "m", "scale", on=DAY)

    problem = caught.value.problems[0]
    assert (problem.field, problem.value, problem.code) == ("model", "m", "unknown_price")
    assert problem.reason == "no price is known for service tier 'scale' on 2026-11-22"
    assert problem.remedy.startswith(
        "Add one: pressroom prices set m --tier scale --input USD --output USD --from 2026-"
    )


def test_a_model_without_a_price_is_refused_rather_than_free() -> None:
    with pytest.raises(UnknownPrice, match="dall-e-3"):
        catalog_price_book().price_for("dall-e-3", None, DAY)


def test_a_call_is_billed_by_the_tier_that_was_served() -> None:
    book = catalog_price_book()

    def cost(tier: str) -> Decimal:
        usage = Usage(input_tokens=1_000_000, output_tokens=1_000_000, service_tier=tier)
        return book.bill("gpt-4o-mini", usage, DAY).cost_usd

    assert [cost(tier) for tier in ("default", "batch", "priority")] == [
        Decimal("0.75"),
        Decimal("0.375"),
        Decimal("1.25"),
    ]


@pytest.mark.parametrize(
    ("input_tokens", "tier", "cost"), [(272_000, "default", "0.0272"), (272_001, "default+long", "0.0544002")]
)
def test_a_request_with_a_long_context_costs_the_multiple_as_a_whole(input_tokens: int, tier: str, cost: str) -> None:
    bill = catalog_price_book().bill("gpt-6-luna", Usage(input_tokens=input_tokens), DAY)

    assert bill.price.service_tier == tier
    assert bill.cost_usd == Decimal(cost)


@pytest.mark.parametrize("usd", ["-1", "0.00001"])
def test_a_row_that_cannot_be_billed_exactly_is_refused(usd: str) -> None:
    with pytest.raises(InvalidInput, match="input_usd: is negative or has more than 4 decimal places"):
        PriceBook([PriceRow(1, "m", "default", DAY, input_usd=Decimal(usd))])
