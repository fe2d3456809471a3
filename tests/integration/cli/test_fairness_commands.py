"""Classes, deadlines, weights and pauses, through the command line as it is typed."""

from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from cli.exits import ExitCode
from tests.integration.cli.conftest import Run


@pytest.fixture
def prompts(tmp_path: Path) -> str:
    """A file of five prompts."""
    path = tmp_path / "prompts.txt"
    path.write_text("".join(f"Say {n}.\n" for n in range(5)))
    return str(path)


def flows(engine: Engine) -> list[tuple[str, int, int, bool]]:
    """Class, priority, queued and paused of every flow."""
    query = text(
        "SELECT s.priority_class::text, f.priority, f.queued, f.paused FROM flows f JOIN stakes s ON s.id = f.stake_id"
        " ORDER BY f.id"
    )
    with engine.connect() as conn:
        return [tuple(row) for row in conn.execute(query)]


SUBMIT = ("--model", "gpt-4o-mini", "--max-tokens", "20", "--yes", "--json")


def test_a_submission_says_how_urgent_it_is_and_may_be_told_that_it_is_late(
    pressroom: Run, prompts: str, engine: Engine
) -> None:
    pressroom("deployments", "set", "gpt-4o-mini", "rpm=1")
    options = ("--class", "bulk", "--priority", "-3", "--deadline", "2m")
    done = pressroom("submit", prompts, *SUBMIT[:-1], *options)

    assert "cannot be made: it leaves" in done.stderr
    assert flows(engine)[0][:2] == ("bulk", -3)
    with engine.connect() as conn:
        left = conn.execute(text("SELECT DISTINCT extract(epoch FROM deadline - created_at)::float8 FROM jobs")).all()
    assert len(left) == 1
    assert left[0][0] == pytest.approx(120, abs=10)


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("--deadline", "2001-01-01", "--deadline has passed"),
        ("--deadline", "soon", "--deadline is not a time"),
        ("--class", "urgent", "--class is not a priority class"),
    ],
)
def test_what_makes_no_sense_is_refused(pressroom: Run, prompts: str, option: str, value: str, said: str) -> None:
    refused = pressroom("submit", prompts, *SUBMIT[:-1], option, value, code=ExitCode.BAD_INPUT)

    assert said in refused.stderr.replace(":", "")


def test_a_batch_is_paused_reprioritised_and_resumed(pressroom: Run, prompts: str, engine: Engine) -> None:
    pressroom("deployments", "set", "gpt-4o-mini", "rpm=1")
    batch = pressroom("submit", prompts, *SUBMIT)["batch_id"]

    assert pressroom("batches", "pause", batch, "--json") == {"id": batch, "paused": True, "returned": 1}
    assert flows(engine) == [("normal", 0, 5, True)]
    assert f"batches resume {batch}" in pressroom("batches", "show", batch).stdout
    assert f"{batch}  paused " in pressroom("batches", "list").stdout
    assert pressroom("batches", "show", batch, "--json")["paused_at"] is not None
    changed = pressroom("batches", "reprioritise", batch, "--class", "interactive", "--priority", "2", "--json")
    assert changed == {"id": batch, "changed": 5}
    assert flows(engine) == [("interactive", 2, 5, True)]
    assert pressroom("batches", "resume", batch, "--json")["was_paused"]
    assert flows(engine) == [("interactive", 2, 5, False)]
    assert pressroom("jobs", "reprioritise", "--model", "gpt-4o-mini", "--class", "bulk", "--yes", "--json") == {
        "changed": 5
    }
    refused = pressroom("batches", "reprioritise", batch, code=ExitCode.BAD_INPUT)
    assert "nothing says what to change to" in refused.stderr
    pressroom("batches", "pause", batch)
    pressroom("batches", "cancel", batch, "--yes")
    over = pressroom("batches", "resume", batch, code=ExitCode.BAD_INPUT)
    assert "is cancelled: there is nothing to resume" in over.stderr


def test_projects_are_made_weighed_paused_and_listed(pressroom: Run, prompts: str, engine: Engine) -> None:
    pressroom("projects", "create", "prints", "--weight", "2")
    pressroom("submit", prompts, *SUBMIT, "--project", "prints")
    pressroom("projects", "set", "prints", "--weight", "3")
    pressroom("projects", "pause", "prints")

    listed = {row["name"]: row for row in pressroom("projects", "list", "--json")}
    assert (listed["prints"]["weight"], listed["prints"]["queued"]) == (3.0, 5)
    assert listed["prints"]["paused_at"] is not None
    with engine.connect() as conn:
        assert conn.execute(text("SELECT weight FROM stakes")).scalar_one() == 12.0
    assert pressroom("projects", "resume", "prints", "--json")["was_paused"]
    assert "there is a project" in pressroom("projects", "create", "prints", code=ExitCode.BAD_INPUT).stderr
    refused = pressroom("projects", "set", "prints", "--weight", "0", code=ExitCode.BAD_INPUT)
    assert "weight" in refused.stderr
    refused = pressroom("projects", "set", "prints", "--weight", "1e9", code=ExitCode.BAD_INPUT)
    assert "Give a number from 0.000001 to 1,000,000" in refused.stderr
