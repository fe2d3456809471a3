"""Pictures over the API: by their job and batch, whole, in part and small, or from the store itself."""

import hashlib
import io
import time
from typing import Any

import httpx2
import pytest
from PIL import Image

from tests.api.test_jobs import chat
from tests.fixtures.api import LiveApi, start_api_process

PICTURE = {"model": "dall-e-2", "prompt": "a letter", "size": "256x256", "n": 2, "response_format": "b64_json"}


@pytest.fixture
def http(tenant: LiveApi) -> httpx2.Client:
    """A client of a new project."""
    return tenant.client()


@pytest.fixture
def job(http: httpx2.Client) -> dict[str, Any]:
    """A job that made two pictures."""
    made = http.post("/v1/jobs", json={"url": "/v1/images/generations", "body": PICTURE}).json()
    until = time.monotonic() + 30
    while True:
        job: dict[str, Any] = http.get(f"/v1/jobs/{made['id']}").json()
        if job["state"] == "succeeded":
            return job
        assert job["state"] not in ("failed", "cancelled", "expired"), job
        assert time.monotonic() < until, job
        time.sleep(0.05)


def test_a_job_tells_its_calls_its_pictures_and_its_answer(http: httpx2.Client, job: dict[str, Any]) -> None:
    [attempt] = job["attempts"]
    assert (attempt["outcome"], attempt["status_code"], attempt["number"]) == ("succeeded", 200, 1)
    assert attempt["request_id"]
    assert attempt["cost_usd"] == job["cost_usd"] == "0.032"
    assert job["waits"] is None
    kinds = [artifact["kind"] for artifact in job["artifacts"]]
    assert kinds == ["image", "image", "thumbnail", "thumbnail"]

    answer = http.get(f"/v1/jobs/{job['id']}/result")
    assert (answer.status_code, answer.headers["X-Provider-Status"]) == (200, "200")
    assert len(answer.json()["data"]) == 2
    assert all(entry["b64_json"] for entry in answer.json()["data"])


def test_what_is_known_of_a_picture_is_true(http: httpx2.Client, job: dict[str, Any]) -> None:
    for artifact in job["artifacts"]:
        assert http.get(f"/v1/artifacts/{artifact['id']}").json() == artifact
        answer = http.get(artifact["content_url"])
        assert answer.status_code == 200
        assert hashlib.sha256(answer.content).hexdigest() == artifact["sha256"]
        assert len(answer.content) == artifact["size_bytes"] == int(answer.headers["Content-Length"])
        assert Image.open(io.BytesIO(answer.content)).size == (artifact["width"], artifact["height"])
        assert answer.headers["ETag"] == f'"{artifact["sha256"]}"'
        assert answer.headers["Content-Type"] == artifact["content_type"]
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Content-Disposition"].startswith("attachment; filename")


def test_a_picture_comes_in_parts_and_not_again(http: httpx2.Client, job: dict[str, Any]) -> None:
    url = job["artifacts"][0]["content_url"]
    whole = http.get(url)
    part = http.get(url, headers={"Range": "bytes=10-19"})
    assert (part.status_code, part.content) == (206, whole.content[10:20])
    assert part.headers["Content-Range"] == f"bytes 10-19/{len(whole.content)}"
    assert http.get(url, headers={"Range": f"bytes={len(whole.content)}-"}).status_code == 416
    again = http.get(url, headers={"If-None-Match": whole.headers["ETag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert http.get(url, headers={"If-None-Match": '"another"'}).status_code == 200


def test_a_picture_has_a_small_one_which_has_itself(http: httpx2.Client, job: dict[str, Any]) -> None:
    image, thumbnail = job["artifacts"][0], job["artifacts"][2]
    assert (image["position"], thumbnail["position"]) == (0, 0)
    small = http.get(image["thumbnail_url"]).content
    assert hashlib.sha256(small).hexdigest() == thumbnail["sha256"]
    assert http.get(f"/v1/artifacts/{thumbnail['id']}/thumbnail").content == small
    assert thumbnail["thumbnail_url"] is None


def test_pictures_are_listed_by_job_page_by_page(http: httpx2.Client, job: dict[str, Any]) -> None:
    page = http.get("/v1/artifacts", params={"job_id": job["id"], "limit": 3}).json()
    assert (page["data"], page["has_more"]) == (job["artifacts"][:3], True)
    rest = http.get("/v1/artifacts", params={"job_id": job["id"], "after": page["last_id"]}).json()
    assert (rest["data"], rest["has_more"]) == (job["artifacts"][3:], False)
    only = http.get("/v1/artifacts", params={"job_id": job["id"], "kind": "thumbnail"}).json()
    assert only["data"] == job["artifacts"][2:]
    assert http.get("/v1/artifacts").status_code == 400


def test_pictures_are_listed_by_batch_job_by_job(shared_api: LiveApi) -> None:
    system = shared_api.system
    batch_id = system.submit(pictures=3)
    system.wait_for_batch(batch_id, 30)
    client = shared_api.client()
    seen: list[dict[str, Any]] = []
    page: dict[str, Any] = {"has_more": True}
    while page["has_more"]:
        after = {"after": page["last_id"]} if seen else {}
        page = client.get("/v1/artifacts", params={"batch_id": batch_id.hex, "limit": 2, **after}).json()
        seen += page["data"]
    jobs = [
        job["id"] for job in client.get("/v1/jobs", params={"batch_id": batch_id.hex, "order": "asc"}).json()["data"]
    ]
    assert [(one["job_id"], one["kind"]) for one in seen] == [(j, k) for j in jobs for k in ("image", "thumbnail")]


def test_nobody_else_sees_them(tenant: LiveApi, http: httpx2.Client, job: dict[str, Any]) -> None:
    other = tenant.client(tenant.other_key)
    for artifact in job["artifacts"]:
        for path in ("", "/content", "/thumbnail"):
            assert other.get(f"/v1/artifacts/{artifact['id']}{path}").status_code == 404
    assert other.get("/v1/artifacts", params={"job_id": job["id"]}).json()["data"] == []


def test_clients_are_sent_to_a_store_that_they_can_reach(tenant: LiveApi, job: dict[str, Any]) -> None:
    live = start_api_process(tenant.system, artifact_redirects=True)
    client = tenant.client()
    client.base_url = live.origin
    answer = client.get(job["artifacts"][0]["content_url"])
    assert (answer.status_code, answer.headers["Cache-Control"]) == (307, "no-store")
    content = httpx2.get(answer.headers["Location"], trust_env=False).content
    assert hashlib.sha256(content).hexdigest() == job["artifacts"][0]["sha256"]


def test_a_job_of_text_has_none(http: httpx2.Client) -> None:
    made = http.post("/v1/jobs", json=chat()).json()
    assert http.get("/v1/artifacts", params={"job_id": made["id"]}).json()["data"] == []
