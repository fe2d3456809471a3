"""`/v1/webhooks`, and events that reach a real receiver through real workers."""

import threading
from typing import Any

import pytest
from sqlalchemy import text

from models import DEFAULT_PROJECT_ID, Scope
from pressroom.events.outbox import NewEvent, record_events
from pressroom.ids import new_id, show_id
from tests.fixtures.api import LiveApi
from tests.fixtures.desk import Desk
from tests.fixtures.receiver import Received, Receiver

ALLOWED = "127.0.0.0/8"


@pytest.fixture
def api_changes() -> dict[str, Any]:
    """Receivers are on loopback."""
    return {"webhook_allow_private": ALLOWED}


def _make(api: LiveApi, url: str, *events: str, **more: Any) -> dict[str, Any]:
    answer = api.client().post("/v1/webhooks", json={"url": url, "events": events or ["*"], **more})
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


def _work(api: LiveApi, count: int = 1) -> None:
    api.system.start_workers(count, webhook_allow_private=ALLOWED)


def _tell(api: LiveApi, *types: str) -> None:
    with api.system.engine.begin() as conn:
        record_events(conn, [NewEvent(name, DEFAULT_PROJECT_ID) for name in types])


def test_an_endpoint_from_beginning_to_end(api: LiveApi, receiver: Receiver) -> None:
    client = api.client()
    made = _make(api, receiver.url, "job.*", description="ours")
    secret = made.pop("secret")
    path = f"/v1/webhooks/{made['id']}"
    changed = client.patch(path, json={"events": ["batch.completed"], "enabled": False}).json()

    assert secret.startswith("whsec_")
    assert client.get("/v1/webhooks").json()["data"] == [{**made, **changed}]
    assert (changed["status"], changed["disabled_reason"]) == ("disabled", "by hand")
    assert client.patch(path, json={"enabled": True}).json()["status"] == "enabled"
    assert secret not in client.get(path).text
    rotated = client.post(f"{path}/rotate").json()
    assert rotated["secret"] != secret
    assert rotated["previous_secret_until"]
    assert client.delete(path).json() == {"object": "webhook", "id": made["id"], "deleted": True}
    assert client.get(path).status_code == 404


def test_pages_go_on_after_an_id(api: LiveApi, receiver: Receiver) -> None:
    ids = [_make(api, receiver.url)["id"] for _ in range(3)][::-1]
    first = api.client().get("/v1/webhooks", params={"limit": 2}).json()
    rest = api.client().get("/v1/webhooks", params={"limit": 2, "after": first["last_id"]}).json()

    assert [one["id"] for one in first["data"] + rest["data"]] == ids
    assert (first["has_more"], rest["has_more"]) == (True, False)


@pytest.mark.parametrize(
    "given",
    [
        {"url": "http://10.0.0.1/"},
        {"url": "https://169.254.169.254/latest"},
        {"url": "https://user:pw@127.0.0.1/"},
        {"url": "https://127.0.0.1/", "events": ["job"]},
        {"url": "https://127.0.0.1/", "events": []},
        {"url": "https://127.0.0.1/", "colour": "red"},
        {"url": "https://127.0.0.1/", "batch_jobs": "yes"},
        {"url": "https://127.0.0.1/", "description": "a\x00b"},
        {},
    ],
)
def test_what_cannot_be_an_endpoint_is_refused(api: LiveApi, given: dict[str, Any]) -> None:
    answer = api.client().post("/v1/webhooks", json=given)

    assert answer.status_code == 400
    assert answer.json()["error"]["param"]
    assert "pw" not in answer.text


def test_another_projects_endpoint_is_not_there(api: LiveApi, receiver: Receiver) -> None:
    path = f"/v1/webhooks/{_make(api, receiver.url)['id']}"
    other = api.client(api.other_key)
    answers = [
        other.get(path),
        other.patch(path, json={"enabled": False}),
        other.delete(path),
        other.post(f"{path}/rotate"),
        other.post(f"{path}/test"),
        other.post(f"{path}/replay", json={"event_id": "evt_1"}),
        other.get(f"{path}/deliveries"),
        other.get(f"/v1/webhooks/{show_id('we', new_id())}"),
    ]

    assert {answer.status_code for answer in answers} == {404}
    assert other.get("/v1/webhooks").json()["data"] == []


def test_only_an_admin_may_change_where_events_go(api: LiveApi, receiver: Receiver) -> None:
    made = _make(api, receiver.url)
    reader = api.client(api.make_key(scopes=[Scope.READ, Scope.SUBMIT]).text)

    assert reader.get(f"/v1/webhooks/{made['id']}").status_code == 200
    assert reader.post("/v1/webhooks", json={"url": receiver.url}).status_code == 403
    assert reader.delete(f"/v1/webhooks/{made['id']}").status_code == 403


def test_a_job_run_by_a_worker_is_told(api: LiveApi, receiver: Receiver) -> None:
    made = _make(api, receiver.url, "job.*")
    _work(api)
    answer = api.openai().chat.completions.create(
        model="gpt-4o-mini", messages=[{"role": "user", "content": "Name a typeface."}], max_tokens=20
    )
    payloads = {one["type"]: one for one in (got.verify(made["secret"]) for got in receiver.wait_for(2))}

    assert answer.choices
    assert payloads.keys() == {"job.created", "job.succeeded"}
    assert payloads["job.created"]["data"]["job_id"] == payloads["job.succeeded"]["data"]["job_id"]


def test_a_batchs_jobs_are_told_only_to_who_asks_for_them(api: LiveApi, receiver: Receiver) -> None:
    plain, all_jobs = _make(api, receiver.url), _make(api, f"{receiver.url}/all", batch_jobs=True)
    _work(api)
    batch_id = api.system.submit(texts=3)
    api.system.wait_for_batch(batch_id, 30)
    received = receiver.wait_for(5)
    heard: dict[str, list[str]] = {"/hooks": [], "/hooks/all": []}
    for one in received:
        secret = all_jobs["secret"] if one.path.endswith("all") else plain["secret"]
        heard[one.path].append(one.verify(secret)["type"])

    assert heard["/hooks"] == ["batch.completed"]
    assert sorted(heard["/hooks/all"]) == ["batch.completed", *["job.succeeded"] * 3]


def test_a_test_event_goes_to_its_endpoint_alone(api: LiveApi, receiver: Receiver) -> None:
    made, _ = _make(api, receiver.url, "budget.raised"), _make(api, f"{receiver.url}/other")
    _work(api)
    tested = api.client().post(f"/v1/webhooks/{made['id']}/test")
    [received] = receiver.wait_for(1)

    assert tested.status_code == 202
    assert received.id == tested.json()["event_id"]
    assert received.verify(made["secret"])["type"] == "webhook.test"
    assert [one.path for one in receiver.received] == ["/hooks"]


def test_what_was_missed_is_delivered_again_under_the_same_ids(api: LiveApi, receiver: Receiver) -> None:
    made = _make(api, receiver.url, "job.*")
    _work(api)
    _tell(api, "job.failed", "job.succeeded", "batch.completed")
    first = {one.id for one in receiver.wait_for(2)}
    path = f"/v1/webhooks/{made['id']}"
    client = api.client()
    _settled(api, made["id"], "delivered", 2)
    since = client.post(f"{path}/replay", json={"since": "2026-01-01T00:00:00Z"}).json()
    receiver.wait_for(4)
    _settled(api, made["id"], "delivered", 2)
    one = client.post(f"{path}/replay", json={"event_id": "evt_3"}).json()
    ids = [one.id for one in receiver.wait_for(5)]

    assert (since["deliveries"], one["deliveries"]) == (2, 1)
    assert set(ids[2:4]) == first
    assert ids[4] == "evt_3"
    for bad in ({}, {"event_id": "evt_1", "since": "2026-01-01T00:00:00Z"}, {"since": "yesterday"}, {"event_id": "x"}):
        assert client.post(f"{path}/replay", json=bad).status_code == 400
    assert client.post(f"{path}/replay", json={"event_id": "evt_999"}).status_code == 404


def test_a_disabled_endpoint_gets_nothing_until_it_is_enabled(api: LiveApi, receiver: Receiver) -> None:
    made = _make(api, receiver.url)
    path = f"/v1/webhooks/{made['id']}"
    client = api.client()
    _tell(api, "job.failed")
    client.patch(path, json={"enabled": False})
    _tell(api, "job.failed")
    assert client.post(f"{path}/test").status_code == 409
    _work(api)
    client.patch(path, json={"enabled": True})

    assert [one.id for one in receiver.wait_for(1)] == ["evt_1"]


def test_a_worker_killed_between_settlement_and_delivery_loses_nothing(api: LiveApi, receiver: Receiver) -> None:
    """The first worker has sent and not heard an answer when it is killed; Redis is emptied, too."""
    begun, hold = threading.Event(), threading.Event()

    def hang(_: Received) -> int:
        begun.set()
        hold.wait(20)
        return 500

    receiver.answer = hang
    made = _make(api, receiver.url, "batch.*", "job.*", batch_jobs=True)
    [worker] = api.system.start_workers(1, webhook_allow_private=ALLOWED)
    batch_id = api.system.submit(texts=5)
    api.system.wait_for_batch(batch_id, 30)
    assert begun.wait(20)
    worker.kill()
    hold.set()
    receiver.answer = lambda _: 200
    seen = len(receiver.received)
    with api.system.engine.begin() as conn:
        conn.execute(text("UPDATE webhook_deliveries SET next_at = now() WHERE next_at IS NOT NULL"))
    _work(api)
    _settled(api, made["id"], "delivered", 6)
    types = sorted(one.verify(made["secret"])["type"] for one in receiver.received[seen:])

    assert types == ["batch.completed", *["job.succeeded"] * 5]


def test_what_a_settlement_that_failed_wrote_is_never_delivered(api: LiveApi, receiver: Receiver) -> None:
    _make(api, receiver.url)
    _work(api)
    with api.system.engine.connect() as conn:
        record_events(conn, [NewEvent("job.failed", DEFAULT_PROJECT_ID)])
        conn.rollback()
    _tell(api, "job.succeeded")

    assert [one.id for one in receiver.wait_for(1)] == ["evt_2"]


def test_secrets_are_not_logged(api: LiveApi, receiver: Receiver, desk: Desk) -> None:
    receiver.answer = lambda _: 500
    made = _make(api, receiver.url)
    _work(api)
    _tell(api, "job.failed")
    receiver.wait_for(1)
    api.system.wait_until(
        "the failure is noted", lambda: desk.scalar("SELECT max(last_status) FROM webhook_deliveries") == 500, 20
    )
    logs = api.system.last_words()

    assert "webhook.failed" in logs
    assert made["secret"] not in logs
    assert made["secret"].removeprefix("whsec_") not in logs


def _settled(api: LiveApi, webhook: str, state: str, count: int) -> None:
    """Until so many of its deliveries are in that state."""
    client = api.client()

    def there() -> bool:
        data = client.get(f"/v1/webhooks/{webhook}/deliveries", params={"limit": 100}).json()["data"]
        return [one["state"] for one in data].count(state) == count

    api.system.wait_until(f"{count} deliveries are {state}", there, 30)
