"""Two books side by side, and what a total says of single calls."""

from datetime import date
from decimal import Decimal
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pressroom.catalog.load import catalog
from pressroom.money.export_file import ExportLine
from pressroom.money.price_book import catalog_price_book
from pressroom.money.reconciling import (
    Booked,
    Figures,
    Risk,
    Tolerance,
    Verdict,
    compare,
    exported_by_day,
    family,
    share_out,
)

MONDAY, TUESDAY = date(2026, 11, 23), date(2026, 11, 24)
KEY = (MONDAY, "gpt-4o-mini")
BOOKS = Booked(
    calls=100, unknown_calls=2, input_tokens=1000, output_tokens=500, usd=Decimal(10), at_risk_usd=Decimal(1)
)


def judged(ours: Booked, theirs: Figures) -> tuple[Verdict, list[str]]:
    [line] = compare({KEY: ours}, {KEY: theirs}, Tolerance())
    return line.verdict, list(line.off)


@pytest.mark.parametrize(
    ("usd", "verdict"),
    [
        ("10", Verdict.SAME),
        ("10.1", Verdict.SAME),
        ("9.91", Verdict.SAME),
        ("9.8", Verdict.DIFFERS),
        ("10.5", Verdict.AT_RISK),
        ("11.1", Verdict.AT_RISK),
        ("11.2", Verdict.DIFFERS),
    ],
)
def test_costs_may_be_off_by_the_tolerance_and_above_by_what_is_at_risk(usd: str, verdict: Verdict) -> None:
    assert judged(BOOKS, Figures(usd=Decimal(usd)))[0] is verdict


def test_calls_without_an_answer_may_have_been_counted_there() -> None:
    assert judged(BOOKS, Figures(calls=102)) == (Verdict.AT_RISK, [])
    assert judged(BOOKS, Figures(calls=104)) == (Verdict.DIFFERS, ["calls"])
    assert judged(BOOKS, Figures(calls=90, input_tokens=5000)) == (Verdict.DIFFERS, ["calls"])
    assert judged(Booked(calls=5, input_tokens=1000), Figures(calls=5, input_tokens=1500)) == (
        Verdict.DIFFERS,
        ["input_tokens"],
    )


def test_a_cent_is_no_difference_and_what_the_file_does_not_say_is_not_compared() -> None:
    assert judged(Booked(usd=Decimal("0.001"), images=7), Figures(usd=Decimal("0.0105"))) == (Verdict.SAME, [])


def test_what_only_one_side_knows_is_a_line_too() -> None:
    theirs = {(TUESDAY, "gpt-4o-mini"): Figures(usd=Decimal(3))}
    monday, tuesday = compare({KEY: BOOKS}, theirs, Tolerance())
    assert (monday.day, monday.exported.usd, monday.verdict) == (MONDAY, Decimal(0), Verdict.DIFFERS)
    assert (tuesday.booked.usd, tuesday.difference_usd, tuesday.verdict) == (Decimal(0), Decimal(3), Verdict.DIFFERS)


@pytest.mark.parametrize(
    ("named", "known_as"),
    [
        ("gpt-4o-mini-2024-07-18", "gpt-4o-mini"),
        ("gpt-4o-mini", "gpt-4o-mini"),
        ("gpt-6-luna-2026-10-14", "gpt-6-luna"),
        ("own-model-2026-01-01", "own-model"),
        ("own-model", "own-model"),
    ],
)
def test_a_dated_snapshot_belongs_to_its_family(named: str, known_as: str) -> None:
    assert family(named, catalog()) == known_as


def test_usage_without_costs_is_priced_by_our_rows() -> None:
    lines = [
        ExportLine(MONDAY, "gpt-4o-mini-2024-07-18", 2, 1_000_000, 500_000, 1_000_000),
        ExportLine(MONDAY, "gpt-4o-mini", 1, 1_000_000, 0, 0, tier="batch"),
        ExportLine(MONDAY, "dall-e-2", 1, images=3, size="256x256"),
        ExportLine(MONDAY, "nobodys", 1, 5, 0, 5),
    ]
    found = exported_by_day(lines, catalog(), catalog_price_book())
    # 0.5 M fresh and 0.5 M cached tokens in, 1 M out; and a million in a batch.
    assert found[KEY].usd == Decimal("0.7125") + Decimal("0.075")
    assert (found[KEY].calls, found[KEY].input_tokens) == (3, 2_000_000)
    assert found[MONDAY, "dall-e-2"].usd == Decimal("0.048")
    assert found[MONDAY, "nobodys"].usd is None


def risk(number: int, day: date, usd: str) -> Risk:
    return Risk(UUID(int=number), day, Decimal(usd))


def test_the_excess_is_posted_on_the_oldest_and_the_rest_is_void() -> None:
    risks = [risk(3, TUESDAY, "0.02"), risk(1, MONDAY, "0.02"), risk(2, MONDAY, "0.02")]
    shares = share_out({MONDAY: Decimal("0.03"), TUESDAY: Decimal(0)}, risks)
    assert shares.usd == {UUID(int=1): Decimal("0.02"), UUID(int=2): Decimal("0.01"), UUID(int=3): 0}
    assert shares.left_usd == 0


def test_a_days_own_calls_come_first_and_calls_around_midnight_are_found() -> None:
    risks = [risk(1, MONDAY, "0.02"), risk(2, TUESDAY, "0.02")]
    assert share_out({TUESDAY: Decimal("0.02")}, risks).usd == {UUID(int=1): 0, UUID(int=2): Decimal("0.02")}
    late = [risk(1, MONDAY, "0.02")]
    assert share_out({TUESDAY: Decimal("0.02")}, late).usd == {UUID(int=1): Decimal("0.02")}


def test_less_than_ours_voids_everything_and_more_than_the_risk_is_left() -> None:
    assert share_out({MONDAY: Decimal(-1)}, [risk(1, MONDAY, "0.02")]).usd == {UUID(int=1): 0}
    assert share_out({MONDAY: Decimal(1)}, [risk(1, MONDAY, "0.02")]).left_usd == Decimal("0.98")


AMOUNTS = st.integers(-50, 100).map(lambda cents: Decimal(cents) / 100)
DAYS = st.sampled_from([MONDAY, TUESDAY, date(2026, 11, 25)])


@given(st.dictionaries(DAYS, AMOUNTS), st.lists(st.tuples(DAYS, st.integers(0, 60)), max_size=12))
def test_exactly_the_totals_excess_is_posted_as_far_as_that_much_is_at_risk(
    excess: dict[date, Decimal], cents: list[tuple[date, int]]
) -> None:
    risks = [Risk(UUID(int=n), day, Decimal(amount) / 100) for n, (day, amount) in enumerate(cents)]
    shares = share_out(excess, risks)
    total, at_risk = sum(excess.values(), Decimal(0)), sum((one.usd for one in risks), Decimal(0))
    assert sum(shares.usd.values(), Decimal(0)) == max(Decimal(0), min(total, at_risk))
    assert all(0 <= shares.usd[one.id] <= one.usd for one in risks)
    assert shares.left_usd == max(Decimal(0), total) - sum(shares.usd.values(), Decimal(0))
