"""`pressroom budgets`, and where else a budget shows, through the command line as it is typed."""

import pytest

from cli.exits import ExitCode
from pressroom.ids import show_id
from tests.fixtures.desk import EST_USD, Desk
from tests.integration.cli.conftest import Run


def test_a_budget_is_set_listed_and_removed(pressroom: Run, desk: Desk) -> None:
    made = pressroom("budgets", "set", "$5.00", "--project", "default", "--period", "day", "--json")
    assert (made["scope"], made["scope_name"], made["period"]) == ("project", "default", "day")
    assert (float(made["cap_usd"]), float(made["left_usd"]), made["sandbox"]) == (5.0, 5.0, True)
    assert made["resets_at"] is not None

    pressroom("budgets", "set", "7.5", "--project", "default", "--period", "day")
    pressroom("budgets", "set", "100", "--installation")
    listed = pressroom("budgets", "list", "--json")
    assert [(row["scope"], float(row["cap_usd"])) for row in listed] == [("installation", 100.0), ("project", 7.5)]
    assert "project default" in pressroom("budgets", "list").stdout

    asked = ("budgets", "remove", "--project", "default", "--period", "day")
    assert "--yes" in pressroom(*asked, code=ExitCode.BAD_INPUT).stderr
    assert pressroom(*asked, "--yes", "--json") == {"removed": True, "waiting_jobs": 0}
    assert "no such budget" in pressroom(*asked, "--yes", code=ExitCode.BAD_INPUT).stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("5", "--period", "day"), "must be of one thing"),
        (("5", "--installation", "--batch", "batch_1"), "must be of one thing"),
        (("5", "--project", "default", "--installation"), "must be of one thing"),
        (("5,00", "--installation"), "USD: is not an amount (got 5,00)"),
        (("-1", "--installation"), "No such option"),
        (("five", "--installation"), "USD: is not an amount (got five)"),
        (("5", "--installation", "--period", "week"), "--period: is not a period (got week)"),
        (("0.00000000001", "--installation"), "is not an amount"),
        (("5", "--project", "nobody"), "there is no project 'nobody'"),
        (("5", "--batch", f"batch_{'0' * 32}"), "there is no batch"),
        (("5", "--batch", f"batch_{'0' * 32}", "--period", "day"), "a batch's budget has none"),
    ],
)
def test_what_is_no_budget_is_refused(pressroom: Run, arguments: tuple[str, ...], said: str) -> None:
    assert said in pressroom("budgets", "set", *arguments, code=ExitCode.BAD_INPUT).stderr


def test_jobs_and_batches_say_that_they_wait_for_money(pressroom: Run, desk: Desk) -> None:
    pressroom("budgets", "set", str(EST_USD * 2), "--project", "default")
    batch = show_id("batch", desk.submit(5))
    worker = desk.worker()
    assert len(desk.take(worker)) == 2

    waits = [job["waiting_because"] for job in pressroom("jobs", "list", "--state", "queued", "--json")]
    assert (
        waits
        == [
            "waits for money: budget of project default: $0.00 of $0.04 spent of the sandbox's money, $0.04 reserved; "
            "the job may cost $0.02"
        ]
        * 3
    )
    [budget] = pressroom("batches", "show", batch, "--json")["budgets"]
    assert budget["waiting_jobs"] > 0
    assert "waits for money: budget of project default" in pressroom("batches", "show", batch).stdout


def test_a_parked_job_shows_no_time_to_run(pressroom: Run, desk: Desk) -> None:
    batch = show_id("batch", desk.submit(3))
    pressroom("budgets", "set", str(EST_USD), "--batch", batch)
    desk.take(desk.worker())

    waiting = pressroom("jobs", "list", "--state", "queued", "--json")
    assert [(job["run_at"], f"budget of {batch}" in job["waiting_because"]) for job in waiting] == [(None, True)] * 2
    shown = pressroom("batches", "show", batch, "--json")
    assert (shown["waiting"], shown["queued"]) == (0, 2)

    pressroom("budgets", "set", str(EST_USD / 2), "--batch", batch)
    [hopeless, _] = pressroom("jobs", "list", "--state", "queued", "--json")
    assert "more than the whole budget of" in hopeless["waiting_because"]


def test_a_project_of_the_environment_gives_way_to_what_was_typed(
    pressroom: Run, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PRESSROOM_PROJECT", "default")
    assert pressroom("budgets", "set", "5", "--installation", "--json")["scope"] == "installation"
    assert pressroom("budgets", "set", "5", "--json")["scope"] == "project"
    twice = ("budgets", "remove", "--project", "default", "--installation", "--yes")
    assert "must be of one thing" in pressroom(*twice, code=ExitCode.BAD_INPUT).stderr
    assert len(pressroom("budgets", "list", "--json")) == 2


def test_what_the_sandbox_has_used_is_not_shown_beside_an_empty_row_of_real_money(
    pressroom: Run, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    pressroom("budgets", "set", "7", "--installation")
    desk.submit(1)
    desk.take(desk.worker())
    desk.project("idle")
    pressroom("budgets", "set", "5", "--project", "idle")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-none")

    shown = pressroom("budgets", "list", "--json")

    assert [(row["scope"], row["sandbox"]) for row in shown] == [("installation", True), ("project", False)]
