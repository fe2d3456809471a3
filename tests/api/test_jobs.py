"""Jobs handed in over the native API: stored as asked, found again, and refused whole where one is wrong."""

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest

from pressroom.jobs.stops import pause_project
from tests.fixtures.api import LiveApi


def chat(text: str = "Name three typefaces.", **fields: Any) -> dict[str, Any]:
    """A job with a text request; `fields` are the job's own."""
    body = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": text}], "max_tokens": 20}
    return {"url": "/v1/chat/completions", "body": body, **fields}


@pytest.fixture
def http(tenant: LiveApi) -> httpx2.Client:
    """A client of a new project, none of whose jobs start."""
    pause_project(tenant.system.engine, tenant.project_id)
    return tenant.client()


def test_a_job_is_stored_as_it_was_asked_for(http: httpx2.Client) -> None:
    soon = datetime.now(UTC) + timedelta(hours=1)
    asked = chat(
        custom_id="typefaces",
        priority=-5,
        run_at=soon.isoformat(),
        deadline=(soon + timedelta(hours=1)).isoformat(),
        max_attempts=2,
        tags=["b", "a", "a"],
        metadata={"team": "prints"},
    )
    answer = http.post("/v1/jobs", json=asked | {"class": "bulk"})
    assert answer.status_code == 201, answer.text
    job = answer.json()
    assert job["object"] == "job"
    assert (job["state"], job["custom_id"], job["class"], job["priority"]) == ("queued", "typefaces", "bulk", -5)
    assert (job["max_attempts"], job["tags"], job["metadata"]) == (2, ["a", "b"], {"team": "prints"})
    assert job["waits"]["reason"] == "paused"
    assert job["run_at"] == soon.isoformat().replace("+00:00", "Z")
    assert (job["sandbox"], job["model"], job["cost_usd"]) == (True, "gpt-4o-mini", None)

    found = http.get(f"/v1/jobs/{job['id']}").json()
    assert {name: found[name] for name in job} == job
    assert (found["attempts"], found["artifacts"], found["depends_on"], found["error"]) == ([], [], [], None)
    assert http.get(f"/v1/jobs/{job['id']}/request").json() == asked["body"]
    assert http.get(f"/v1/jobs/{job['id']}/result").status_code == 409


def test_many_are_stored_in_their_order(http: httpx2.Client) -> None:
    kinds = ["bulk", "interactive", "normal"]
    jobs = [chat(custom_id=f"n{n}", **{"class": kinds[n % 3]}) for n in range(7)]
    page = http.post("/v1/jobs", json={"jobs": jobs}).json()
    assert page["object"] == "list"
    assert [job["custom_id"] for job in page["data"]] == [f"n{n}" for n in range(7)]
    assert [job["class"] for job in page["data"]] == [kinds[n % 3] for n in range(7)]
    assert [job["id"] for job in page["data"]] == sorted(job["id"] for job in page["data"])


def test_everything_wrong_is_told_by_index_and_nothing_is_stored(http: httpx2.Client) -> None:
    jobs = [
        chat(custom_id="good"),
        {"url": "/v1/nothing", "body": {}},
        chat(priority=1000, colour="red"),
        {"body": {"model": "gpt-4o-mini"}},
        chat(custom_id="good", depends_on=["nobody"]),
        {"url": "/v1/chat/completions", "body": {"model": "gpt-4o-mini", "messages": [], "max_tokens": "many"}},
        chat(deadline="2020-01-01T00:00:00Z", metadata={"a": "x" * 600}, tags=["nul\0"]),
    ]
    answer = http.post("/v1/jobs", json={"jobs": jobs})
    error = answer.json()["error"]
    assert answer.status_code == 400
    assert error["param"] == "jobs[1].url"
    for told in (
        "jobs[1].url",
        "jobs[2].priority",
        "jobs[2].colour",
        "jobs[3].url",
        "jobs[4].custom_id",
        "jobs[4].depends_on[0]",
        "jobs[5].body.messages",
        "jobs[5].body.max_tokens",
        "jobs[6].deadline",
        "jobs[6].metadata.a",
        "jobs[6].tags[0]",
    ):
        assert f"{told}: " in error["message"], f"{told} in {error['message']}"
    assert http.get("/v1/jobs").json()["data"] == []


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ([], "body"),
        ({"jobs": []}, "jobs"),
        ({"jobs": {}}, "jobs"),
        ({"jobs": [], "url": "/v1/chat/completions"}, "url"),
        ({}, "url"),
        ({"jobs": [1]}, "jobs[0].job"),
        (chat(run_at="2026-01-01T00:00:00"), "run_at"),
    ],
)
def test_what_is_no_list_of_jobs_is_refused(http: httpx2.Client, body: Any, param: str) -> None:
    answer = http.post("/v1/jobs", json=body)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param), answer.text


def test_more_than_a_thousand_belong_in_a_batch(http: httpx2.Client) -> None:
    answer = http.post("/v1/jobs", json={"jobs": [chat()] * 1001})
    assert answer.status_code == 400
    assert "batch" in answer.json()["error"]["message"]


def test_a_job_of_another_project_is_not_there(tenant: LiveApi, http: httpx2.Client) -> None:
    job = http.post("/v1/jobs", json=chat()).json()["id"]
    other = tenant.client(tenant.other_key)
    for path in ("", "/request", "/result"):
        assert other.get(f"/v1/jobs/{job}{path}").status_code == 404
    for verb in ("cancel", "retry"):
        assert other.post(f"/v1/jobs/{job}/{verb}").status_code == 404
    assert other.post(f"/v1/jobs/{job}/reprioritise", json={"priority": 1}).status_code == 404
    assert other.get("/v1/jobs").json()["data"] == []
    assert other.post("/v1/jobs", json=chat(depends_on=[job])).json()["error"]["code"] == "job_not_found"
