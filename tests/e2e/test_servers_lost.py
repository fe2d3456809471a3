"""Servers that are flushed, killed or away in the middle of a batch."""

import os
import signal
import time
from collections.abc import Iterator

import pytest
import redis

from pressroom.local_stack import LocalStack
from tests.e2e.accounts import answered_twice, assert_books_and_calls_agree
from tests.fixtures.system import System

SLOW_ANSWERS = {"latency": {"chat": {"kind": "uniform", "low": 0.2, "high": 0.6}}}


@pytest.fixture
def breakable(stack: LocalStack) -> Iterator[LocalStack]:
    """The session's stack, whole again after the test whatever became of it."""
    yield stack
    stack.acquire()


def kill_server(stack: LocalStack, name: str) -> None:
    """SIGKILL one server of the stack, and wait until it is gone."""
    [pid] = [server.pid for server in stack.status() if server.name == name]
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    deadline = time.monotonic() + 10
    while any(server.running for server in stack.status() if server.name == name):
        assert time.monotonic() < deadline, f"{name} survives SIGKILL"
        time.sleep(0.05)


def finish(system: System, batch_id: object, jobs: int, seconds: float) -> None:
    """All succeed, each answered once or twice where a call was in doubt, and the books are in order."""
    system.wait_for_batch(batch_id, seconds)  # type: ignore[arg-type]
    assert system.counts("jobs", "state") == {"succeeded": jobs}
    outcomes = system.counts("attempts", "outcome")
    assert outcomes["succeeded"] == jobs
    assert answered_twice(system) <= outcomes.get("unknown", 0)
    for worker in system.workers:
        assert worker.stop() == 0
    assert_books_and_calls_agree(system)


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_redis_is_flushed_among_2000_jobs(system: System, redis_url: str) -> None:
    system.sandbox.configure(**SLOW_ANSWERS)
    system.start_workers(2)
    batch_id = system.submit(texts=2_000, limits={"rpm": 12_000})
    system.wait_until("a fifth is done", lambda: system.finished() >= 400, 60)

    with redis.Redis.from_url(redis_url) as client:
        client.flushall()

    finish(system, batch_id, 2_000, 60)
    assert answered_twice(system) == 0
    assert set(system.counts("attempts", "outcome")) <= {"succeeded", "released"}


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_redis_is_killed_and_comes_back(system: System, breakable: LocalStack) -> None:
    system.sandbox.configure(**SLOW_ANSWERS)
    system.start_workers(2)
    batch_id = system.submit(texts=1_500)
    system.wait_until("some are done", lambda: system.finished() >= 300, 60)

    kill_server(breakable, "valkey")
    time.sleep(2)
    breakable.acquire()

    finish(system, batch_id, 1_500, 90)
    assert answered_twice(system) == 0


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_postgresql_is_killed_and_comes_back(system: System, breakable: LocalStack) -> None:
    system.sandbox.configure(**SLOW_ANSWERS)
    # The tests' server forgets what it confirmed in its last moments, for speed; one that people use does not. That it
    # does without fsync as well is no matter here: what a killed process had written is the system's to keep.
    system.keep_what_is_committed()
    system.start_workers(2)
    batch_id = system.submit(texts=1_500)
    system.wait_until("some are done", lambda: system.finished() >= 300, 60)

    kill_server(breakable, "postgres")
    time.sleep(3)  # longer than unclaimed leases are left alone: their messages come twice
    breakable.acquire()
    system.engine.dispose()

    finish(system, batch_id, 1_500, 90)
    assert answered_twice(system) == 0, "finished answers wait in the worker until the database is back"


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_the_object_store_is_away_while_pictures_come(system: System, breakable: LocalStack) -> None:
    [worker, *_] = system.start_workers(1, image_memory_bytes=1024 * 1024)
    batch_id = system.submit(pictures=300)
    system.wait_until("some are done", lambda: system.finished() >= 30, 60)

    kill_server(breakable, "s3")
    system.wait_until("it is missed", lambda: worker.said("store.unavailable"), 20)
    time.sleep(5)
    breakable.acquire()

    finish(system, batch_id, 300, 90)
    assert answered_twice(system) == 0
    assert system.counts("artifacts", "kind") == {"image": 300, "thumbnail": 300}
    assert system.sandbox.stats()["totals"]["images"] == 300
    assert [path for path in (system.directory / "spool").rglob("*") if path.is_file()] == []


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_a_worker_that_ends_while_the_object_store_is_away_leaves_its_pictures_to_the_next(
    system: System, breakable: LocalStack
) -> None:
    [worker, *_] = system.start_workers(1)
    batch_id = system.submit(pictures=200)
    system.wait_until("some are done", lambda: system.finished() >= 20, 60)
    kill_server(breakable, "s3")
    system.wait_until("it is missed", lambda: worker.said("store.unavailable"), 20)

    assert worker.stop() == 0
    paid = system.sandbox.stats()["totals"]["images"]
    kept = system.counts("jobs", "state")
    assert kept["running"] > 0
    assert kept["running"] + kept["succeeded"] == paid
    [heir, *_] = system.start_workers(1)
    system.wait_until("it tries the store", lambda: heir.said("parked.store_unavailable"), 30)
    breakable.acquire()

    finish(system, batch_id, 200, 90)
    assert system.sandbox.stats()["totals"]["images"] == 200
    assert system.counts("attempts", "outcome")["succeeded"] == 200
    assert system.counts("artifacts", "kind") == {"image": 200, "thumbnail": 200}
    assert [path for path in (system.directory / "spool").rglob("*") if path.is_file()] == []
