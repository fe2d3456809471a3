"""The client over a real wire that fails: retries that count once, files that appear whole, and both colours alike."""

import asyncio
import socket
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from pressroom.client.calls import Calls
from pressroom.client.errors import (
    KeyRefused,
    NoAnswer,
    NoSuchThing,
    RequestRefused,
    ServerFault,
    StateConflict,
    TooManyRequests,
)
from pressroom.client.retrying import RetryPolicy
from pressroom.client.setup import Setup
from pressroom.client.steps import Item, Steps, Stream, Upload
from pressroom.client.transport import AsyncTransport, BlockingTransport
from tests.integration.client.scripted_server import Say, scripted

CALLS = Calls(RetryPolicy(max_retries=3, first_seconds=0.001))
AWAY = Say(503, {"error": {"message": "away", "code": "unavailable"}}, {"retry-after": "0.01"})
Runner: TypeAlias = Callable[[str, Steps[Any]], Any]


def run_blocking(origin: str, steps: Steps[Any]) -> Any:
    transport = BlockingTransport(Setup(origin, "pr_key"))
    try:
        return transport.run(steps)
    finally:
        transport.close()


def run_async(origin: str, steps: Steps[Any]) -> Any:
    async def run() -> Any:
        transport = AsyncTransport(Setup(origin, "pr_key"))
        try:
            return await transport.run(steps)
        finally:
            await transport.close()

    return asyncio.run(run())


@pytest.fixture(params=[run_blocking, run_async], ids=["sync", "async"])
def run(request: pytest.FixtureRequest) -> Runner:
    """Either colour."""
    runner: Runner = request.param
    return runner


def test_a_post_is_repeated_under_one_key_until_it_is_answered(run: Runner) -> None:
    with scripted(AWAY, Say(breaks=True), Say(500), Say(200, {"id": "job_1"})) as server:
        found = run(server.origin, CALLS.post("/v1/jobs", {"url": "/v1/chat/completions"}))

    assert found == {"id": "job_1"}
    assert len(server.heard) == 4
    assert len({heard.headers["idempotency-key"] for heard in server.heard}) == 1
    assert {heard.body for heard in server.heard} == {b'{"url":"/v1/chat/completions"}'}


def test_every_post_has_a_key_of_its_own_unless_one_is_given(run: Runner) -> None:
    with scripted(Say(200, {})) as server:
        run(server.origin, CALLS.post("/v1/jobs", {}))
        run(server.origin, CALLS.post("/v1/jobs", {}))
        run(server.origin, CALLS.post("/v1/jobs", {}, key="mine"))

    keys = [heard.headers["idempotency-key"] for heard in server.heard]
    assert len(set(keys)) == 3
    assert keys[2] == "mine"


def test_the_key_of_the_caller_goes_along(run: Runner) -> None:
    with scripted(Say(200, {})) as server:
        run(server.origin, CALLS.get("/v1/jobs", limit=2, after=None))

    assert server.heard[0].path == "/v1/jobs?limit=2"
    assert server.heard[0].headers["authorization"] == "Bearer pr_key"


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, RequestRefused),
        (401, KeyRefused),
        (403, KeyRefused),
        (404, NoSuchThing),
        (409, StateConflict),
        (422, RequestRefused),
        (429, TooManyRequests),
        (500, ServerFault),
        (503, ServerFault),
    ],
)
def test_errors_are_typed_and_carry_what_the_server_said(run: Runner, status: int, kind: type[Exception]) -> None:
    body = {"error": {"message": "no", "code": "some_code", "param": "field", "type": "t", "docs": "/docs"}}
    with scripted(Say(status, body, {"x-request-id": "req_1"})) as server, pytest.raises(kind) as raised:
        run(server.origin, CALLS.get("/v1/jobs"))

    error: Any = raised.value
    assert (error.status, error.code, error.param, error.request_id) == (status, "some_code", "field", "req_1")
    assert str(error) == f"{status} (some_code): no"


@pytest.mark.parametrize("body", [b"<html>Bad Gateway</html>", b"", b'{"error": "text"}', b"[1]", b"\xff"])
def test_an_error_of_whoever_stands_between_is_an_error_too(run: Runner, body: bytes) -> None:
    with scripted(Say(502, body)) as server, pytest.raises(ServerFault, match="502: "):
        run(server.origin, CALLS.get("/v1/jobs"))


def test_a_server_that_is_not_there_says_so(run: Runner) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        origin = f"http://127.0.0.1:{free.getsockname()[1]}"
        with pytest.raises(NoAnswer, match="cannot reach the server after 4 tries") as raised:
            run(origin, CALLS.get("/v1/jobs"))

    assert not raised.value.was_sent


def test_a_file_appears_when_it_is_complete(run: Runner, tmp_path: Path) -> None:
    target = tmp_path / "out.jsonl"
    target.write_text("before")
    with scripted(Say(200, b"x" * 100_000, cut=True), Say(200, b"y" * 100_000)) as server:
        run(server.origin, CALLS.save("/v1/files/1/content", target))

    assert target.read_bytes() == b"y" * 100_000
    assert list(tmp_path.iterdir()) == [target]


def test_a_file_that_cannot_be_had_leaves_what_was_there(run: Runner, tmp_path: Path) -> None:
    target = tmp_path / "out.jsonl"
    target.write_text("before")
    with scripted(Say(404, {"error": {"message": "no such file"}})) as server, pytest.raises(NoSuchThing):
        run(server.origin, CALLS.save("/v1/files/1/content", target))

    assert target.read_text() == "before"
    assert list(tmp_path.iterdir()) == [target]


def test_an_upload_is_sent_whole_again(run: Runner, tmp_path: Path) -> None:
    source = tmp_path / "in.jsonl"
    source.write_text("line\n" * 1000)
    with scripted(AWAY, Say(200, {"id": "file-1"})) as server:
        found = run(server.origin, CALLS.upload("/v1/files", Upload(source, {"purpose": "batch"})))

    assert found == {"id": "file-1"}
    assert [heard.body.count(b"line\n") for heard in server.heard] == [1000, 1000]


def _id(raw: Any) -> str:
    return str(raw["id"])


def _pages() -> list[Say]:
    first = {"data": [{"id": "a"}, {"id": "b"}], "last_id": "b", "has_more": True}
    return [Say(200, first), AWAY, Say(200, {"data": [{"id": "c"}], "last_id": "c", "has_more": False})]


def test_lists_go_on_page_after_page() -> None:
    with scripted(*_pages()) as server, closing(BlockingTransport(Setup(server.origin, "pr_key"))) as transport:
        found = list(transport.stream(CALLS.pages("/v1/jobs", _id, state="failed")))

    assert found == ["a", "b", "c"]
    assert [heard.path for heard in server.heard] == [
        "/v1/jobs?limit=100&state=failed",
        "/v1/jobs?limit=100&state=failed&after=b",
        "/v1/jobs?limit=100&state=failed&after=b",
    ]


def test_lists_go_on_in_async_too() -> None:
    async def collect(origin: str) -> list[Any]:
        transport = AsyncTransport(Setup(origin, "pr_key"))
        try:
            return [one async for one in transport.stream(CALLS.pages("/v1/jobs", _id))]
        finally:
            await transport.close()

    with scripted(*_pages()) as server:
        assert asyncio.run(collect(server.origin)) == ["a", "b", "c"]


def test_a_stream_that_is_left_early_is_closed() -> None:
    closed: list[bool] = []

    def endless() -> Stream[int]:
        try:
            while True:
                yield Item(1)
        finally:
            closed.append(True)

    with closing(BlockingTransport(Setup("http://127.0.0.1:9", "k"))) as transport:
        items: Iterator[int] = transport.stream(endless())
        assert next(items) == 1
        del items

    assert closed == [True]
