"""Reads about batches, jobs and costs, on the real database with jobs put there by the real submission."""

from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from uuid import UUID

import pytest
import redis
from sqlalchemy import Connection, Engine, text

from models import DEFAULT_PROJECT_ID, JobState, PriorityClass
from pressroom.errors import InvalidInput, NotFound
from pressroom.ids import new_id, show_id
from pressroom.jobs import deployments, places, queries, spending
from pressroom.jobs.end_early import cancel
from pressroom.jobs.resolve import find_deployments
from pressroom.jobs.selection import Selection
from pressroom.jobs.stop_deployment import stop_deployment
from pressroom.jobs.submit import Destination, NewJob, insert_jobs
from pressroom.jobs.workers import register
from pressroom.limits.pool_limits import parse_limit
from pressroom.limits.redis_limiter import LimiterAdmin
from pressroom.operations.base import Estimate
from pressroom.settings import OPENAI_BASE_URL, SANDBOX

TEXT, PICTURE = "/v1/chat/completions", "/v1/images/generations"
OTHER_PROJECT = UUID("00000000-0000-7000-8000-000000000002")


@pytest.fixture
def conn(engine: Engine) -> Iterator[Connection]:
    """One transaction for the whole test."""
    with engine.connect() as conn:
        yield conn


def submit(
    conn: Connection, texts: int, pictures: int = 0, *, project: UUID = DEFAULT_PROJECT_ID, base_url: str = SANDBOX
) -> UUID:
    """A batch of queued jobs, `texts` for gpt-4o-mini and then `pictures` for dall-e-2."""
    batch_id = new_id()
    models = ["gpt-4o-mini"] * texts + ["dall-e-2"] * pictures
    refs = {name: deployments.ensure_deployment(conn, base_url, name) for name in sorted(set(models))}
    conn.execute(
        text(
            "INSERT INTO batches (id, project_id, state, input_name, fingerprint, total, est_cost_usd)"
            " VALUES (:id, :project, 'in_progress', 'in.jsonl', :id, :total, 0.5)"
        ),
        {"id": batch_id, "project": project, "total": len(models)},
    )
    jobs = [
        NewJob(
            url=TEXT if model == "gpt-4o-mini" else PICTURE,
            model=model,
            body=f'{{"model": "{model}"}}',
            estimate=Estimate(tokens=100, images=0, cost_usd=Decimal("0.01"), expected_usd=Decimal("0.01")),
            custom_id=f"line-{number}",
            line_no=number,
        )
        for number, model in enumerate(models, start=1)
    ]
    found = find_deployments(conn, base_url, refs)
    insert_jobs(conn, jobs, Destination(project, found, PriorityClass.NORMAL, batch_id))
    return batch_id


def jobs_of(conn: Connection, batch_id: UUID) -> list[UUID]:
    """Ids in the order of the lines."""
    return list(
        conn.execute(text("SELECT id FROM jobs WHERE batch_id = :b ORDER BY line_no"), {"b": batch_id}).scalars()
    )


def lease(conn: Connection, ids: list[UUID], *, start: int) -> None:
    """Lease jobs, and start the first `start` of them, by the legal edges."""
    query = text("UPDATE jobs SET state = 'leased', lease_id = :lease WHERE id = ANY(:ids)")
    conn.execute(query, {"lease": new_id(), "ids": ids})
    conn.execute(text("UPDATE jobs SET state = 'running' WHERE id = ANY(:ids)"), {"ids": ids[:start]})


def test_progress_adds_up(conn: Connection) -> None:
    batch_id = submit(conn, 10)
    ids = jobs_of(conn, batch_id)
    lease(conn, ids[:4], start=3)
    conn.execute(text("UPDATE jobs SET run_at = now() + interval '1 minute' WHERE id = :id"), {"id": ids[9]})
    cancel(conn, Selection(DEFAULT_PROJECT_ID, ids=[ids[8]]))

    seen = queries.batch_progress(conn, DEFAULT_PROJECT_ID, batch_id)

    assert (seen.running, seen.leased, seen.waiting, seen.queued) == (3, 1, 1, 4)
    assert (seen.batch.done, seen.batch.cancelled, seen.batch.unfinished) == (1, 1, 9)
    assert seen.batch.is_sandbox


def test_a_batch_for_a_real_provider_is_not_marked_as_sandbox(conn: Connection) -> None:
    assert not queries.find_batch(conn, DEFAULT_PROJECT_ID, submit(conn, 1, base_url=OPENAI_BASE_URL)).is_sandbox


def test_batches_are_listed_newest_first_page_by_page(conn: Connection) -> None:
    ids = [submit(conn, 1) for _ in range(3)]
    first = queries.list_batches(conn, DEFAULT_PROJECT_ID, limit=2)
    rest = queries.list_batches(conn, DEFAULT_PROJECT_ID, limit=2, before=first[-1].id)
    assert [b.id for b in [*first, *rest]] == ids[::-1]
    assert queries.list_batches(conn, DEFAULT_PROJECT_ID, states=queries.parse_batch_states(["completed"])) == []


def test_jobs_are_filtered_and_paged(conn: Connection) -> None:
    batch_id = submit(conn, 3, 2)
    submit(conn, 4)
    texts = Selection(DEFAULT_PROJECT_ID, batch_id=batch_id, model="gpt-4o-mini")
    first = queries.list_jobs(conn, texts, limit=2)
    rest = queries.list_jobs(conn, texts, limit=2, before=first[-1].id)
    assert [job.line_no for job in [*first, *rest]] == [3, 2, 1]
    assert {job.model for job in first} == {"gpt-4o-mini"}
    cancel(conn, texts)
    cancelled = Selection(DEFAULT_PROJECT_ID, states=[JobState.CANCELLED], error_code="cancelled")
    assert [job.line_no for job in queries.list_jobs(conn, cancelled)] == [3, 2, 1]


def test_a_queued_job_says_why_it_waits(conn: Connection, redis_url: str) -> None:
    batch_id = submit(conn, 6, 1)
    due, expired, retried, third, second, first, _ = jobs_of(conn, batch_id)
    mine = Selection(DEFAULT_PROJECT_ID, batch_id=batch_id)

    def reasons() -> list[str | None]:
        return [job.waiting_because for job in reversed(queries.list_jobs(conn, mine))]

    assert reasons() == ["no worker is running"] * 7
    register(conn, host="here", pid=1)
    like = "SELECT stake_id, pool_id, project_id, deployment_id, batch_id FROM flows ORDER BY queued DESC LIMIT 1"
    columns = "stake_id, pool_id, project_id, deployment_id, batch_id, priority"
    sooner = {
        name: conn.execute(
            text(f"INSERT INTO flows ({columns}) SELECT l.*, {priority} FROM ({like}) l RETURNING id")
        ).scalar_one()
        for name, priority in (("flow", -1), ("first_flow", -2))
    }
    for job, change in (
        (due, "run_at = clock_timestamp() - interval '1 second'"),
        (expired, "deadline = clock_timestamp() - interval '1 second'"),
        (retried, "run_at = now() + interval '1 minute', error_code = 'timeout'"),
        (second, "flow_id = :flow"),
        (first, "flow_id = :first_flow"),
    ):
        conn.execute(text(f"UPDATE jobs SET {change} WHERE id = :id"), {"id": job, **sooner})
    conn.execute(text("UPDATE flows SET queued = 1, active = true WHERE priority < 0"))
    lines = ["1 job is before it", "next in turn"]
    with redis.Redis.from_url(redis_url) as client:
        stop_deployment(
            conn, LimiterAdmin(client), deployments.find_deployment(conn, SANDBOX, "dall-e-2").id, "no money"
        )
    assert reasons() == [
        "its time has come",
        "its deadline has passed: it is about to expire",
        "retry after timeout",
        "2 jobs are before it",
        *lines,
        "dall-e-2 is paused: no money",
    ]
    assert queries.find_job(conn, DEFAULT_PROJECT_ID, third).job.waiting_because == "2 jobs are before it"

    conn.execute(text("UPDATE deployments SET paused_at = NULL, stop_kind = NULL"))
    conn.execute(text("UPDATE pools SET paused_at = now(), pause_reason = 'tea' WHERE name LIKE '%gpt-4o-mini'"))
    assert "gpt-4o-mini is paused: tea" in (reasons()[4] or "")
    cancel(conn, mine)
    assert reasons() == [None] * 7


def test_the_places_of_a_long_queue_are_not_counted_to_its_end(
    conn: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(places, "COUNTED", 3)
    batch_id = submit(conn, 5)
    register(conn, host="here", pid=1)
    seen = [j.waiting_because for j in queries.list_jobs(conn, Selection(DEFAULT_PROJECT_ID, batch_id=batch_id))]
    assert seen[:3] == ["more than 3 jobs are before it", "more than 3 jobs are before it", "2 jobs are before it"]


def test_a_job_comes_with_its_request_attempts_and_artifacts(conn: Connection) -> None:
    [job_id] = jobs_of(conn, submit(conn, 0, 1))
    bound = {"id": new_id(), "job": job_id, "worker": new_id()}
    conn.execute(
        text(
            "INSERT INTO attempts (id, job_id, number, lease_id, worker_id, deployment_id, outcome, est_cost_usd)"
            " SELECT :id, :job, 1, :worker, :worker, deployment_id, 'failed', 0.01 FROM jobs WHERE id = :job"
        ),
        bound,
    )
    conn.execute(
        text(
            "INSERT INTO artifacts (id, project_id, job_id, kind, key, content_type, byte_size, sha256)"
            " VALUES (:id, :project, :job, 'image', 'a/b.png', 'image/png', 10, 'ff')"
        ),
        bound | {"project": DEFAULT_PROJECT_ID},
    )
    found = queries.find_job(conn, DEFAULT_PROJECT_ID, job_id)
    assert found.body == {"model": "dall-e-2"}
    assert [a.outcome for a in found.attempts] == ["failed"]
    assert [a.key for a in found.artifacts] == ["a/b.png"]
    assert found.answer is None


def test_nothing_crosses_projects(conn: Connection) -> None:
    conn.execute(text("INSERT INTO projects (id, name) VALUES (:id, 'other')"), {"id": OTHER_PROJECT})
    batch_id = submit(conn, 1)
    [job_id] = jobs_of(conn, batch_id)
    assert queries.find_project(conn, "other") == OTHER_PROJECT
    assert queries.list_batches(conn, OTHER_PROJECT) == []
    assert queries.list_jobs(conn, Selection(OTHER_PROJECT, batch_id=batch_id)) == []
    with pytest.raises(NotFound, match=show_id("batch", batch_id)):
        queries.find_batch(conn, OTHER_PROJECT, batch_id)
    with pytest.raises(NotFound, match=show_id("job", job_id)):
        queries.find_job(conn, OTHER_PROJECT, job_id)


def test_unknown_names_are_refused_with_the_known_ones(conn: Connection) -> None:
    with pytest.raises(NotFound, match="the projects are default"):
        queries.find_project(conn, "nobody")
    with pytest.raises(InvalidInput, match="succeeded"):
        queries.parse_states(["done"])
    with pytest.raises(InvalidInput, match="batch by itself"):
        spending.parse_dimensions("batch,day")


def test_play_money_is_never_added_to_real_money(conn: Connection) -> None:
    for base_url, usd in ((SANDBOX, "0.30"), (OPENAI_BASE_URL, "0.07")):
        deployment = deployments.ensure_deployment(conn, base_url, "gpt-4o-mini")
        conn.execute(
            text(
                "INSERT INTO daily_costs (day, project_id, deployment_id, calls, cost_usd, at_risk_usd)"
                " VALUES (:day, :project, :deployment, 5, :usd, 0.01)"
            ),
            {"day": date(2026, 1, 2), "project": DEFAULT_PROJECT_ID, "deployment": deployment.id, "usd": Decimal(usd)},
        )
    by = spending.parse_dimensions("model,day")
    rows = spending.costs(conn, by)
    assert [(r.key, r.is_sandbox, r.cost_usd) for r in rows] == [
        (("gpt-4o-mini", "2026-01-02"), False, Decimal("0.07")),
        (("gpt-4o-mini", "2026-01-02"), True, Decimal("0.30")),
    ]
    assert spending.costs(conn, by, since=date(2026, 1, 3)) == []
    assert spending.costs(conn, by, until=date(2026, 1, 3), project_id=OTHER_PROJECT) == []


def test_costs_of_a_batch_by_model(conn: Connection) -> None:
    batch_id = submit(conn, 2, 1)
    conn.execute(text("UPDATE jobs SET cost_usd = 0.02 WHERE batch_id = :b"), {"b": batch_id})
    costs = {c.model: c for c in spending.batch_costs(conn, batch_id)}
    assert costs["gpt-4o-mini"].cost_usd == Decimal("0.04")
    assert (costs["dall-e-2"].jobs, costs["dall-e-2"].succeeded) == (1, 0)
    [row] = spending.costs(conn, [spending.CostsBy.BATCH], project_id=DEFAULT_PROJECT_ID)
    assert row.key == (show_id("batch", batch_id),)
    assert row.is_sandbox


def test_limits_are_set_before_the_first_job_and_win(conn: Connection) -> None:
    deployment = deployments.ensure_deployment(conn, OPENAI_BASE_URL, "gpt-4o-mini")
    assert deployment.catalog_limits["rpm"] == deployment.limits.rpm
    _, limits = parse_limit("gpt-4o-mini:rpm=7,concurrency=3")
    deployments.replace_limits(conn, deployment, deployments.explicit_limits(limits))
    holds = deployments.find_deployment(conn, OPENAI_BASE_URL, "gpt-4o-mini").limits
    assert (holds.rpm, holds.concurrency, holds.tpm) == (7, 3, deployment.limits.tpm)


def test_limits_change_one_by_one(conn: Connection) -> None:
    model = "gpt-4o-mini"
    one = deployments.ensure_deployment(conn, SANDBOX, model)
    deployments.change_limits(conn, one, deployments.parse_changes(["rpm=600", "tpm=60_000"]))
    two = deployments.find_deployment(conn, SANDBOX, model)
    deployments.change_limits(conn, two, deployments.parse_changes(["rpm=none", "burst_seconds=0"]))
    assert deployments.find_deployment(conn, SANDBOX, model).explicit_limits == {"tpm": 60000.0, "burst_seconds": 0.0}
    with pytest.raises(InvalidInput, match="more than 0"):
        deployments.change_limits(conn, two, {"rpm": 0.0})


def test_a_paused_deployment_says_why_and_what_waits_for_it(conn: Connection, redis_url: str) -> None:
    batch_id = submit(conn, 2, 1)
    deployment = deployments.find_deployment(conn, SANDBOX, "dall-e-2")
    with redis.Redis.from_url(redis_url) as client:
        stop_deployment(conn, LimiterAdmin(client), deployment.id, "insufficient_quota")
    [picture, texts] = deployments.remaining(conn, batch_id)
    assert (picture.model, picture.paused, picture.pause_reason, picture.jobs) == (
        "dall-e-2",
        True,
        "insufficient_quota",
        1,
    )
    assert (texts.paused, texts.jobs) == (False, 2)
    assert deployments.resume_deployment(conn, deployment.id)
    assert not deployments.resume_deployment(conn, deployment.id)
    assert not deployments.find_deployment(conn, SANDBOX, "dall-e-2").paused


def test_an_unknown_deployment_names_the_known_ones(conn: Connection) -> None:
    deployments.ensure_deployment(conn, SANDBOX, "dall-e-2")
    with pytest.raises(NotFound, match=r"known( there are|:) dall-e-2"):
        deployments.find_deployment(conn, SANDBOX, "dall-e-9")
