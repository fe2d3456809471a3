"""The provider client against the sandbox, each family of faults in turn, and against canned bytes for the wire."""

import asyncio
import gzip
import logging
import socket
import time
from collections.abc import Coroutine
from typing import Any

import orjson
import pytest
from openai import AsyncOpenAI

from pressroom.operations.registry import operation_for
from pressroom.providers.client import Answer, ProviderClient
from pressroom.providers.failures import Failure, FailureKind, ProviderError
from tests.contract.canned import canned, response
from tests.sandbox_process import SandboxProcess

KIND = FailureKind
CHAT_URL, IMAGE_URL = "/v1/chat/completions", "/v1/images/generations"
CHAT = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Describe a fox."}], "max_tokens": 20}
IMAGE = {"model": "dall-e-2", "prompt": "a fox", "size": "256x256", "n": 2}
KEY = "sk-secret-key"


def _client(base_url: str, timeout_seconds: float = 10.0) -> ProviderClient:
    return ProviderClient(base_url, api_key=KEY, timeout_seconds=timeout_seconds)


def _call(base_url: str, url: str, body: dict[str, Any], *, timeout_seconds: float = 10.0) -> Answer:
    async def once() -> Answer:
        async with _client(base_url, timeout_seconds) as client:
            return await client.call(url, body, client_request_id="att_1")

    return asyncio.run(once())


def _failure(awaited: Coroutine[Any, Any, Any]) -> Failure:
    with pytest.raises(ProviderError) as caught:
        asyncio.run(awaited)
    return caught.value.failure


def _failed_call(sandbox: SandboxProcess, url: str, body: dict[str, Any], *, timeout_seconds: float = 10.0) -> Failure:
    with pytest.raises(ProviderError) as caught:
        _call(sandbox.base_url, url, body, timeout_seconds=timeout_seconds)
    return caught.value.failure


def test_a_chat_is_answered_with_headers_and_usage(sandbox: SandboxProcess) -> None:
    answer = _call(sandbox.base_url, CHAT_URL, CHAT)
    operation = operation_for(CHAT_URL)

    assert operation is not None
    assert answer.status_code == 200
    assert answer.request_id == answer.headers["x-request-id"]
    assert operation.read(CHAT, answer.body).usage.input_tokens > 0
    assert sandbox.calls()[0]["client_request_id"] == "att_1"


def test_pictures_come_as_base64_when_asked_as_the_operation_asks(sandbox: SandboxProcess) -> None:
    operation = operation_for(IMAGE_URL)
    assert operation is not None

    answer = _call(sandbox.base_url, IMAGE_URL, operation.outgoing(IMAGE))
    reply = operation.read(IMAGE, answer.body)

    assert [image.b64 is not None for image in reply.images] == [True, True]
    assert reply.usage.images == 2


def test_pictures_that_come_as_urls_can_be_fetched(sandbox: SandboxProcess) -> None:
    operation = operation_for(IMAGE_URL)
    assert operation is not None

    async def fetch_all() -> list[bytes]:
        async with _client(sandbox.base_url) as client:
            answer = await client.call(IMAGE_URL, {**IMAGE, "response_format": "url"}, client_request_id="att_1")
            urls = [image.url for image in operation.read(IMAGE, answer.body).images]
            return [await client.fetch(url, max_bytes=10**7) for url in urls if url is not None]

    pictures = asyncio.run(fetch_all())

    assert len(pictures) == 2
    assert all(picture.startswith(b"\x89PNG") for picture in pictures)


@pytest.mark.parametrize(
    ("fault", "kind", "code", "billed"),
    [
        ("http_500", KIND.TRANSIENT, "http_500", False),
        ("http_503", KIND.TRANSIENT, "http_503", False),
        ("overloaded", KIND.TRANSIENT, "server_is_overloaded", False),
        ("cut", KIND.UNKNOWN_OUTCOME, "connection_lost", True),
        ("cut_after", KIND.UNKNOWN_OUTCOME, "connection_lost", True),
        ("truncated", KIND.UNKNOWN_OUTCOME, "malformed_reply", True),
        ("slow_down", KIND.SLOW_DOWN, "slow_down", False),
        ("flex_unavailable", KIND.RATE_LIMITED, "resource_unavailable", False),
        ("insufficient_quota", KIND.BILLING_STOP, "insufficient_quota", False),
        ("credit_balance_exhausted", KIND.BILLING_STOP, "credit_balance_exhausted", False),
        ("organization_spend_limit_exceeded", KIND.BILLING_STOP, "organization_spend_limit_exceeded", False),
        ("project_spend_limit_exceeded", KIND.BILLING_STOP, "project_spend_limit_exceeded", False),
        ("organization_usage_limit_exceeded", KIND.BILLING_STOP, "organization_usage_limit_exceeded", False),
        ("billing_hard_limit", KIND.BILLING_STOP, "billing_hard_limit_reached", False),
        ("bad_request", KIND.REFUSED, "invalid_value", False),
        ("auth", KIND.UNAUTHORISED, "invalid_api_key", False),
    ],
)
@pytest.mark.parametrize(("url", "body"), [(CHAT_URL, CHAT), (IMAGE_URL, IMAGE)])
def test_each_fault_has_its_kind(
    sandbox: SandboxProcess, url: str, body: dict[str, Any], fault: str, kind: FailureKind, code: str, billed: bool
) -> None:
    sandbox.configure(faults=[{"fault": fault}])

    failure = _failed_call(sandbox, url, body)

    assert (failure.kind, failure.code, failure.possibly_billed) == (kind, code, billed)
    assert len(sandbox.calls()) == 1, "the client must not retry"


@pytest.mark.parametrize(
    ("fault", "dimension"),
    [("rate_limit_requests", "requests"), ("rate_limit_tokens", "tokens"), ("rate_limit_images", "images")],
)
@pytest.mark.parametrize("retry_after", ["seconds", "both", "none"])
def test_a_429_says_what_ran_out_and_for_how_long(
    sandbox: SandboxProcess, fault: str, dimension: str, retry_after: str
) -> None:
    sandbox.configure(retry_after=retry_after, faults=[{"fault": fault, "seconds": 3}])

    failure = _failed_call(sandbox, IMAGE_URL, IMAGE)

    assert (failure.kind, failure.dimension) == (KIND.RATE_LIMITED, dimension)
    assert failure.retry_after_seconds == 3.0
    assert failure.request_id is not None
    assert not failure.possibly_billed


def test_an_enforced_limit_answers_with_headers_for_the_limiter(sandbox: SandboxProcess) -> None:
    sandbox.configure(limits={"gpt-4o-mini": {"rpm": 60, "quantum_seconds": 1}})
    _call(sandbox.base_url, CHAT_URL, CHAT)

    failure = _failed_call(sandbox, CHAT_URL, CHAT)

    assert (failure.kind, failure.dimension) == (KIND.RATE_LIMITED, "requests")
    assert failure.retry_after_seconds is not None
    assert failure.headers["x-ratelimit-limit-requests"] == "60"


@pytest.mark.parametrize(("url", "body"), [(CHAT_URL, CHAT), (IMAGE_URL, IMAGE)])
def test_a_removed_model_is_told_in_both_shapes(sandbox: SandboxProcess, url: str, body: dict[str, Any]) -> None:
    sandbox.configure(faults=[{"fault": "model_removed"}])

    assert _failed_call(sandbox, url, body).kind is KIND.MODEL_REMOVED


def test_a_moderation_block_is_final(sandbox: SandboxProcess) -> None:
    sandbox.configure(faults=[{"fault": "moderation"}])

    failure = _failed_call(sandbox, IMAGE_URL, IMAGE)

    assert failure.kind is KIND.REFUSED
    assert failure.moderated
    assert failure.body["error"]["code"] == "content_policy_violation"


@pytest.mark.parametrize("fault", [{"fault": "timeout", "seconds": 30}, {"fault": "slow_drip", "seconds": 30}])
def test_a_call_ends_at_its_timeout_however_slowly_it_goes_on(sandbox: SandboxProcess, fault: dict[str, Any]) -> None:
    sandbox.configure(faults=[fault])
    began = time.monotonic()

    failure = _failed_call(sandbox, CHAT_URL, CHAT, timeout_seconds=0.5)

    assert (failure.kind, failure.code, failure.possibly_billed) == (KIND.UNKNOWN_OUTCOME, "timeout", True)
    assert time.monotonic() - began < 5


def test_a_refused_connection_was_never_sent_and_never_billed() -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{held.getsockname()[1]}/v1"

        with pytest.raises(ProviderError) as caught:
            _call(url, CHAT_URL, CHAT)

    failure = caught.value.failure
    assert (failure.kind, failure.code, failure.possibly_billed) == (KIND.TRANSIENT, "connection_failed", False)


@pytest.mark.parametrize(
    ("raw", "kind"),
    [
        (response(b"<html>hello</html>"), KIND.UNKNOWN_OUTCOME),
        (response(b'{"choices": ['), KIND.UNKNOWN_OUTCOME),
        (response(b'{"a": 1}', length=500), KIND.UNKNOWN_OUTCOME),
        (b"HTTP/1.1 200", KIND.UNKNOWN_OUTCOME),
        (b"not http at all\r\n\r\n", KIND.UNKNOWN_OUTCOME),
        (response(b"", status="204 No Content"), KIND.UNKNOWN_OUTCOME),
        (response(b"\x1f\x8b broken", "content-encoding: gzip"), KIND.UNKNOWN_OUTCOME),
        (response(b"", "location: http://127.0.0.1:1/", status="307 Temporary Redirect"), KIND.REFUSED),
        (response(b"<html>502</html>", status="502 Bad Gateway"), KIND.TRANSIENT),
    ],
)
def test_whatever_comes_back_has_a_kind(raw: bytes, kind: FailureKind) -> None:
    async def call() -> None:
        async with canned(raw) as server, _client(f"{server.origin}/v1") as client:
            await client.call(CHAT_URL, CHAT, client_request_id="att_1")

    assert _failure(call()).kind is kind


def test_compressed_answers_are_read() -> None:
    async def call() -> Answer:
        raw = response(gzip.compress(b'{"a": "\xc3\xa9"}'), "content-encoding: gzip", "X-Request-ID: req_9")
        async with canned(raw) as server, _client(f"{server.origin}/v1") as client:
            return await client.call(CHAT_URL, CHAT, client_request_id="att_1")

    answer = asyncio.run(call())

    assert answer.body == {"a": "é"}
    assert answer.request_id == "req_9"


def test_what_goes_out_is_what_the_plain_sdk_sends() -> None:
    async def both() -> list[Any]:
        async with canned(response(b"{}")) as server:
            base_url = f"{server.origin}/v1"
            async with _client(base_url) as client:
                await client.call(CHAT_URL, CHAT, client_request_id="att_1")
                await client.call(CHAT_URL, {**CHAT, "max_tokens": 12_345}, client_request_id="att_2")
            async with AsyncOpenAI(base_url=base_url, api_key=KEY, max_retries=0, timeout=10) as plain:
                await plain.post(
                    "/chat/completions",
                    body=CHAT,
                    cast_to=object,
                    options={"headers": {"X-Client-Request-Id": "att_1"}},
                )
            return server.seen

    ours, second, plain = asyncio.run(both())

    # Between two transports these may differ; the bodies differ in white space only.
    own = {"content-length", "accept-encoding", "connection", "x-stainless-read-timeout"}
    assert ours.line == plain.line == "POST /v1/chat/completions HTTP/1.1"
    assert {k: v for k, v in ours.headers.items() if k not in own} == {
        k: v for k, v in plain.headers.items() if k not in own
    }
    assert ours.headers["authorization"] == f"Bearer {KEY}"
    assert orjson.loads(ours.body) == orjson.loads(plain.body) == CHAT
    assert second.headers["x-client-request-id"] == "att_2"
    assert orjson.loads(second.body)["max_tokens"] == 12_345
    assert int(second.headers["content-length"]) == len(second.body)


def test_numbers_beyond_64_bits_go_out_as_they_are() -> None:
    async def call() -> bytes:
        async with canned(response(b"{}")) as server, _client(f"{server.origin}/v1") as client:
            await client.call(CHAT_URL, {**CHAT, "seed": 10**30}, client_request_id="att_1")
            return server.seen[0].body

    assert b"1000000000000000000000000000000" in asyncio.run(call())


def test_a_cancelled_call_leaves_the_client_usable(sandbox: SandboxProcess) -> None:
    sandbox.configure(faults=[{"fault": "slow_drip", "seconds": 30, "times": 1}])

    async def cancel_then_call() -> Answer:
        async with ProviderClient(sandbox.base_url, api_key=KEY, timeout_seconds=10, max_connections=1) as client:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.3):
                    await client.call(CHAT_URL, CHAT, client_request_id="att_1")
            return await client.call(CHAT_URL, CHAT, client_request_id="att_2")

    assert asyncio.run(cancel_then_call()).status_code == 200


def test_the_key_is_in_no_log_and_in_no_error(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)

    async def call() -> None:
        async with (
            canned(response(b"{}", status="401 Unauthorized")) as server,
            _client(f"{server.origin}/v1") as client,
        ):
            await client.call(CHAT_URL, CHAT, client_request_id="att_1")

    failure = _failure(call())

    assert KEY not in caplog.text
    assert KEY not in repr(failure)
    assert KEY not in repr(ProviderError(failure))


def _fetch(answer: Any, *, max_bytes: int = 100) -> Any:
    async def fetch() -> tuple[bytes, Any]:
        async with canned(answer) as server, _client(f"{server.origin}/v1") as client:
            return await client.fetch(f"{server.origin}/files/1.png", max_bytes=max_bytes), server.seen

    return fetch()


def test_a_fetched_picture_comes_without_our_key_and_follows_its_own_host() -> None:
    def answer(line: str) -> bytes:
        moved = response(b"", "location: /moved.png", status="302 Found")
        return response(b"picture") if "moved" in line else moved

    picture, seen = asyncio.run(_fetch(answer))

    assert picture == b"picture"
    assert [request.line.split()[1] for request in seen] == ["/files/1.png", "/moved.png"]
    assert all("authorization" not in request.headers for request in seen)


@pytest.mark.parametrize(
    ("raw", "code", "words"),
    [
        (response(b"x" * 101), "image_too_large", "more than 100 bytes"),
        (response(b"", status="404 Not Found"), "image_fetch_failed", "404"),
        (response(b"", "location: http://localhost:1/x", status="302 Found"), "image_fetch_failed", "another host"),
        (response(b"", "location: /files/1.png", status="302 Found"), "image_fetch_failed", "in circles"),
        (response(b"x", length=50), "image_fetch_failed", "could not be read"),
    ],
)
def test_a_picture_that_cannot_be_had_was_billed_all_the_same(raw: bytes, code: str, words: str) -> None:
    failure = _failure(_fetch(raw))

    assert (failure.kind, failure.code, failure.possibly_billed) == (KIND.UNKNOWN_OUTCOME, code, True)
    assert words in failure.message


def test_a_thousand_calls_share_the_client_at_once(sandbox: SandboxProcess) -> None:
    sandbox.configure(latency={"chat": {"kind": "fixed", "seconds": 1.0}})

    async def many() -> list[Answer]:
        async with _client(sandbox.base_url, 60) as client:
            return await asyncio.gather(
                *(client.call(CHAT_URL, CHAT, client_request_id=f"att_{number}") for number in range(1_000))
            )

    answers = asyncio.run(many())

    assert len({answer.request_id for answer in answers}) == 1_000
