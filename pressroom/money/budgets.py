"""Arithmetic of budgets: when a window begins and ends, and which calls there is money for. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import UUID

from models import BudgetPeriod, BudgetScope

BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)
"""Where the only window of a budget without periods begins."""

_WAKE_SHARE = 4


def window_start(period: BudgetPeriod, now: datetime) -> datetime:
    """The beginning of the UTC day or month that `now` is in, BEGINNING for a budget that never starts anew."""
    midnight = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    match period:
        case BudgetPeriod.DAY:
            return midnight
        case BudgetPeriod.MONTH:
            return midnight.replace(day=1)
        case BudgetPeriod.TOTAL:
            return BEGINNING


def window_end(period: BudgetPeriod, now: datetime) -> datetime | None:
    """When the window that `now` is in gives way to the next; None for never."""
    start = window_start(period, now)
    match period:
        case BudgetPeriod.DAY:
            return start + timedelta(days=1)
        case BudgetPeriod.MONTH:
            return (start + timedelta(days=32)).replace(day=1)
        case BudgetPeriod.TOTAL:
            return None


@dataclass(frozen=True, slots=True)
class BudgetKey:
    """Which budget: whose (a project's, batch's or API key's id; none for the installation), and of which period."""

    scope: BudgetScope
    scope_id: UUID | None = None
    period: BudgetPeriod = BudgetPeriod.TOTAL


@dataclass(slots=True)
class Room:
    """A window with `left_usd` of its `cap_usd`; negative where it is overdrawn.

    A job that a window `shared` by its whole flow has no room for holds up those behind it, which need the same money;
    under any other it waits by itself. So does a job larger than the whole cap: it must not stop those that fit.
    """

    window: int
    budget: int
    cap_usd: Decimal
    left_usd: Decimal
    shared: bool


@dataclass(frozen=True, slots=True)
class Refused:
    """Why there is no money: the first window without room, and whether what is behind in the flow waits with it.

    `hopeless`: it is more than the whole cap, so only a higher one helps.
    """

    room: Room
    holds_up: bool
    hopeless: bool


@dataclass(frozen=True, slots=True)
class Ceiling:
    """The lowest whole cap that jobs come under: one that may cost more can never start.

    `name` is the budget's, `remedy` what to do about it, for the end of a sentence.
    """

    cap_usd: Decimal
    name: str
    remedy: str


class Purse:
    """Hands out what the windows have left, call by call, and never more."""

    def __init__(self) -> None:
        self._held_up: dict[int, Refused] = {}

    def take(self, amount_usd: Decimal, rooms: Sequence[Room], *, flow: int) -> Refused | None:
        """Take the amount from all of `rooms`, or from none of them and say why. A flow's calls come in its order."""
        before = self._held_up.get(flow)
        if before is not None:
            return before
        lacking = [room for room in rooms if amount_usd > room.left_usd]
        if not lacking:
            for room in rooms:
                room.left_usd -= amount_usd
            return None
        hopeless = [room for room in lacking if amount_usd > room.cap_usd]
        first = min(hopeless or lacking, key=lambda room: room.shared)
        refused = Refused(first, first.shared and not hopeless, bool(hopeless))
        if refused.holds_up:
            self._held_up[flow] = refused
        return refused


def worth_waking(left_usd: Decimal, reserved_usd: Decimal) -> bool:
    """Whether flows that are held up should try again now, or wait for more of what is reserved to come back.

    Near the cap every call that ends returns a little. Waking for each would claim hundreds of jobs to start one; so
    a wave is let go when a quarter of what is out has come back, or nothing is out any more.
    """
    return left_usd >= 0 and left_usd * _WAKE_SHARE >= reserved_usd


def dollars(amount: Decimal) -> str:
    """Exact, with two decimal places or as many as it has: figures that differ must not look the same."""
    exact = amount.normalize()
    places = max(2, -int(exact.as_tuple().exponent))
    return f"-${-exact:,.{places}f}" if exact < 0 else f"${exact:,.{places}f}"
