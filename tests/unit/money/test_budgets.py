"""Windows of budgets, figures as they read, and when waiting flows are let go."""

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import pytest

from models import BudgetPeriod
from pressroom.money.budgets import BEGINNING, Purse, Room, dollars, window_end, window_start, worth_waking

DAY, MONTH, TOTAL = BudgetPeriod.DAY, BudgetPeriod.MONTH, BudgetPeriod.TOTAL


@pytest.mark.parametrize(
    ("period", "now", "start", "end"),
    [
        (DAY, datetime(2026, 2, 28, 23, 59, 59, tzinfo=UTC), (2026, 2, 28), (2026, 3, 1)),
        (DAY, datetime(2026, 3, 1, tzinfo=UTC), (2026, 3, 1), (2026, 3, 2)),
        (MONTH, datetime(2026, 12, 31, 12, tzinfo=UTC), (2026, 12, 1), (2027, 1, 1)),
        (MONTH, datetime(2028, 2, 29, tzinfo=UTC), (2028, 2, 1), (2028, 3, 1)),
    ],
)
def test_a_window_is_a_utc_day_or_month(
    period: BudgetPeriod, now: datetime, start: tuple[int, int, int], end: tuple[int, int, int]
) -> None:
    assert window_start(period, now) == datetime(*start, tzinfo=UTC)
    assert window_end(period, now) == datetime(*end, tzinfo=UTC)


def test_the_day_is_utcs_wherever_the_clock_hangs() -> None:
    evening = datetime(2026, 11, 24, 20, 0, tzinfo=timezone(timedelta(hours=-8)))

    assert window_start(DAY, evening) == datetime(2026, 11, 25, tzinfo=UTC)


def test_a_budget_without_periods_has_one_window() -> None:
    assert window_start(TOTAL, datetime(2026, 11, 24, tzinfo=UTC)) == BEGINNING
    assert window_end(TOTAL, datetime(2026, 11, 24, tzinfo=UTC)) is None


@pytest.mark.parametrize(
    ("amount", "said"),
    [
        ("0", "$0.00"),
        ("5", "$5.00"),
        ("1234.5000000000", "$1,234.50"),
        ("0.0098304000", "$0.0098304"),
        ("0.0000000001", "$0.0000000001"),
        ("-0.0525", "-$0.0525"),
        ("1E+3", "$1,000.00"),
    ],
)
def test_figures_are_exact(amount: str, said: str) -> None:
    assert dollars(Decimal(amount)) == said


def room(left: str, *, cap: str = "10", shared: bool = True, window: int = 1) -> Room:
    """A window with something left."""
    return Room(window, window, Decimal(cap), Decimal(left), shared)


def test_what_stands_before_it_in_a_flow_keeps_its_turn() -> None:
    purse, left = Purse(), room("0.05")

    assert purse.take(Decimal("0.04"), [left], flow=1) is None
    refused = purse.take(Decimal("0.02"), [left], flow=1)
    assert refused is not None
    assert refused.holds_up
    assert purse.take(Decimal("0.01"), [left], flow=1) is refused
    assert purse.take(Decimal("0.01"), [left], flow=2) is None


def test_under_a_batchs_budget_a_smaller_one_goes_on() -> None:
    purse, left = Purse(), room("0.05", shared=False)

    refused = purse.take(Decimal("0.06"), [left], flow=1)
    assert refused is not None
    assert not refused.holds_up
    assert purse.take(Decimal("0.05"), [left], flow=1) is None


def test_one_that_is_larger_than_the_whole_cap_holds_up_nobody() -> None:
    purse, left = Purse(), room("0.50", cap="1")

    refused = purse.take(Decimal("1.01"), [left], flow=1)
    assert refused is not None
    assert (refused.hopeless, refused.holds_up) == (True, False)
    assert purse.take(Decimal("0.50"), [left], flow=1) is None


def test_refused_by_one_budget_it_takes_from_none() -> None:
    purse, wide, narrow = Purse(), room("1"), room("0.01", window=2)

    refused = purse.take(Decimal("0.02"), [wide, narrow], flow=1)

    assert refused is not None
    assert refused.room is narrow
    assert (wide.left_usd, narrow.left_usd) == (Decimal(1), Decimal("0.01"))


@pytest.mark.parametrize(("left", "starts"), [("0", True), ("-0.0000000001", False)])
def test_a_job_that_costs_nothing_is_counted_too(left: str, starts: bool) -> None:
    assert (Purse().take(Decimal(0), [room(left)], flow=1) is None) is starts


@pytest.mark.parametrize(
    ("left", "reserved", "wakes"),
    [("0.01", "1", False), ("0.25", "1", True), ("0.01", "0", True), ("0", "0", True), ("-0.01", "0", False)],
)
def test_waiting_flows_are_let_go_in_waves(left: str, reserved: str, wakes: bool) -> None:
    assert worth_waking(Decimal(left), Decimal(reserved)) is wakes
