"""`pressroom run` that ends before its batch: by Ctrl-C, by a paused deployment, by a stack that somebody stops."""

import json
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.command import Command, command_with
from tests.sandbox_process import SandboxProcess

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

JOBS = 120


@pytest.fixture
def sandbox() -> Iterator[SandboxProcess]:
    with SandboxProcess() as process:
        yield process


@pytest.fixture
def pressroom(sandbox: SandboxProcess) -> Iterator[Command]:
    with command_with(sandbox.base_url) as command:
        yield command


@pytest.fixture
def arguments(tmp_path: Path) -> list[str]:
    """A run that takes half a minute."""
    prompts = tmp_path / "prompts.txt"
    prompts.write_text("".join(f"a paper boat, number {number}\n" for number in range(JOBS)))
    return [
        *("run", str(prompts), "--model", "dall-e-2", "--size", "256x256", "--yes"),
        *("--output", str(tmp_path / "out.jsonl"), "--limit", "dall-e-2:ipm=240"),
    ]


def wait_for_calls(sandbox: SandboxProcess, calls: int) -> None:
    deadline = time.monotonic() + 60
    while sandbox.stats()["totals"]["calls"] < calls:
        assert time.monotonic() < deadline, f"not {calls} calls within a minute"
        time.sleep(0.1)


def ended(running: subprocess.Popen[str], seconds: float = 60) -> list[str]:
    """The lines that it said."""
    try:
        return running.communicate(timeout=seconds)[1].splitlines()
    finally:
        running.kill()


def set_latency(sandbox: SandboxProcess, seconds: float) -> None:
    sandbox.configure(latency={"images": {"kind": "fixed", "seconds": seconds}})


def test_ctrl_c_lets_calls_finish_and_says_how_to_resume(
    pressroom: Command, sandbox: SandboxProcess, arguments: list[str], tmp_path: Path
) -> None:
    set_latency(sandbox, 0.2)
    running = pressroom.start(*arguments, "--json")
    wait_for_calls(sandbox, 10)
    running.send_signal(signal.SIGINT)
    answered, told = running.communicate(timeout=60)
    said = told.splitlines()

    assert running.returncode == 130, said
    stopping = next(number for number, line in enumerate(said) if line.startswith("stopping: "))
    facts, calm, give_up, resume = said[stopping + 1 :]
    assert re.match(r"batch_[0-9a-f]{32}: \d+ of 120 jobs done, \$\d", facts)
    assert calm == "no call was cut off; what is not done is queued"
    assert "batches cancel batch_" in give_up
    assert resume.startswith("resume with:  ")
    assert "pressroom run" in resume
    answer = json.loads(answered)
    assert (answer["total"], answer["waits_for"], answer["output"]) == (JOBS, ["interrupted"], None)
    assert answer["succeeded"] + answer["unfinished"] == JOBS
    assert any("of 240 ipm" in line for line in said), "the limit shows from the first line on"
    assert not any("no limit" in line for line in said)

    again = pressroom.run(*arguments[:-2], "--limit", "dall-e-2:ipm=6000")
    assert again.code == 0, again.stderr
    assert sandbox.stats()["totals"]["calls"] == JOBS


def test_a_second_ctrl_c_tells_what_it_cut_off(
    pressroom: Command, sandbox: SandboxProcess, arguments: list[str]
) -> None:
    set_latency(sandbox, 30.0)
    running = pressroom.start(*arguments)
    wait_for_calls(sandbox, 6)
    running.send_signal(signal.SIGINT)
    time.sleep(1)
    running.send_signal(signal.SIGINT)
    said = ended(running, 20)

    assert running.returncode == 130, said
    [cut] = [line for line in said if "without an answer on the books" in line]
    found = re.match(r"(\d+) calls .*: \$([\d.]+) at most may be billed", cut)
    assert found is not None, cut
    assert int(found[1]) >= 6
    # From a dollar on, money is shown to the cent.
    assert float(found[2]) == pytest.approx(int(found[1]) * 0.016, abs=0.005)
    assert not any("nothing is lost" in line or "no call was cut off" in line for line in said)
    assert said[-1].startswith("resume with:  ")


def test_a_paused_deployment_ends_the_run_with_what_is_done(
    pressroom: Command, sandbox: SandboxProcess, arguments: list[str], tmp_path: Path
) -> None:
    set_latency(sandbox, 0.2)
    running = pressroom.start(*arguments)
    wait_for_calls(sandbox, 10)
    paused = pressroom.run("deployments", "pause", "dall-e-2", "--reason", "the invoice is being checked")
    assert paused.code == 0, paused.stderr
    said = ended(running)

    assert running.returncode == 3, said
    assert "  dall-e-2 is paused: the invoice is being checked" in said
    lines = (tmp_path / "out.jsonl").read_text().splitlines()
    assert 10 <= len(lines) < JOBS
    assert f"output so far: {tmp_path / 'out.jsonl'} ({len(lines)} lines)" in said
    resume, run = (line.strip() for line in said[-2:])
    assert resume.endswith("pressroom deployments resume dall-e-2")
    assert "pressroom run" in run
    checked = pressroom.run("doctor")
    assert checked.code == 3
    assert "1 of" in checked.stdout
    assert f"paused: the invoice is being checked; {JOBS - len(lines)} jobs waiting" in checked.stdout

    assert pressroom.run("deployments", "resume", "dall-e-2").code == 0
    again = pressroom.run(*arguments[:-2], "--limit", "dall-e-2:ipm=6000")
    assert again.code == 0, again.stderr
    assert sandbox.stats()["totals"]["calls"] == JOBS


def test_a_stack_that_somebody_stops_is_left_stopped(
    pressroom: Command, sandbox: SandboxProcess, arguments: list[str]
) -> None:
    set_latency(sandbox, 0.2)
    running = pressroom.start(*arguments)
    wait_for_calls(sandbox, 10)
    assert pressroom.run("down").code == 0
    said = ended(running, 90)

    assert running.returncode == 3, said
    assert any("is stopped: somebody stopped it while it was in use" in line for line in said)
    assert re.match(r"batch_[0-9a-f]{32}: when last seen, \d+ of 120 jobs done, \$", said[-2])
    assert said[-1].startswith("resume with:  ")
    again = pressroom.run(*arguments[:-2], "--limit", "dall-e-2:ipm=6000")
    assert again.code == 0, again.stderr
