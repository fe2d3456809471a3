"""How numbers, times, money and tables read."""

import sys
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from cli.exits import ExitCode
from cli.terminal import fit, not_agreed, plain_table
from cli.wording import count, duration, parse_time, parse_usd, quantity, shortened, usd
from pressroom.errors import InvalidInput

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("amount", "shown"),
    [
        (None, "-"),
        (Decimal(0), "$0.00"),
        (Decimal("1234.567"), "$1,234.57"),
        (Decimal("-0.5"), "-$0.5000"),
        (Decimal("0.016"), "$0.0160"),
        (Decimal("0.00001234"), "$0.000012"),
    ],
)
def test_money_keeps_the_places_that_matter(amount: Decimal | None, shown: str) -> None:
    assert usd(amount) == shown


def test_counts_agree_with_their_noun() -> None:
    assert [count(n, "job") for n in (0, 1, 1632)] == ["0 jobs", "1 job", "1,632 jobs"]
    assert count(2, "batch") == "2 batches"


@pytest.mark.parametrize(
    ("seconds", "shown"), [(0.44, "0.4 s"), (42.4, "42 s"), (185, "3 min 05 s"), (7800, "2 h 10 min")]
)
def test_durations_read_like_durations(seconds: float, shown: str) -> None:
    assert duration(seconds) == shown


def test_quantities_are_whole_where_large() -> None:
    assert [quantity(n) for n in (None, 0.9, 50.0, 1234.6)] == ["-", "0.9", "50", "1,235"]


def test_a_measured_limit_is_not_told_more_exactly_than_it_is_known() -> None:
    assert [quantity(n, measured=True) for n in (None, 0.9, 500.02, 200_004, 1_499_993.1)] == [
        "-",
        "0.9",
        "500",
        "200,000",
        "1,500,000",
    ]


def test_long_text_is_shortened_to_fit() -> None:
    assert shortened("short", 5) == "short"
    assert shortened("a longer text", 8) == "a longe…"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("90m", datetime(2026, 11, 24, 10, 30, tzinfo=UTC)),
        ("7d", datetime(2026, 11, 17, 12, 0, tzinfo=UTC)),
        ("2026-11-01T10:00+00:00", datetime(2026, 11, 1, 10, 0, tzinfo=UTC)),
    ],
)
def test_times_are_dates_or_how_long_ago(given: str, expected: datetime) -> None:
    assert parse_time("--since", given, now=NOW) == expected


def test_a_date_without_a_zone_is_local() -> None:
    assert parse_time("--since", "2026-11-01", now=NOW) == datetime(2026, 11, 1).astimezone()


@pytest.mark.parametrize("given", ["soon", "5y", "-5m", "m", ""])
def test_what_is_no_time_is_refused(given: str) -> None:
    with pytest.raises(InvalidInput, match="is not a time"):
        parse_time("--since", given, now=NOW)


def test_a_plain_table_aligns_its_columns() -> None:
    lines = plain_table(("MODEL", "JOBS"), [["dall-e-2", "1,000"], ["x", "7"]], right=("JOBS",))
    assert lines == ["MODEL      JOBS", "dall-e-2  1,000", "x             7"]


def test_an_empty_table_is_its_header() -> None:
    assert plain_table(("A", "B"), []) == ["A  B"]


@pytest.mark.parametrize(
    ("given", "dollars"), [("5", "5"), ("$2.50", "2.50"), ("1,000", "1000"), ("12,345,678.90", "12345678.90")]
)
def test_dollars_are_read_as_people_type_them(given: str, dollars: str) -> None:
    assert parse_usd("USD", given) == Decimal(dollars)


@pytest.mark.parametrize("given", ["5,00", "2,5", "1,0000", "0,005.00,1", "five", ""])
def test_a_comma_that_parts_no_thousands_is_not_passed_over(given: str) -> None:
    with pytest.raises(InvalidInput, match="is not an amount"):
        parse_usd("USD", given)


def test_a_narrow_table_drops_columns_before_it_cuts_names_and_keeps_names_apart() -> None:
    columns = ("DEPLOYMENT", "LIMITS", "USED", "STATE")
    names = [f"team-{n}@sandbox/gpt-4o-mini-2024-07-18" for n in "ab"]
    rows = [[name, "600 rpm, 60k tpm, 5 ipm", "12%", "ok"] for name in names]
    spare = ("USED", "LIMITS")

    assert fit(columns, rows, 120, spare=spare)[0] == list(columns)
    assert fit(columns, rows, 70, spare=spare)[0] == ["DEPLOYMENT", "LIMITS", "STATE"]
    kept, short = fit(columns, rows, 34, spare=spare)

    assert kept == ["DEPLOYMENT", "STATE"]
    cut = [row[0] for row in short]
    assert len(set(cut)) == 2
    assert all("…" in name and len(name) == 27 for name in cut)


@pytest.mark.parametrize(("somebody", "code"), [(True, ExitCode.DECLINED), (False, ExitCode.BAD_INPUT)])
def test_a_no_is_told_from_nobody_to_ask(
    somebody: bool, code: ExitCode, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stdin, "isatty", lambda: somebody)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: somebody)
    assert not_agreed("nothing was done").exit_code == code
    assert ("--yes" in capsys.readouterr().err) is not somebody
