"""Classes, weights, deadlines: who goes first, by how much, and who pays for it."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from sqlalchemy import text

from models import PriorityClass
from pressroom.jobs.deadlines import deadline_warning, mark_late
from pressroom.jobs.dispatch import lease_pool
from pressroom.jobs.lease import claim_lease
from pressroom.jobs.weights import set_weight
from tests.fixtures.desk import Desk, success

STARTED = "SELECT count(*) FROM jobs WHERE state <> 'queued' AND project_id = :p"


def started(desk: Desk, project: UUID) -> int:
    """Jobs of a project that are out or over."""
    return int(desk.scalar(STARTED, p=project))


def work(desk: Desk, worker: UUID, turns: int) -> None:
    """So many turns of dispatch, all that is leased called and answered."""
    for _ in range(turns):
        jobs = desk.take(worker)
        attempts = desk.start(jobs, worker)
        desk.settle(*[success(job, attempts[job.id]) for job in jobs])


def jain(shares: list[float]) -> float:
    """1 where all are alike."""
    return sum(shares) ** 2 / (len(shares) * sum(share**2 for share in shares))


def test_a_heavy_project_and_nine_light_ones_are_served_alike(desk: Desk) -> None:
    desk.deployment(limits={"rpm": 6_000})
    projects = [desk.project(f"p{n}") for n in range(10)]
    for n, project in enumerate(projects):
        desk.submit(2_000 if n == 0 else 200, project=project)
    worker = desk.worker()

    work(desk, worker, 5)

    assert jain([float(started(desk, project)) for project in projects]) >= 0.99
    assert desk.faults() == {}


def test_weights_are_kept_to_a_job(desk: Desk) -> None:
    desk.deployment(limits={"rpm": 6_000})
    projects = [desk.project(f"w{weight}", weight=weight) for weight in (1.0, 2.0, 4.0)]
    for project in projects:
        desk.submit(900, project=project)
    worker = desk.worker()

    work(desk, worker, 4)

    counts = [started(desk, project) for project in projects]
    total = sum(counts)
    assert [count / total for count in counts] == pytest.approx([1 / 7, 2 / 7, 4 / 7], abs=0.01)


def test_a_new_weight_holds_from_the_next_turn_on(desk: Desk) -> None:
    desk.deployment(limits={"rpm": 6_000})
    one, other = desk.project("one"), desk.project("other")
    for project in (one, other):
        desk.submit(900, project=project)
    worker = desk.worker()
    work(desk, worker, 1)
    before = started(desk, one), started(desk, other)

    with desk.engine.begin() as conn:
        set_weight(conn, one, 4.0)
    work(desk, worker, 3)

    gained = started(desk, one) - before[0], started(desk, other) - before[1]
    assert gained[0] / gained[1] == pytest.approx(4.0, rel=0.1)


def test_a_claim_reads_only_the_jobs_of_its_flows_where_nearly_all_are_of_one(desk: Desk) -> None:
    ref = desk.deployment(limits={"rpm": 600})
    desk.submit(4_000, priority_class=PriorityClass.BULK)
    worker = desk.worker()
    desk.take(worker)
    with desk.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as conn:
        conn.execute(text("VACUUM ANALYZE jobs"))
    desk.submit(1, priority_class=PriorityClass.INTERACTIVE)

    entries_read = text("SELECT pg_stat_get_xact_tuples_returned('pk_jobs'::regclass)")
    with desk.engine.begin() as conn:
        before = conn.execute(entries_read).scalar_one()
        leased = lease_pool(conn, ref.pool_id, desk.policy)
        read = conn.execute(entries_read).scalar_one() - before

    assert sum(leased.values()) == 1
    assert read < 100


def test_interactive_jobs_go_first_though_the_pool_is_full_of_others(desk: Desk) -> None:
    desk.deployment(limits={"rpm": 600})
    desk.submit(500, priority_class=PriorityClass.BULK)
    worker = desk.worker()
    desk.take(worker)
    assert desk.dispatch() == []

    desk.submit(3, priority_class=PriorityClass.INTERACTIVE, project=desk.project("person"))
    [lease, *_] = desk.dispatch()

    with desk.engine.begin() as conn:
        claimed = claim_lease(conn, lease, worker)
    assert claimed is not None
    assert claimed.urgent
    assert desk.scalar("SELECT count(*) FROM jobs j JOIN leases l ON l.id = j.lease_id WHERE l.urgent") == 3


def test_interactive_jobs_get_no_more_than_their_part_out_of_turn(desk: Desk) -> None:
    """Bulk of a project of a hundred times the weight: by weight, interactive ones would wait."""
    desk.deployment(limits={"rpm": 6_000})
    heavy, light = desk.project("heavy", weight=1_000.0), desk.project("light", weight=0.001)
    desk.submit(6_000, project=heavy, priority_class=PriorityClass.BULK)
    desk.submit(3_000, project=light, priority_class=PriorityClass.INTERACTIVE)
    worker = desk.worker()
    work(desk, worker, 4)
    before = started(desk, light), started(desk, heavy)

    work(desk, worker, 10)

    light_now, heavy_now = started(desk, light) - before[0], started(desk, heavy) - before[1]
    assert light_now / (light_now + heavy_now) == pytest.approx(0.3, abs=0.05)


def test_nothing_starves_beside_an_endless_stream_of_interactive_jobs(desk: Desk) -> None:
    desk.deployment(limits={"rpm": 600})
    slow = desk.project("slow")
    desk.submit(50, project=slow, priority_class=PriorityClass.BULK)
    desk.submit(1_000, project=desk.project("fast"), priority_class=PriorityClass.INTERACTIVE)
    worker = desk.worker()

    work(desk, worker, 8)

    assert started(desk, slow) >= 8


def test_flows_that_would_be_late_go_first_and_pay_for_it(desk: Desk) -> None:
    desk.deployment(limits={"rpm": 600})
    punctual, other = desk.project("punctual"), desk.project("other", weight=20.0)
    desk.submit(600, project=other)
    desk.submit(100, project=punctual, deadline=datetime.now(UTC) + timedelta(seconds=90))
    with desk.engine.begin() as conn:
        assert mark_late(conn) == 1
    worker = desk.worker()

    work(desk, worker, 6)

    total = started(desk, punctual) + started(desk, other)
    assert started(desk, punctual) / total == pytest.approx(0.3, abs=0.06)
    vtimes = "SELECT vtime FROM stakes WHERE project_id = :p"
    assert desk.scalar(vtimes, p=punctual) > desk.scalar(vtimes, p=other)


def test_a_flow_is_late_only_while_its_part_is_not_enough(desk: Desk) -> None:
    desk.deployment(limits={"rpm": 600})
    desk.submit(100, deadline=datetime.now(UTC) + timedelta(hours=1))
    with desk.engine.begin() as conn:
        assert mark_late(conn) == 0
    desk.execute("UPDATE flows SET queued = 100000")
    with desk.engine.begin() as conn:
        assert mark_late(conn) == 1
    desk.execute("UPDATE flows SET queued = 100")
    with desk.engine.begin() as conn:
        assert mark_late(conn) == 1
    assert desk.scalar("SELECT late FROM flows") is False


def test_a_submission_that_cannot_make_its_deadline_is_told_the_figures(desk: Desk) -> None:
    desk.deployment(limits={"rpm": 60})
    desk.submit(100, project=desk.project("other"))
    fine = desk.submit(10, deadline=datetime.now(UTC) + timedelta(hours=2))
    hopeless = desk.submit(600, deadline=datetime.now(UTC) + timedelta(minutes=10))

    with desk.engine.connect() as conn:
        said = deadline_warning(conn, hopeless)
        assert deadline_warning(conn, fine) is None
    assert said is not None
    assert "needs 20 min: 10 min of sandbox/gpt-4o-mini, of which this project's class gets 50%" in said


def test_nothing_is_said_of_a_pool_whose_limits_nobody_knows(desk: Desk) -> None:
    batch = desk.submit(10_000, deadline=datetime.now(UTC) + timedelta(seconds=30))
    with desk.engine.connect() as conn:
        assert deadline_warning(conn, batch) is None


def test_estimates_that_experience_corrected_are_charged_corrected(desk: Desk) -> None:
    """Jobs that are known to take half of what was estimated: twice as many are leased ahead."""
    ref = desk.deployment(limits={"tpm": 60_000})
    desk.submit(200, tokens=100)
    desk.execute("UPDATE deployments SET token_ratio = 0.5 WHERE id = :id", id=ref.id)

    desk.dispatch()

    assert desk.states()["leased"] == 50


def test_a_day_limit_that_is_the_bottleneck_is_what_is_charged_but_does_not_pace(desk: Desk) -> None:
    desk.deployment(limits={"rpm": 600, "rpd": 8_640})
    desk.submit(100)

    desk.dispatch()

    assert desk.states()["leased"] == 25
    assert desk.scalar("SELECT vtime * weight FROM stakes") == pytest.approx(25 * 10.0)


def test_a_turn_reads_about_what_it_takes_from_however_many_flows(desk: Desk) -> None:
    desk.policy = replace(desk.policy, unlimited_ahead_jobs=100)
    for n in range(40):
        desk.submit(30, project=desk.project(f"p{n}"))
    with desk.engine.connect() as conn:
        from pressroom.jobs.claim import Claims, Lane, Room
        from pressroom.jobs.rates import Rates

        pool, open_ = desk.scalar("SELECT id FROM pools"), [desk.scalar("SELECT id FROM deployments")]
        claims = Claims(pool, Rates.of({}), open_)
        claims.take(conn, Lane.ALL, Room(float("inf"), 100))
        conn.rollback()

    assert len(claims.jobs) == 100
    assert claims.looked_at <= 200
