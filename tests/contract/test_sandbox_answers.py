"""What the sandbox answers when all is well, seen through the real SDK."""

import asyncio
import base64
import io
import json
import re
import urllib.error
import urllib.request

import openai
import pytest
from PIL import Image

from tests.sandbox_process import SandboxProcess

MESSAGES: list[openai.types.chat.ChatCompletionMessageParam] = [{"role": "user", "content": "Describe a fox."}]


def test_a_chat_completion(client: openai.OpenAI) -> None:
    raw = client.chat.completions.with_raw_response.create(model="gpt-4o-mini", messages=MESSAGES, max_tokens=40)
    answer = raw.parse()

    assert answer.model == "gpt-4o-mini-2024-07-18"
    assert answer.id.startswith("chatcmpl-")
    assert answer.object == "chat.completion"
    assert answer.system_fingerprint == "fp_sandbox"
    assert (answer.choices[0].message.content or "").startswith("[sandbox]")
    assert answer.usage is not None
    assert answer.usage.prompt_tokens_details is not None
    assert answer.usage.prompt_tokens_details.cached_tokens == 0
    assert answer.usage.completion_tokens <= 40
    assert raw.headers["x-sandbox"] == "pressroom"
    assert raw.headers["openai-version"] == "2020-10-01"
    assert raw.headers["openai-processing-ms"].isdigit()
    assert re.fullmatch(r"req_[0-9a-f]{32}", answer._request_id or "")


def test_the_same_request_has_the_same_answer(client: openai.OpenAI) -> None:
    answers = [client.chat.completions.create(model="gpt-4o-mini", messages=MESSAGES, n=2) for _ in range(2)]

    assert answers[0].choices == answers[1].choices
    assert answers[0].usage == answers[1].usage
    assert answers[0].id != answers[1].id
    assert answers[0].choices[0].message.content != answers[0].choices[1].message.content


def test_the_answering_tier_is_echoed(client: openai.OpenAI) -> None:
    flex = client.chat.completions.create(model="gpt-4o-mini", messages=MESSAGES, service_tier="flex")
    plain = client.chat.completions.create(model="gpt-4o-mini", messages=MESSAGES, service_tier="auto")

    assert (flex.service_tier, plain.service_tier) == ("flex", "default")


@pytest.mark.parametrize("size", ["256x256", "512x512", "1024x1024"])
def test_images_as_base64(client: openai.OpenAI, size: str) -> None:
    answer = client.images.generate(
        model="dall-e-2",
        prompt="a fox reading a newspaper",
        n=2,
        size=size,
        response_format="b64_json",
    )

    assert answer.usage is None
    assert len(answer.data or []) == 2
    for item in answer.data or []:
        assert item.url is None
        with Image.open(io.BytesIO(base64.b64decode(item.b64_json or ""))) as image:
            assert image.format == "PNG"
            assert f"{image.width}x{image.height}" == size


def test_images_as_urls(sandbox: SandboxProcess, client: openai.OpenAI) -> None:
    answer = client.images.generate(prompt="a fox reading a newspaper")
    [item] = answer.data or []

    assert item.b64_json is None
    assert (item.url or "").startswith(sandbox.origin)
    with urllib.request.urlopen(item.url or "") as response:
        assert response.headers["content-type"] == "image/png"
        with Image.open(io.BytesIO(response.read())) as image:
            assert image.size == (1024, 1024)


def test_a_url_expires(sandbox: SandboxProcess, client: openai.OpenAI) -> None:
    [item] = client.images.generate(model="dall-e-2", prompt="a fox", size="256x256").data or []
    sandbox.configure(file_seconds=0.001)

    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(item.url or "")
    with caught.value as error:
        assert error.code == 403


def test_models_are_listed_with_their_end(client: openai.OpenAI) -> None:
    listed = {model.id: model for model in client.models.list()}

    assert {"dall-e-2", "gpt-4o-mini", "gpt-4o-mini-2024-07-18", "gpt-6-luna"} <= set(listed)
    assert client.models.retrieve("gpt-4o-mini").model_dump()["shutdown_date"] == "2027-01-14"


def test_a_removed_model_is_not_listed(sandbox: SandboxProcess, client: openai.OpenAI) -> None:
    sandbox.configure(models={"dall-e-2": {"removed": True}})

    assert "dall-e-2" not in {model.id for model in client.models.list()}
    with pytest.raises(openai.NotFoundError) as caught:
        client.models.retrieve("dall-e-2")
    assert caught.value.code == "model_not_found"


def test_many_at_once_through_the_async_client(sandbox: SandboxProcess) -> None:
    async def ask(client: openai.AsyncOpenAI, number: int) -> str:
        answer = await client.chat.completions.create(
            model="gpt-4o-mini",
            messages=[{"role": "user", "content": f"Question {number}"}],
            extra_headers={"X-Client-Request-Id": f"attempt-{number}"},
        )
        return answer.choices[0].message.content or ""

    async def ask_all() -> list[str]:
        async with openai.AsyncOpenAI(api_key="sk-test", base_url=sandbox.base_url, max_retries=0) as client:
            return await asyncio.gather(*(ask(client, number) for number in range(100)))

    sandbox.configure(latency={"chat": {"kind": "fixed", "seconds": 0.1}})
    answers = asyncio.run(ask_all())
    stats = sandbox.stats()

    assert all(f"Question {number}”" in answer for number, answer in enumerate(answers))
    assert stats["models"]["gpt-4o-mini"]["calls"] == stats["models"]["gpt-4o-mini"]["ok"] == 100
    assert stats["totals"]["in_flight"] == 0
    assert stats["totals"]["max_in_flight"] > 10
    assert stats["requests"]["distinct"] == 100
    assert stats["client_request_ids"] == {
        "calls_with_one": 100,
        "distinct": 100,
        "repeated": 0,
        "repeated_examples": [],
    }


def test_repeats_are_found(sandbox: SandboxProcess, client: openai.OpenAI) -> None:
    for marker in ("a", "a", "b"):
        client.chat.completions.create(
            model="gpt-4o-mini", messages=MESSAGES, extra_headers={"X-Client-Request-Id": marker}
        )
    stats = sandbox.stats()

    assert stats["requests"]["repeated"] == stats["requests"]["answered_more_than_once"] == 1
    assert stats["client_request_ids"]["repeated_examples"] == ["a"]
    assert [call["client_request_id"] for call in sandbox.calls()] == ["b", "a", "a"]


def test_token_and_image_counts_equal_what_was_answered(sandbox: SandboxProcess, client: openai.OpenAI) -> None:
    usages = [
        client.chat.completions.create(model="gpt-6-luna", messages=[{"role": "user", "content": f"Q{n}"}]).usage
        for n in range(5)
    ]
    client.images.generate(model="dall-e-2", prompt="a fox", n=3, size="256x256")
    models = sandbox.stats()["models"]

    assert models["gpt-6-luna"]["prompt_tokens"] == sum(usage.prompt_tokens for usage in usages if usage)
    assert models["gpt-6-luna"]["completion_tokens"] == sum(usage.completion_tokens for usage in usages if usage)
    assert models["dall-e-2"]["images"] == 3


def test_reset_forgets(sandbox: SandboxProcess, client: openai.OpenAI) -> None:
    client.chat.completions.create(model="gpt-4o-mini", messages=MESSAGES)
    sandbox.reset()

    assert sandbox.stats()["totals"]["calls"] == 0
    assert sandbox.calls() == []


def test_the_configuration_reads_back_and_refuses_nonsense(sandbox: SandboxProcess) -> None:
    whole = sandbox.configure(limits={"gpt-4o-mini": {"rpm": 600}})

    assert sandbox.config() == whole
    with pytest.raises(ValueError, match=r"limits\.gpt-4o-mini\.rmp: no such field"):
        sandbox.configure(limits={"gpt-4o-mini": {"rmp": 600}})
    assert sandbox.config() == whole


def test_stats_have_a_short_name_too(sandbox: SandboxProcess) -> None:
    with urllib.request.urlopen(f"{sandbox.origin}/stats") as response:
        assert json.load(response) == sandbox.stats()
