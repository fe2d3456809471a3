"""Workers that are killed, frozen or stopped in the middle of a batch."""

import time

import pytest

from pressroom.settings import Settings
from tests.e2e.accounts import answered_twice, assert_books_and_calls_agree
from tests.fixtures.system import QUICK, System

SHIPPED = {name.lower(): Settings.model_fields[name.lower()].default for name in QUICK}
SLOW_ANSWERS = {"latency": {"chat": {"kind": "uniform", "low": 0.2, "high": 0.6}}}


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_one_of_two_workers_is_killed_among_2000_jobs(system: System) -> None:
    """With the settings as shipped: what the other cannot have finished by itself is back within 30 s."""
    system.sandbox.configure(**SLOW_ANSWERS)
    victim, survivor = system.start_workers(2, **SHIPPED)
    batch_id = system.submit(texts=2_000)
    system.wait_until("a fifth is done", lambda: system.finished() >= 400, 60)

    in_flight = "SELECT count(*) FROM jobs WHERE state = 'running'"
    system.wait_until("calls are in flight", lambda: system.scalar(in_flight) > 0, 10)
    killed_at = time.monotonic()
    victim.kill()

    taken_back = "SELECT count(*) = 0 FROM leases l JOIN workers w ON w.id = l.worker_id WHERE w.pid = :pid"
    system.wait_until("its jobs are taken back", lambda: system.scalar(taken_back, pid=victim.pid), 30)
    assert time.monotonic() - killed_at < 30
    system.wait_for_batch(batch_id, 90)
    assert system.counts("jobs", "state") == {"succeeded": 2_000}
    outcomes = system.counts("attempts", "outcome")
    assert outcomes["succeeded"] == 2_000
    assert set(outcomes) <= {"succeeded", "unknown", "released"}
    assert answered_twice(system) <= outcomes.get("unknown", 0)
    unknown = """SELECT count(*) FROM attempts a JOIN workers w ON w.id = a.worker_id
        WHERE a.outcome = 'unknown' AND w.pid <> :pid"""
    assert system.scalar(unknown, pid=victim.pid) == 0
    assert_books_and_calls_agree(system)
    assert survivor.stop() == 0


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_a_worker_that_was_frozen_too_long_goes_on_under_a_new_name(system: System) -> None:
    system.sandbox.configure(**SLOW_ANSWERS)
    frozen, other = system.start_workers(2)
    batch_id = system.submit(texts=800)
    system.wait_until("some are done", lambda: system.finished() >= 100, 60)

    frozen.freeze()
    given_up = "SELECT count(*) = 1 FROM workers WHERE pid = :pid AND gave_up_at IS NOT NULL"
    system.wait_until("it is given up", lambda: bool(system.scalar(given_up, pid=frozen.pid)), 30)
    frozen.thaw()

    system.wait_for_batch(batch_id, 60)
    system.wait_until("it has registered again", lambda: frozen.said("worker.was_given_up"), 20)
    assert system.counts("jobs", "state") == {"succeeded": 800}
    assert frozen.stop() == 0
    assert other.stop() == 0
    assert_books_and_calls_agree(system)
    assert system.scalar("SELECT count(*) FROM workers WHERE pid = :pid", pid=frozen.pid) == 2


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_a_stop_finishes_what_is_called_and_hands_back_the_rest(system: System) -> None:
    system.sandbox.configure(**SLOW_ANSWERS)
    [worker] = system.start_workers(1, worker_max_in_flight=100)
    batch_id = system.submit(texts=1_500)
    system.wait_until("some are done", lambda: system.finished() >= 150, 60)

    began = time.monotonic()
    assert worker.stop() == 0

    assert time.monotonic() - began < 12
    states = system.counts("jobs", "state")
    assert {"succeeded", "queued"} <= set(states) <= {"succeeded", "queued", "leased"}, "leased: not yet claimed"
    assert set(system.counts("attempts", "outcome")) <= {"succeeded", "released"}
    assert system.scalar("SELECT count(*) FROM leases WHERE worker_id IS NOT NULL") == 0
    assert_books_and_calls_agree(system)

    system.start_workers(1)
    system.wait_for_batch(batch_id, 60)
    assert system.counts("jobs", "state") == {"succeeded": 1_500}
    assert answered_twice(system) == 0
    assert_books_and_calls_agree(system)
