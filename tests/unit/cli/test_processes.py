"""Child processes: they end with their command, come back when they die, and are given up when they cannot live."""

import signal
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from cli import processes
from cli.exits import CouldNotRun
from cli.processes import Sandbox, WorkerProcesses, interrupted_by_termination, last_lines, open_log
from pressroom.settings import Settings


def wait_for(what: Callable[[], bool], described: str, seconds: float = 30.0) -> None:
    """Until it holds."""
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {described}"
        time.sleep(0.05)


def test_a_log_is_private_and_put_aside_when_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = open_log(tmp_path / "worker.log")
    assert path.stat().st_mode & 0o777 == 0o600
    path.write_text("one\ntwo\nthree\n")
    assert last_lines(path, 2) == "two\nthree"
    monkeypatch.setattr(processes, "_LOG_BYTES", 10)
    assert last_lines(open_log(path)) == "(empty)"
    assert (tmp_path / "worker.log.1").read_text().startswith("one")


def test_the_sandbox_answers_and_ends(tmp_path: Path) -> None:
    sandbox = Sandbox(tmp_path / "logs")
    try:
        url = sandbox.ready()
        with urllib.request.urlopen(f"{url.removesuffix('/v1')}/sandbox/stats", timeout=5) as reply:
            assert reply.status == 200
    finally:
        sandbox.stop()
    assert not psutil.pid_exists(sandbox.pid)
    assert list((tmp_path / "logs").iterdir()) == [tmp_path / "logs" / "sandbox.log"]


def test_a_sandbox_that_cannot_start_says_why(tmp_path: Path) -> None:
    config = tmp_path / "bad.json"
    config.write_text('{"limit": {}}')
    with pytest.raises(CouldNotRun, match="no such field"):
        Sandbox(tmp_path, config=config).ready()


def test_workers_that_cannot_live_are_given_up_with_their_last_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "_QUICK_DEATHS", 1)
    with WorkerProcesses(1, {}, tmp_path, settings=Settings()) as workers:
        wait_for(lambda: not workers.pids, "a worker without servers to end")
        with pytest.raises(CouldNotRun, match="PRESSROOM_DATABASE_URL"):
            workers.tend()


def test_a_worker_that_dies_is_started_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "_LONGEST_RESTART_SECONDS", 0.0)
    workers = WorkerProcesses(1, {}, tmp_path, settings=Settings())
    try:
        [first] = workers.pids

        def replaced() -> bool:
            workers.tend()
            return bool(workers.pids) and workers.pids != [first]

        wait_for(replaced, "another process in its place")
    finally:
        workers.kill()
    assert workers.pids == []


def test_termination_is_an_interruption() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt), interrupted_by_termination():
        signal.raise_signal(signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) is before
