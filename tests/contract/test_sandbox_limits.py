"""Enforced limits, seen through the real SDK."""

import threading
import time
from typing import Any

import openai
import pytest

from tests.sandbox_process import SandboxProcess

MESSAGES: list[openai.types.chat.ChatCompletionMessageParam] = [{"role": "user", "content": "Describe a fox."}]


def chat(client: openai.OpenAI, **more: Any) -> openai.types.chat.ChatCompletion:
    answer: openai.types.chat.ChatCompletion = client.chat.completions.create(
        model="gpt-4o-mini", messages=MESSAGES, **more
    )
    return answer


def chat_until_refused(
    client: openai.OpenAI,
) -> tuple[list[openai.types.chat.ChatCompletion], openai.RateLimitError]:
    """The answers up to the first refusal, and the refusal."""
    answers = []
    for number in range(1000):
        try:
            answers.append(chat(client, seed=number))
        except openai.RateLimitError as error:
            return answers, error
    raise AssertionError("1,000 calls were not refused")


def limit(sandbox: SandboxProcess, **limits: Any) -> None:
    sandbox.configure(limits={"gpt-4o-mini": limits})


def test_requests_per_minute(sandbox: SandboxProcess, client: openai.OpenAI) -> None:
    limit(sandbox, rpm=6)
    for _ in range(6):
        chat(client)

    with pytest.raises(openai.RateLimitError) as caught:
        chat(client)

    error = caught.value
    assert (error.code, error.type) == ("rate_limit_exceeded", "requests")
    assert "on requests per min (RPM): Limit 6, Used 6, Requested 1. Please try again in 9." in error.message
    assert error.response.headers["retry-after"] == "10"
    assert error.response.headers["x-ratelimit-remaining-requests"] == "0"
    assert sandbox.stats()["models"]["gpt-4o-mini"]["by_error"] == {"rate_limit_exceeded": 1}


def test_headers_tell_level_and_reset_at_admission(sandbox: SandboxProcess, client: openai.OpenAI) -> None:
    limit(sandbox, rpm=600, tpm=60_000, burst_seconds=10)

    raw = client.chat.completions.with_raw_response.create(model="gpt-4o-mini", messages=MESSAGES)
    usage = raw.parse().usage
    assert usage is not None
    headers = {name: value for name, value in raw.headers.items() if name.startswith("x-ratelimit")}

    assert headers == {
        "x-ratelimit-limit-requests": "100",
        "x-ratelimit-remaining-requests": "99",
        "x-ratelimit-reset-requests": "100ms",
        "x-ratelimit-limit-tokens": "10000",
        "x-ratelimit-remaining-tokens": str(10_000 - usage.total_tokens),
        "x-ratelimit-reset-tokens": f"{usage.total_tokens}ms",
    }


def test_credit_is_what_a_minute_bucket_holds_at_first(sandbox: SandboxProcess, client: openai.OpenAI) -> None:
    limit(sandbox, rpm=6, credit_seconds=30)

    for _ in range(2):  # a reset leaves the same credit
        raw = client.chat.completions.with_raw_response.create(model="gpt-4o-mini", messages=MESSAGES)
        assert raw.headers["x-ratelimit-limit-requests"] == "6"
        assert raw.headers["x-ratelimit-remaining-requests"] == "2"
        answers, error = chat_until_refused(client)
        assert len(answers) == 2
        assert "Limit 6, Used 6" in error.message
        sandbox.reset()


def test_no_limits_no_headers(client: openai.OpenAI) -> None:
    raw = client.chat.completions.with_raw_response.create(model="gpt-4o-mini", messages=MESSAGES)

    assert not [name for name in raw.headers if name.startswith("x-ratelimit")]


def test_tokens_per_minute_charge_p1_the_truth(sandbox: SandboxProcess, client: openai.OpenAI) -> None:
    limit(sandbox, tpm=600)

    answers, refusal = chat_until_refused(client)

    assert refusal.type == "tokens"
    assert 400 < sum(answer.usage.total_tokens for answer in answers if answer.usage) < 625


def test_tokens_per_minute_charge_p2_the_most_and_give_back(sandbox: SandboxProcess, client: openai.OpenAI) -> None:
    limit(sandbox, tpm=6000, charge="P2")
    raw = client.chat.completions.with_raw_response.create(model="gpt-4o-mini", messages=MESSAGES, max_tokens=5000)
    assert int(raw.headers["x-ratelimit-remaining-tokens"]) < 1000

    raw = client.chat.completions.with_raw_response.create(model="gpt-4o-mini", messages=MESSAGES, max_tokens=100)
    assert int(raw.headers["x-ratelimit-remaining-tokens"]) > 5000


def test_a_request_too_large_for_any_minute(sandbox: SandboxProcess, client: openai.OpenAI) -> None:
    limit(sandbox, tpm=1000, charge="P2")

    with pytest.raises(openai.RateLimitError, match="Request too large for gpt-4o-mini") as caught:
        chat(client, max_tokens=5000)

    assert "retry-after" not in caught.value.response.headers


def test_images_per_minute(sandbox: SandboxProcess, client: openai.OpenAI) -> None:
    sandbox.configure(limits={"dall-e-2": {"ipm": 5}})
    raw = client.images.with_raw_response.generate(model="dall-e-2", prompt="a fox", n=5, size="256x256")
    assert not [name for name in raw.headers if name.startswith("x-ratelimit")]

    with pytest.raises(openai.RateLimitError) as caught:
        client.images.generate(model="dall-e-2", prompt="a fox", size="256x256")

    assert caught.value.code == "rate_limit_exceeded"
    assert "on images per minute (IPM): Limit 5, Used 5, Requested 1. Please try again in 11." in caught.value.message
    assert caught.value.response.headers["retry-after"] == "12"


def test_retry_after_in_milliseconds_or_not_at_all(sandbox: SandboxProcess, client: openai.OpenAI) -> None:
    limit(sandbox, rpm=60, burst_seconds=1)
    sandbox.configure(retry_after="both")
    chat(client)
    with pytest.raises(openai.RateLimitError) as caught:
        chat(client)
    assert 900 < int(caught.value.response.headers["retry-after-ms"]) <= 1000

    sandbox.configure(retry_after="none")
    with pytest.raises(openai.RateLimitError) as caught:
        chat(client)
    assert "retry-after" not in caught.value.response.headers


def test_quantum_and_foreign_traffic(sandbox: SandboxProcess, client: openai.OpenAI) -> None:
    limit(sandbox, rpm=600, quantum_seconds=0.5)
    assert 5 <= len(chat_until_refused(client)[0]) < 15

    sandbox.configure(limits={"gpt-4o-mini": {"rpm": 600, "quantum_seconds": None}})
    sandbox.configure(foreign={"gpt-4o-mini": {"rpm": 600_000}})
    time.sleep(0.1)  # at 10,000/s this is more than the 600 that were there
    with pytest.raises(openai.RateLimitError):
        chat(client)


def test_a_snapshot_shares_its_models_limits(sandbox: SandboxProcess, client: openai.OpenAI) -> None:
    limit(sandbox, rpm=1)
    chat(client)

    with pytest.raises(openai.RateLimitError):
        client.chat.completions.create(model="gpt-4o-mini-2024-07-18", messages=MESSAGES)


def test_concurrency(sandbox: SandboxProcess, client: openai.OpenAI) -> None:
    limit(sandbox, concurrency=1)
    sandbox.configure(latency={"chat": {"kind": "fixed", "seconds": 0.5}})
    slow = threading.Thread(target=chat, args=(client,))
    slow.start()
    while not sandbox.stats()["totals"]["in_flight"]:
        time.sleep(0.005)

    with pytest.raises(openai.RateLimitError, match="concurrent requests"):
        chat(client)
    slow.join()

    chat(client)


def test_reset_fills_the_buckets(sandbox: SandboxProcess, client: openai.OpenAI) -> None:
    limit(sandbox, rpm=1)
    chat(client)
    sandbox.reset()

    chat(client)


def test_the_sdk_itself_recovers_when_told_to_retry(sandbox: SandboxProcess) -> None:
    limit(sandbox, rpm=300, burst_seconds=0.2)
    sandbox.configure(retry_after="both")
    with openai.OpenAI(api_key="sk-test", base_url=sandbox.base_url, max_retries=5) as patient:
        for _ in range(4):
            chat(patient)

    statuses = sandbox.stats()["totals"]["by_status"]
    assert statuses["200"] == 4
    assert statuses["429"] >= 2
