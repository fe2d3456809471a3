"""Commands on real servers, through the command line as it is typed. Nothing works here: no worker runs."""

import json
from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from cli.exits import ExitCode
from tests.integration.cli.conftest import Run


@pytest.fixture
def prompts(tmp_path: Path) -> str:
    """A file of three prompts."""
    path = tmp_path / "prompts.txt"
    path.write_text("a red kite\na paper boat\na brass key\n")
    return str(path)


@pytest.fixture
def batch(pressroom: Run, prompts: str) -> str:
    """A submitted batch of three pictures."""
    submitted = pressroom("submit", prompts, "--model", "dall-e-2", "--size", "256x256", "--json")
    assert submitted["total"] == 3
    assert submitted["sandbox"] is True
    return str(submitted["batch_id"])


def test_a_submitted_batch_is_there_for_every_question(pressroom: Run, batch: str) -> None:
    [listed] = pressroom("batches", "list", "--json")
    assert (listed["id"], listed["total"], listed["state"]) == (batch, 3, "in_progress")
    shown = pressroom("batches", "show", batch, "--json")
    assert shown["leased"] + shown["queued"] == 3
    jobs = pressroom("jobs", "list", "--batch", batch, "--json")
    assert [job["line_no"] for job in jobs] == [3, 2, 1]
    detail = pressroom("jobs", "show", jobs[0]["id"], "--json")
    assert detail["body"]["prompt"] == "a brass key"
    assert detail["est_cost_usd"] == "0.016"


def test_text_says_sandbox_wherever_it_shows_money(pressroom: Run, batch: str) -> None:
    assert "SANDBOX" in pressroom("batches", "list").stdout
    assert "SANDBOX" in pressroom("batches", "show", batch).stdout
    assert "dall-e-2 (SANDBOX)" in pressroom("jobs", "list").stdout
    [job] = pressroom("jobs", "list", "--limit", "1", "--json")
    assert "SANDBOX" in pressroom("jobs", "show", job["id"]).stdout
    assert "SANDBOX" in pressroom("deployments", "list").stdout


def test_the_same_input_is_not_paid_for_twice_by_accident(pressroom: Run, batch: str, prompts: str) -> None:
    same = ("submit", prompts, "--model", "dall-e-2", "--size", "256x256")
    refused = pressroom(*same, code=ExitCode.BAD_INPUT)
    assert batch in refused.stderr
    pressroom(*same, "--again")
    assert len(pressroom("batches", "list", "--json")) == 2


def test_a_bad_line_stores_nothing_and_says_where(pressroom: Run, tmp_path: Path) -> None:
    path = tmp_path / "bad.jsonl"
    good = {"custom_id": "a", "method": "POST", "url": "/v1/images/generations"}
    lines = [
        good | {"body": {"model": "dall-e-2", "prompt": "x"}},
        good | {"custom_id": "b", "body": {"model": "dall-e-2"}},
    ]
    path.write_text("\n".join(json.dumps(line) for line in lines))
    refused = pressroom("submit", str(path), code=ExitCode.BAD_INPUT)
    assert "bad.jsonl: line 2: body.prompt" in refused.stderr
    assert pressroom("batches", "list", "--json") == []


def test_bulk_commands_ask_first_and_count(pressroom: Run, batch: str) -> None:
    asked = pressroom("jobs", "cancel", "--batch", batch, code=ExitCode.BAD_INPUT)
    assert "3 jobs selected" in asked.stderr
    assert "--yes" in asked.stderr
    assert pressroom("jobs", "cancel", "--batch", batch, "--yes", "--json") == {"cancelled": 3, "running": 0}
    assert pressroom("batches", "show", batch, "--json")["state"] == "completed"


def test_bulk_commands_want_to_know_which_jobs(pressroom: Run, batch: str) -> None:
    for verb in ("cancel", "retry"):
        refused = pressroom("jobs", verb, "--yes", code=ExitCode.BAD_INPUT)
        assert "nothing says which jobs" in refused.stderr


def test_retry_queues_what_ended_badly(pressroom: Run, batch: str) -> None:
    pressroom("jobs", "cancel", "--batch", batch, "--yes")
    again = pressroom("jobs", "retry", "--batch", batch, "--state", "cancelled", "--yes", "--json")
    assert again == {"queued": 3}
    assert pressroom("batches", "show", batch, "--json")["queued"] == 3


def test_cancelling_a_batch_asks_and_ends_it(pressroom: Run, batch: str) -> None:
    pressroom("batches", "cancel", batch, code=ExitCode.BAD_INPUT)
    pressroom("batches", "cancel", batch, "--yes")
    assert pressroom("batches", "show", batch, "--json")["state"] == "cancelled"


def test_output_is_written_from_the_books(pressroom: Run, batch: str, tmp_path: Path) -> None:
    pressroom("batches", "cancel", batch, "--yes")
    out = tmp_path / "new" / "out.jsonl"
    pressroom("batches", "output", batch, str(out))
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    assert [line["custom_id"] for line in lines] == ["line-1", "line-2", "line-3"]
    assert {line["error"]["code"] for line in lines} == {"cancelled"}
    assert list(out.parent.iterdir()) == [out]


def test_output_never_takes_the_place_of_the_input(pressroom: Run, batch: str, prompts: str, tmp_path: Path) -> None:
    alias = tmp_path / "alias.txt"
    alias.symlink_to(prompts)
    before = Path(prompts).read_bytes()
    for name in (prompts, str(alias)):
        refused = pressroom("batches", "output", batch, name, code=ExitCode.BAD_INPUT)
        assert "OUT.jsonl: is the batch's own input" in refused.stderr
    assert Path(prompts).read_bytes() == before


def test_a_refused_run_leaves_no_limits_behind(pressroom: Run, tmp_path: Path) -> None:
    path = tmp_path / "bad.jsonl"
    body = {"model": "dall-e-2", "prompt": "x"}
    lines = [{"custom_id": "a", "method": "POST", "url": "/v1/images/generations", "body": body}]
    lines.append(lines[0] | {"custom_id": "b", "body": body | {"size": "3x3"}})
    path.write_text("\n".join(json.dumps(line) for line in lines))
    pressroom("run", str(path), "--limit", "dall-e-2:ipm=5", code=ExitCode.BAD_INPUT)
    assert [row["explicit_limits"] for row in pressroom("deployments", "list", "--json")] in ([], [{}])


def test_deployments_are_limited_paused_and_resumed(pressroom: Run, batch: str) -> None:
    pressroom("deployments", "set", "dall-e-2", "ipm=50", "concurrency=3")
    assert "none=" not in pressroom("deployments", "set", "dall-e-2", "concurrency=none", "rpm=60").stdout
    [row] = pressroom("deployments", "list", "--json")
    assert row["explicit_limits"] == {"ipm": 50.0, "rpm": 60.0}
    pressroom("deployments", "pause", "dall-e-2", "--reason", "the printer is on fire")
    [row] = pressroom("deployments", "list", "--json")
    assert (row["paused"], row["pause_reason"]) == (True, "the printer is on fire")
    again = pressroom("deployments", "pause", "dall-e-2", "--reason", "tea").stdout
    assert "was paused already: the printer is on fire" in again
    assert row["limiter"]["stopped_reason"] == "the printer is on fire"
    found = pressroom("doctor", code=ExitCode.COULD_NOT_RUN).stdout
    assert "paused: the printer is on fire; 3 jobs waiting" in found
    assert "deployments resume dall-e-2" in found
    pressroom("deployments", "resume", "dall-e-2")
    [row] = pressroom("deployments", "list", "--json")
    assert (row["paused"], row["limiter"]["stopped_reason"]) == (False, None)


def test_limits_may_be_set_before_the_first_job(pressroom: Run) -> None:
    pressroom("deployments", "set", "gpt-4o-mini", "rpm=7")
    [row] = pressroom("deployments", "list", "--json")
    assert (row["model"], row["explicit_limits"]) == ("gpt-4o-mini", {"rpm": 7.0})
    refused = pressroom("deployments", "pause", "dall-e-2", code=ExitCode.BAD_INPUT)
    assert "no deployment of 'dall-e-2' at the sandbox; known: gpt-4o-mini" in refused.stderr
    refused = pressroom("deployments", "set", "gpt-4o-mini", "rpm=0", code=ExitCode.BAD_INPUT)
    assert "gpt-4o-mini rpm: must be more than 0" in refused.stderr


def test_unknown_things_end_with_2(pressroom: Run) -> None:
    nobody = "0" * 32
    for question in (["batches", "show", f"batch_{nobody}"], ["jobs", "show", f"job_{nobody}"]):
        assert "there is no" in pressroom(*question, code=ExitCode.BAD_INPUT).stderr
    assert "there is no project" in pressroom("jobs", "list", "--project", "x", code=ExitCode.BAD_INPUT).stderr
    assert "is not a job state" in pressroom("jobs", "list", "--state", "done", code=ExitCode.BAD_INPUT).stderr


def test_costs_keep_the_sandbox_apart(pressroom: Run, engine: Engine, batch: str) -> None:
    with engine.begin() as conn:
        conn.execute(
            text(
                "INSERT INTO daily_costs (day, project_id, deployment_id, calls, images, cost_usd)"
                " SELECT '2026-11-01', p.id, d.id, 3, 3, 0.048 FROM projects p, deployments d"
            )
        )
    [row] = pressroom("costs", "--by", "model,day", "--json")
    assert (row["model"], row["day"], row["cost_usd"], row["sandbox"]) == ("dall-e-2", "2026-11-01", "0.048", True)
    shown = pressroom("costs").stdout
    assert "total: $0.00" in shown
    assert "SANDBOX total (not billed): $0.0480" in shown


def test_doctor_finds_everything_in_order(pressroom: Run) -> None:
    report = pressroom("doctor", "--json")
    assert report["ok"]
    states = {finding["part"]: finding["state"] for finding in report["findings"]}
    assert states["schema"] == states["s3"] == states["redis"] == states["postgresql"] == states["clock"] == "ok"
    assert states["workers"] == "note"


def test_doctor_finds_a_schema_that_is_behind(pressroom: Run, engine: Engine) -> None:
    with engine.begin() as conn:
        conn.execute(text("DELETE FROM alembic_version"))
    done = pressroom("doctor", code=ExitCode.COULD_NOT_RUN)
    assert "schema: pressroom migrate" in done.stdout


def test_migrate_tells_where_it_came_from(pressroom: Run) -> None:
    first = pressroom("migrate", "--json")
    assert first["before"] == first["after"]
