"""The `pressroom` command without servers: its help, its refusals, its exit codes."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer
import typer.main
from sqlalchemy.exc import OperationalError
from typer.testing import CliRunner

from cli.exits import EXPLAINED, CouldNotRun, ExitCode, explain
from cli.main import app
from cli.options import program, typed_again
from pressroom.errors import Conflict, InvalidInput, NotFound, Problem, Unavailable
from pressroom.local_stack.errors import LocalStackError
from pressroom.storage.errors import StorageUnavailable

HEAVY = ("alembic", "boto3", "celery", "openai", "PIL", "pydantic_settings", "redis", "rich", "sqlalchemy")
ROOT = Path(__file__).resolve().parents[3]
runner = CliRunner()


def commands() -> dict[str, Any]:
    """Every command that does something, by what one types."""
    found: dict[str, Any] = {}

    def walk(command: Any, path: str) -> None:
        if getattr(command, "invoke_without_command", False) and path:
            found[path] = command
        if hasattr(command, "commands"):
            for name, below in command.commands.items():
                walk(below, f"{path} {name}".strip())
        else:
            found[path] = command

    walk(typer.main.get_command(app), "")
    return found


def test_the_commands_are_those_of_the_documentation() -> None:
    groups = {
        "costs": ("reconcile", "settle"),
        "batches": ("cancel", "list", "output", "pause", "reprioritise", "resume", "show"),
        "alerts": ("ack", "list"),
        "budgets": ("list", "remove", "set"),
        "deployments": ("add", "list", "pause", "remove", "resume", "set", "show"),
        "routes": ("list", "remove", "set"),
        "jobs": ("cancel", "list", "reprioritise", "retry", "show"),
        "keys": ("create", "list", "revoke", "rotate"),
        "prices": ("list", "set"),
        "projects": ("create", "list", "pause", "resume", "set"),
        "webhooks": (
            "create",
            "delete",
            "deliveries",
            "disable",
            "enable",
            "list",
            "replay",
            "rotate",
            "test",
        ),
    }
    single = {
        "api",
        "costs",
        "demo",
        "doctor",
        "down",
        "estimate",
        "migrate",
        "run",
        "sandbox",
        "submit",
        "up",
        "worker",
    }
    assert set(commands()) == single | {f"{group} {name}" for group, names in groups.items() for name in names}


@pytest.mark.parametrize("path", commands())
def test_every_help_has_an_example_of_its_own(path: str) -> None:
    command = commands()[path]
    assert f"pressroom {path}" in (command.epilog or "")
    assert command.help
    for parameter in command.params:
        assert getattr(parameter, "help", None), f"{path} {parameter.name} says nothing about itself"


def test_help_shows_the_variable_of_an_option_that_has_one() -> None:
    shown = runner.invoke(app, ["run", "--help"], terminal_width=200).stdout
    assert "PRESSROOM_MAX_ATTEMPTS" in shown
    assert "PRESSROOM_PROJECT" in shown
    assert "PRESSROOM_DATA_DIR" in runner.invoke(app, ["--help"]).stdout


def test_help_tells_the_exit_codes() -> None:
    shown = runner.invoke(app, ["--help"], terminal_width=200).stdout
    assert set(EXPLAINED) == set(ExitCode)
    for code, meaning in EXPLAINED.items():
        assert f"{code.value:<3}  {meaning}" in shown


# Typer itself loads pydantic to read a command's options.
@pytest.mark.parametrize(("arguments", "heavy"), [(["--help"], (*HEAVY, "pydantic")), (["run", "--help"], HEAVY)])
def test_help_loads_nothing_slow(arguments: list[str], heavy: tuple[str, ...]) -> None:
    code = (
        "import sys, cli.main\n"
        f"try: cli.main.app({arguments!r})\n"
        "except SystemExit: pass\n"
        f"sys.stderr.write(' '.join(sorted(set({heavy!r}) & set(sys.modules))))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert "Usage:" in done.stdout
    assert done.stderr == ""


def test_the_version_is_the_installed_one() -> None:
    assert runner.invoke(app, ["--version"]).stdout.startswith("pressroom 0.")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["run"], "INPUT"),
        (["run", "missing.jsonl"], "missing.jsonl"),
        (["run", __file__, "--workers", "0"], "--workers"),
        (["jobs", "list", "--limit", "many"], "--limit"),
        (["nonsense"], "nonsense"),
        (["run", __file__, "--limit", "gpt-4o-mini"], "has no model or no limits"),
        (["run", __file__, "--limit", "gpt-4o-mini:rps=3"], "Use one of rpm"),
        (["run", __file__, "--limit", "gpt-4o-mini:rpm=0"], "--limit gpt-4o-mini: rpm: must be more than 0"),
        (["run", __file__, "--limit", "x:rpm=1", "--model", "dall-e-2"], "Its models are dall-e-2"),
        (["run", __file__, "--output", __file__], "--output: is the same file as INPUT"),
        (["run", __file__, "--output", "/proc/nowhere/x.jsonl"], "--output: cannot be written"),
        (["deployments", "set", "gpt-4o-mini", "rpm"], "NAME=NUMBER"),
        (["deployments", "set", "gpt-4o-mini", "rpm=fast"], "is not a number"),
        (["costs", "--by", "colour"], "Use any of model, day, project, batch"),
        (["costs", "--since", "yesterday"], "how long ago"),
        (["jobs", "list", "--before", "job_xyz"], "32 hexadecimal digits"),
    ],
)
def test_bad_input_ends_with_2_and_a_sentence(arguments: list[str], said: str, tmp_path: Path) -> None:
    done = runner.invoke(app, ["--data-dir", str(tmp_path / "data"), *arguments])
    assert done.exit_code == ExitCode.BAD_INPUT
    assert said in done.stderr
    assert done.stdout == ""


def test_a_bad_setting_is_named_by_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRESSROOM_MAX_ATTEMPTS", "0")
    done = runner.invoke(app, ["batches", "list"])
    assert done.exit_code == ExitCode.BAD_INPUT
    assert "PRESSROOM_MAX_ATTEMPTS: Input should be greater than or equal to 1" in done.stderr


@pytest.mark.parametrize("question", [["jobs", "list"], ["batches", "list"], ["costs"], ["deployments", "list"]])
def test_a_question_builds_no_database(question: list[str], tmp_path: Path) -> None:
    data = tmp_path / "data"
    done = runner.invoke(app, ["--data-dir", str(data), *question])
    assert done.exit_code == ExitCode.COULD_NOT_RUN
    assert "there is no data yet" in done.stderr
    assert not data.exists()


def test_down_without_a_stack_is_no_error(tmp_path: Path) -> None:
    done = runner.invoke(app, ["--data-dir", str(tmp_path / "data"), "down"])
    assert done.exit_code == ExitCode.OK
    assert "nothing" in done.stdout


def test_a_server_that_is_not_there_ends_with_3_and_without_a_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRESSROOM_DATABASE_URL", "postgresql+psycopg://nobody:hush@127.0.0.1:1/none")
    monkeypatch.setenv("PRESSROOM_REDIS_URL", "redis://:hush@127.0.0.1:1/0")
    monkeypatch.setenv("PRESSROOM_S3_BUCKET", "none")
    done = runner.invoke(app, ["jobs", "list"])
    assert done.exit_code == ExitCode.COULD_NOT_RUN
    assert "PostgreSQL does not answer" in done.stderr
    assert "Traceback" not in done.output
    assert "hush" not in done.output


def test_doctor_without_servers_tells_the_parts_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "PRESSROOM_DATABASE_URL": "postgresql+psycopg://nobody:hush@127.0.0.1:1/none",
        "PRESSROOM_REDIS_URL": "redis://:hush@127.0.0.1:1/0",
        "PRESSROOM_S3_BUCKET": "none",
        "PRESSROOM_S3_ENDPOINT_URL": "http://127.0.0.1:1",
        "AWS_ACCESS_KEY_ID": "id",
        "AWS_SECRET_ACCESS_KEY": "hush",
        "OPENAI_API_KEY": "sk-hush",
        "OPENAI_BASE_URL": "http://127.0.0.1:1/v1",
    }.items():
        monkeypatch.setenv(name, value)
    done = runner.invoke(app, ["doctor"])
    assert done.exit_code == ExitCode.COULD_NOT_RUN
    for part in ("postgresql", "redis", "s3", "provider"):
        assert f"\n{part} " in done.stdout, part
    assert "hush" not in done.output


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (InvalidInput([Problem("size", "is odd", "Use an even one")]), ExitCode.BAD_INPUT),
        (NotFound("no such job"), ExitCode.BAD_INPUT),
        (Conflict("it ended"), ExitCode.BAD_INPUT),
        (Unavailable("the provider is down"), ExitCode.COULD_NOT_RUN),
        (StorageUnavailable("the store is down", bucket="b", key=None), ExitCode.COULD_NOT_RUN),
        (LocalStackError("it is down", cause="a", remedy="b"), ExitCode.COULD_NOT_RUN),
        (CouldNotRun("no workers"), ExitCode.COULD_NOT_RUN),
        (PermissionError(13, "Permission denied", "/out.jsonl"), ExitCode.COULD_NOT_RUN),
        (OperationalError("SELECT 1", {}, Exception("connection refused")), ExitCode.COULD_NOT_RUN),
        (KeyboardInterrupt(), ExitCode.INTERRUPTED),
    ],
)
def test_foreseen_errors_have_a_code_and_one_sentence(error: BaseException, code: ExitCode) -> None:
    explained = explain(error)
    assert explained is not None
    assert explained[1] is code
    assert "SELECT" not in explained[0]


def test_a_defect_keeps_its_traceback() -> None:
    assert explain(ZeroDivisionError("division by zero")) is None


def test_what_to_type_again_leaves_out_what_would_pay_again() -> None:
    typed = ["/venv/bin/pressroom", "run", "my prompts.txt", "--model", "dall-e-2", "--again"]
    assert typed_again(typed) == "pressroom run 'my prompts.txt' --model dall-e-2"


def test_what_to_type_next_can_be_typed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    installed = tmp_path / "my venv" / "pressroom"
    installed.parent.mkdir()
    installed.write_text("#!/bin/sh\n")
    installed.chmod(0o755)
    monkeypatch.setenv("PATH", "/usr/bin")
    assert program(str(installed)) == f"'{installed}'"
    assert typed_again([str(installed), "run", "a.txt"]) == f"'{installed}' run a.txt"
    monkeypatch.setenv("PATH", str(installed.parent))
    assert program(str(installed)) == "pressroom"
    assert program(str(tmp_path / "pytest")) == "pressroom"


def test_the_demo_needs_its_examples(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("cli.demo._ROOT", tmp_path)
    done = runner.invoke(app, ["--data-dir", str(tmp_path / "data"), "demo", "--directory", str(tmp_path / "out")])
    assert done.exit_code == ExitCode.COULD_NOT_RUN
    assert "source checkout" in done.stderr
    assert os.listdir(tmp_path) == []
