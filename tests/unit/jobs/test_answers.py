"""What callers are told of jobs that ended: the provider's words where there are any, and a fitting status."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from pressroom.ids import new_id
from pressroom.jobs.answers import ProviderAnswer, answer_of
from pressroom.jobs.finished import FinishedJob
from pressroom.storage import ObjectStore

NOW = datetime(2026, 11, 24, tzinfo=UTC)


def answer(**fields: Any) -> ProviderAnswer:
    """The answer of a job without pictures, for which nothing is read from a store."""
    given: dict[str, Any] = {
        "id": new_id(),
        "project_id": new_id(),
        "url": "/v1/chat/completions",
        "state": "failed",
        "error_code": None,
        "cost_usd": None,
        "created_at": NOW,
        "started_at": NOW,
        "finished_at": NOW,
        "model": "gpt-4o-mini",
        "is_sandbox": True,
        "pool_id": 1,
        "status_code": None,
        "request_id": None,
        "body": None,
        "error": None,
    }
    store = ObjectStore("none", endpoint_url="http://127.0.0.1:1")
    try:
        return answer_of(FinishedJob(**given | fields), {}, store=store, link=lambda picture: picture.key)
    finally:
        store.close()


def test_an_answer_is_passed_on_byte_by_byte() -> None:
    body = '{"object": "chat.completion",  "created": 1}'

    assert answer(state="succeeded", status_code=200, body=body) == ProviderAnswer(200, body.encode())


def test_an_error_is_the_providers_own_and_stays() -> None:
    body = '{"error": {"message": "no", "code": null}}'

    assert answer(status_code=400, body=body) == ProviderAnswer(400, body.encode(), retrying_helps=False)


@pytest.mark.parametrize(
    ("fields", "status", "code"),
    [
        ({"error": {"code": "timeout", "message": "late"}}, 504, "timeout"),
        ({"error": {"code": "connection_lost", "message": "cut"}}, 504, "connection_lost"),
        ({"error": {"code": "connection_failed", "message": "away"}}, 502, "connection_failed"),
        ({"error": {"code": "malformed_reply", "message": "?"}, "status_code": 200}, 502, "malformed_reply"),
        ({"error": {"code": "server_error", "message": "!"}, "status_code": 503}, 503, "server_error"),
        ({"error_code": "worker_lost"}, 502, "worker_lost"),
        ({"state": "cancelled"}, 409, "cancelled"),
        ({"state": "expired"}, 504, "expired"),
    ],
)
def test_without_the_providers_words_there_are_ours(fields: dict[str, Any], status: int, code: str) -> None:
    told = answer(**fields)

    error = json.loads(told.body)["error"]
    assert told.status == status
    assert error["code"] == code
    assert error["message"]
    assert not told.retrying_helps
