"""`pressroom run` through the death of each server of its local stack: it comes back, and nothing is paid twice."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import create_engine

from pressroom.local_stack import LocalStack
from tests.e2e.command import Command, command_with
from tests.fixtures.books_check import faults
from tests.sandbox_process import SandboxProcess

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

JOBS = 400


@pytest.fixture
def sandbox() -> Iterator[SandboxProcess]:
    with SandboxProcess() as process:
        process.configure(latency={"images": {"kind": "fixed", "seconds": 0.3}})
        yield process


@pytest.fixture
def pressroom(sandbox: SandboxProcess) -> Iterator[Command]:
    with command_with(sandbox.base_url) as command:
        yield command


def wait_until(what: Callable[[], bool], described: str, seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {described}"
        time.sleep(0.1)


@pytest.mark.parametrize("server", ["postgres", "valkey", "s3"])
def test_a_server_that_is_killed_is_started_again(
    pressroom: Command, sandbox: SandboxProcess, tmp_path: Path, server: str
) -> None:
    prompts = tmp_path / "prompts.txt"
    prompts.write_text("".join(f"a paper boat, number {number}\n" for number in range(JOBS)))
    running = pressroom.start(
        *("run", str(prompts), "--model", "dall-e-2", "--size", "256x256", "--json"),
        *("--output", str(tmp_path / "out.jsonl"), "--limit", "dall-e-2:ipm=2400"),
    )
    stack = LocalStack(pressroom.data_dir)
    with running:  # closes its pipes and waits for its end, or the tests after this one would be blamed for them
        try:
            wait_until(lambda: sandbox.stats()["totals"]["calls"] >= JOBS // 4, "a quarter is called")
            [pid] = [one.pid for one in stack.status() if one.name == server]
            assert pid is not None
            os.kill(pid, signal.SIGKILL)
            _, stderr = running.communicate(timeout=120)
        finally:
            running.kill()

    assert running.returncode == 0, stderr
    assert f"{server} of the local stack had died, and is started again" in stderr
    assert len((tmp_path / "out.jsonl").read_text().splitlines()) == JOBS
    with stack as urls:
        engine = create_engine(urls.database_url)
        with engine.connect() as conn:
            assert faults(conn) == {}
            unknown = conn.exec_driver_sql("SELECT count(*) FROM attempts WHERE outcome = 'unknown'").scalar_one()
        engine.dispose()
    assert sandbox.stats()["requests"]["answered_more_than_once"] <= unknown
