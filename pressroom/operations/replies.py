"""Strict reading of responses: what is not as documented raises MalformedReply, naming the place."""

from collections.abc import Mapping
from typing import Any

from pressroom.money.prices import price_tier
from pressroom.operations.base import MalformedReply


def object_at(place: str, value: Any) -> dict[str, Any]:
    """The value, which must be a JSON object."""
    if type(value) is not dict:
        raise MalformedReply(f"{place} is not an object but {type(value).__name__}")
    return value


def count(place: str, value: Any) -> int:
    """The value, which must be a whole number of at least 0; null counts as 0."""
    if value is None:
        return 0
    if type(value) is not int or value < 0:
        raise MalformedReply(f"{place} is not a number of tokens but {str(value)[:40]!r}")
    return value


def required_count(place: str, value: Any) -> int:
    """As `count`, but null or absent is an error: there is nothing to bill by."""
    if value is None:
        raise MalformedReply(f"{place} is missing")
    return count(place, value)


def served_tier(answer: Mapping[str, Any]) -> str:
    """The tier that the response says it was served at, by the name it has in `prices`."""
    tier = answer.get("service_tier")
    if tier is not None and type(tier) is not str:
        raise MalformedReply(f"service_tier is not a string but {type(tier).__name__}")
    return price_tier(tier)
