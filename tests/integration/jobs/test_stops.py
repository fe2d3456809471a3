"""Pausing, resuming, cancelling and moving a million jobs by a few rows: nothing more starts, and nothing is lost."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from uuid import UUID

import pytest

from models import DEFAULT_PROJECT_ID, PriorityClass
from pressroom.errors import Conflict, NotFound
from pressroom.ids import new_id
from pressroom.jobs.end_early import cancel_batch, cancel_selected
from pressroom.jobs.move import move_jobs
from pressroom.jobs.queries import list_jobs
from pressroom.jobs.reprioritise import Urgency, reprioritise
from pressroom.jobs.retry import retry
from pressroom.jobs.selection import Selection
from pressroom.jobs.stops import (
    lift_left_over,
    mark_missed,
    pause_batch,
    pause_project,
    resume_batch,
    resume_project,
    stopped,
)
from pressroom.jobs.submit import Destination, NewJob, insert_jobs
from pressroom.operations.base import Estimate
from tests.fixtures.desk import EST_USD, Desk, success

EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
OF_BATCH = "SELECT count(*) FROM jobs WHERE batch_id = :b AND state = 'leased'"


def leased(desk: Desk, batch: UUID) -> int:
    """Jobs of a batch that are out."""
    return int(desk.scalar(OF_BATCH, b=batch))


def test_a_paused_batch_starts_nothing_and_the_others_go_on(desk: Desk) -> None:
    desk.deployment(limits={"rpm": 600})
    first, second = desk.submit(100), desk.submit(100)

    assert pause_batch(desk.engine, DEFAULT_PROJECT_ID, first) == 0
    desk.dispatch()

    assert (leased(desk, first), leased(desk, second)) == (0, 25)
    assert desk.faults() == {}


def test_what_was_leased_of_a_paused_batch_comes_back_and_cannot_be_started(desk: Desk) -> None:
    desk.deployment(limits={"rpm": 600})
    batch = desk.submit(100)
    worker = desk.worker()
    jobs = desk.take(worker)
    attempts = desk.start(jobs[:5], worker)

    assert pause_batch(desk.engine, DEFAULT_PROJECT_ID, batch) == 20

    assert desk.start(jobs[5:], worker) == {}
    assert desk.dispatch() == []
    desk.settle(*[success(job, attempts[job.id]) for job in jobs[:5]])
    assert desk.states() == {"queued": 95, "succeeded": 5}
    assert desk.scalar("SELECT vtime * weight FROM stakes") == pytest.approx(0.5)
    assert desk.faults() == {}

    assert resume_batch(desk.engine, DEFAULT_PROJECT_ID, batch)
    assert not resume_batch(desk.engine, DEFAULT_PROJECT_ID, batch)
    desk.dispatch()
    assert leased(desk, batch) == 25


def test_a_job_says_that_its_batch_or_project_is_paused(desk: Desk) -> None:
    batch = desk.submit(1)
    pause_batch(desk.engine, DEFAULT_PROJECT_ID, batch)

    def reason() -> str | None:
        with desk.engine.connect() as conn:
            return list_jobs(conn, Selection(DEFAULT_PROJECT_ID))[0].waiting_because

    assert reason() == "its batch is paused"
    pause_project(desk.engine, DEFAULT_PROJECT_ID)
    assert reason() == "its project is paused"


def test_a_paused_project_starts_nothing_new_either(desk: Desk) -> None:
    ours, theirs = desk.project("ours"), desk.project("theirs")
    desk.submit(10, project=ours)
    pause_project(desk.engine, ours)
    late = desk.submit(10, project=ours)
    other = desk.submit(10, project=theirs)

    desk.dispatch()

    assert desk.states() == {"queued": 20, "leased": 10}
    assert leased(desk, other) == 10
    assert resume_project(desk.engine, ours)
    desk.dispatch()
    assert leased(desk, late) == 10


def test_a_project_that_was_paused_earns_no_credit_nor_gives_any(desk: Desk) -> None:
    """It has the least virtual time by far, and whoever comes anew starts level with those that are served."""
    desk.deployment(limits={"rpm": 600})
    stopped_, busy, late = desk.project("stopped"), desk.project("busy"), desk.project("late")
    for project in (stopped_, busy):
        desk.submit(100, project=project)
    pause_project(desk.engine, stopped_)
    worker = desk.worker()
    for _ in range(3):
        desk.start(desk.take(worker), worker)
    assert desk.scalar("SELECT active FROM stakes WHERE project_id = :p", p=stopped_) is False

    desk.submit(100, project=late)
    resume_project(desk.engine, stopped_)
    assert desk.scalar("SELECT max(vtime) - min(vtime) FROM stakes") == 0.0

    desk.dispatch()
    query = "SELECT count(*) FROM jobs WHERE state = 'leased' AND project_id = :p"
    assert [int(desk.scalar(query, p=project)) for project in (stopped_, busy, late)] == pytest.approx([8, 8, 8], abs=1)


def test_resuming_the_project_leaves_a_paused_batch_paused(desk: Desk) -> None:
    batch = desk.submit(5)
    pause_batch(desk.engine, DEFAULT_PROJECT_ID, batch)
    pause_project(desk.engine, DEFAULT_PROJECT_ID)

    resume_project(desk.engine, DEFAULT_PROJECT_ID)

    assert desk.dispatch() == []
    resume_batch(desk.engine, DEFAULT_PROJECT_ID, batch)
    assert len(desk.dispatch()) > 0


def test_a_batch_that_is_over_or_unknown_cannot_be_paused(desk: Desk) -> None:
    batch = desk.submit(1)
    cancel_batch(desk.engine, DEFAULT_PROJECT_ID, batch)
    with pytest.raises(Conflict, match="is cancelled: there is nothing to pause"):
        pause_batch(desk.engine, DEFAULT_PROJECT_ID, batch)
    with pytest.raises(NotFound, match="there is no batch"):
        pause_batch(desk.engine, DEFAULT_PROJECT_ID, new_id())


def test_pausing_while_everybody_dispatches_leaves_nothing_leased(desk: Desk) -> None:
    """A turn of dispatch that had seen the batch as it was must not lease it afterwards."""
    batch = desk.submit(5_000)
    stop = threading.Event()

    def dispatcher() -> None:
        while not stop.is_set():
            desk.dispatch()

    with ThreadPoolExecutor(3) as threads:
        running = [threads.submit(dispatcher) for _ in range(3)]
        for _ in range(8):
            pause_batch(desk.engine, DEFAULT_PROJECT_ID, batch)
            assert leased(desk, batch) == 0
            resume_batch(desk.engine, DEFAULT_PROJECT_ID, batch)
        stop.set()
        for done in running:
            done.result()
    assert desk.faults() == {}


def test_a_cancelled_batch_can_be_retried(desk: Desk) -> None:
    batch = desk.submit(10)
    desk.dispatch()
    assert cancel_batch(desk.engine, DEFAULT_PROJECT_ID, batch).cancelled == 10
    assert desk.states() == {"cancelled": 10}

    with desk.engine.begin() as conn:
        assert retry(conn, Selection(DEFAULT_PROJECT_ID, batch_id=batch)) == 10
    desk.dispatch()

    assert desk.states() == {"cancelled": 10, "leased": 10}
    assert desk.faults() == {}


def test_cancelling_a_project_stops_it_only_meanwhile(desk: Desk) -> None:
    desk.submit(10)
    assert cancel_selected(desk.engine, Selection(DEFAULT_PROJECT_ID)).cancelled == 10

    desk.submit(3)
    desk.dispatch()

    assert desk.states() == {"cancelled": 10, "leased": 3}


def test_marks_that_a_crash_left_are_lifted_and_others_are_not(desk: Desk) -> None:
    batch = desk.submit(3)
    desk.execute("UPDATE flows SET paused = true")
    with desk.engine.begin() as conn:
        assert lift_left_over(conn) == 1
    flows = [desk.scalar("SELECT id FROM flows")]
    with stopped(desk.engine, flows):
        with desk.engine.begin() as conn:
            assert lift_left_over(conn) == 0
        assert desk.dispatch() == []
    pause_batch(desk.engine, DEFAULT_PROJECT_ID, batch)
    with desk.engine.begin() as conn:
        assert lift_left_over(conn) == 0
    assert desk.dispatch() == []


@pytest.mark.parametrize(
    "which",
    [
        lambda batch: Selection(DEFAULT_PROJECT_ID, batch_id=batch),
        lambda batch: Selection(DEFAULT_PROJECT_ID, batch_id=batch, error_code=None, created_from=EPOCH),
    ],
    ids=["by its flows", "job by job"],
)
def test_another_class_and_priority_hold_from_the_next_turn_on(desk: Desk, which: Callable[[UUID], Selection]) -> None:
    desk.deployment(limits={"rpm": 600})
    first, second = desk.submit(100), desk.submit(100)

    assert reprioritise(desk.engine, which(second), Urgency(priority=-5)) == 100
    desk.dispatch()
    assert (leased(desk, first), leased(desk, second)) == (0, 25)

    assert reprioritise(desk.engine, which(first), Urgency(priority_class=PriorityClass.INTERACTIVE)) == 100
    desk.dispatch()
    assert leased(desk, first) > 0
    assert desk.scalar(
        "SELECT bool_and(l.urgent) FROM leases l JOIN jobs j ON j.lease_id = l.id WHERE batch_id = :b", b=first
    )
    assert desk.faults() == {}


def test_what_was_leased_takes_its_new_place(desk: Desk) -> None:
    desk.deployment(limits={"rpm": 600})
    slow, fast = desk.submit(100), desk.submit(100)
    desk.dispatch()
    assert leased(desk, slow) == 25

    reprioritise(desk.engine, Selection(DEFAULT_PROJECT_ID, batch_id=slow), Urgency(priority=9))
    desk.dispatch()

    assert (leased(desk, slow), leased(desk, fast)) == (0, 25)
    assert desk.faults() == {}


def test_moved_jobs_keep_their_batch_and_place(desk: Desk) -> None:
    source, target = desk.deployment("gpt-4o-mini"), desk.deployment("gpt-4o")
    desk.submit(30, priority_class=PriorityClass.BULK, priority=3)

    with desk.engine.begin() as conn:
        assert move_jobs(conn, source.id, target.id, 20) == 20

    query = (
        "SELECT string_agg(queued::text || ' ' || priority || ' ' || (deployment_id = :d), ', ' ORDER BY id) FROM flows"
    )
    assert desk.scalar(query, d=target.id) == "10 3 false, 20 3 true"
    assert desk.scalar("SELECT count(*) FROM stakes WHERE priority_class = 'bulk'") == 2
    desk.dispatch()
    assert desk.states() == {"leased": 30}
    assert desk.faults() == {}


def test_a_submission_under_way_is_paused_with_its_project(desk: Desk) -> None:
    ref = desk.deployment()
    job = NewJob("/v1/chat/completions", ref.model, "{}", Estimate(100, 0, EST_USD, EST_USD))

    def pause(_: object) -> None:
        pause_project(desk.engine, DEFAULT_PROJECT_ID)

    with desk.engine.begin() as conn:
        insert_jobs(conn, [job] * 5, Destination(DEFAULT_PROJECT_ID, {ref.model: ref}), before_waking=pause)

    assert desk.dispatch() == []
    resume_project(desk.engine, DEFAULT_PROJECT_ID)
    desk.dispatch()
    assert desk.states() == {"leased": 5}


def test_a_flow_that_a_pause_could_not_see_is_found(desk: Desk) -> None:
    elsewhere = desk.deployment("gpt-4o", pool="gpt-4o")
    source = desk.deployment()
    batch = desk.submit(10)
    with ThreadPoolExecutor() as threads:
        with desk.engine.begin() as conn:
            assert move_jobs(conn, source.id, elsewhere.id, 5) == 5
            paused = threads.submit(pause_batch, desk.engine, DEFAULT_PROJECT_ID, batch)
            wait_until_blocked(desk)
        paused.result()

    with desk.engine.begin() as conn:
        assert (mark_missed(conn), mark_missed(conn)) == (1, 0)

    assert desk.dispatch() == []
    assert resume_batch(desk.engine, DEFAULT_PROJECT_ID, batch)
    desk.dispatch()
    assert desk.states() == {"leased": 10}


def wait_until_blocked(desk: Desk) -> None:
    """Until somebody waits for a lock."""
    query = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    ends = time.monotonic() + 10
    while not desk.scalar(query):
        assert time.monotonic() < ends
        time.sleep(0.01)


def test_flows_are_not_held_while_a_submission_makes_the_stake_they_go_to(desk: Desk) -> None:
    ref = desk.deployment()
    batch = desk.submit(1)
    job = NewJob("/v1/chat/completions", ref.model, "{}", Estimate(100, 0, EST_USD, EST_USD))
    bulk = Destination(DEFAULT_PROJECT_ID, {ref.model: ref}, PriorityClass.BULK)
    which = Selection(project_id=DEFAULT_PROJECT_ID, batch_id=batch)
    with ThreadPoolExecutor() as threads:
        with desk.engine.begin() as conn:
            insert_jobs(conn, [job], bulk)
            moved = threads.submit(reprioritise, desk.engine, which, Urgency(PriorityClass.BULK))
            wait_until_blocked(desk)
            desk.execute("SELECT 1 FROM flows WHERE batch_id = :batch FOR NO KEY UPDATE NOWAIT", batch=batch)
        assert moved.result() == 1

    assert desk.scalar("SELECT count(DISTINCT stake_id) FROM flows") == 1
