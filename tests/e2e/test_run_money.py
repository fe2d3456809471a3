"""Money through `pressroom` as it is typed: a run that ends when its budget does, and a question that is answered."""

import json
import os
import pty
import subprocess
import sys
import time
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from select import select

import pytest

from cli.exits import ExitCode
from tests.e2e.command import ROOT, Command, command_with
from tests.sandbox_process import SandboxProcess

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]


@pytest.fixture(scope="module")
def pressroom() -> Iterator[Command]:
    """The command with a quick sandbox."""
    with SandboxProcess() as process, command_with(process.base_url) as command:
        process.configure(
            latency={"chat": {"kind": "fixed", "seconds": 0.05}, "images": {"kind": "fixed", "seconds": 0.05}}
        )
        yield command


def test_a_run_ends_with_its_budget_and_goes_on_with_a_larger_one(pressroom: Command, tmp_path: Path) -> None:
    prompts, out = tmp_path / "prompts.txt", tmp_path / "out.jsonl"
    prompts.write_text("".join(f"the number {number}\n" for number in range(20)))
    asked = ("run", str(prompts), "--model", "dall-e-2", "--size", "256x256", "--workers", "1", "--output", str(out))

    first = pressroom.run(*asked, "--budget", "0.10")

    assert first.code == 1, first.stderr
    assert "6 of 20 jobs done, $0.0960 SANDBOX spent" in first.stderr
    assert "14 jobs wait for money, and stay queued" in first.stderr
    assert "budgets set USD --batch batch_" in first.stderr
    assert len(out.read_text().splitlines()) == 6

    smaller = pressroom.run(*asked, "--budget", "0.05", "--json")
    assert smaller.code == 1
    assert (smaller.summary["succeeded"], smaller.summary["unfinished"]) == (6, 14)
    assert "$0.096 of $0.10 spent" in smaller.summary["waits_for"][0]
    assert "its budget stays $0.1000" in smaller.stderr

    larger = pressroom.run(*asked, "--budget", "1", "--json")
    assert larger.code == 0, larger.stderr
    assert "its budget is $1.00 from now on" in larger.stderr
    assert Decimal(larger.summary["cost_usd"]) == Decimal("0.32")
    assert larger.summary["succeeded"] == 20


@pytest.mark.parametrize(("reply", "code", "batches"), [("n\n", ExitCode.DECLINED, 0), ("y\n", ExitCode.OK, 1)])
def test_much_money_is_asked_about_on_a_terminal(
    pressroom: Command, tmp_path: Path, *, reply: str, code: int, batches: int
) -> None:
    texts = tmp_path / "texts.txt"
    texts.write_text("one\ntwo\n")
    environment = pressroom.environment | {
        "OPENAI_API_KEY": "nobody",
        "OPENAI_BASE_URL": "http://127.0.0.1:9/v1",
        "PRESSROOM_CONFIRM_ABOVE_USD": "0.01",
        "TERM": "dumb",
    }

    ended, shown = on_terminal(["submit", str(texts), "--model", "gpt-4o-mini"], environment, reply)

    assert ended == code, shown
    assert "gpt-4o-mini: 2 requests" in shown
    assert "Submit it? About $" in shown
    assert ("nothing was submitted, nothing was spent" in shown) is (batches == 0)
    listed = subprocess.run(
        [command(), "batches", "list", "--json"], env=environment, cwd=ROOT, capture_output=True, check=True
    )
    assert len([row for row in json.loads(listed.stdout) if row["input_name"] == texts.name]) == batches


def command() -> str:
    """The console script of this installation."""
    return str(Path(sys.executable).with_name("pressroom"))


def on_terminal(arguments: list[str], environment: dict[str, str], reply: str) -> tuple[int, str]:
    """Run the command on a terminal of its own and answer its question; its exit code, and all that was shown."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [command(), *arguments], env=environment, cwd=ROOT, stdin=theirs, stdout=theirs, stderr=theirs
    )
    os.close(theirs)
    shown, answered, deadline = "", False, time.monotonic() + 120
    while time.monotonic() < deadline:
        if not select([ours], [], [], 1.0)[0]:
            continue
        try:
            shown += os.read(ours, 4096).decode(errors="replace")
        except OSError:  # the other end is closed: the command has ended
            break
        if not answered and "[y/N]" in shown:
            os.write(ours, reply.encode())
            answered = True
    os.close(ours)
    return process.wait(30), shown
