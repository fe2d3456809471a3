"""Routes in the books: who gets a project's jobs, who steps in, and how queued jobs change places."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID

import pytest
import redis
from sqlalchemy import text

from models import DEFAULT_PROJECT_ID, StopKind
from pressroom.errors import InvalidInput, NotFound
from pressroom.jobs import deployments, route
from pressroom.jobs.move import Scope, move_jobs
from pressroom.jobs.overview import overview
from pressroom.jobs.regroup import fetch_left_behind, regroup
from pressroom.jobs.reroute import reroute
from pressroom.jobs.stop_deployment import Stop, stop_deployment
from pressroom.jobs.submit import Destination, NewJob, insert_jobs
from pressroom.limits.redis_limiter import LimiterAdmin
from pressroom.operations.base import Estimate
from pressroom.settings import SANDBOX
from tests.fixtures.desk import EST_USD, Desk
from tests.integration.jobs.test_stops import wait_until_blocked

MODEL = "gpt-4o-mini"


@pytest.fixture
def limiter(redis_url: str) -> Iterator[LimiterAdmin]:
    """The operator's side of the limiter."""
    with redis.Redis.from_url(redis_url) as client:
        yield LimiterAdmin(client)


def add(desk: Desk, account: str, **limits: float) -> deployments.DeploymentRow:
    """Another account for the model."""
    with desk.engine.begin() as conn:
        row = deployments.add_deployment(conn, deployments.Place(SANDBOX, account), MODEL)
        if limits:
            deployments.change_limits(conn, row, limits)
        return row


def add_all(desk: Desk, accounts: str, **limits: float) -> list[deployments.DeploymentRow]:
    """One for each letter."""
    return [add(desk, account, **limits) for account in accounts]


def set_route(desk: Desk, *fallbacks: str, project: UUID | None = None, **weights: int) -> None:
    """Accounts by weight, and those that stand by."""
    with desk.engine.begin() as conn:
        route.set_route(conn, MODEL, weights, fallbacks, project_id=project)


def submit(desk: Desk, count: int, project: UUID = DEFAULT_PROJECT_ID) -> None:
    """Jobs for the model, dealt out as its route says."""
    with desk.engine.begin() as conn:
        share = route.find_share(conn, project, MODEL)
        assert share is not None
        estimate = Estimate(100, 0, EST_USD, EST_USD)
        jobs = [NewJob("/v1/chat/completions", MODEL, "{}", estimate) for _ in range(count)]
        insert_jobs(conn, jobs, Destination(project, {MODEL: share}))


def stop(desk: Desk, limiter: LimiterAdmin, row: deployments.DeploymentRow, retry_seconds: float = 60.0) -> None:
    """Open its breaker."""
    with desk.engine.begin() as conn:
        stop_deployment(conn, limiter, row.id, Stop(StopKind.FAILURES, "it is ill", retry_seconds))


def queued(desk: Desk) -> dict[str, int]:
    """Queued jobs by account; the flows' counts must say the same."""
    with desk.engine.connect() as conn:
        rows = conn.execute(
            text(
                "SELECT d.account,"
                " (SELECT count(*) FROM jobs j WHERE j.deployment_id = d.id AND j.state = 'queued')::int,"
                " (SELECT coalesce(sum(f.queued), 0) FROM flows f WHERE f.deployment_id = d.id)::int FROM deployments d"
            )
        ).all()
    assert [row[1] for row in rows] == [row[2] for row in rows]
    return {row[0]: row[1] for row in rows}


def test_jobs_are_dealt_out_by_weight(desk: Desk) -> None:
    add_all(desk, "abc")
    set_route(desk, "c", a=3, b=1)
    submit(desk, 400)
    assert queued(desk) == {"a": 300, "b": 100, "c": 0}


def test_a_projects_own_route_stands_in_the_place_of_the_installations(desk: Desk) -> None:
    add_all(desk, "ab")
    acme = desk.project("acme")
    set_route(desk, a=1)
    set_route(desk, b=1, project=acme)
    submit(desk, 10)
    submit(desk, 7, acme)
    assert queued(desk) == {"a": 10, "b": 7}
    with desk.engine.connect() as conn:
        assert [(row.project, len(row.targets)) for row in route.list_routes(conn)] == [(None, 1), ("acme", 1)]
        assert route.routed_endpoints(conn, acme) == {MODEL: [SANDBOX]}


def test_new_jobs_pass_over_a_stopped_target_and_go_to_the_fallback_last(desk: Desk, limiter: LimiterAdmin) -> None:
    a, b, _ = add_all(desk, "abc")
    set_route(desk, "c", a=1, b=1)
    stop(desk, limiter, a)
    submit(desk, 10)
    stop(desk, limiter, b)
    submit(desk, 5)
    assert queued(desk) == {"a": 0, "b": 10, "c": 5}


def test_queued_jobs_leave_a_stopped_target_by_weight(desk: Desk, limiter: LimiterAdmin) -> None:
    a, _, _ = add_all(desk, "abc")
    set_route(desk, a=1, b=1, c=1)
    submit(desk, 300)
    set_route(desk, a=1, b=3, c=1)
    stop(desk, limiter, a)

    assert reroute(desk.engine, desk.policy) == 100

    assert queued(desk) == {"a": 0, "b": 175, "c": 125}
    assert desk.faults() == {}
    assert reroute(desk.engine, desk.policy) == 0


def test_a_stopped_target_whose_time_has_come_gets_a_few_to_be_tried_with(desk: Desk, limiter: LimiterAdmin) -> None:
    a, _ = add_all(desk, "ab")
    set_route(desk, a=1, b=1)
    stop(desk, limiter, a)
    submit(desk, 100)
    assert reroute(desk.engine, desk.policy) == 0
    desk.execute("UPDATE deployments SET retry_at = now() WHERE account = 'a'")

    reroute(desk.engine, desk.policy)

    assert queued(desk) == {"a": 3, "b": 97}
    assert reroute(desk.engine, desk.policy) == 0, "they stay"


def test_an_idle_target_takes_over_from_a_busy_one_but_no_fallback_does(desk: Desk) -> None:
    add_all(desk, "abc", rpm=600)
    set_route(desk, "c", a=1)
    submit(desk, 1000)
    set_route(desk, "c", a=1, b=1)

    assert reroute(desk.engine, desk.policy) == 50, "five seconds' work"

    assert queued(desk) == {"a": 950, "b": 50, "c": 0}
    assert reroute(desk.engine, desk.policy) == 0, "it is busy now"
    assert desk.faults() == {}


def test_jobs_of_a_project_with_a_route_of_its_own_stay_on_it(desk: Desk, limiter: LimiterAdmin) -> None:
    a, b = add_all(desk, "ab")
    acme = desk.project("acme")
    set_route(desk, a=1, b=1)
    set_route(desk, a=1, project=acme)
    submit(desk, 10, acme)
    stop(desk, limiter, a)
    assert reroute(desk.engine, desk.policy) == 0
    with desk.engine.begin() as conn:
        assert move_jobs(conn, a.id, b.id, 100, scope=Scope(only=DEFAULT_PROJECT_ID)) == 0


def test_moved_jobs_keep_what_they_are_and_run_where_they_are_now(desk: Desk) -> None:
    a, b = add_all(desk, "ab")
    set_route(desk, a=1)
    submit(desk, 20)
    with desk.engine.begin() as conn:
        assert move_jobs(conn, a.id, b.id, 8) == 8
    jobs = desk.take(desk.worker())
    assert len(jobs) == 20
    assert desk.scalar("SELECT count(*) FROM jobs WHERE deployment_id = :id", id=b.id) == 8
    mixed = "SELECT count(*) FROM jobs j JOIN leases l ON l.id = j.lease_id WHERE l.deployment_id <> j.deployment_id"
    assert desk.scalar(mixed) == 0
    assert desk.faults() == {}


def test_workers_without_the_key_lease_nothing_of_an_account(desk: Desk) -> None:
    place = deployments.Place("https://api.openai.com/v1", "b", "TEAM_B_KEY")
    with desk.engine.begin() as conn:
        row = deployments.add_deployment(conn, place, MODEL)
    assert (row.name, row.api_key_env, row.is_sandbox) == (f"b@api.openai.com/{MODEL}", "TEAM_B_KEY", False)
    set_route(desk, b=1)
    submit(desk, 5)
    assert desk.dispatch() == []
    desk.policy = type(desk.policy)(SANDBOX, key_names=frozenset({"TEAM_B_KEY"}))
    assert len(desk.dispatch()) > 0


def test_a_route_that_cannot_be_is_refused_with_the_reason(desk: Desk) -> None:
    add(desk, "a")
    desk.deployment("gpt-6-luna")
    with desk.engine.begin() as conn:
        for weights, fallbacks, said in (
            ({}, ["a"], "at least one TARGET"),
            ({"a": 1}, ["a@sandbox/gpt-4o-mini"], "is named twice"),
            ({"sandbox/gpt-6-luna": 1}, [], "is a deployment of gpt-6-luna.*translated"),
        ):
            with pytest.raises(InvalidInput, match=said):
                route.set_route(conn, MODEL, weights, fallbacks, project_id=None)
        with pytest.raises(NotFound, match="known: a@sandbox/gpt-4o-mini"):
            route.set_route(conn, MODEL, {"z": 1}, [], project_id=None)
        with pytest.raises(NotFound, match="no route"):
            route.remove_route(conn, MODEL, project_id=None)
        deployments.add_deployment(conn, deployments.Place("https://a.example/v1", "x", "KEY"), MODEL)
        with pytest.raises(InvalidInput, match="sandbox and real"):
            route.set_route(conn, MODEL, {"a": 1, "x": 1}, [], project_id=None)
    for given in (["a=0"], ["a=1001"], ["a=x"], ["a", "a=2"]):
        with pytest.raises(InvalidInput):
            route.parse_weights(given)


def test_a_place_that_cannot_be_is_refused_and_keys_are_not_echoed(desk: Desk) -> None:
    secret = "sk-live-1234567890"
    for place in (
        deployments.Place("https://a.example/v1", "b"),
        deployments.Place("https://a.example/v1", "b", secret),
        deployments.Place("ftp://a.example/v1", "b", "KEY"),
        deployments.Place(f"https://{secret}@a.example/v1", "b", "KEY"),
        deployments.Place(SANDBOX, "b", "KEY"),
        deployments.Place(SANDBOX, "b/c"),
    ):
        with desk.engine.begin() as conn, pytest.raises(InvalidInput) as refused:
            deployments.add_deployment(conn, place, MODEL)
        assert secret not in str(refused.value)
    add(desk, "b")
    with pytest.raises(InvalidInput, match="exists already"):
        add(desk, "b")


def test_models_that_share_a_limit_share_a_pool_by_hand(desk: Desk, limiter: LimiterAdmin) -> None:
    one, other = desk.deployment(limits={"rpm": 60}), desk.deployment("gpt-6-luna")
    desk.submit(30)
    desk.submit(30, model="gpt-6-luna")
    with desk.engine.begin() as conn:
        for model in (MODEL, "gpt-6-luna"):
            regroup(conn, deployments.find_deployment(conn, SANDBOX, model), "small")
        rows = {row.model: row for row in deployments.list_deployments(conn)}
    assert {row.pool for row in rows.values()} == {"sandbox/small"}
    assert rows["gpt-6-luna"].explicit_limits == {"rpm": 60}
    assert {one.pool_id, other.pool_id}.isdisjoint({row.pool_id for row in rows.values()})

    desk.dispatch()

    assert desk.states()["leased"] <= 4, "2.5 seconds of one account at one a second"
    with desk.engine.connect() as conn:
        views = overview(conn, limiter.status)
    assert {view.waiting for view in views} == {60}
    assert [view.drain_seconds for view in views] == [pytest.approx(60.0)] * 2
    assert desk.faults() == {}


def test_a_new_pool_knows_what_the_one_left_had_learned(desk: Desk) -> None:
    desk.deployment()
    with desk.engine.begin() as conn:
        conn.execute(text("UPDATE pools SET learned_limits = '{\"rpm\": 600}', limiter_epoch = 'e1'"))
        regroup(conn, deployments.find_deployment(conn, SANDBOX, MODEL), "small")
        row = deployments.find_deployment(conn, SANDBOX, MODEL)
        epoch = conn.execute(text("SELECT limiter_epoch FROM pools WHERE id = :id"), {"id": row.pool_id}).scalar_one()
    assert (row.pool, row.limits.rpm) == ("sandbox/small", 600)
    assert epoch == "e1", "its quota may be in use: it starts like one whose state was lost"


def test_a_submission_under_way_finds_its_way_out_of_the_old_pool(desk: Desk) -> None:
    ref = desk.deployment()
    with desk.engine.connect() as conn:
        [row] = deployments.list_deployments(conn)
    job = NewJob("/v1/chat/completions", MODEL, "{}", Estimate(100, 0, EST_USD, EST_USD))

    def change_pool(_: object) -> None:
        with desk.engine.begin() as other:
            regroup(other, row, "small")

    with desk.engine.begin() as conn:
        insert_jobs(conn, [job] * 5, Destination(DEFAULT_PROJECT_ID, {MODEL: ref}), before_waking=change_pool)
    assert desk.dispatch() == []

    with desk.engine.begin() as conn:
        assert (fetch_left_behind(conn), fetch_left_behind(conn)) == (1, 0)

    desk.dispatch()
    assert desk.states() == {"leased": 5}
    assert desk.faults() == {}


def test_rerouting_holds_no_flow_while_it_waits_for_another(desk: Desk, limiter: LimiterAdmin) -> None:
    rows = add_all(desk, "ab")
    other = desk.project("other")
    set_route(desk, a=1, b=1)
    set_route(desk, project=other, a=1, b=1)
    submit(desk, 10)
    submit(desk, 10, project=other)
    stop(desk, limiter, rows[0])
    query = "SELECT id FROM flows WHERE deployment_id = :d AND project_id = :p"
    first = desk.scalar(query, d=rows[0].id, p=DEFAULT_PROJECT_ID)
    second = desk.scalar(query, d=rows[0].id, p=other)

    with ThreadPoolExecutor() as threads:
        with desk.engine.begin() as conn:
            conn.execute(text("SELECT 1 FROM flows WHERE id = :id FOR NO KEY UPDATE"), {"id": second})
            moving = threads.submit(reroute, desk.engine, desk.policy)
            wait_until_blocked(desk)
            conn.execute(text("SELECT 1 FROM flows WHERE id = :id FOR NO KEY UPDATE NOWAIT"), {"id": first})
        assert moving.result() == 10

    assert queued(desk) == {"a": 0, "b": 20}
