"""OpenAI's client for Python, unmodified and blocking, takes Pressroom for OpenAI."""

import io
import json
import time
import urllib.request
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import openai
import pytest
from openai.types import Batch

from tests.fixtures.api import LiveApi
from tests.fixtures.asked import CHAT, HELLO, MODEL, PNG_START, PROMPT, chat_lines, jsonl


@pytest.fixture
def client(shared_api: LiveApi) -> Iterator[openai.OpenAI]:
    """A client that shows every failure at once: it repeats nothing."""
    with openai.OpenAI(base_url=shared_api.base_url, api_key=shared_api.key, max_retries=0, timeout=60) as client:
        yield client


def upload(client: openai.OpenAI, lines: Sequence[Any], name: str = "in.jsonl") -> str:
    return client.files.create(file=(name, jsonl(lines)), purpose="batch").id


def finished(client: openai.OpenAI, batch_id: str) -> Batch:
    deadline = time.monotonic() + 60
    while (batch := client.batches.retrieve(batch_id)).status not in ("completed", "failed", "expired", "cancelled"):
        assert time.monotonic() < deadline, batch
        time.sleep(0.1)
    return batch


def test_models_are_listed(client: openai.OpenAI) -> None:
    assert MODEL in {model.id for model in client.models.list()}
    assert client.models.retrieve(MODEL).id == MODEL


def test_a_chat_is_answered(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(model=MODEL, messages=HELLO, max_tokens=20)

    assert answer.object == "chat.completion"
    assert answer.choices[0].message.content
    assert answer.usage is not None
    assert answer.usage.total_tokens > 0
    assert answer._request_id


def test_many_chats_at_once_are_answered_each_with_its_own(client: openai.OpenAI) -> None:
    def ask(number: int) -> str:
        message: Any = {"role": "user", "content": f"Say {number}."}
        return client.chat.completions.create(model=MODEL, messages=[message], max_tokens=20).id

    with ThreadPoolExecutor(20) as pool:
        assert len(set(pool.map(ask, range(40)))) == 40


def test_a_chat_streams(client: openai.OpenAI) -> None:
    whole = client.chat.completions.create(model=MODEL, messages=HELLO, max_tokens=20)
    chunks = list(
        client.chat.completions.create(
            model=MODEL, messages=HELLO, max_tokens=20, stream=True, stream_options={"include_usage": True}
        )
    )

    said = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert said == whole.choices[0].message.content
    ends = [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices and chunk.choices[0].finish_reason]
    assert ends == [whole.choices[0].finish_reason]
    assert chunks[-1].usage is not None


def test_pictures_come_as_data_and_as_addresses(client: openai.OpenAI) -> None:
    as_data = client.images.generate(model="dall-e-2", prompt=PROMPT, size="256x256", response_format="b64_json")
    as_url = client.images.generate(model="dall-e-2", prompt=PROMPT, size="256x256", n=2)

    assert as_data.data is not None
    assert str(as_data.data[0].b64_json).startswith("iVBORw0KGgo")
    assert as_url.data is not None
    assert len(as_url.data) == 2
    for one in as_url.data:
        with urllib.request.urlopen(str(one.url), timeout=10) as answer:
            assert answer.read(8) == PNG_START


def test_files_come_and_go(client: openai.OpenAI, tmp_path: Path) -> None:
    lines = chat_lines(3)
    path = tmp_path / "disk.jsonl"
    path.write_bytes(jsonl(lines))
    sent = [client.files.create(file=path, purpose="batch")]
    sent.append(client.files.create(file=("memory.jsonl", io.BytesIO(jsonl(lines))), purpose="batch"))

    assert [one.filename for one in sent] == ["disk.jsonl", "memory.jsonl"]
    assert client.files.retrieve(sent[0].id).bytes == path.stat().st_size
    assert client.files.content(sent[0].id).read() == path.read_bytes()
    assert {one.id for one in sent} <= {one.id for one in client.files.list(limit=1, purpose="batch")}
    for one in sent:
        assert client.files.delete(one.id).deleted
    with pytest.raises(openai.NotFoundError):
        client.files.retrieve(sent[0].id)


def test_a_batch_runs_and_its_output_has_every_answer(client: openai.OpenAI) -> None:
    lines = chat_lines(20)
    file_id = upload(client, lines)

    created = client.batches.create(
        input_file_id=file_id, endpoint=CHAT, completion_window="24h", metadata={"of": "python"}
    )
    batch = finished(client, created.id)

    assert (batch.status, batch.metadata) == ("completed", {"of": "python"})
    assert batch.request_counts is not None
    assert (batch.request_counts.total, batch.request_counts.completed, batch.request_counts.failed) == (20, 20, 0)
    assert batch.output_file_id is not None
    with client.files.with_streaming_response.content(batch.output_file_id) as answer:
        output = [json.loads(line) for line in answer.iter_lines()]
    assert {line["custom_id"] for line in output} == {line["custom_id"] for line in lines}
    assert all(line["response"]["body"]["choices"][0]["message"]["content"] for line in output)
    assert batch.id in {one.id for one in client.batches.list(limit=1)}


def test_a_batch_makes_pictures(client: openai.OpenAI) -> None:
    body = {"model": "dall-e-2", "prompt": PROMPT, "size": "256x256", "response_format": "b64_json"}
    url = "/v1/images/generations"
    file_id = upload(client, [{"custom_id": f"p-{n}", "method": "POST", "url": url, "body": body} for n in range(3)])

    created = client.batches.create(input_file_id=file_id, endpoint="/v1/images/generations", completion_window="24h")
    batch = finished(client, created.id)

    assert batch.status == "completed"
    output = [json.loads(line) for line in client.files.content(str(batch.output_file_id)).text.splitlines()]
    assert len(output) == 3
    assert all(line["response"]["body"]["data"] for line in output)


def test_a_batch_is_cancelled(client: openai.OpenAI) -> None:
    created = client.batches.create(
        input_file_id=upload(client, chat_lines(2000)), endpoint=CHAT, completion_window="24h"
    )
    client.batches.cancel(created.id)
    batch = finished(client, created.id)

    assert batch.status == "cancelled"
    assert batch.cancelled_at is not None


def test_a_bad_line_fails_the_batch_and_is_named(client: openai.OpenAI) -> None:
    lines = chat_lines(3)
    lines[1]["body"]["temperature"] = 9

    created = client.batches.create(input_file_id=upload(client, lines), endpoint=CHAT, completion_window="24h")
    batch = finished(client, created.id)

    assert batch.status == "failed"
    assert batch.errors is not None
    assert [error.line for error in batch.errors.data or ()] == [2]


def test_errors_are_of_the_client_s_own_kinds(client: openai.OpenAI, shared_api: LiveApi) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        client.chat.completions.create(model=MODEL, messages=HELLO, temperature=9)
    assert refused.value.param == "temperature"
    with pytest.raises(openai.NotFoundError):
        client.batches.retrieve("batch_" + "0" * 32)
    with (
        openai.OpenAI(base_url=shared_api.base_url, api_key="pr_nobody", max_retries=0) as stranger,
        pytest.raises(openai.AuthenticationError),
    ):
        stranger.models.list()
