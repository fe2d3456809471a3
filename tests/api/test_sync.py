"""Synchronous calls with OpenAI's own client: the provider's answers, errors and headers, through the queue."""

import base64
import json

import httpx2
import openai
import pytest

from tests.fixtures.api import LiveApi
from tests.fixtures.system import TEXT

HELLO = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Say hello."}], "max_tokens": 20}


@pytest.fixture
def working(api: LiveApi) -> LiveApi:
    """The API with a worker behind it."""
    api.system.start_workers(1)
    return api


def test_a_chat_completion_is_the_providers_own(working: LiveApi) -> None:
    answer = working.openai().chat.completions.with_raw_response.create(**HELLO)  # type: ignore[call-overload]

    completion = answer.parse()
    stored = working.system.scalar("SELECT CAST(body AS text) FROM job_results")
    assert json.loads(answer.content) == json.loads(stored)
    assert completion.choices[0].message.content
    assert completion.usage.completion_tokens <= 20
    assert answer.headers["x-request-id"].startswith("req_")
    assert answer.headers["x-pressroom-job-id"].startswith("job_")
    assert answer.headers["x-pressroom-sandbox"] == "true"
    assert int(answer.headers["openai-processing-ms"]) > 0
    cost = working.system.scalar("SELECT trim_scale(cost_usd)::text FROM jobs")
    assert answer.headers["x-pressroom-cost-usd"] == cost
    assert working.system.scalar("SELECT DISTINCT priority_class::text FROM stakes") == "interactive"
    assert working.system.scalar("SELECT count(*) FROM jobs WHERE api_key_id IS NOT NULL") == 1


def test_pictures_come_as_asked_for(working: LiveApi) -> None:
    client = working.openai()

    by_url = client.images.generate(model="dall-e-2", prompt="a woodcut", size="256x256", n=2)
    inline = client.images.generate(model="dall-e-2", prompt="a woodcut", size="256x256", response_format="b64_json")

    assert by_url.data is not None
    assert inline.data is not None
    fetched = [httpx2.get(str(one.url), trust_env=False).content for one in by_url.data]
    assert len(fetched) == 2
    assert all(content.startswith(b"\x89PNG") for content in fetched), "an address that needs no key"
    assert base64.b64decode(str(inline.data[0].b64_json)).startswith(b"\x89PNG")


def test_an_error_of_the_provider_keeps_its_status_and_body(working: LiveApi) -> None:
    working.system.sandbox.configure(faults=[{"fault": "moderation"}])

    with pytest.raises(openai.BadRequestError) as refused:
        working.openai().images.generate(model="dall-e-2", prompt="what may not be", size="256x256")

    error = refused.value
    assert error.code == "content_policy_violation"
    stored = working.system.scalar("SELECT CAST(body AS text) FROM job_results")
    assert error.response.json() == json.loads(stored)
    assert error.response.headers["x-should-retry"] == "false"


def test_what_is_wrong_with_a_request_is_told_before_anything_is_stored(api: LiveApi) -> None:
    client = api.openai()

    with pytest.raises(openai.BadRequestError) as refused:
        client.chat.completions.create(model="gpt-4o-mini", messages=[], temperature=7)
    with pytest.raises(openai.NotFoundError) as missing:
        client.embeddings.create(model="text-embedding-3-small", input="Hello")

    assert refused.value.param == "messages"
    assert "temperature" in refused.value.message
    assert missing.value.code == "unsupported_endpoint"
    assert "/v1/embeddings" in missing.value.message
    assert api.system.scalar("SELECT count(*) FROM jobs") == 0


def test_a_field_that_nobody_knows_is_passed_on_and_the_provider_says_what_it_thinks(working: LiveApi) -> None:
    with pytest.raises(openai.BadRequestError, match="a_new_field"):
        working.openai().chat.completions.create(**HELLO, extra_body={"a_new_field": {"deep": 1}})  # type: ignore[call-overload]

    body = working.system.scalar("SELECT CAST(body AS text) FROM job_requests")
    assert json.loads(body)["a_new_field"] == {"deep": 1}


def test_a_model_that_is_not_there_is_told_as_the_provider_tells_it(api: LiveApi) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        api.openai().chat.completions.create(model="gpt-9-nova", messages=[{"role": "user", "content": "Hello."}])
    assert (caught.value.code, caught.value.param) == ("model_not_found", "model")

    with pytest.raises(openai.BadRequestError) as refused:
        api.openai().images.generate(model="dall-e-9", prompt="a letter A")
    assert refused.value.code == "model_not_found"


def test_a_body_that_is_no_object_is_refused(api: LiveApi) -> None:
    client = api.client()

    answers = [
        client.post(TEXT, content=content, headers={"content-type": "application/json"})
        for content in (b"", b"nothing", b"[1]")
    ]

    assert [one.status_code for one in answers] == [400, 400, 400]
    assert [one.json()["error"]["code"] for one in answers] == ["invalid_json", "invalid_json", "invalid_type"]


def test_limits_are_told_as_the_projects_share(working: LiveApi) -> None:
    first = working.system.submit(texts=1, limits={"rpm": 600, "tpm": 60_000})
    working.system.wait_for_batch(first, 20)

    answer = working.openai().chat.completions.with_raw_response.create(**HELLO)  # type: ignore[call-overload]

    assert answer.headers["x-ratelimit-limit-requests"] == "600", "nobody else is at work"
    assert 0 < int(answer.headers["x-ratelimit-remaining-requests"]) <= 600
    assert answer.headers["x-ratelimit-limit-tokens"] == "60000"
    assert answer.headers["x-ratelimit-reset-requests"].endswith("s")
