from datetime import date
from decimal import Decimal

import pytest

from pressroom.money.cost import UnpricedUsage, cost
from pressroom.money.prices import PriceRow
from pressroom.operations.base import Usage

DAY = date(2026, 1, 1)
TEXT = PriceRow(
    7,
    "text",
    "default",
    DAY,
    input_usd=Decimal("0.10"),
    cached_input_usd=Decimal("0.01"),
    cache_write_usd=Decimal("0.125"),
    output_usd=Decimal("0.50"),
)
TOKENS = PriceRow(
    8,
    "pictures",
    "default",
    DAY,
    input_usd=Decimal(5),
    image_input_usd=Decimal(8),
    cached_image_input_usd=Decimal(2),
    image_output_usd=Decimal(30),
)
PER_IMAGE = PriceRow(
    9, "dalle", "default", DAY, per_image={"256x256": Decimal("0.016"), "512x512/hd": Decimal("0.040")}
)


@pytest.mark.parametrize(
    ("usage", "price", "usd"),
    [
        (Usage(), TEXT, "0"),
        (Usage(input_tokens=1), TEXT, "0.0000001"),
        (Usage(input_tokens=1, cached_input_tokens=1), TEXT, "0.00000001"),
        (Usage(input_tokens=10, cached_input_tokens=4, cache_write_tokens=2, output_tokens=3), TEXT, "0.00000219"),
        (Usage(input_tokens=100, image_input_tokens=60, cached_image_input_tokens=10), TOKENS, "0.00062"),
        (Usage(input_tokens=50, output_tokens=4160, image_output_tokens=4160, images=1), TOKENS, "0.12505"),
        (Usage(images=10, image_key="256x256"), PER_IMAGE, "0.16"),
        (Usage(images=2, image_key="256x256/standard"), PER_IMAGE, "0.032"),
        (Usage(images=1, image_key="512x512/hd"), PER_IMAGE, "0.04"),
        (Usage(images=0, image_key="512x512/hd"), PER_IMAGE, "0"),
    ],
)
def test_cost_is_exact(usage: Usage, price: PriceRow, usd: str) -> None:
    assert cost(usage, price) == Decimal(usd)


@pytest.mark.parametrize(
    ("usage", "price", "column"),
    [
        (Usage(output_tokens=1), TOKENS, "output_usd"),
        (Usage(input_tokens=1, cached_input_tokens=1), TOKENS, "cached_input_usd"),
        (Usage(input_tokens=1, image_input_tokens=1), TEXT, "image_input_usd"),
        (Usage(images=1, image_key="512x512"), PER_IMAGE, "per_image"),
        (Usage(images=1), PER_IMAGE, "per_image"),
    ],
)
def test_what_has_no_price_is_never_free(usage: Usage, price: PriceRow, column: str) -> None:
    with pytest.raises(UnpricedUsage, match=column) as caught:
        cost(usage, price)

    assert f"price row {price.id}" in str(caught.value)


@pytest.mark.parametrize(
    "usage",
    [
        Usage(input_tokens=1, cached_input_tokens=2),
        Usage(output_tokens=1, image_output_tokens=2),
        Usage(images=-1, image_key="256x256"),
    ],
)
def test_usage_whose_parts_exceed_the_whole_is_refused(usage: Usage) -> None:
    with pytest.raises(UnpricedUsage):
        cost(usage, PER_IMAGE if usage.image_key else TEXT)
