"""How values look on the native routes: times as RFC 3339 in UTC, money as decimal strings."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated

from pydantic import PlainSerializer, WithJsonSchema


def show_moment(moment: datetime) -> str:
    """`2026-11-24T10:30:00.123456Z`."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def show_usd(amount: Decimal) -> str:
    """Exact, without an exponent and without zeros at the end: `0.00123`."""
    shown = f"{amount:f}"
    return shown.rstrip("0").rstrip(".") if "." in shown else shown


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
