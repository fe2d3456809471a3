"""Jobs that need one another, over the API: by id and by name, run in order, refused in a circle."""

import time
from itertools import pairwise
from typing import Any

import httpx2
import pytest

from tests.api.test_jobs import chat
from tests.fixtures.api import LiveApi

FINAL = {"succeeded", "failed", "cancelled", "expired"}


@pytest.fixture
def http(tenant: LiveApi) -> httpx2.Client:
    """A client of a new project."""
    return tenant.client()


def _submit(http: httpx2.Client, *jobs: dict[str, Any]) -> list[dict[str, Any]]:
    answer = http.post("/v1/jobs", json={"jobs": jobs})
    assert answer.status_code == 201, answer.text
    found: list[dict[str, Any]] = answer.json()["data"]
    return found


def _ended(http: httpx2.Client, job_id: str) -> dict[str, Any]:
    """The job, once it has ended."""
    until = time.monotonic() + 30
    while True:
        job: dict[str, Any] = http.get(f"/v1/jobs/{job_id}").json()
        if job["state"] in FINAL:
            return job
        assert time.monotonic() < until, job
        time.sleep(0.05)


def test_a_chain_runs_in_its_order_whatever_the_requests(http: httpx2.Client) -> None:
    last, first, middle = _submit(
        http,
        chat("3", custom_id="last", depends_on=["middle", "first"]),
        chat("1", custom_id="first"),
        chat("2", custom_id="middle", depends_on=["first"]),
    )
    assert [job["state"] for job in (last, first, middle)] == ["blocked", "queued", "blocked"]
    assert last["waits"]["reason"] == "dependencies"
    assert "waits for job_" in last["waits"]["message"]

    ended = [_ended(http, job["id"]) for job in (first, middle, last)]
    assert [job["state"] for job in ended] == ["succeeded"] * 3
    for before, after in pairwise(ended):
        assert before["finished_at"] <= after["attempts"][0]["started_at"]
    assert {need["id"] for need in ended[2]["depends_on"]} == {first["id"], middle["id"]}
    assert {need["state"] for need in ended[2]["depends_on"]} == {"succeeded"}


def test_a_job_of_an_earlier_request_is_needed_by_its_id(http: httpx2.Client) -> None:
    [first] = _submit(http, chat("1"))
    _ended(http, first["id"])
    [second] = _submit(http, chat("2", depends_on=[first["id"], first["id"]]))
    assert _ended(http, second["id"])["state"] == "succeeded"


def test_with_a_cancelled_job_go_those_that_need_it_unless_told_to_run(http: httpx2.Client) -> None:
    first, fails, runs = _submit(
        http,
        chat("1", custom_id="first", run_at="2035-01-01T00:00:00Z"),
        chat("2", depends_on=["first"]),
        chat("3", depends_on=["first"], on_dependency_failure="run"),
    )
    http.post(f"/v1/jobs/{first['id']}/cancel")
    failed = _ended(http, fails["id"])
    assert (failed["state"], failed["error_code"]) == ("failed", "dependency_failed")
    assert first["id"] in failed["error"]["message"]
    assert _ended(http, runs["id"])["state"] == "succeeded"
    assert http.get(f"/v1/jobs/{fails['id']}/result").json()["error"]["code"] == "dependency_failed"


def test_a_circle_is_refused_and_named(http: httpx2.Client) -> None:
    jobs = [
        chat(custom_id="a", depends_on=["b"]),
        chat(custom_id="b", depends_on=["c"]),
        chat(custom_id="c", depends_on=["a"]),
    ]
    answer = http.post("/v1/jobs", json={"jobs": jobs})
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (400, "dependency_cycle")
    assert "a → b → c → a" in error["message"]
    alone = http.post("/v1/jobs", json=chat(custom_id="a", depends_on=["a"])).json()["error"]
    assert (alone["code"], alone["param"]) == ("dependency_cycle", "depends_on")
    assert http.get("/v1/jobs").json()["data"] == []


def test_a_job_that_is_not_there_cannot_be_needed(http: httpx2.Client) -> None:
    missing = "job_" + "0" * 32
    answer = http.post("/v1/jobs", json={"jobs": [chat(), chat(depends_on=[missing])]})
    error = answer.json()["error"]
    assert (error["code"], error["param"]) == ("job_not_found", "jobs[1].depends_on")
    assert http.get("/v1/jobs").json()["data"] == []
