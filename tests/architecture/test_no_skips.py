"""A test that was left out fails CI, unless it needs what is not here to commit and is not here."""

import os
from pathlib import Path

import pytest

from tools.no_skips import EXCUSES, SHARED_DATA, Outcome, faults, main, read_outcomes

REPORT = """<?xml version="1.0"?><testsuites><testsuite>
  <testcase classname="tests.a" name="runs"/>
  <testcase classname="tests.a" name="fails"><failure message="no"/></testcase>
  <testcase classname="tests.a" name="skips"><skipped type="pytest.skip" message="no server"/></testcase>
  <testcase classname="tests.a" name="is_expected_to_fail"><skipped type="pytest.xfail" message=""/></testcase>
  <testcase classname="tests.a" name="wants_prompts"><skipped message="needs ../shared/data/parti.tsv"/></testcase>
</testsuite></testsuites>"""
WITHOUT = "<testsuites><testsuite/></testsuites>"
CLEAN = '<testsuites><testsuite><testcase classname="t" name="runs"/></testsuite></testsuites>'


def test_a_report_is_read_with_the_reason_of_each_skip() -> None:
    assert [outcome.skip for outcome in read_outcomes(REPORT)] == [
        None,
        None,
        "no server",
        "pytest.xfail",
        "needs ../shared/data/parti.tsv",
    ]


def test_skips_and_expected_failures_are_faults() -> None:
    found = faults(read_outcomes(REPORT), ["needs ../shared/data"])

    assert found == ["tests.a::skips: no server", "tests.a::is_expected_to_fail: pytest.xfail"]


def test_an_excuse_counts_only_where_it_holds() -> None:
    outcome = Outcome("tests.a::wants_prompts", "needs ../shared/data")

    assert faults([outcome], ["needs ../shared/data"]) == []
    assert faults([outcome], ["only root can"]) == ["tests.a::wants_prompts: needs ../shared/data"]


def test_the_excuses_are_about_this_machine() -> None:
    holds = {reason for reason, check in EXCUSES.items() if check()}

    assert ("only root can" in holds) == (os.geteuid() != 0)
    assert ("needs ../shared/data" in holds) == (not SHARED_DATA.exists())


def test_a_run_without_tests_is_a_fault() -> None:
    assert faults(read_outcomes(WITHOUT), []) == ["the report holds no test"]


def test_what_is_no_report_is_refused() -> None:
    with pytest.raises(ValueError, match="not a JUnit report"):
        read_outcomes("<testsuites>")


@pytest.mark.parametrize(("report", "code"), [(CLEAN, 0), (REPORT, 1), (WITHOUT, 1)])
def test_the_exit_code_tells(tmp_path: Path, report: str, code: int) -> None:
    path = tmp_path / "report.xml"
    path.write_text(report)

    assert main([str(path)]) == code


def test_a_missing_report_is_an_error(tmp_path: Path) -> None:
    assert main([str(tmp_path / "none.xml")]) == 2
    assert main([]) == 2
