"""Deployments, routes and alerts as they are typed."""

from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from cli.exits import ExitCode
from pressroom.jobs.alerts import raise_alert
from tests.integration.cli.conftest import Run

MODEL = "gpt-4o-mini"
A, B = f"a@sandbox/{MODEL}", f"b@sandbox/{MODEL}"
WIDEST = 120


@pytest.fixture
def accounts(pressroom: Run) -> None:
    """Two accounts, of which one has limits."""
    pressroom("deployments", "add", MODEL, "--account", "a", "rpm=600", "tpm=60_000")
    pressroom("deployments", "add", MODEL, "--account", "b")


def submit(pressroom: Run, tmp_path: Path, count: int) -> None:
    """Prompts for the model."""
    path = tmp_path / "prompts.txt"
    path.write_text("".join(f"Number {n}.\n" for n in range(count)))
    pressroom("submit", str(path), "--model", MODEL)


@pytest.mark.usefixtures("accounts")
def test_a_route_deals_jobs_out_and_is_listed_with_what_waits(pressroom: Run, tmp_path: Path) -> None:
    said = pressroom("routes", "set", MODEL, "a=3", "b", "--fallback", "sandbox").stdout
    assert said.strip() == f"{MODEL}: {A} (75%), {B} (25%), sandbox/{MODEL} (fallback 1)"
    submit(pressroom, tmp_path, 40)

    [route] = pressroom("routes", "list", "--json")

    assert (route["model"], route["project"]) == (MODEL, None)
    assert [(t["deployment"], t["weight"], t["fallback"]) for t in route["targets"]] == [
        (A, 3, None),
        (B, 1, None),
        (f"sandbox/{MODEL}", None, 1),
    ]
    shown = {row["name"]: row for row in pressroom("deployments", "list", "--json")}
    assert {name: row["waiting"] for name, row in shown.items()} == {A: 30, B: 10, f"sandbox/{MODEL}": 0}
    assert shown[A]["drain_seconds"] >= 3
    assert shown[A]["bottleneck"] in ("rpm", "tpm")
    assert shown[B]["drain_seconds"] is None
    pressroom("routes", "remove", MODEL)
    assert pressroom("routes", "list", "--json") == []


@pytest.mark.usefixtures("accounts")
def test_the_table_fits_a_terminal_and_tells_below_it_what_stands_still(pressroom: Run) -> None:
    pressroom("deployments", "set", A, "rpd=10000", "ipm=5", "concurrency=3")
    pressroom("deployments", "pause", A, "--reason", "the invoice is being checked " * 10)
    lines = pressroom("deployments", "list").stdout.splitlines()
    table = [line for line in lines if line.startswith(("DEPLOYMENT ", f"{A} ", f"{B} "))]
    assert len(table) == 3
    assert max(map(len, table)) <= WIDEST
    assert "600 rpm, 60k tpm, 5 ipm +2" in table[1]
    assert table[1].endswith("paused")
    assert any(line.startswith(f"{A}: paused since ") and "invoice is being checked" in line for line in lines)
    shown = pressroom("deployments", "show", A).stdout
    assert "account a, key from nowhere: the sandbox takes none" in shown
    assert "60,000 tpm" in shown


@pytest.mark.usefixtures("accounts")
def test_a_paused_account_says_so_in_its_jobs(pressroom: Run, tmp_path: Path) -> None:
    pressroom("routes", "set", MODEL, "b")
    pressroom("deployments", "pause", B, "--reason", "tea")
    submit(pressroom, tmp_path, 1)
    [job] = pressroom("jobs", "list", "--json")
    assert job["waiting_because"] == f"{MODEL} (b) is paused: tea"
    assert f"deployments resume {B}" in pressroom("doctor", code=ExitCode.COULD_NOT_RUN).stdout
    pressroom("deployments", "resume", B)
    assert pressroom("jobs", "list", "--json")[0]["waiting_because"] == "no worker is running"


@pytest.mark.usefixtures("accounts")
def test_a_shared_group_and_a_share_are_set_by_hand(pressroom: Run) -> None:
    pressroom("deployments", "set", A, "pool=small", "max_share=0.8")
    [row] = [row for row in pressroom("deployments", "list", "--json") if row["name"] == A]
    assert (row["pool"], row["explicit_limits"]["max_share"]) == ("a@sandbox/small", 0.8)
    assert "80% of the limits are used" in pressroom("deployments", "show", A).stdout
    refused = pressroom("deployments", "set", A, "pool=other@sandbox/x", code=ExitCode.BAD_INPUT)
    assert "give the name of the group alone" in refused.stderr.lower()


def test_a_route_to_another_model_is_refused_with_the_reason(pressroom: Run) -> None:
    pressroom("deployments", "add", "gpt-6-luna", "--account", "a")
    refused = pressroom("routes", "set", MODEL, "a@sandbox/gpt-6-luna", code=ExitCode.BAD_INPUT)
    assert "is a deployment of gpt-6-luna" in refused.stderr
    assert "needs its requests and answers translated" in refused.stderr


def test_a_key_given_in_the_place_of_its_name_is_not_told_on(pressroom: Run) -> None:
    key = "sk-live-1234"
    place = ["--account", "b", "--base-url", "https://a.example/v1", "--api-key-env", key]
    refused = pressroom("deployments", "add", MODEL, *place, code=ExitCode.BAD_INPUT)
    assert "is not the name of an environment variable" in refused.stderr
    assert key not in refused.output


def test_a_model_that_is_gone_is_taken_for_an_endpoint_that_serves_it(
    pressroom: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
    path = tmp_path / "pictures.txt"
    path.write_text("a red kite\n")
    ask = ["submit", str(path), "--model", "dall-e-2", "--size", "256x256"]
    assert "shut dall-e-2 down" in pressroom(*ask, code=ExitCode.BAD_INPUT).stderr
    place = ["--account", "old", "--base-url", "https://images.example/v1/", "--api-key-env", "OLD_IMAGES_KEY"]
    pressroom("deployments", "add", "dall-e-2", *place)
    pressroom("routes", "set", "dall-e-2", "old")

    pressroom(*ask)

    [row] = pressroom("deployments", "list", "--json")
    assert (row["name"], row["queued"]) == ("old@images.example/dall-e-2", 1)


def test_alerts_are_listed_until_they_are_acknowledged(pressroom: Run, engine: Engine) -> None:
    assert pressroom("alerts", "list").stdout.strip() == "no alerts"
    for subject in (A, B):
        with engine.begin() as conn:
            assert raise_alert(conn, "deployment_billing", subject, "the account may not spend any more")
            assert not raise_alert(conn, "deployment_billing", subject, "again")
    newest, oldest = pressroom("alerts", "list", "--json")
    assert (newest["subject"], oldest["subject"]) == (B, A)
    assert "may not spend" in pressroom("alerts", "list").stdout
    pressroom("alerts", "ack", str(oldest["id"]))
    assert [row["subject"] for row in pressroom("alerts", "list", "--json")] == [B]
    assert "no open alert" in pressroom("alerts", "ack", str(oldest["id"]), code=ExitCode.BAD_INPUT).stderr
    pressroom("alerts", "ack", code=ExitCode.BAD_INPUT)
    pressroom("alerts", "ack", "--all")
    assert pressroom("alerts", "list", "--json") == []
    assert len(pressroom("alerts", "list", "--all", "--json")) == 2
    with engine.connect() as conn:
        assert conn.execute(text("SELECT count(*) FROM alerts")).scalar() == 2


def test_a_slip_is_said_and_can_be_taken_back(pressroom: Run, tmp_path: Path) -> None:
    said = pressroom("deployments", "set", "gpt-4o-mni", "rpm=60").stderr
    assert "no model 'gpt-4o-mni' (did you mean gpt-4o-mini?)" in said
    assert "pressroom deployments remove sandbox/gpt-4o-mni" in said
    assert "catalog" not in pressroom("deployments", "set", MODEL, "rpm=60").stderr
    pressroom("deployments", "remove", "gpt-4o-mni")
    submit(pressroom, tmp_path, 1)
    assert "has jobs" in pressroom("deployments", "remove", MODEL, code=ExitCode.BAD_INPUT).stderr
    pressroom("deployments", "add", MODEL, "--account", "a")
    pressroom("routes", "set", MODEL, "a")
    assert "a route" in pressroom("deployments", "remove", A, code=ExitCode.BAD_INPUT).stderr
    assert [row["name"] for row in pressroom("deployments", "list", "--json")] == [f"sandbox/{MODEL}", A]
