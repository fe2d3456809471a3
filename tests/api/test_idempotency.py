"""Submissions under an Idempotency-Key: sent twice, counted once, whatever happens at the same time."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx2
import pytest
from sqlalchemy import text

from pressroom.jobs.idempotency import purge
from pressroom.jobs.stops import pause_project
from tests.api.test_jobs import chat
from tests.fixtures.api import LiveApi


@pytest.fixture
def http(tenant: LiveApi) -> httpx2.Client:
    """A client of a new project, none of whose jobs start."""
    pause_project(tenant.system.engine, tenant.project_id)
    return tenant.client()


def _post(http: httpx2.Client, key: str, body: Any) -> httpx2.Response:
    return http.post("/v1/jobs", json=body, headers={"Idempotency-Key": key})


def _count(http: httpx2.Client) -> int:
    return len(http.get("/v1/jobs", params={"limit": 1000}).json()["data"])


def test_the_same_key_and_body_get_the_same_answer(http: httpx2.Client) -> None:
    body = {"jobs": [chat("one"), chat("two")]}
    first, second = _post(http, "k", body), _post(http, "k", body)
    assert (first.status_code, second.status_code) == (201, 201)
    assert first.content == second.content
    assert "Idempotent-Replayed" not in first.headers
    assert second.headers["Idempotent-Replayed"] == "true"
    assert _count(http) == 2


def test_the_answer_stays_when_the_jobs_have_moved_on(http: httpx2.Client) -> None:
    first = _post(http, "k", chat())
    http.post("/v1/jobs/cancel", json={"all": True})
    assert _post(http, "k", chat()).content == first.content


def test_another_body_under_the_same_key_is_refused(http: httpx2.Client) -> None:
    _post(http, "k", chat("one"))
    answer = _post(http, "k", chat("two"))
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["param"]) == (409, "idempotency_key_reused", "Idempotency-Key")
    assert _count(http) == 1


def test_what_was_refused_leaves_the_key_free(http: httpx2.Client) -> None:
    assert _post(http, "k", chat(priority=1000)).status_code == 400
    assert _post(http, "k", chat(depends_on=["job_" + "0" * 32])).status_code == 400
    assert _post(http, "k", chat()).status_code == 201


def test_many_at_once_make_one_job(http: httpx2.Client) -> None:
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: _post(http, "k", chat()), range(16)))
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.content for answer in answers}) == 1
    assert sum("Idempotent-Replayed" not in answer.headers for answer in answers) == 1
    assert _count(http) == 1


def test_one_whose_twin_is_not_done_in_time_is_told_to_come_again(tenant: LiveApi, http: httpx2.Client) -> None:
    claim = text("INSERT INTO idempotency_keys (project_id, key, fingerprint) VALUES (:project, 'k', 'other')")
    with tenant.system.engine.begin() as conn:
        conn.execute(claim, {"project": tenant.project_id})
        answer = _post(http, "k", chat())
        conn.rollback()
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "idempotency_key_in_use")
    assert int(answer.headers["Retry-After"]) > 0
    assert _post(http, "k", chat()).status_code == 201


def test_keys_are_each_projects_own(tenant: LiveApi, http: httpx2.Client) -> None:
    first = _post(http, "k", chat(run_at="2036-01-01T00:00:00Z"))
    theirs = _post(tenant.client(tenant.other_key), "k", chat("other", run_at="2036-01-01T00:00:00Z"))
    assert (first.status_code, theirs.status_code) == (201, 201)


@pytest.mark.parametrize("key", ["", "x" * 256, "two words"])
def test_a_key_that_is_none_is_refused(http: httpx2.Client, key: str) -> None:
    assert _post(http, key, chat()).status_code == 400


def test_after_a_day_a_key_is_forgotten(tenant: LiveApi, http: httpx2.Client) -> None:
    def age() -> None:
        with tenant.system.engine.begin() as conn:
            old = text("UPDATE idempotency_keys SET created_at = now() - interval '25 hours' WHERE project_id = :id")
            conn.execute(old, {"id": tenant.project_id})

    _post(http, "k", chat("one"))
    age()
    assert _post(http, "k", chat("two")).status_code == 201
    age()
    with tenant.system.engine.begin() as conn:
        purge(conn)
        left = conn.execute(
            text("SELECT count(*) FROM idempotency_keys WHERE project_id = :id"), {"id": tenant.project_id}
        )
        assert left.scalar_one() == 0
    assert _count(http) == 2
