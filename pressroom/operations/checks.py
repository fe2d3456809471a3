"""Checks of single request fields. Hand-written and cheap: a batch of a million lines passes through them.

A check takes the field's name and its value (never null: null means absent) and returns a Problem or None.
"""

import json
from collections.abc import Callable, Collection
from typing import Any

from pressroom.errors import Problem

Check = Callable[[str, Any], Problem | None]
_SHOWN = 80


def shown(value: Any) -> str:
    """The value as JSON, cut to a length that fits on a line."""
    try:
        text = json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError):
        text = repr(value)
    return shortened(text)


def shortened(text: str) -> str:
    """The text, cut to a length that fits on a line."""
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"


def missing(field: str, remedy: str) -> Problem:
    """A required field is absent or null."""
    return Problem(field, "is required", remedy, code="missing_required_parameter")


def wrong_type(field: str, value: Any, wanted: str) -> Problem:
    """`wanted` reads on after "Give", as in `a string`."""
    return Problem(field, f"must be {wanted}", f"Give {wanted}", value=shown(value), code="invalid_type")


def integer(low: int, high: int | None = None) -> Check:
    """A whole number within bounds, both included."""
    wanted = f"a whole number of at least {low}" if high is None else f"a whole number from {low} to {high}"

    def check(field: str, value: Any) -> Problem | None:
        if type(value) is not int:
            return wrong_type(field, value, wanted)
        if value < low or (high is not None and value > high):
            return Problem(field, f"must be {wanted}", f"Give {wanted}", value=shown(value))
        return None

    return check


def number(low: float, high: float) -> Check:
    """A finite number within bounds, both included."""
    wanted = f"a number from {low:g} to {high:g}"

    def check(field: str, value: Any) -> Problem | None:
        if type(value) is not float and type(value) is not int:
            return wrong_type(field, value, wanted)
        if not low <= value <= high:
            return Problem(field, f"must be {wanted}", f"Give {wanted}", value=shown(value))
        return None

    return check


def of_type(kind: type, wanted: str) -> Check:
    """Exactly one JSON type."""

    def check(field: str, value: Any) -> Problem | None:
        return None if type(value) is kind else wrong_type(field, value, wanted)

    return check


def one_of(*allowed: str) -> Check:
    """One of a few strings."""
    return member(allowed)


def member(allowed: Collection[str]) -> Check:
    """One of the strings given."""
    listed = ", ".join(allowed)

    def check(field: str, value: Any) -> Problem | None:
        if type(value) is str and value in allowed:
            return None
        return Problem(field, "is not one of the allowed values", f"Give one of: {listed}", value=shown(value))

    return check


string = of_type(str, "a string")
boolean = of_type(bool, "true or false")
mapping = of_type(dict, "an object")
array = of_type(list, "an array")


def not_streamed(field: str, value: Any) -> Problem | None:
    """Jobs keep whole answers; nobody listens to a stream."""
    if value is False:
        return None
    return Problem(field, "must not be true: a job keeps the whole answer", "Leave `stream` out", value=shown(value))


def metadata(field: str, value: Any) -> Problem | None:
    """Up to 16 pairs of strings, keys up to 64 and values up to 512 characters."""
    wanted = "an object of at most 16 strings, with keys of up to 64 and values of up to 512 characters"
    if type(value) is not dict or len(value) > 16:
        return wrong_type(field, value, wanted)
    for key, text in value.items():
        if len(key) > 64 or type(text) is not str or len(text) > 512:
            return wrong_type(f"{field}.{key[:64]}", text, wanted)
    return None


def model_problem(model: Any) -> Problem | None:
    """Every job names its model."""
    if model is None:
        return missing("model", 'Name the model, as in "model": "gpt-4o-mini"')
    if type(model) is not str:
        return wrong_type("model", model, "a string")
    return None if model else missing("model", "Name the model; an empty string names none")
