"""What a call cost: usage times price, exactly. Integers and decimals only; what would need rounding raises."""

from decimal import Context, Decimal, Inexact, InvalidOperation

from pressroom.errors import PressroomError
from pressroom.money.prices import PriceRow, price_command
from pressroom.money.usage import Usage

PLACES = Decimal("1E-10")
"""What the ledger's columns hold (models/base.py)."""

ZERO = Decimal(0)
_SHOWN_KEY = 40
_EXACT = Context(prec=60, traps=[Inexact, InvalidOperation])


class UnpricedUsage(PressroomError):
    """The call used something that its price row has no price for, or that cannot be."""


def cost(usage: Usage, price: PriceRow) -> Decimal:
    """Exact USD with ten places.

    Raises UnpricedUsage when a kind that was used has no price, and when the parts exceed their whole. A price with
    more than four decimal places may raise decimal.Inexact; the catalog and the price book admit none.
    """
    total = _image_cost(usage, price) if _is_by_picture(usage, price) else _token_cost(usage, price)
    return _EXACT.quantize(total, PLACES)


def per_million(tokens: int, usd: Decimal) -> Decimal:
    """Exact USD for a number of tokens at a price per million."""
    return _EXACT.scaleb(_EXACT.multiply(Decimal(tokens), usd), -6)


def image_price(price: PriceRow, image_key: str) -> Decimal:
    """USD for one picture: by `size/quality`, else by `size`. Raises UnpricedUsage."""
    found = price.per_image.get(image_key)
    if found is None:
        found = price.per_image.get(image_key.partition("/")[0])
    if found is None:
        shown = image_key[:_SHOWN_KEY]
        raise UnpricedUsage(_unpriced(price, f"pictures of {shown}", "per_image", image_key=shown))
    return found


def _is_by_picture(usage: Usage, price: PriceRow) -> bool:
    """Some endpoints count tokens of pictures that are sold by the piece: the row says how they are sold."""
    counted = usage.input_tokens or usage.output_tokens
    return usage.image_key is not None and (bool(price.per_image) or not counted)


def _image_cost(usage: Usage, price: PriceRow) -> Decimal:
    if usage.images < 0:
        raise UnpricedUsage(f"a call cannot have made {usage.images} pictures")
    if usage.images == 0 or usage.image_key is None:
        return ZERO
    return _EXACT.multiply(Decimal(usage.images), image_price(price, usage.image_key))


def _token_cost(usage: Usage, price: PriceRow) -> Decimal:
    plain_image = usage.image_input_tokens - usage.cached_image_input_tokens
    plain_text = usage.input_tokens - usage.cached_input_tokens - usage.cache_write_tokens - usage.image_input_tokens
    kinds = (
        ("input_usd", plain_text, price.input_usd),
        ("cached_input_usd", usage.cached_input_tokens, price.cached_input_usd),
        ("cache_write_usd", usage.cache_write_tokens, price.cache_write_usd),
        ("image_input_usd", plain_image, price.image_input_usd),
        ("cached_image_input_usd", usage.cached_image_input_tokens, price.cached_image_input_usd),
        ("output_usd", usage.output_tokens - usage.image_output_tokens, price.output_usd),
        ("image_output_usd", usage.image_output_tokens, price.image_output_usd),
    )
    if usage.images and not (usage.input_tokens or usage.output_tokens):
        raise UnpricedUsage(_unpriced(price, "pictures without tokens or a size", "per_image"))
    total = ZERO
    for name, tokens, usd in kinds:
        if tokens == 0:
            continue
        if tokens < 0:
            raise UnpricedUsage(
                f"usage does not add up: {name.removesuffix('_usd')} comes to {tokens} tokens in {usage}"
            )
        if usd is None:
            raise UnpricedUsage(_unpriced(price, f"{tokens} tokens of {name.removesuffix('_usd')}", name))
        total = _EXACT.add(total, per_million(tokens, usd))
    return total


def unpriced(price: PriceRow, *columns: str) -> UnpricedUsage:
    """The error for a row that lacks these columns, with what to type."""
    missing = " and ".join(columns)
    command = price_command(price.model, *columns, tier=price.service_tier)
    return UnpricedUsage(f"price row {price.id} of {price.model} has no {missing}: add it with `{command}`")


def _unpriced(price: PriceRow, what: str, column: str, image_key: str = "1024x1024") -> str:
    command = price_command(price.model, column, tier=price.service_tier, image_key=image_key)
    return (
        f"{price.model} used {what}, and its price row {price.id} ({price.service_tier}, from "
        f"{price.effective_from.isoformat()}) has no {column}: add it with `{command}`"
    )
