"""What every answer has, what is logged, what browsers may do, and how a process ends."""

import re
import signal
import socket
from contextlib import closing
from typing import Any

import pytest

from tests.fixtures.api import LiveApi, start_api_process
from tests.fixtures.system import System

SAFE = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
}


@pytest.mark.parametrize(
    ("method", "path", "key"),
    [
        ("GET", "/healthz", None),
        ("GET", "/nothing", None),
        ("GET", "/v1/budgets", None),
        ("GET", "/v1/budgets", ""),
        ("PUT", "/v1/budgets", ""),
        ("OPTIONS", "/v1/budgets", None),
    ],
)
def test_every_answer_has_an_id_and_safe_headers(api: LiveApi, method: str, path: str, key: str | None) -> None:
    first, second = (api.client(key).request(method, path) for _ in range(2))

    assert re.fullmatch(r"req_[0-9a-f]{32}", first.headers["x-request-id"])
    assert first.headers["x-request-id"] != second.headers["x-request-id"]
    assert {name: first.headers.get(name) for name in SAFE} == SAFE
    assert "frame-ancestors 'none'" in first.headers["content-security-policy"]
    assert not [name for name in first.headers if name.startswith("access-control-") or name == "server"]


def test_a_client_s_own_id_comes_back(api: LiveApi) -> None:
    client = api.client()
    answer = client.get("/v1/budgets", headers={"X-Client-Request-Id": "order 7"})
    assert answer.headers["x-client-request-id"] == "order 7"
    assert answer.headers["x-request-id"].startswith("req_")

    refused = client.get("/v1/budgets", headers={"X-Client-Request-Id": "x" * 513})
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "X-Client-Request-Id")
    assert "x-client-request-id" not in refused.headers


def test_requests_are_logged_in_json_without_secrets(api_process: LiveApi) -> None:
    client = api_process.client()
    answer = client.get("/v1/budgets?token=hunter2", headers={"X-Client-Request-Id": "order-7"})
    assert answer.status_code == 200
    client.get("/v1/nothing")
    client.get("/healthz")
    process = api_process.process
    assert process is not None
    api_process.system.wait_until("both are logged", lambda: len(_requests(process.lines())) == 2, 10)

    first, second = _requests(process.lines())
    assert first["request_id"] == answer.headers["x-request-id"]
    assert (first["method"], first["path"], first["status"]) == ("GET", "/v1/budgets", 200)
    assert (first["client_request_id"], first["project_id"]) == ("order-7", str(api_process.project_id))
    assert first["ms"] >= 0
    assert second["status"] == 404
    log = process.log.read_text()
    assert "hunter2" not in log
    assert api_process.key.rpartition("_")[2] not in log


def _requests(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [line for line in lines if line["event"] == "api.request"]


class TestBrowsers:
    """Pages of named origins may call; of others, and without the setting, none."""

    @pytest.fixture
    def api_changes(self) -> dict[str, Any]:
        return {"api_cors_origins": "https://studio.example https://desk.example"}

    def test_named_origins_may_ask_and_read(self, api: LiveApi) -> None:
        asked = {"Origin": "https://desk.example", "Access-Control-Request-Method": "POST"}
        preflight = api.client(None).options(
            "/v1/keys", headers=asked | {"Access-Control-Request-Headers": "authorization"}
        )
        assert preflight.status_code == 200
        assert preflight.headers["access-control-allow-origin"] == "https://desk.example"
        assert preflight.headers["x-request-id"]

        refused = api.client(None).get("/v1/keys", headers={"Origin": "https://desk.example"})
        assert refused.status_code == 401
        assert refused.headers["access-control-allow-origin"] == "https://desk.example"
        assert "x-request-id" in refused.headers["access-control-expose-headers"].lower()

    def test_others_may_not(self, api: LiveApi) -> None:
        answer = api.client().get("/v1/keys", headers={"Origin": "https://evil.example"})

        assert "access-control-allow-origin" not in answer.headers


def _half_a_request(live: LiveApi) -> tuple[socket.socket, bytes]:
    """A connection on which a request has begun, and what is missing of it."""
    body = b'{"name": "half"}'
    host, port = live.origin.removeprefix("http://").split(":")
    connection = socket.create_connection((host, int(port)), timeout=20)
    head = (
        f"POST /v1/keys HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {live.key}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    connection.sendall(head.encode() + body[:5])
    return connection, body[5:]


def test_a_stop_finishes_what_was_asked_and_takes_no_more(system: System) -> None:
    with closing(start_api_process(system)) as live:
        assert live.process is not None
        assert live.client().get("/v1/budgets").status_code == 200
        connection, rest = _half_a_request(live)
        with connection:
            live.process.process.send_signal(signal.SIGTERM)
            system.wait_until("it takes no more", lambda: not _listens(live), 10)
            connection.sendall(rest)
            answer = connection.recv(65536)
        assert answer.startswith(b"HTTP/1.1 201 ")
        assert live.process.process.wait(20) == 0
    assert system.scalar("SELECT count(*) FROM api_keys WHERE name = 'half'") == 1


def test_a_stop_is_bounded(system: System) -> None:
    with closing(start_api_process(system, api_drain_seconds=1)) as live:
        assert live.process is not None
        connection, _ = _half_a_request(live)
        with connection:
            assert live.process.stop(20) == 0


def _listens(live: LiveApi) -> bool:
    host, port = live.origin.removeprefix("http://").split(":")
    try:
        socket.create_connection((host, int(port)), timeout=5).close()
    except ConnectionRefusedError:
        return False
    return True
