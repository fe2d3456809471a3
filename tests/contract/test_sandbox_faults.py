"""Every fault on demand, seen through the real SDK."""

import time
import urllib.error
import urllib.request
from http.client import IncompleteRead, RemoteDisconnected
from typing import Any

import openai
import pytest

from sandbox.config import FaultKind
from tests.sandbox_process import SandboxProcess

MESSAGES: list[openai.types.chat.ChatCompletionMessageParam] = [{"role": "user", "content": "Describe a fox."}]

# fault, the SDK's exception, status, type, code
REFUSED: list[tuple[str, type[openai.APIStatusError], int, str | None, str | None]] = [
    ("http_500", openai.InternalServerError, 500, "server_error", None),
    ("http_503", openai.InternalServerError, 503, None, None),
    ("overloaded", openai.InternalServerError, 503, "service_unavailable_error", "server_is_overloaded"),
    ("rate_limit_requests", openai.RateLimitError, 429, "requests", "rate_limit_exceeded"),
    ("rate_limit_tokens", openai.RateLimitError, 429, "tokens", "rate_limit_exceeded"),
    ("rate_limit_images", openai.RateLimitError, 429, "input-images", "rate_limit_exceeded"),
    ("slow_down", openai.RateLimitError, 429, "rate_limit_error", "slow_down"),
    ("insufficient_quota", openai.RateLimitError, 429, "insufficient_quota", "insufficient_quota"),
    ("credit_balance_exhausted", openai.RateLimitError, 429, "insufficient_quota", "credit_balance_exhausted"),
    (
        "organization_spend_limit_exceeded",
        openai.RateLimitError,
        429,
        "insufficient_quota",
        "organization_spend_limit_exceeded",
    ),
    ("project_spend_limit_exceeded", openai.RateLimitError, 429, "insufficient_quota", "project_spend_limit_exceeded"),
    (
        "organization_usage_limit_exceeded",
        openai.RateLimitError,
        429,
        "insufficient_quota",
        "organization_usage_limit_exceeded",
    ),
    ("billing_hard_limit", openai.BadRequestError, 400, "invalid_request_error", "billing_hard_limit_reached"),
    ("flex_unavailable", openai.RateLimitError, 429, "resource_unavailable", "resource_unavailable"),
    ("model_removed", openai.NotFoundError, 404, "invalid_request_error", "model_not_found"),
    ("bad_request", openai.BadRequestError, 400, "invalid_request_error", "invalid_value"),
    ("auth", openai.AuthenticationError, 401, "invalid_request_error", "invalid_api_key"),
]
# These reach the client as a broken or late answer, or are told apart by endpoint: each has its own test below.
DELIVERED = {"timeout", "cut", "cut_after", "truncated", "slow_drip", "moderation"}


def fail(sandbox: SandboxProcess, fault: str, **rule: Any) -> None:
    sandbox.configure(faults=[{"fault": fault, **rule}])


def chat(client: openai.OpenAI) -> openai.types.chat.ChatCompletion:
    return client.chat.completions.create(model="gpt-4o-mini", messages=MESSAGES)


def test_every_fault_is_tried() -> None:
    assert {row[0] for row in REFUSED} | DELIVERED == set(FaultKind.__args__)  # type: ignore[attr-defined]


@pytest.mark.parametrize(("fault", "exception", "status", "kind", "code"), REFUSED)
def test_refusals(
    sandbox: SandboxProcess,
    client: openai.OpenAI,
    fault: str,
    exception: type[openai.APIStatusError],
    status: int,
    kind: str | None,
    code: str | None,
) -> None:
    fail(sandbox, fault, times=1)

    with pytest.raises(exception) as caught:
        chat(client)
    assert (caught.value.status_code, caught.value.type, caught.value.code) == (status, kind, code)
    assert (caught.value.request_id or "").startswith("req_")

    chat(client)
    stats = sandbox.stats()
    assert stats["faults"] == {fault: 1}
    assert stats["totals"]["by_status"] == {str(status): 1, "200": 1}


def test_a_removed_image_model(sandbox: SandboxProcess, client: openai.OpenAI) -> None:
    fail(sandbox, "model_removed")

    with pytest.raises(openai.BadRequestError, match="The model 'dall-e-2' does not exist"):
        client.images.generate(model="dall-e-2", prompt="a fox")


def test_moderation_refuses_pictures_and_filters_chat(sandbox: SandboxProcess, client: openai.OpenAI) -> None:
    fail(sandbox, "moderation", match={"contains": "fox"})

    with pytest.raises(openai.BadRequestError) as caught:
        client.images.generate(model="dall-e-2", prompt="a fox")
    assert caught.value.code == "content_policy_violation"
    answer = chat(client)
    assert answer.choices[0].finish_reason == "content_filter"
    assert answer.usage is not None
    assert answer.usage.completion_tokens > 0
    client.images.generate(model="dall-e-2", prompt="a dog")


def test_a_timeout_is_charged_and_ends_when_the_client_leaves(sandbox: SandboxProcess, client: openai.OpenAI) -> None:
    fail(sandbox, "timeout", times=1)

    with pytest.raises(openai.APITimeoutError):
        chat(client.with_options(timeout=0.2))
    while sandbox.stats()["totals"]["in_flight"]:
        time.sleep(0.01)
    totals = sandbox.stats()["totals"]
    assert totals["by_status"] == {"none": 1}
    assert totals["lost"] == 1
    assert totals["lost_tokens"] > 0
    chat(client)


def test_a_timeout_lasts_as_long_as_it_was_told(sandbox: SandboxProcess, client: openai.OpenAI) -> None:
    fail(sandbox, "timeout", seconds=0.3)
    started = time.monotonic()

    with pytest.raises(openai.APIConnectionError):
        chat(client)

    assert 0.25 < time.monotonic() - started < 2


@pytest.mark.parametrize("fault", ["cut", "cut_after"])
def test_cut_connections(sandbox: SandboxProcess, client: openai.OpenAI, fault: str) -> None:
    fail(sandbox, fault, times=1)

    with pytest.raises(openai.APIConnectionError):
        chat(client)
    assert sandbox.stats()["totals"]["lost"] == 1
    chat(client)


def test_a_truncated_body_is_no_answer(sandbox: SandboxProcess, client: openai.OpenAI) -> None:
    fail(sandbox, "truncated", times=1)

    with pytest.raises(ValueError, match=r"Unterminated|Expecting|EOF"):
        chat(client)
    totals = sandbox.stats()["totals"]
    assert (totals["ok"], totals["lost"]) == (0, 1)


def test_a_slow_drip_arrives_in_the_end(sandbox: SandboxProcess, client: openai.OpenAI) -> None:
    fail(sandbox, "slow_drip", seconds=0.4)
    started = time.monotonic()

    chat(client)

    assert time.monotonic() - started > 0.35
    assert sandbox.stats()["totals"]["ok"] == 1


def test_refusals_say_how_long_to_wait(sandbox: SandboxProcess, client: openai.OpenAI) -> None:
    fail(sandbox, "rate_limit_tokens", seconds=7)

    with pytest.raises(openai.RateLimitError) as caught:
        chat(client)

    assert caught.value.response.headers["retry-after"] == "7"
    assert "on tokens per min (TPM). Please try again in 7s." in caught.value.message, "no limit is configured"


def test_a_refusal_states_the_limit_that_is_configured_for_the_account(
    sandbox: SandboxProcess, client: openai.OpenAI
) -> None:
    sandbox.configure(limits={"gpt-4o-mini": {"tpm": 123_000}, "gpt-4o-mini@b": {"tpm": 77_000}})
    fail(sandbox, "rate_limit_tokens")

    for key, limit in (("sk-any", 123_000), ("sandbox-b", 77_000)):
        with pytest.raises(openai.RateLimitError) as caught:
            chat(client.with_options(api_key=key))
        assert f"(TPM): Limit {limit}, Used {limit}, Requested 1." in caught.value.message


def test_refusals_charge_nothing(sandbox: SandboxProcess, client: openai.OpenAI) -> None:
    sandbox.configure(limits={"gpt-4o-mini": {"rpm": 1}})
    fail(sandbox, "overloaded", times=3)
    for _ in range(3):
        with pytest.raises(openai.InternalServerError):
            chat(client)

    chat(client)


def download(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=5) as response:
        data: bytes = response.read()
        return data


def test_downloads_fail_too(sandbox: SandboxProcess, client: openai.OpenAI) -> None:
    [item] = client.images.generate(model="dall-e-2", prompt="a fox", size="256x256").data or []
    url = item.url or ""
    whole = download(url)

    fail(sandbox, "http_500", match={"endpoint": "files", "contains": "fox"})
    with pytest.raises(urllib.error.HTTPError) as caught:
        download(url)
    caught.value.close()
    fail(sandbox, "cut", match={"endpoint": "files"})
    with pytest.raises(RemoteDisconnected):
        download(url)
    fail(sandbox, "cut_after", match={"endpoint": "files"})
    with pytest.raises(IncompleteRead):
        download(url)
    fail(sandbox, "truncated", match={"endpoint": "files"})
    assert len(download(url)) == len(whole) * 2 // 3
    sandbox.configure(faults=[])
    assert download(url) == whole
    assert sandbox.stats()["faults"] == {"http_500": 1, "cut": 1, "cut_after": 1, "truncated": 1}
