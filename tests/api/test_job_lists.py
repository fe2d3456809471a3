"""Lists of jobs over the API: each filter alone and together, page by page, in both orders."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest

from models import Scope
from pressroom.jobs.stops import pause_project
from tests.api.test_jobs import chat
from tests.fixtures.api import LiveApi


@pytest.fixture
def http(tenant: LiveApi) -> httpx2.Client:
    """A client of a new project with seven jobs, none of which starts; two are cancelled."""
    pause_project(tenant.system.engine, tenant.project_id)
    client = tenant.client()
    picture = {"model": "dall-e-2", "prompt": "type", "size": "256x256", "n": 1}
    jobs = [chat(str(n), custom_id=f"text-{n}", tags=["even" if n % 2 == 0 else "odd", "text"]) for n in range(5)]
    jobs += [{"url": "/v1/images/generations", "body": picture, "custom_id": f"picture-{n}"} for n in range(2)]
    made = client.post("/v1/jobs", json={"jobs": jobs}).json()["data"]
    client.post("/v1/jobs/cancel", json={"ids": [made[0]["id"], made[5]["id"]]})
    return client


def _names(http: httpx2.Client, **query: Any) -> list[str]:
    answer = http.get("/v1/jobs", params=query)
    assert answer.status_code == 200, answer.text
    return [job["custom_id"] for job in answer.json()["data"]]


ALL = ["picture-1", "picture-0", "text-4", "text-3", "text-2", "text-1", "text-0"]


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ({}, ALL),
        ({"order": "asc"}, ALL[::-1]),
        ({"state": "cancelled"}, ["picture-0", "text-0"]),
        ({"state": ["cancelled", "queued"]}, ALL),
        ({"state": "running"}, []),
        ({"model": "dall-e-2"}, ["picture-1", "picture-0"]),
        ({"url": "/v1/images/generations", "state": "queued"}, ["picture-1"]),
        ({"tag": "even"}, ["text-4", "text-2", "text-0"]),
        ({"tag": "even", "order": "asc"}, ["text-0", "text-2", "text-4"]),
        ({"tag": "even", "state": "queued"}, ["text-4", "text-2"]),
        ({"tag": "none"}, []),
        ({"error_code": "cancelled"}, ["picture-0", "text-0"]),
        ({"error_code": "cancelled", "tag": "text"}, ["text-0"]),
        ({"custom_id": "text-3"}, ["text-3"]),
        ({"custom_id": "text-3", "state": "cancelled"}, []),
    ],
)
def test_a_filter_lets_through_what_it_names(http: httpx2.Client, query: dict[str, Any], names: list[str]) -> None:
    assert _names(http, **query) == names


def test_times_bound_what_was_made_and_what_has_ended(http: httpx2.Client) -> None:
    now = datetime.now(UTC)
    ago, soon = ((now + timedelta(minutes=m)).isoformat() for m in (-5, 5))
    assert _names(http, created_after=ago, created_before=soon) == ALL
    assert _names(http, created_before=ago) == _names(http, created_after=soon) == []
    assert _names(http, finished_after=ago) == ["picture-0", "text-0"]
    assert _names(http, finished_before=ago) == []


@pytest.mark.parametrize("order", ["asc", "desc"])
@pytest.mark.parametrize("query", [{}, {"tag": "text"}, {"state": ["queued", "cancelled"]}])
def test_pages_together_are_the_list(http: httpx2.Client, order: str, query: dict[str, Any]) -> None:
    def pages() -> Iterator[str]:
        after: dict[str, str] = {}
        while True:
            page = http.get("/v1/jobs", params={**query, **after, "order": order, "limit": 2}).json()
            assert len(page["data"]) <= 2
            yield from (job["custom_id"] for job in page["data"])
            if not page["has_more"]:
                return
            after = {"after": page["last_id"]}

    assert list(pages()) == _names(http, order=order, **query)


@pytest.mark.parametrize(
    "query",
    [{"state": "asleep"}, {"limit": 0}, {"limit": 1001}, {"after": "nothing"}, {"order": "up"}, {"batch_id": "x"}],
)
def test_a_wrong_parameter_is_named(http: httpx2.Client, query: dict[str, Any]) -> None:
    assert http.get("/v1/jobs", params=query).status_code == 400


def test_another_project_is_seen_by_operators_alone(tenant: LiveApi, http: httpx2.Client) -> None:
    with tenant.system.engine.connect() as conn:
        name = conn.exec_driver_sql(f"SELECT name FROM projects WHERE id = '{tenant.project_id}'").scalar_one()
    admin = tenant.client(tenant.make_key(scopes=(Scope.ADMIN, Scope.READ)).text)
    seen = admin.get("/v1/jobs", params={"project": name}).json()["data"]
    assert [job["custom_id"] for job in seen] == ALL
    assert admin.get("/v1/jobs", params={"project": "no such"}).status_code == 404
    reader = tenant.client(tenant.make_key(tenant.project_id, scopes=[Scope.READ]).text)
    assert reader.get("/v1/jobs", params={"project": "default"}).status_code == 403
    its_admin = tenant.client(tenant.make_key(tenant.project_id).text)
    for other in ("default", "no such"):
        assert its_admin.get("/v1/jobs", params={"project": other}).status_code == 403
    assert len(reader.get("/v1/jobs").json()["data"]) == 7
