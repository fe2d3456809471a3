"""How values look on the native routes: times as RFC 3339 in UTC, money as decimal strings."""

import re
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Annotated

from pydantic import AwareDatetime, BeforeValidator, PlainSerializer, WithJsonSchema

_NUMBER = re.compile(r"\s*[-+]?[0-9._]+(e[-+]?[0-9]+)?\s*", re.IGNORECASE)


def show_moment(moment: datetime) -> str:
    """`2026-11-24T10:30:00.123456Z`."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def show_usd(amount: Decimal) -> str:
    """Exact, without an exponent and without zeros at the end: `0.00123`."""
    shown = f"{amount:f}"
    return shown.rstrip("0").rstrip(".") if "." in shown else shown


def _written_out(value: object) -> object:
    """For times and days that clients give: not as a number, which could mean many things."""
    if not isinstance(value, str) or _NUMBER.fullmatch(value):
        raise ValueError("give it as text, like 2026-11-24 or 2026-11-24T10:30:00Z")
    return value


GivenMoment = Annotated[AwareDatetime, BeforeValidator(_written_out)]
"""A time that a client gives, with its UTC offset."""
GivenDay = Annotated[date, BeforeValidator(_written_out)]
"""A UTC day that a client gives."""
Moment = Annotated[
    datetime,
    PlainSerializer(show_moment, return_type=str),
    WithJsonSchema({"type": "string", "format": "date-time", "examples": ["2026-11-24T10:30:00.123456Z"]}),
]
Usd = Annotated[
    Decimal,
    PlainSerializer(show_usd, return_type=str),
    WithJsonSchema({"type": "string", "pattern": r"^-?\d+(\.\d+)?$", "examples": ["0.00123"]}),
]
