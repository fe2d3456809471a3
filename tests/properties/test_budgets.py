"""Budgets never hand out more than they have, whatever is asked of them in whatever order."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from models import BudgetPeriod
from pressroom.money.budgets import Purse, Room, window_end, window_start

amounts = st.decimals(min_value=0, max_value=10, places=10, allow_nan=False, allow_infinity=False)
lefts = st.decimals(min_value=-1, max_value=10, places=10, allow_nan=False, allow_infinity=False)


@st.composite
def budgets(draw: st.DrawFn) -> list[Room]:
    """Some windows, of which any may be overdrawn."""
    drawn = draw(st.lists(st.tuples(lefts, amounts, st.booleans()), min_size=1, max_size=5))
    return [Room(i, i, left + more if left > 0 else more, left, shared) for i, (left, more, shared) in enumerate(drawn)]


asks = st.lists(st.tuples(amounts, st.integers(1, 3), st.integers(0, 31)), max_size=40)


@given(rooms=budgets(), asked=asks)
def test_no_window_hands_out_more_than_it_has(rooms: list[Room], asked: Sequence[tuple[Decimal, int, int]]) -> None:
    before = {room.window: room.left_usd for room in rooms}
    taken = dict.fromkeys(before, Decimal(0))
    held_up: set[int] = set()
    purse = Purse()
    for amount, flow, mask in asked:
        mine = [room for room in rooms if mask >> room.window & 1]
        was = {room.window: room.left_usd for room in rooms}
        refused = purse.take(amount, mine, flow=flow)
        if refused is None:
            assert flow not in held_up, "nobody overtakes in a flow that is held up"
            for room in mine:
                taken[room.window] += amount
        else:
            assert {room.window: room.left_usd for room in rooms} == was, "from all of them or from none"
            held_up |= {flow} if refused.holds_up else set()
    for room in rooms:
        assert room.left_usd == before[room.window] - taken[room.window]
        assert taken[room.window] == 0 or room.left_usd >= 0


@given(
    period=st.sampled_from([BudgetPeriod.DAY, BudgetPeriod.MONTH]),
    now=st.integers(0, 80 * 366 * 86_400).map(lambda seconds: datetime.fromtimestamp(seconds, UTC)),
)
def test_every_moment_is_in_one_window_and_the_next_begins_where_it_ends(period: BudgetPeriod, now: datetime) -> None:
    start, end = window_start(period, now), window_end(period, now)

    assert end is not None
    assert start <= now < end
    assert window_start(period, end) == end
    assert window_start(period, end - timedelta(microseconds=1)) == start
