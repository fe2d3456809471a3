"""Whatever goes wrong, the answer has one shape, a code that is explained, and the right status."""

import re
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest

import api as api_package
import pressroom
from api.error_codes import CODES
from tests.fixtures.api import LiveApi, start_api_process
from tests.fixtures.system import System

CLOSED = "127.0.0.1:9"
JSON = {"content-type": "application/json"}
FORM = {"content-type": "multipart/form-data; boundary=b"}


@pytest.fixture
def api_changes() -> dict[str, Any]:
    return {"api_max_body_bytes": 4096, "api_max_upload_bytes": 8192, "api_max_json_depth": 20}


def told(answer: httpx2.Response, status: int, code: str) -> dict[str, Any]:
    """The error, once its shape and its headers were looked at."""
    assert answer.status_code == status, answer.text
    error: dict[str, Any] = answer.json()["error"]
    assert set(answer.json()) == {"error"}
    assert set(error) >= {"message", "type", "param", "code", "docs"}
    assert error["code"] == code
    assert error["docs"].startswith(f"http://{answer.request.url.netloc.decode()}/docs/errors#")
    assert answer.headers["x-request-id"].startswith("req_")
    return error


def test_unknown_addresses_and_methods(api: LiveApi) -> None:
    client = api.client()
    told(client.get("/v1/nothing"), 404, "unknown_url")
    told(client.get("/nothing"), 404, "unknown_url")
    refused = client.put("/v1/keys", json={})
    told(refused, 405, "method_not_allowed")
    assert refused.headers["allow"] == "GET, POST"


def test_bodies_that_are_too_large_are_refused_before_they_are_read(api: LiveApi) -> None:
    client = api.client()
    error = told(client.post("/v1/keys", content=b" " * 4097, headers=JSON), 413, "request_too_large")
    assert "4,096 bytes" in error["message"]
    # Files may be larger, and no larger than that.
    told(client.post("/v1/files", content=b" " * 8193, headers=FORM), 413, "request_too_large")
    # JSON is held in memory, and may be as large as elsewhere there too.
    told(client.post("/v1/files", content=b" " * 4097, headers=JSON), 413, "request_too_large")


def test_a_body_of_unknown_length_is_counted(api: LiveApi) -> None:
    def pieces() -> Iterator[bytes]:
        for _ in range(5):
            yield b" " * 1024

    told(api.client().post("/v1/keys", content=pieces(), headers=JSON), 413, "request_too_large")


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ({"content-type": "text/plain"}, b"{}"),
        ({}, b"{}"),
        ({"content-type": "application/x-www-form-urlencoded"}, b"name=x"),
        ({**JSON, "content-encoding": "gzip"}, b"{}"),
        (FORM, b"{}"),  # would be JSON whose depth nobody has looked at
    ],
)
def test_bodies_of_other_kinds_are_refused(api: LiveApi, headers: dict[str, str], body: bytes) -> None:
    told(api.client().post("/v1/keys", content=body, headers=headers), 415, "unsupported_media_type")


def test_json_that_is_none_or_nests_too_deep(api: LiveApi) -> None:
    client = api.client()
    told(client.post("/v1/keys", content=b"{", headers=JSON), 400, "invalid_json")
    told(client.post("/v1/keys", content=b"\xff\xfe", headers=JSON), 400, "invalid_json")
    told(client.post("/v1/keys", content=b"[" * 21 + b"]" * 21, headers=JSON), 400, "json_too_deep")
    told(client.post("/v1/keys", content=b'{"a":' * 200, headers=JSON), 400, "json_too_deep")
    told(client.post("/v1/keys", content=b"[" * 20 + b"]" * 20, headers=JSON), 400, "invalid_value")


def test_a_field_at_fault_is_named_with_400(api: LiveApi) -> None:
    client = api.client()
    assert told(client.post("/v1/keys", json={}), 400, "invalid_value")["param"] == "name"
    assert (
        told(client.post("/v1/keys", json={"name": "x", "scopes": ["all"]}), 400, "invalid_value")["param"]
        == "scopes.0"
    )
    assert told(client.get("/v1/keys?limit=0"), 400, "invalid_value")["param"] == "limit"
    assert told(client.post("/v1/keys", json={"name": "a\0b"}), 400, "invalid_value")


def test_what_is_not_the_house_s_fault_is_no_bug_and_a_bug_tells_nothing(
    api: LiveApi, caplog: pytest.LogCaptureFixture
) -> None:
    def boom() -> None:
        raise RuntimeError("secret: hunter2")

    assert api.app is not None
    api.app.add_api_route("/boom", boom)
    answer = api.client().get("/boom")

    error = told(answer, 500, "internal_error")
    assert error["type"] == "server_error"
    assert "hunter2" not in answer.text
    [line] = [record for record in caplog.records if record.message == "api.bug"]
    assert line.exc_info is not None


def test_openai_s_client_raises_what_its_users_catch(api: LiveApi) -> None:
    with pytest.raises(openai.AuthenticationError) as refused:
        api.openai("pr_wrong").models.list()
    assert refused.value.code == "invalid_api_key"
    with pytest.raises(openai.BadRequestError):
        api.openai().post("/keys", body={"name": ""}, cast_to=httpx2.Response)
    limited = api.openai(api.make_key(requests_per_minute=1).text)
    limited.get("/budgets", cast_to=httpx2.Response)
    with pytest.raises(openai.RateLimitError) as slowed:
        limited.get("/budgets", cast_to=httpx2.Response)
    assert int(slowed.value.response.headers["retry-after"]) >= 1


def test_while_the_database_is_away_the_api_lives_and_says_when_to_come_again(system: System) -> None:
    away = f"postgresql+psycopg://u:hidden@{CLOSED}/none"
    with closing(start_api_process(system, database_url=away)) as live:
        client = live.client()
        assert client.get("/healthz").status_code == 200
        for path in ("/readyz", "/v1/budgets"):
            answer = client.get(path)
            told(answer, 503, "unavailable")
            assert int(answer.headers["retry-after"]) > 0
            assert "hidden" not in answer.text
        assert live.process is not None
        assert "hidden" not in live.process.log.read_text()


def test_while_redis_is_away_only_what_needs_it_is_refused(system: System) -> None:
    with closing(start_api_process(system, redis_url=f"redis://:hidden@{CLOSED}/0")) as live:
        told(live.client().get("/readyz"), 503, "unavailable")
        told(live.client(live.make_key(requests_per_minute=5).text).get("/v1/budgets"), 503, "unavailable")
        assert live.client().get("/v1/budgets").status_code == 200


def test_every_code_is_explained_where_answers_point_to(api: LiveApi) -> None:
    page = api.client(None).get("/docs/errors")
    assert page.headers["content-type"].startswith("text/html")
    assert {match[1] for match in re.finditer(r'<h2 id="(\w+)"', page.text)} == set(CODES)

    folders = (Path(module.__path__[0]) for module in (api_package, pressroom))
    sources = (source for folder in folders for source in folder.rglob("*.py"))
    used = {code for source in sources for code in re.findall(r'\bcode ?= ?"([a-z_]+)"', source.read_text())}
    assert used - set(CODES) == set()
