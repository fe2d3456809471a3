"""Cost arithmetic: exact against whole numbers, additive, never negative."""

from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from pressroom.money.cost import cost
from pressroom.money.prices import PriceRow, choose_price
from pressroom.operations.base import Usage

UNITS_PER_USD = 10**10
"""The ledger's last place. A price per million with four decimal places is a whole number of these per token."""

tokens = st.integers(min_value=0, max_value=10**9)
ten_thousandths = st.integers(min_value=0, max_value=10**7)
KINDS = ("input", "cached_input", "cache_write", "output", "image_input", "cached_image_input", "image_output")


@st.composite
def usages(draw: st.DrawFn) -> Usage:
    """Any usage whose parts fit into their whole."""
    cached, written, plain_image, cached_image, text = (draw(tokens) for _ in range(5))
    image_output = draw(tokens)
    return Usage(
        input_tokens=cached + written + plain_image + cached_image + text,
        cached_input_tokens=cached,
        cache_write_tokens=written,
        image_input_tokens=plain_image + cached_image,
        cached_image_input_tokens=cached_image,
        output_tokens=image_output + draw(tokens),
        image_output_tokens=image_output,
    )


@st.composite
def prices(draw: st.DrawFn) -> tuple[PriceRow, dict[str, int]]:
    """A row with every price, and the same prices in units per token."""
    units = {kind: draw(ten_thousandths) for kind in KINDS}
    columns: dict[str, Any] = {f"{kind}_usd": Decimal(unit) / 10**4 for kind, unit in units.items()}
    return PriceRow(1, "m", "default", date(2026, 1, 1), **columns), units


def _in_units(usage: Usage, units: dict[str, int]) -> int:
    """The cost as a whole number, worked out without decimals."""
    text = usage.input_tokens - usage.cached_input_tokens - usage.cache_write_tokens - usage.image_input_tokens
    return (
        text * units["input"]
        + usage.cached_input_tokens * units["cached_input"]
        + usage.cache_write_tokens * units["cache_write"]
        + (usage.image_input_tokens - usage.cached_image_input_tokens) * units["image_input"]
        + usage.cached_image_input_tokens * units["cached_image_input"]
        + (usage.output_tokens - usage.image_output_tokens) * units["output"]
        + usage.image_output_tokens * units["image_output"]
    )


@given(usages(), prices())
def test_cost_is_exact_to_the_last_place_of_the_ledger(usage: Usage, priced: tuple[PriceRow, dict[str, int]]) -> None:
    row, units = priced

    assert cost(usage, row) * UNITS_PER_USD == _in_units(usage, units)


@given(usages(), usages(), prices())
def test_two_calls_cost_what_they_cost_together(
    one: Usage, other: Usage, priced: tuple[PriceRow, dict[str, int]]
) -> None:
    row, _ = priced
    counted = [name for name in Usage.__dataclass_fields__ if name.endswith("tokens")]
    both = replace(one, **{name: getattr(one, name) + getattr(other, name) for name in counted})

    assert cost(one, row) + cost(other, row) == cost(both, row)


@given(usages(), prices())
def test_no_call_costs_less_than_nothing(usage: Usage, priced: tuple[PriceRow, dict[str, int]]) -> None:
    assert cost(usage, priced[0]) >= 0


@given(st.integers(min_value=0, max_value=10**6), st.integers(min_value=0, max_value=10**12))
def test_pictures_cost_their_number_times_the_price(images: int, units: int) -> None:
    row = PriceRow(1, "m", "default", date(2026, 1, 1), per_image={"s": Decimal(units) / UNITS_PER_USD})

    assert cost(Usage(images=images, image_key="s"), row) * UNITS_PER_USD == images * units


@given(st.lists(st.tuples(st.integers(0, 400), st.booleans()), min_size=1, unique=True), st.integers(0, 400))
def test_the_price_in_force_is_never_a_later_one_and_never_an_outdated_one(
    starts: list[tuple[int, bool]], today: int
) -> None:
    epoch = date(2026, 1, 1).toordinal()
    rows = [
        PriceRow(i, "m", "default", date.fromordinal(epoch + day), origin="operator" if own else "catalog")
        for i, (day, own) in enumerate(starts)
    ]
    past = [start for start in starts if start[0] <= today]
    if past:
        chosen = choose_price(rows, "m", "default", on=date.fromordinal(epoch + today))
        assert starts[chosen.id] == max(past)
