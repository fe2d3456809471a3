"""The books against the provider's own count: every call has its attempt, and every attempt at most one call."""

from collections import Counter

from tests.fixtures.books_check import faults
from tests.fixtures.system import System

ALL_CALLS = 20_000


def calls_by_attempt(system: System) -> Counter[str]:
    """How many calls the provider got under each attempt's id."""
    return Counter(call["client_request_id"] for call in system.sandbox.calls(ALL_CALLS) if call["endpoint"] != "files")


def assert_books_and_calls_agree(system: System) -> None:
    """To be called when nothing runs any more."""
    with system.engine.connect() as conn:
        assert faults(conn) == {}
        rows = conn.exec_driver_sql("SELECT id::text, outcome::text FROM attempts").all()
    booked = {row[0]: row[1] for row in rows}
    calls = calls_by_attempt(system)
    assert set(calls.values()) <= {1}
    assert not set(calls) - set(booked), "a call without an attempt"
    uncalled = {outcome for attempt, outcome in booked.items() if attempt not in calls}
    # An attempt in flight at a kill may not have been sent yet, and one that never reached the provider failed.
    assert uncalled <= {"released", "unknown", "failed"}


def answered_twice(system: System) -> int:
    """Jobs for which the provider gave more than one good answer."""
    good = {call["client_request_id"] for call in system.sandbox.calls(ALL_CALLS) if call["status"] == 200}
    with system.engine.connect() as conn:
        rows = conn.exec_driver_sql("SELECT id::text, job_id::text FROM attempts").all()
    return sum(1 for n in Counter(row[1] for row in rows if row[0] in good).values() if n > 1)
