"""How numbers, times and money read."""

import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation

from pressroom.errors import InvalidInput, Problem

_THOUSANDS = re.compile(r"\d{1,3}(?:,\d{3})+(?:\.\d*)?", re.ASCII)
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}


def usd(amount: Decimal | None) -> str:
    """Cents, and more places only where cents would hide the amount."""
    if amount is None:
        return "-"
    places = 2 if amount == 0 or abs(amount) >= 1 else 4 if abs(amount) >= Decimal("0.01") else 6
    return f"{'-' if amount < 0 else ''}${abs(amount):,.{places}f}"


def parse_usd(option: str, given: str) -> Decimal:
    """Dollars as people type them: `5`, `2.50`, `$2.50` or `1,000.00`. Raises InvalidInput.

    A comma counts only where it parts thousands: `5,00` is five dollars to one half of the world, and must not be five
    hundred to us.
    """
    typed = given.strip().removeprefix("$")
    try:
        return Decimal(typed.replace(",", "") if _THOUSANDS.fullmatch(typed) else typed)
    except InvalidOperation:
        raise InvalidInput([Problem(option, "is not an amount", "Give dollars as 5 or 2.50", value=given)]) from None


def count(number: int, noun: str) -> str:
    """`1 job`, `2 jobs`, `1,632 jobs`; nouns in -ch take -es."""
    plural = "es" if noun.endswith("ch") else "s"
    return f"{number:,} {noun}{'' if number == 1 else plural}"


def duration(seconds: float) -> str:
    """`0.4 s`, `42 s`, `3 min 05 s`, `2 h 10 min`."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02} min"


def moment(when: datetime | None) -> str:
    """Local time to the second."""
    return "-" if when is None else when.astimezone().strftime("%Y-%m-%d %H:%M:%S")


def quantity(number: float | None, *, measured: bool = False) -> str:
    """A limit or a rate: whole where it is large. One that was measured has three digits that mean something."""
    if number is None:
        return "-"
    if measured:
        number = float(f"{number:.3g}")
    return f"{number:,.0f}" if number >= 100 or number == int(number) else f"{number:,.1f}"


def compact(number: float) -> str:
    """A limit where there is little room, to three digits: `500`, `1.2k`, `200k`, `1.5M`."""
    rounded = float(f"{number:.3g}")
    for unit, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if rounded >= unit:
            return f"{rounded / unit:.3g}{letter}"
    return f"{rounded:.3g}"


def shortened(text: str, characters: int = 60) -> str:
    """The beginning, where the whole would not fit."""
    return text if len(text) <= characters else f"{text[: characters - 1].rstrip()}…"


def parse_seconds(option: str, value: str) -> float:
    """How long: `45s`, `90m`, `2h`, `7d`. Raises InvalidInput."""
    number, unit = value[:-1], value[-1:]
    if unit not in _UNITS or not (number.isascii() and number.isdigit()) or len(number) > 9:
        raise InvalidInput([Problem(option, "is not a time", "Give how long: 45s, 90m, 2h, 7d", value=value)])
    return float(int(number) * _UNITS[unit])


def parse_deadline(value: str | None, *, now: datetime, option: str = "--deadline") -> datetime | None:
    """`2026-11-24T10:30`, or how long from now: `90m`, `2h`, `7d`. Raises InvalidInput, also for times past."""
    if value is None:
        return None
    number, unit = value[:-1], value[-1:]
    remedy = "Give a time to come (2026-11-24T10:30), or how long from now: 90m, 2h, 7d"
    try:
        if unit in _UNITS and number.isdigit():
            found = now + timedelta(seconds=int(number) * _UNITS[unit])
        else:
            found = datetime.fromisoformat(value).astimezone()
    except (ValueError, OverflowError):
        raise InvalidInput([Problem(option, "is not a time", remedy, value=value)]) from None
    if found <= now:
        raise InvalidInput([Problem(option, "has passed", remedy, value=value)])
    return found


def parse_time(option: str, value: str | None, *, now: datetime) -> datetime | None:
    """`2026-11-24`, `2026-11-24T10:30`, or how long ago: `90m`, `2h`, `7d`. Raises InvalidInput."""
    if value is None:
        return None
    number, unit = value[:-1], value[-1:]
    if unit in _UNITS and number.isdigit():
        return datetime.fromtimestamp(now.timestamp() - int(number) * _UNITS[unit], tz=UTC)
    try:
        return datetime.fromisoformat(value).astimezone()
    except ValueError:
        remedy = "Give a date, a date with time (2026-11-24T10:30), or how long ago: 90m, 2h, 7d"
        raise InvalidInput([Problem(option, "is not a time", remedy, value=value)]) from None
