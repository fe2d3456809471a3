"""Prices, estimates and consent, through the command line as it is typed."""

import json
import shlex
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, text

from cli.exits import ExitCode
from pressroom.ids import show_id
from tests.fixtures.desk import COST_USD, EST_USD, Desk, success, unknown
from tests.integration.cli.conftest import Run

Lines = Callable[..., str]


@pytest.fixture
def texts(tmp_path: Path) -> Lines:
    """Make a batch file of so many like requests."""

    def make(count: int, **body: Any) -> str:
        path = tmp_path / f"texts-{count}.jsonl"
        request = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 100} | body
        line = {"method": "POST", "url": "/v1/chat/completions", "body": request}
        path.write_text("\n".join(json.dumps(line | {"custom_id": f"t{number}"}) for number in range(count)))
        return str(path)

    return make


@pytest.fixture
def for_real(monkeypatch: pytest.MonkeyPatch) -> None:
    """A key, so that money is real; no worker runs, so none is spent."""
    monkeypatch.setenv("OPENAI_API_KEY", "nobody")


def test_an_estimate_stores_nothing_and_tells_cost_and_time(
    pressroom: Run, texts: Lines, for_real: None, engine: Engine
) -> None:
    found = pressroom("estimate", texts(1000), "--limit", "gpt-4o-mini:rpm=600,tpm=60000", "--json")

    [model] = found["models"]
    assert (found["requests"], model["model"], found["sandbox"]) == (1000, "gpt-4o-mini", False)
    low, expected, upper = (float(model[f"{name}_usd"]) for name in ("low", "expected", "upper"))
    assert 0 < low < expected <= upper
    assert model["limited_by"] == "tpm"
    assert model["seconds"] == pytest.approx(108, rel=0.02)  # 108 tokens a request, 1,000 a second
    with engine.connect() as conn:
        for table in ("batches", "jobs", "deployments", "prices"):
            assert conn.execute(text(f"SELECT count(*) FROM {table}")).scalar() == 0, table


def test_an_estimate_is_refused_as_a_submission_would_be(pressroom: Run, texts: Lines) -> None:
    refused = pressroom("estimate", texts(2, temperature=9), code=ExitCode.BAD_INPUT)
    assert "line 1: body.temperature" in refused.stderr
    assert "line 2: body.temperature" in refused.stderr


def test_a_model_without_a_price_is_submitted_once_it_has_one(pressroom: Run, texts: Lines) -> None:
    path = texts(3, model="own-model")
    refused = pressroom("submit", path, code=ExitCode.BAD_INPUT)
    assert "pressroom prices set own-model --input USD --output USD" in refused.stderr

    pressroom("prices", "set", "own-model", "--input", "2", "--output", "8")

    assert (
        "prices set own-model"
        in pressroom("prices", "list", "--model", "own-model", "--at", "2020-01-01", code=ExitCode.BAD_INPUT).stderr
    )
    [row] = pressroom("prices", "list", "--model", "own-model", "--json")
    assert (row["input_usd"], row["cached_input_usd"], row["output_usd"], row["state"]) == ("2", "2", "8", "in force")
    assert pressroom("submit", path, "--json")["est_cost_usd"] > "0.0024"


def test_much_real_money_needs_consent(pressroom: Run, texts: Lines, for_real: None, engine: Engine) -> None:
    path = texts(20, max_tokens=16384, n=100)
    refused = pressroom("submit", path, code=ExitCode.BAD_INPUT)

    assert "gpt-4o-mini: 20 requests" in refused.stderr
    assert "--yes: is needed for an input that may cost $19.66: more than $10.00 is asked about" in refused.stderr
    with engine.connect() as conn:
        assert conn.execute(text("SELECT count(*) FROM batches")).scalar() == 0
        assert conn.execute(text("SELECT count(*) FROM jobs")).scalar() == 0
    pressroom("submit", path, "--yes")
    assert len(pressroom("batches", "list", "--json")) == 1


def test_a_budget_below_the_threshold_is_consent_enough(
    pressroom: Run, texts: Lines, for_real: None, engine: Engine
) -> None:
    submitted = pressroom("submit", texts(20, max_tokens=16384, n=100), "--budget", "5.00", "--json")

    with engine.connect() as conn:
        row = conn.execute(text("SELECT scope::text, period::text, cap_usd FROM budgets")).one()
    assert (row.scope, row.period, row.cap_usd) == ("batch", "total", 5)
    assert submitted["total"] == 20


def test_the_sandbox_is_never_asked_about(pressroom: Run, texts: Lines) -> None:
    done = pressroom("submit", texts(20, max_tokens=16384, n=100))
    assert "SANDBOX" in done.stderr


def test_a_threshold_of_ones_own(pressroom: Run, texts: Lines, for_real: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRESSROOM_CONFIRM_ABOVE_USD", "0")
    refused = pressroom("submit", texts(1), code=ExitCode.BAD_INPUT)
    assert "--yes: is needed" in refused.stderr


@pytest.mark.parametrize("amount", ["0", "-1", "five", "NaN"])
def test_a_budget_that_is_no_amount_is_refused(pressroom: Run, texts: Lines, amount: str) -> None:
    refused = pressroom("submit", texts(1), "--budget", amount, code=ExitCode.BAD_INPUT)
    assert "--budget: is not an amount" in refused.stderr


def test_costs_are_reconciled_and_settled(pressroom: Run, desk: Desk, tmp_path: Path) -> None:
    jobs, attempts, _ = desk.run(2)
    desk.settle(success(jobs[0], attempts[jobs[0].id]), unknown(jobs[1], attempts[jobs[1].id]))
    file = tmp_path / "costs.csv"
    file.write_text(f"date,amount_value,line_item\n{datetime.now(UTC).date()},{COST_USD + EST_USD},gpt-4o-mini\n")
    asked = ("costs", "reconcile", str(file), "--provider", "sandbox")

    shown = pressroom(*asked, "--json")
    assert (shown["differs"], shown["lines"][0]["verdict"]) == (False, "at_risk")
    said = pressroom(*asked)
    assert "within what is at risk" in said.stdout
    assert f"{shlex.join(asked)} --apply" in said.stderr
    assert pressroom(*asked, "--apply", "--json")["applied"]["settled"] == []  # today is not over
    job = show_id("job", jobs[1].id)
    assert "call 1 is at risk: att_" in pressroom("jobs", "show", job).stdout, "as `costs settle` takes it"
    [settled] = pressroom("costs", "settle", job, "--not-billed", "--json")
    assert (settled["job_id"], settled["was_at_risk_usd"], settled["cost_usd"]) == (job, "0.02", "0")

    differs = pressroom(*asked, code=ExitCode.SOME_FAILED)
    assert "DIFFERS: usd" in differs.stdout
    assert desk.faults() == {}


@pytest.mark.parametrize("given", [(), ("--usd", "1", "--not-billed"), ("--usd", "much")])
def test_settling_says_what_it_cost_or_that_it_did_not(pressroom: Run, given: tuple[str, ...]) -> None:
    refused = pressroom("costs", "settle", "job_" + "0" * 32, *given, code=ExitCode.BAD_INPUT)
    assert "--usd" in refused.stderr


def test_nothing_to_reconcile_with(pressroom: Run, tmp_path: Path) -> None:
    file = tmp_path / "costs.csv"
    file.write_text("date,amount_value,line_item\n2026-11-23,1,gpt-4o-mini\n")
    refused = pressroom("costs", "reconcile", str(file), code=ExitCode.BAD_INPUT)
    assert "no call was ever made to https://api.openai.com/v1" in refused.stderr
