"""Keys over HTTP: made, used, limited, rotated, revoked, expired; and that nothing of a secret is kept."""

import time
from datetime import UTC, datetime, timedelta

from models import Scope
from pressroom.ids import parse_id, show_id
from pressroom.tenants.keys import revoke_key, rotate_key
from tests.fixtures.api import LiveApi


def test_a_key_is_made_used_and_revoked(api: LiveApi) -> None:
    admin = api.client()
    made = admin.post("/v1/keys", json={"name": "shop", "scopes": ["read"]})
    assert made.status_code == 201
    key, key_id = made.json()["key"], made.json()["id"]
    assert key.startswith(made.json()["begins_with"])

    shop = api.client(key)
    assert shop.get("/v1/overview").status_code == 200
    assert shop.get("/v1/keys").json()["error"]["code"] == "missing_scope"
    listed = {row["id"]: row for row in admin.get("/v1/keys").json()["data"]}
    assert "key" not in listed[key_id]

    assert admin.delete(f"/v1/keys/{key_id}").json()["revoked_at"] is not None
    api.system.wait_until("the key is refused", lambda: shop.get("/v1/overview").status_code == 401, 5)


def test_nothing_of_a_secret_is_stored(api: LiveApi) -> None:
    secret = api.client().post("/v1/keys", json={"name": "shop"}).json()["key"].rpartition("_")[2]
    dump = str(api.system.scalar("SELECT string_agg(api_keys::text, ' ') FROM api_keys"))

    assert secret not in dump
    assert secret.encode().hex() not in dump


def test_a_rotated_key_keeps_its_old_secret_for_a_while(api: LiveApi) -> None:
    admin = api.client()
    made = api.make_key()
    key_id = show_id("key", made.row.id)
    old = api.client(made.text)
    assert old.get("/v1/overview").status_code == 200

    new = admin.post(f"/v1/keys/{key_id}/rotate", json={"grace_seconds": 3600}).json()
    fresh = api.client(new["key"])
    api.system.wait_until("the new secret is taken", lambda: fresh.get("/v1/overview").status_code == 200, 5)
    assert new["id"] == key_id
    assert old.get("/v1/overview").status_code == 200

    admin.post(f"/v1/keys/{key_id}/rotate", json={"grace_seconds": 0})
    api.system.wait_until("the first secret is refused", lambda: old.get("/v1/overview").status_code == 401, 5)
    api.system.wait_until("the second one too", lambda: fresh.get("/v1/overview").status_code == 401, 5)


def test_an_expired_key_is_refused(api: LiveApi) -> None:
    made = api.make_key(expires_at=datetime.now(UTC) - timedelta(seconds=1))

    assert api.client(made.text).get("/v1/overview").status_code == 401
    with api.system.engine.begin() as conn:
        revoke_key(conn, api.project_id, made.row.id)


def test_another_project_s_key_is_not_found(api: LiveApi) -> None:
    theirs = api.client(api.other_key)
    key_id = show_id("key", api.make_key().row.id)

    for answer in (
        theirs.delete(f"/v1/keys/{key_id}"),
        theirs.post(f"/v1/keys/{key_id}/rotate", json={}),
        theirs.delete("/v1/keys/nonsense"),
    ):
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found")


def test_keys_come_in_pages(api: LiveApi) -> None:
    admin = api.client()
    ids = [show_id("key", api.make_key().row.id) for _ in range(3)]
    first = admin.get("/v1/keys", params={"limit": 2}).json()
    rest = admin.get("/v1/keys", params={"after": first["last_id"]}).json()

    assert (first["has_more"], rest["has_more"]) == (True, False)
    assert [row["id"] for row in first["data"] + rest["data"]][-3:] == ids


def test_a_key_s_rate_is_counted_for_all_and_told(api: LiveApi) -> None:
    limited = api.client(api.make_key(requests_per_minute=3).text)
    answers = [limited.get("/v1/budgets") for _ in range(5)]

    assert [answer.status_code for answer in answers] == [200, 200, 200, 429, 429]
    assert [answer.headers["x-ratelimit-remaining-requests"] for answer in answers] == ["2", "1", "0", "0", "0"]
    assert {answer.headers["x-ratelimit-limit-requests"] for answer in answers} == {"3"}
    refused = answers[-1]
    assert 1 <= int(refused.headers["retry-after"]) <= 20
    assert (refused.json()["error"]["type"], refused.json()["error"]["code"]) == (
        "rate_limit_error",
        "rate_limit_exceeded",
    )
    assert api.client().get("/v1/budgets").status_code == 200


def test_use_is_noted_in_groups_when_the_server_ends_or_a_minute_has_passed(api: LiveApi) -> None:
    used, idle = api.make_key(), api.make_key()
    client = api.client(used.text)
    for _ in range(3):
        assert client.get("/v1/budgets").status_code == 200
    assert api.services is not None
    known = {"a": used.row.id, "b": idle.row.id}
    assert api.system.scalar("SELECT count(last_used_at) FROM api_keys WHERE id IN (:a, :b)", **known) == 0

    api.stop()

    assert api.system.scalar("SELECT last_used_at IS NOT NULL FROM api_keys WHERE id = :a", a=used.row.id)
    assert api.system.scalar("SELECT last_used_at IS NULL FROM api_keys WHERE id = :b", b=idle.row.id)


def test_guesses_cost_the_books_one_question_each_few_seconds(api: LiveApi) -> None:
    assert api.services is not None
    guess = api.client(f"pr_{'0' * 12}_{'0' * 64}")
    began = time.monotonic()
    for _ in range(20):
        assert guess.get("/v1/overview").status_code == 401
    looks = api.services.keyring.looks

    assert looks <= 1 + (time.monotonic() - began) / 3.0


def test_ids_of_keys_read_as_ids(api: LiveApi) -> None:
    made = api.make_key(scopes=(Scope.READ,))
    with api.system.engine.begin() as conn:
        again = rotate_key(conn, api.project_id, parse_id("key", show_id("key", made.row.id)))

    assert (again.row.id, again.row.prefix, again.row.scopes) == (made.row.id, made.row.prefix, (Scope.READ,))
    assert again.text != made.text
