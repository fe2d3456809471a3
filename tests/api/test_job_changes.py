"""Jobs cancelled, retried and reprioritised over the API: one, or all that match, never those of others."""

import httpx2
import pytest
from sqlalchemy import text

from pressroom.jobs.stops import pause_project
from tests.api.test_jobs import chat
from tests.fixtures.api import LiveApi


@pytest.fixture
def http(tenant: LiveApi) -> httpx2.Client:
    """A client of a new project, none of whose jobs start."""
    pause_project(tenant.system.engine, tenant.project_id)
    return tenant.client()


def _submit(http: httpx2.Client, *tags: str, count: int = 1) -> list[str]:
    jobs = [chat(f"job {n}", tags=tags) for n in range(count)]
    return [job["id"] for job in http.post("/v1/jobs", json={"jobs": jobs}).json()["data"]]


def _states(http: httpx2.Client, **query: str) -> list[str]:
    return [job["state"] for job in http.get("/v1/jobs", params=query).json()["data"]]


def test_one_is_cancelled_once_and_retried_once(http: httpx2.Client) -> None:
    [job] = _submit(http, "red")
    assert http.post(f"/v1/jobs/{job}/retry").status_code == 409
    first, second = (http.post(f"/v1/jobs/{job}/cancel") for _ in range(2))
    assert (first.json()["state"], second.json()) == ("cancelled", first.json())
    assert http.get(f"/v1/jobs/{job}/result").json()["error"]["code"] == "cancelled"

    again = http.post(f"/v1/jobs/{job}/retry").json()
    assert (again["state"], again["tags"]) == ("queued", ["red"])
    assert http.get(f"/v1/jobs/{job}").json()["superseded_by"] == again["id"]
    assert http.post(f"/v1/jobs/{job}/retry").json()["id"] == again["id"]
    assert len(_states(http)) == 2


def test_one_gets_another_class_and_priority(http: httpx2.Client) -> None:
    [job] = _submit(http)
    changed = http.post(f"/v1/jobs/{job}/reprioritise", json={"class": "bulk", "priority": -7}).json()
    assert (changed["class"], changed["priority"]) == ("bulk", -7)
    assert http.post(f"/v1/jobs/{job}/reprioritise", json={}).status_code == 400
    http.post(f"/v1/jobs/{job}/cancel")
    answer = http.post(f"/v1/jobs/{job}/reprioritise", json={"priority": 1})
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "conflict")
    assert http.post(f"/v1/jobs/{job}/cancel").status_code == 200


@pytest.mark.parametrize("body", [{}, {"dry_run": True}, {"all": True, "tag": "red"}, {"colour": "red"}])
@pytest.mark.parametrize("verb", ["cancel", "retry", "reprioritise"])
def test_everything_at_once_must_be_asked_for(http: httpx2.Client, verb: str, body: dict[str, object]) -> None:
    more = {"priority": 3} if verb == "reprioritise" else {}
    assert http.post(f"/v1/jobs/{verb}", json=body | more).status_code == 400


def test_what_matches_is_counted_first_and_then_changed(http: httpx2.Client) -> None:
    _submit(http, "red", count=3)
    blue = _submit(http, "blue", count=2)
    dry = http.post("/v1/jobs/cancel", json={"tag": "red", "dry_run": True}).json()
    assert (dry["matched"], dry["exact"], dry["changed"]) == ({"queued": 3}, True, 0)
    assert _states(http, tag="red") == ["queued"] * 3

    assert http.post("/v1/jobs/cancel", json={"tag": "red"}).json()["changed"] == 3
    assert http.post("/v1/jobs/cancel", json={"tag": "red"}).json()["changed"] == 0
    assert (_states(http, tag="red"), _states(http, tag="blue")) == (["cancelled"] * 3, ["queued"] * 2)

    moved = http.post("/v1/jobs/reprioritise", json={"ids": blue[:1], "class": "interactive"}).json()
    assert moved["changed"] == 1
    assert http.post("/v1/jobs/retry", json={"states": ["cancelled"], "tag": "red"}).json()["changed"] == 3
    assert http.post("/v1/jobs/cancel", json={"all": True}).json()["changed"] == 5
    assert set(_states(http)) == {"cancelled"}


def test_nobody_elses_jobs_are_changed(tenant: LiveApi, http: httpx2.Client) -> None:
    mine = _submit(http, "red", count=2)
    other = tenant.client(tenant.other_key)
    for body in ({"all": True}, {"ids": mine}, {"tag": "red"}):
        assert other.post("/v1/jobs/cancel", json=body).json()["changed"] == 0
        assert other.post("/v1/jobs/reprioritise", json=body | {"priority": 9}).json()["changed"] == 0
    assert _states(http) == ["queued"] * 2
    query = text("SELECT count(*) FROM jobs WHERE cancel_requested AND project_id = :id")
    with tenant.system.engine.connect() as conn:
        assert conn.execute(query, {"id": tenant.project_id}).scalar_one() == 0
