"""What a rival's program and the benchmark say to each other."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.peers.environments import ROOT
from benchmarks.peers.starting_line import GO, TASK_FILE, Task

_PROGRAM = """
from benchmarks.peers.starting_line import run

def prepare(task):
    print("preparing", len(task.bodies))
    return lambda: [2, 0, 2]

run(prepare, ("pytest",))
"""


@pytest.fixture
def program(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    task = Task("http://127.0.0.1:1/v1", [{"model": "m"}] * 3, 600, 60_000, tmp_path, "redis://127.0.0.1:1/0", {"a": 1})
    task.write(tmp_path / "task.json")
    environment = {"PATH": os.defpath, "PYTHONPATH": str(ROOT), TASK_FILE: str(tmp_path / "task.json")}
    with subprocess.Popen(
        [sys.executable, "-c", _PROGRAM],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        yield process
        process.kill()


def test_it_gets_ready_waits_works_and_stays_until_its_input_ends(program: subprocess.Popen[str]) -> None:
    assert program.stdin is not None
    assert program.stdout is not None
    assert program.stderr is not None

    assert json.loads(program.stdout.readline()) == {"ready": {"pytest": pytest.__version__}}
    program.stdin.write(GO + "\n")
    program.stdin.flush()
    assert json.loads(program.stdout.readline()) == {"answered": [0, 2]}
    assert program.poll() is None

    program.stdin.close()
    assert program.wait(10) == 0
    assert program.stdout.read() == ""
    assert program.stderr.read() == "preparing 3\n"


def test_a_task_is_read_as_it_was_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    task = Task("http://127.0.0.1:1/v1", [{"model": "m"}], 600, 60_000, tmp_path, "redis://127.0.0.1:1/0", {"a": None})
    task.write(tmp_path / "task.json")
    monkeypatch.setenv(TASK_FILE, str(tmp_path / "task.json"))

    assert Task.read() == task
