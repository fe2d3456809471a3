"""Dispatch: fair, never far ahead, never the same job twice, and nobody starves."""

import math
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import UUID

import pytest
from sqlalchemy import Engine, text

from models import DEFAULT_PROJECT_ID, BudgetScope, PriorityClass
from pressroom.jobs.budgets import BudgetKey, set_budget
from pressroom.jobs.claim import Claims, Lane, Room
from pressroom.jobs.dispatch import lease_pool, write_leases
from pressroom.jobs.rates import Rates
from pressroom.jobs.submit import Destination, NewJob, insert_jobs
from pressroom.operations.base import Estimate
from tests.fixtures.desk import EST_USD, Desk

AHEAD = 2.5


def leased_of(desk: Desk, project: UUID) -> int:
    """Jobs of a project that are out."""
    return int(desk.scalar("SELECT count(*) FROM jobs WHERE state = 'leased' AND project_id = :p", p=project))


def seconds_ahead(desk: Desk) -> float:
    """Of all pools together."""
    return float(desk.scalar("SELECT coalesce(sum(waiting_seconds), 0) FROM leases"))


def test_a_published_lease_holds_jobs_in_groups_of_at_most_fifty(desk: Desk) -> None:
    desk.submit(300)

    leases = desk.dispatch()

    assert desk.states() == {"leased": 300}
    sizes = [desk.scalar("SELECT open FROM leases WHERE id = :id", id=lease) for lease in leases]
    assert sum(sizes) == 300
    assert max(sizes) == 50
    assert desk.faults() == {}


def test_a_pool_without_limits_is_kept_a_bounded_number_of_jobs_ahead(desk: Desk) -> None:
    desk.submit(700)
    desk.dispatch()
    assert desk.states() == {"leased": 600, "queued": 100}

    desk.dispatch()

    assert desk.states() == {"leased": 600, "queued": 100}


def test_a_request_limit_bounds_the_seconds_ahead(desk: Desk) -> None:
    desk.deployment(limits={"rpm": 600})
    desk.submit(100)

    desk.dispatch()
    desk.dispatch()

    assert seconds_ahead(desk) == pytest.approx(AHEAD, abs=0.11)
    assert desk.states() == {"leased": 25, "queued": 75}


def test_large_jobs_under_a_token_limit_are_not_claimed_by_the_request_limit(desk: Desk) -> None:
    """500 requests a minute, but tokens for one job of this size in 1.2 s: two or three are enough."""
    desk.deployment(limits={"rpm": 500, "tpm": 200_000})
    desk.submit(100, tokens=4_000)

    desk.dispatch()

    assert seconds_ahead(desk) < AHEAD + 1.21
    assert 2 <= desk.states()["leased"] <= 3


def test_jobs_of_different_sizes_are_measured_one_by_one(desk: Desk) -> None:
    desk.deployment(limits={"tpm": 60_000})
    for tokens in (10, 10, 60_000, 10, 10):
        desk.submit(1, tokens=tokens)

    desk.dispatch()

    assert desk.states() == {"leased": 3, "queued": 2}
    assert seconds_ahead(desk) == pytest.approx(60.02)


def test_a_pool_slower_than_a_job_in_the_time_ahead_still_gets_one(desk: Desk) -> None:
    desk.deployment(limits={"rpm": 1})
    desk.submit(5)

    desk.dispatch()
    desk.dispatch()

    assert desk.states() == {"leased": 1, "queued": 4}


def test_room_comes_back_with_starts_and_with_jobs_handed_back_or_ended(desk: Desk) -> None:
    desk.deployment(limits={"rpm": 600})
    desk.submit(100)
    worker = desk.worker()
    jobs = desk.take(worker)
    assert desk.dispatch() == []

    desk.start(jobs[:10], worker)

    desk.dispatch()
    assert desk.states() == {"running": 10, "leased": 25, "queued": 65}
    assert desk.faults() == {}


def test_flows_are_served_by_weight_whatever_their_backlog(desk: Desk) -> None:
    desk.deployment(limits={"rpm": 6_000})
    heavy, light = desk.project("heavy"), desk.project("light", weight=2.0)
    desk.submit(1_000, project=heavy)
    desk.submit(1_000, project=light)
    worker = desk.worker()

    for _ in range(3):
        desk.start(desk.take(worker), worker)

    served = {
        p: int(
            desk.scalar("SELECT count(*) FROM attempts a JOIN jobs j ON j.id = a.job_id WHERE j.project_id = :p", p=p)
        )
        for p in (heavy, light)
    }
    assert served[light] / served[heavy] == pytest.approx(2.0, rel=0.05)
    assert desk.faults() == {}


def test_a_flow_that_slept_earns_no_credit(desk: Desk) -> None:
    desk.deployment(limits={"rpm": 600})
    early, late = desk.project("early"), desk.project("late")
    desk.submit(200, project=early)
    worker = desk.worker()
    for _ in range(4):
        desk.start(desk.take(worker), worker)

    desk.submit(200, project=late)
    desk.dispatch()

    assert leased_of(desk, early) >= 10
    assert leased_of(desk, late) >= 10


def test_within_a_flow_priority_then_deadline_then_age_decide(desk: Desk) -> None:
    desk.deployment(limits={"rpm": 1})
    soon, later = datetime.now(UTC) + timedelta(hours=1), datetime.now(UTC) + timedelta(hours=2)
    desk.submit(1)
    desk.submit(1, deadline=later)
    desk.submit(1, deadline=soon)
    desk.submit(1, priority=-1)
    worker = desk.worker()
    order = []
    for _ in range(4):
        [job] = desk.take(worker)
        order.append(desk.row("jobs", job.id))
        desk.start([job], worker)

    assert [(j.priority, j.deadline) for j in order] == [(-1, None), (0, soon), (0, later), (0, None)]


def test_many_dispatchers_at_once_lease_every_job_once(desk: Desk) -> None:
    desk.policy = replace(desk.policy, unlimited_ahead_jobs=10_000, lease_max_jobs=7)
    for number in range(6):
        desk.submit(150, project=desk.project(f"p{number}"))
    barrier = threading.Barrier(6)

    def work() -> None:
        barrier.wait()
        for _ in range(12):
            desk.dispatch()

    with ThreadPoolExecutor(6) as threads:
        for done in [threads.submit(work) for _ in range(6)]:
            done.result()

    assert desk.states() == {"leased": 900}
    assert desk.scalar("SELECT sum(open) FROM leases") == 900
    assert desk.scalar("SELECT count(*) FROM leases") == len(set(desk.postbox.messages))
    assert desk.faults() == {}


def test_submissions_and_dispatchers_at_once_leave_no_flow_asleep_with_work(desk: Desk) -> None:
    """A flow goes to sleep just as a job is inserted into it: whoever comes second must see the other."""
    desk.policy = replace(desk.policy, unlimited_ahead_jobs=10_000)
    projects = [desk.project(f"p{number}") for number in range(3)]
    stop = threading.Event()

    def submitter(project: UUID) -> None:
        for _ in range(25):
            desk.submit(1, project=project)

    def dispatcher() -> None:
        while not stop.is_set():
            desk.dispatch()

    desk.deployment()
    with ThreadPoolExecutor(5) as threads:
        dispatching = [threads.submit(dispatcher) for _ in range(2)]
        for done in [threads.submit(submitter, project) for project in projects]:
            done.result()
        stop.set()
        for done in dispatching:
            done.result()

    assert desk.faults() == {}
    desk.dispatch()
    assert desk.states() == {"leased": 75}


def test_submissions_to_several_flows_at_once_do_not_deadlock(desk: Desk) -> None:
    refs = {model: desk.deployment(model) for model in ("gpt-4o-mini", "dall-e-2", "gpt-5.4-mini")}
    estimate = Estimate(1, 0, EST_USD, EST_USD)

    def submitter(models: list[str]) -> None:
        for _ in range(30):
            with desk.engine.begin() as conn:
                jobs = [NewJob("/v1/chat/completions", model, "{}", estimate) for model in models]
                insert_jobs(conn, jobs, Destination(DEFAULT_PROJECT_ID, refs))

    orders = [list(refs), list(reversed(refs)), ["dall-e-2", "gpt-5.4-mini", "gpt-4o-mini"]]
    with ThreadPoolExecutor(3) as threads:
        for done in [threads.submit(submitter, order) for order in orders]:
            done.result()

    assert desk.states() == {"queued": 270}
    assert desk.faults() == {}


def test_a_second_dispatcher_skips_a_pool_that_is_being_dispatched(desk: Desk, engine: Engine) -> None:
    ref = desk.deployment()
    desk.submit(3)
    with engine.begin() as first:
        assert sum(lease_pool(first, ref.pool_id, desk.policy).values()) == 3
        with engine.begin() as second:
            assert lease_pool(second, ref.pool_id, desk.policy) == {}


def test_a_claim_that_is_rolled_back_changes_nothing(desk: Desk, engine: Engine) -> None:
    ref = desk.deployment()
    desk.submit(3)
    with engine.connect() as conn:
        lease_pool(conn, ref.pool_id, desk.policy)
        conn.rollback()

    assert desk.states() == {"queued": 3}
    assert desk.faults() == {}
    assert len(desk.dispatch()) > 0


def test_a_broker_that_is_down_loses_no_job(desk: Desk) -> None:
    desk.submit(3)
    desk.postbox.working = False
    assert desk.dispatch() == []
    assert desk.states() == {"leased": 3}
    desk.postbox.working = True

    desk.execute("UPDATE leases SET published_at = now() - interval '1 minute'")
    desk.sweep(resend_seconds=5)

    assert len(desk.postbox.messages) == desk.scalar("SELECT count(*) FROM leases")


def test_nothing_is_leased_of_a_paused_pool_or_deployment(desk: Desk) -> None:
    first, second = desk.deployment("gpt-4o-mini"), desk.deployment("dall-e-2")
    desk.submit(2)
    desk.submit(2, model="dall-e-2")
    desk.execute("UPDATE pools SET paused_at = now() WHERE id = :id", id=first.pool_id)
    desk.execute("UPDATE deployments SET paused_at = now() WHERE id = :id", id=second.id)
    assert desk.dispatch() == []

    desk.execute("UPDATE pools SET paused_at = NULL")
    desk.execute("UPDATE deployments SET paused_at = NULL")

    desk.dispatch()
    assert desk.states() == {"leased": 4}


def test_jobs_of_a_paused_deployment_do_not_hold_up_the_others_of_its_pool(desk: Desk) -> None:
    """A slow pool is claimed from one flow at a time: the one of the paused jobs has the least virtual time."""
    stopped = desk.deployment("gpt-4o-mini", pool="shared", limits={"rpm": 10})
    desk.deployment("gpt-4o-mini-2024-07-18", pool="shared")
    for number in range(12):
        desk.submit(1, project=desk.project(f"stuck-{number}"))
    desk.submit(3, model="gpt-4o-mini-2024-07-18", priority_class=PriorityClass.BULK)
    desk.execute("UPDATE stakes SET vtime = 5 WHERE priority_class = 'bulk'")
    desk.execute("UPDATE deployments SET paused_at = now() WHERE id = :id", id=stopped.id)

    desk.dispatch()

    assert desk.states() == {"leased": 1, "queued": 14}


def test_another_providers_jobs_are_left_alone(desk: Desk) -> None:
    desk.submit(2)
    desk.policy = replace(desk.policy, base_url="https://api.openai.com/v1")

    assert desk.dispatch() == []


def test_a_job_for_later_or_past_its_deadline_is_not_leased(desk: Desk) -> None:
    now = datetime.now(UTC)
    desk.submit(1, run_at=now + timedelta(hours=1))
    desk.submit(1, deadline=now - timedelta(seconds=1))
    desk.submit(1)

    desk.dispatch()

    assert desk.states() == {"leased": 1, "queued": 2}
    assert desk.faults() == {}


def test_a_weight_is_of_its_class_and_project(desk: Desk) -> None:
    desk.submit(1, project=desk.project("double", weight=2.0), priority_class=PriorityClass.INTERACTIVE)

    assert desk.scalar("SELECT weight FROM stakes") == 32.0


def test_submitted_jobs_are_on_the_books_only_when_the_transaction_commits(desk: Desk, engine: Engine) -> None:
    ref = desk.deployment()
    with engine.connect() as conn:
        job = NewJob("/v1/chat/completions", "gpt-4o-mini", "{}", Estimate(1, 0, EST_USD, EST_USD))
        done = insert_jobs(conn, [job, job], Destination(DEFAULT_PROJECT_ID, {"gpt-4o-mini": ref}), keep_ids=True)
        assert (done.total, done.est_cost_usd, len(set(done.ids))) == (2, 2 * EST_USD, 2)
        conn.execute(text("ROLLBACK"))

    assert desk.states() == {}
    assert desk.faults() == {}


@pytest.mark.parametrize(("limits", "tokens"), [({"ipm": 5}, 100), ({"tpm": 5000}, 0)])
def test_jobs_that_take_nothing_of_what_their_pool_limits_go_out(
    desk: Desk, limits: dict[str, int], tokens: int
) -> None:
    desk.deployment(limits=limits)
    desk.submit(10, tokens=tokens)

    desk.dispatch()

    assert desk.states() == {"leased": 10}


def test_a_pool_whose_books_are_wrong_stops_no_other(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    with desk.engine.begin() as conn:
        set_budget(conn, BudgetKey(BudgetScope.INSTALLATION), Decimal(1))
    ill = desk.submit(1)
    desk.execute(
        "INSERT INTO holds (job_id, number, state, amount_usd, windows)"
        " SELECT id, 1, 'uncertain', 0, '{}' FROM jobs WHERE batch_id = :ill",
        ill=ill,
    )
    desk.submit(2, model="gpt-4o")

    desk.dispatch()

    assert desk.states() == {"queued": 1, "leased": 2}
    assert "1 of 1 jobs have a hold for a call not made yet" in caplog.text


def test_a_claimed_job_that_is_not_where_it_was_locked_is_not_leased(desk: Desk) -> None:
    desk.submit(4)
    pool = desk.scalar("SELECT pool_id FROM flows")
    with desk.engine.connect() as conn:
        claims = Claims(pool, Rates.of({}), [desk.scalar("SELECT id FROM deployments")])
        claims.take(conn, Lane.ALL, Room(math.inf, 3))
        conn.execute(text("UPDATE jobs SET priority = 1 WHERE id = :id"), {"id": claims.jobs[0].id})

        with pytest.raises(RuntimeError, match="2 of 3"):
            write_leases(conn, pool, claims.jobs, 50)
