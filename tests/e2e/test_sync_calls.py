"""Thousands of synchronous calls held open at once, and an API that is killed under those who wait."""

import asyncio
import resource
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import orjson
import pytest

from tests.fixtures.api import LiveApi, start_api_process
from tests.fixtures.system import TEXT, System

HELD = 2000
INTERRUPTED = 300
CALL_SECONDS = 4.0
PATIENCE_SECONDS = 150.0
_OPEN_FILES = 8192


@dataclass(frozen=True)
class Answered:
    """What one call came to."""

    status: int
    job_id: str
    text: str


@pytest.fixture(autouse=True)
def many_open_files() -> Iterator[None]:
    """Two ends of every connection are in processes that inherit this limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < _OPEN_FILES:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(_OPEN_FILES, hard), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def post(api: LiveApi, number: int, *, key: str | None = None, secret: str = "") -> Answered:
    """One call on a connection of its own. Raises what a lost connection raises."""
    body = orjson.dumps(
        {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": f"Number {number}?"}], "max_tokens": 8}
    )
    port = int(api.origin.rpartition(":")[2])
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        lines = [
            f"POST {TEXT} HTTP/1.1",
            f"Host: 127.0.0.1:{port}",
            f"Authorization: Bearer {secret or api.key}",
            "Content-Type: application/json",
            f"Content-Length: {len(body)}",
            *([f"Idempotency-Key: {key}"] if key is not None else []),
        ]
        writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + body)
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:])}
        answer: dict[str, Any] = orjson.loads(await reader.readexactly(int(fields["content-length"])))
    finally:
        writer.close()
    status = int(head[0].split()[1])
    text = answer["choices"][0]["message"]["content"] if status == 200 else ""
    return Answered(status, fields.get("x-pressroom-job-id", ""), text)


@dataclass
class Address:
    """Where clients find the API: an address that leads to another process after a restart."""

    api: LiveApi
    restarted: asyncio.Event


async def post_until_answered(at: Address, key: str, number: int) -> Answered:
    """As OpenAI's clients do it: again after a lost connection, under the same Idempotency-Key."""
    try:
        return await post(at.api, number, key=f"call-{number}", secret=key)
    except (OSError, asyncio.IncompleteReadError):
        await at.restarted.wait()
        return await post(at.api, number, key=f"call-{number}", secret=key)


def len_of(system: System, where: str = "true") -> int:
    """How many jobs there are."""
    return int(system.scalar(f"SELECT count(*) FROM jobs WHERE {where}"))


def slow_calls(system: System) -> None:
    """Let every call take so long that all are open at once."""
    system.sandbox.configure(latency={"chat": {"kind": "fixed", "seconds": CALL_SECONDS}})


async def _held(api: LiveApi, system: System) -> list[Answered]:
    calls = [asyncio.create_task(post(api, number)) for number in range(HELD)]
    async with asyncio.timeout(PATIENCE_SECONDS):
        await asyncio.to_thread(
            system.wait_until, "all are on the books", lambda: len_of(system) == HELD, PATIENCE_SECONDS
        )
        assert not any(call.done() for call in calls), "none is answered before a worker is there"
        await asyncio.to_thread(system.start_workers, 1, worker_max_in_flight=1000)
        return await asyncio.gather(*calls)


@pytest.mark.slow
@pytest.mark.timeout(2 * PATIENCE_SECONDS)
def test_thousands_of_calls_are_held_open_and_each_gets_its_own_answer(system: System) -> None:
    api = start_api_process(system)

    answers = asyncio.run(_held(api, system))

    assert {one.status for one in answers} == {200}
    assert len({one.job_id for one in answers}) == HELD
    assert system.counts("jobs", "state") == {"succeeded": HELD}
    own = "SELECT r.body->'choices'->0->'message'->>'content' FROM job_results r JOIN job_requests q USING (job_id)"
    for number in (0, 7, HELD - 1):
        where = "WHERE q.body->'messages'->0->>'content' = :asked"
        assert answers[number].text == system.scalar(f"{own} {where}", asked=f"Number {number}?")
    assert system.sandbox.stats()["totals"]["calls"] == HELD


async def _interrupted(api: LiveApi, system: System) -> list[Answered]:
    at = Address(api, asyncio.Event())
    calls = [asyncio.create_task(post_until_answered(at, api.key, number)) for number in range(INTERRUPTED)]
    async with asyncio.timeout(PATIENCE_SECONDS):
        await asyncio.to_thread(
            system.wait_until,
            "half are called",
            lambda: len_of(system, "calls > 0") >= INTERRUPTED // 2,
            PATIENCE_SECONDS,
        )
        assert api.process is not None
        await asyncio.to_thread(api.process.kill)
        at.api = await asyncio.to_thread(start_api_process, system)
        at.restarted.set()
        return await asyncio.gather(*calls)


@pytest.mark.slow
@pytest.mark.timeout(2 * PATIENCE_SECONDS)
def test_clients_find_their_jobs_after_the_api_was_killed(system: System) -> None:
    slow_calls(system)
    system.start_workers(1)
    api = start_api_process(system)

    answers = asyncio.run(_interrupted(api, system))

    assert {one.status for one in answers} == {200}
    assert len({one.job_id for one in answers}) == INTERRUPTED
    assert system.counts("jobs", "state") == {"succeeded": INTERRUPTED}
    assert system.sandbox.stats()["totals"]["calls"] == INTERRUPTED, "nothing was called twice"
