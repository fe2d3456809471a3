"""Jobs that need other jobs: when they start, when they fail, and what a race or a crash may not do to them."""

import threading
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any
from uuid import UUID

from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from models import DEFAULT_PROJECT_ID
from pressroom.ids import new_id, show_id
from pressroom.jobs.dependencies import Needs, find_cycle, hold_needed, insert_needs, release, release_missed
from pressroom.jobs.end_early import cancel_selected
from pressroom.jobs.lease import LeasedJob
from pressroom.jobs.outcome import Outcome
from pressroom.jobs.retry import retry_selected
from pressroom.jobs.selection import Selection
from pressroom.jobs.settle import settle
from pressroom.jobs.submit import Destination, NewJob, insert_jobs
from pressroom.operations.base import Estimate
from tests.fixtures.desk import EST_USD, Desk, refusal, success


def add(desk: Desk, *needs: UUID, run_on_failure: bool = False, model: str = "gpt-4o-mini", **fields: Any) -> UUID:
    """A job that needs others, as a submission makes it."""
    ref, job_id = desk.deployment(model), new_id()
    job = NewJob(
        "/v1/chat/completions",
        ref.model,
        f'{{"model": "{ref.model}"}}',
        Estimate(100, 0, EST_USD, EST_USD),
        id=job_id,
        **fields,
    )
    with desk.engine.begin() as conn:
        assert set(hold_needed(conn, DEFAULT_PROJECT_ID, needs)) == set(needs)
        to = Destination(DEFAULT_PROJECT_ID, {ref.model: ref}, blocked=bool(needs))
        own = [Needs(job_id, needs, run_on_failure)]
        insert_jobs(conn, [job], to, before_waking=lambda _: insert_needs(conn, own))
    release(desk.engine, [job_id])
    return job_id


def state(desk: Desk, job_id: UUID) -> str:
    """Of one job."""
    return str(desk.row("jobs", job_id).state)


def run(desk: Desk, kind: Any = success, *, only: Sequence[UUID] | None = None) -> list[UUID]:
    """Whatever is ready, or `only` these of it: called, and settled as `kind` says. Returns which."""
    worker = desk.worker()
    jobs = [job for job in desk.take(worker) if only is None or job.id in only]
    attempts = desk.start(jobs, worker)
    desk.settle(*[kind(job, attempts[job.id]) for job in jobs])
    return [job.id for job in jobs]


def test_a_job_starts_when_the_last_of_what_it_needs_has_ended(desk: Desk) -> None:
    first, second = add(desk), add(desk)
    job = add(desk, first, second)
    assert state(desk, job) == "blocked"
    worker = desk.worker()
    jobs = desk.take(worker)
    attempts = desk.start(jobs, worker)

    desk.settle(success(jobs[0], attempts[jobs[0].id]))
    assert state(desk, job) == "blocked"
    desk.settle(success(jobs[1], attempts[jobs[1].id]))
    assert state(desk, job) == "queued"

    assert run(desk) == [job]
    assert desk.faults() == {}


def test_what_has_ended_already_is_not_waited_for(desk: Desk) -> None:
    first = add(desk)
    run(desk)
    job = add(desk, first)
    assert state(desk, job) == "queued"
    assert run(desk) == [job]


def test_a_job_fails_with_what_it_needs_and_so_does_who_needs_it(desk: Desk) -> None:
    first, other = add(desk), add(desk, run_at=datetime.now(UTC) + timedelta(hours=1))
    second = add(desk, first, other)
    third = add(desk, second)
    anyway = add(desk, third, run_on_failure=True)
    run(desk, refusal)

    assert [state(desk, job) for job in (first, second, third, anyway)] == ["failed", "failed", "failed", "queued"]
    for job, blamed in ((second, first), (third, second)):
        row = desk.row("jobs", job)
        assert (row.error_code, row.calls, row.cost_usd) == ("dependency_failed", 0, None)
        message = desk.scalar("SELECT error ->> 'message' FROM job_results WHERE job_id = :id", id=job)
        assert show_id("job", blamed) in message
    assert desk.faults() == {}


def test_cancelling_and_expiry_end_who_needs_it_too(desk: Desk) -> None:
    late = add(desk, run_at=datetime.now(UTC) + timedelta(hours=1), deadline=datetime.now(UTC) + timedelta(hours=2))
    given_up = add(desk, run_at=datetime.now(UTC) + timedelta(hours=1))
    needs_late, needs_given_up = add(desk, late), add(desk, given_up)

    cancel_selected(desk.engine, Selection(DEFAULT_PROJECT_ID, ids=[given_up]))
    assert state(desk, needs_given_up) == "failed"
    desk.execute("UPDATE jobs SET deadline = now() - interval '1 s' WHERE id = :id", id=late)
    desk.sweep()
    assert (state(desk, late), state(desk, needs_late)) == ("expired", "failed")
    assert desk.faults() == {}


def test_a_blocked_job_can_be_cancelled_and_expires(desk: Desk) -> None:
    first = add(desk, run_at=datetime.now(UTC) + timedelta(hours=1))
    given_up, late = add(desk, first), add(desk, first, deadline=datetime.now(UTC) + timedelta(hours=1))
    cancel_selected(desk.engine, Selection(DEFAULT_PROJECT_ID, ids=[given_up]))
    desk.execute("UPDATE jobs SET deadline = now() - interval '1 s' WHERE id = :id", id=late)
    desk.sweep()
    assert (state(desk, given_up), state(desk, late)) == ("cancelled", "expired")

    desk.execute("UPDATE jobs SET run_at = NULL WHERE id = :id", id=first)
    desk.execute("UPDATE flows SET active = true")
    desk.execute("UPDATE stakes SET active = true")
    assert run(desk) == [first]
    assert (state(desk, given_up), state(desk, late)) == ("cancelled", "expired")
    assert desk.scalar("SELECT count(*) FROM job_dependencies WHERE waits") == 0
    assert desk.faults() == {}


def test_a_job_that_may_not_start_yet_waits_for_its_time_after_that(desk: Desk) -> None:
    first = add(desk)
    job = add(desk, first, run_at=datetime.now(UTC) + timedelta(hours=1))
    run(desk)
    row = desk.row("jobs", job)
    assert (row.state, row.run_at is not None) == ("queued", True)
    assert desk.faults() == {}


def test_two_that_settle_at_once_let_go_of_whoever_needs_both(desk: Desk) -> None:
    # Of two deployments: else each would wait for the other's costs of the day, and for its flow.
    needed = [add(desk, model=model) for model in ("gpt-4o-mini", "gpt-4.1-mini")]
    deployments = [desk.row("jobs", id_).deployment_id for id_ in needed]
    job = add(desk, *needed)
    worker = desk.worker()
    jobs = desk.take(worker)
    attempts = desk.start(jobs, worker)
    both_settled, dependants = threading.Barrier(2), set[UUID]()

    def end(one: LeasedJob, outcome: Outcome) -> None:
        with desk.engine.begin() as conn:
            found = settle(conn, [outcome]).dependants
            # Neither sees the other's end: both transactions are open.
            both_settled.wait(10)
        dependants.update(found)
        release(desk.engine, found)

    in_order = sorted(jobs, key=lambda one: one.id)
    threads = [
        threading.Thread(target=end, args=(one, success(one, attempts[one.id], deployment_id=deployment)))
        for one, deployment in zip(in_order, deployments, strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert dependants == {job}
    assert state(desk, job) == "queued"


def test_a_submission_waits_for_the_settlement_of_what_it_needs(desk: Desk) -> None:
    first = add(desk)
    worker = desk.worker()
    [leased] = desk.take(worker)
    attempts = desk.start([leased], worker)
    made: list[UUID] = []
    thread = threading.Thread(target=lambda: made.append(add(desk, first)))
    with desk.engine.begin() as conn:
        assert settle(conn, [success(leased, attempts[leased.id])]).dependants == []
        thread.start()
        waits = "SELECT count(*) FROM pg_locks WHERE NOT granted"
        while not desk.scalar(waits):
            thread.join(0.01)
            assert thread.is_alive()
    thread.join(20)
    assert state(desk, made[0]) == "queued"


def test_a_settlement_waits_for_a_submission_and_then_knows_it(desk: Desk) -> None:
    first = add(desk)
    worker = desk.worker()
    [leased] = desk.take(worker)
    attempts = desk.start([leased], worker)
    job = new_id()
    thread = threading.Thread(target=lambda: desk.settle(success(leased, attempts[leased.id])))
    with desk.engine.begin() as conn:
        hold_needed(conn, DEFAULT_PROJECT_ID, [first])
        thread.start()
        while not desk.scalar("SELECT count(*) FROM pg_locks WHERE NOT granted"):
            thread.join(0.01)
            assert thread.is_alive()
        ref = desk.deployment()
        new = NewJob("/v1/chat/completions", ref.model, "{}", Estimate(1, 0, EST_USD, EST_USD), id=job)
        to = Destination(DEFAULT_PROJECT_ID, {ref.model: ref}, blocked=True)
        insert_jobs(conn, [new], to, before_waking=lambda _: insert_needs(conn, [Needs(job, [first])]))
    thread.join(20)
    assert state(desk, job) == "queued"


def test_what_a_crash_left_blocked_is_found(desk: Desk) -> None:
    first = add(desk)
    job = add(desk, first)
    worker = desk.worker()
    [leased] = desk.take(worker)
    attempts = desk.start([leased], worker)
    with desk.engine.begin() as conn:
        assert settle(conn, [success(leased, attempts[leased.id])]).dependants == [job]
    assert state(desk, job) == "blocked"
    assert release_missed(desk.engine) == 1
    assert release_missed(desk.engine) == 0
    assert state(desk, job) == "queued"
    assert desk.faults() == {}


def test_a_retry_waits_for_the_retry_of_what_it_needs(desk: Desk) -> None:
    first = add(desk)
    job = add(desk, first)
    run(desk, refusal)
    assert state(desk, job) == "failed"

    assert retry_selected(desk.engine, Selection(DEFAULT_PROJECT_ID)) == 2
    again = desk.row("jobs", job).superseded_by
    assert state(desk, again) == "blocked"
    assert run(desk) == [desk.row("jobs", first).superseded_by]
    assert run(desk) == [again]
    assert desk.faults() == {}


def test_a_retry_without_that_of_what_it_needs_fails_again(desk: Desk) -> None:
    first = add(desk)
    job = add(desk, first)
    run(desk, refusal)
    retry_selected(desk.engine, Selection(DEFAULT_PROJECT_ID, ids=[job]))
    again = desk.row("jobs", job).superseded_by
    assert (state(desk, again), desk.row("jobs", again).error_code) == ("failed", "dependency_failed")
    assert state(desk, first) == "failed"


def test_who_has_a_hundred_needs_starts_once_after_them(desk: Desk) -> None:
    needed = [add(desk) for _ in range(100)]
    job = add(desk, *needed)
    done: list[UUID] = []
    while (ready := run(desk)) and len(done) < 200:
        done += ready
    assert done[-1] == job
    assert sorted(done[:-1]) == sorted(needed)
    assert desk.faults() == {}


def test_what_is_needed_is_of_the_same_project(desk: Desk) -> None:
    other = desk.project("other")
    desk.submit(1, project=other)
    theirs = desk.scalar("SELECT id FROM jobs WHERE project_id = :id", id=other)
    with desk.engine.begin() as conn:
        assert hold_needed(conn, DEFAULT_PROJECT_ID, [theirs]) == {}
        conn.execute(text("SELECT 1"))


def test_a_circle_is_found_and_named() -> None:
    assert find_cycle({"a": ["b"], "b": ["c", "a"], "c": []}) == ["a", "b", "a"]
    assert find_cycle({"a": ["a"]}) == ["a", "a"]
    assert find_cycle({"a": ["b", "c"], "b": ["c"], "c": ["elsewhere"]}) == []
    assert find_cycle({str(n): [str(n + 1)] for n in range(3000)}) == []


_NAMES = st.sampled_from("abcdef")


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(_NAMES, st.lists(_NAMES, max_size=4), max_size=6))
def test_a_circle_is_found_exactly_where_no_order_exists(needs: dict[str, list[str]]) -> None:
    cycle = find_cycle(needs)
    left = {name: {need for need in needs[name] if need in needs} for name in needs}
    while free := [name for name in left if not left[name] & left.keys()]:
        for name in free:
            del left[name]
    assert bool(cycle) == bool(left)
    if cycle:
        assert cycle[0] == cycle[-1]
        assert all(after in needs[before] for before, after in pairwise(cycle))
