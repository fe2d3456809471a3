"""OpenAI's client for Python, unmodified and async, takes Pressroom for OpenAI."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import openai
import pytest
from openai.types import Batch

from tests.fixtures.api import LiveApi
from tests.fixtures.asked import CHAT, HELLO, MODEL, PROMPT, chat_body, chat_lines, jsonl


@asynccontextmanager
async def client_of(api: LiveApi, key: str = "") -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(base_url=api.base_url, api_key=key or api.key, max_retries=0, timeout=60) as client:
        yield client


def with_client(api: LiveApi, check: Callable[[openai.AsyncOpenAI], Awaitable[None]]) -> None:
    """Run a check on a loop of its own."""

    async def run() -> None:
        async with client_of(api) as client:
            await check(client)

    asyncio.run(run())


async def finished(client: openai.AsyncOpenAI, batch_id: str) -> Batch:
    async with asyncio.timeout(60):
        while True:
            batch = await client.batches.retrieve(batch_id)
            if batch.status in ("completed", "failed", "expired", "cancelled"):
                return batch
            await asyncio.sleep(0.1)


def test_two_hundred_chats_at_once_are_answered(shared_api: LiveApi) -> None:
    async def check(client: openai.AsyncOpenAI) -> None:
        asked = [client.chat.completions.create(**chat_body(number)) for number in range(200)]
        answers = await asyncio.gather(*asked)
        assert len({answer.id for answer in answers}) == 200
        assert all(answer.choices[0].message.content for answer in answers)

    with_client(shared_api, check)


def test_a_chat_streams(shared_api: LiveApi) -> None:
    async def check(client: openai.AsyncOpenAI) -> None:
        stream = await client.chat.completions.create(model=MODEL, messages=HELLO, max_tokens=20, stream=True)
        chunks = [chunk async for chunk in stream]
        assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
        assert chunks[-1].choices[0].finish_reason in ("stop", "length")

    with_client(shared_api, check)


def test_a_stream_that_is_left_early_leaves_the_server_well(shared_api: LiveApi) -> None:
    async def check(client: openai.AsyncOpenAI) -> None:
        async with await client.chat.completions.create(model=MODEL, messages=HELLO, stream=True) as stream:
            async for _ in stream:
                break
        assert (await client.chat.completions.create(model=MODEL, messages=HELLO)).choices

    with_client(shared_api, check)


def test_pictures_are_made(shared_api: LiveApi) -> None:
    async def check(client: openai.AsyncOpenAI) -> None:
        made = await client.images.generate(model="dall-e-2", prompt=PROMPT, size="256x256", response_format="b64_json")
        assert made.data is not None
        assert str(made.data[0].b64_json).startswith("iVBORw0KGgo")

    with_client(shared_api, check)


def test_a_batch_runs_from_upload_to_output(shared_api: LiveApi) -> None:
    async def check(client: openai.AsyncOpenAI) -> None:
        lines = chat_lines(10)
        file = await client.files.create(file=("in.jsonl", jsonl(lines)), purpose="batch")
        created = await client.batches.create(input_file_id=file.id, endpoint=CHAT, completion_window="24h")
        batch = await finished(client, created.id)
        assert batch.status == "completed"
        output = (await client.files.content(str(batch.output_file_id))).text
        found = {json.loads(line)["custom_id"] for line in output.splitlines()}
        assert found == {line["custom_id"] for line in lines}
        assert batch.id in {one.id async for one in client.batches.list(limit=1)}
        assert file.id in {one.id async for one in client.files.list(limit=1)}

    with_client(shared_api, check)


def test_errors_are_of_the_client_s_own_kinds(shared_api: LiveApi) -> None:
    async def check(client: openai.AsyncOpenAI) -> None:
        with pytest.raises(openai.NotFoundError):
            await client.files.retrieve("file-" + "0" * 32)
        async with client_of(shared_api, "pr_nobody") as stranger:
            with pytest.raises(openai.AuthenticationError):
                await stranger.models.list()

    with_client(shared_api, check)
