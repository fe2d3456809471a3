"""Whoever waits for a job hears of its end: by message, by looking, or because it had ended before."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar
from uuid import UUID

import pytest
import redis
import redis.asyncio

from models import JobState
from pressroom.ids import new_id
from pressroom.jobs import waiters as waiters_module
from pressroom.jobs.finished import FinishedJob
from pressroom.jobs.waiters import JobWaiters
from pressroom.jobs.wake import WakeCalls, decode_ended, encode_ended
from tests.fixtures.desk import Desk, limited, refusal, success

T = TypeVar("T")
PREFIX = "waiters:"
PATIENCE_SECONDS = 20.0


def with_waiters(desk: Desk, redis_url: str, work: Callable[[JobWaiters], Awaitable[T]]) -> T:
    """Run `work` with waiters that listen."""

    async def run() -> T:
        client = redis.asyncio.Redis.from_url(redis_url, socket_timeout=5)
        waiters = JobWaiters(desk.engine, client, prefix=PREFIX)
        waiters.start()
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                while not (await client.pubsub_numsub(f"{PREFIX}ended"))[0][1]:  # noqa: ASYNC110  it is another process
                    await asyncio.sleep(0.01)
            return await work(waiters)
        finally:
            await waiters.close()
            await client.aclose()

    return asyncio.run(run())


async def soon(waiters: JobWaiters, job_id: UUID) -> FinishedJob:
    """The job, which must end."""
    finished = await waiters.wait(job_id, PATIENCE_SECONDS)
    assert finished is not None
    return finished


def test_messages_say_what_was_put_in() -> None:
    ended = [(new_id(), state) for state in (JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED)]

    assert decode_ended(encode_ended(ended)) == ended
    assert decode_ended(b"") == []
    assert decode_ended(b"of another version") == []


def test_a_settled_group_wakes_all_who_wait(desk: Desk, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiters_module, "LOOK_SECONDS", 3600.0)
    [good, bad, again], attempts, _ = desk.run(3)
    outcomes = [success(good, attempts[good.id]), refusal(bad, attempts[bad.id]), limited(again, attempts[again.id])]

    async def work(waiters: JobWaiters) -> tuple[FinishedJob, FinishedJob, FinishedJob | None]:
        waits = [asyncio.create_task(waiters.wait(job.id, 1.0)) for job in (good, bad, again)]
        await asyncio.sleep(0)
        desk.settle(*outcomes)
        with redis.Redis.from_url(redis_url) as client:
            WakeCalls(client, prefix=PREFIX).settled(outcomes)
        done = await asyncio.gather(*waits)
        assert waiters.waiting == 0
        assert done[0] is not None
        assert done[1] is not None
        return done[0], done[1], done[2]

    first, second, third = with_waiters(desk, redis_url, work)

    assert (first.state, first.status_code, first.body) == ("succeeded", 200, '{"id":"answer"}')
    assert (second.state, second.error) == ("failed", {"code": "bad", "message": "no"})
    assert third is None, "it is queued again"


def test_a_lost_message_is_made_up_for(desk: Desk, redis_url: str) -> None:
    [job], attempts, _ = desk.run(1)

    async def work(waiters: JobWaiters) -> FinishedJob:
        waiting = asyncio.create_task(soon(waiters, job.id))
        await asyncio.sleep(0)
        desk.settle(success(job, attempts[job.id]))
        return await waiting

    assert with_waiters(desk, redis_url, work).state == "succeeded"


def test_who_comes_after_the_message_is_told_at_once(
    desk: Desk, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiters_module, "LOOK_SECONDS", 3600.0)
    [job], attempts, _ = desk.run(1)
    desk.settle(success(job, attempts[job.id]))

    async def work(waiters: JobWaiters) -> FinishedJob:
        waiters.ended([job.id])
        return await soon(waiters, job.id)

    assert with_waiters(desk, redis_url, work).id == job.id


def test_several_may_wait_for_one_job_and_give_up_on_their_own(desk: Desk, redis_url: str) -> None:
    [job], attempts, _ = desk.run(1)

    async def work(waiters: JobWaiters) -> list[FinishedJob | None]:
        short = await waiters.wait(job.id, 0.01)
        both = [asyncio.create_task(waiters.wait(job.id, PATIENCE_SECONDS)) for _ in range(2)]
        await asyncio.sleep(0)
        desk.settle(success(job, attempts[job.id]))
        waiters.ended([job.id])
        return [short, *(await asyncio.gather(*both))]

    nothing, *told = with_waiters(desk, redis_url, work)

    assert nothing is None
    assert [one.id for one in told if one is not None] == [job.id] * 2


def test_a_server_that_is_away_holds_no_settlement_up_twice(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    [job], attempts, _ = desk.run(1)
    now = [100.0]
    with redis.Redis.from_url("redis://127.0.0.1:1/0", socket_connect_timeout=0.5) as away:
        calls = WakeCalls(away, prefix=PREFIX, clock=lambda: now[0])
        for seconds in (0.0, 1.0, 5.0):
            now[0] = 100.0 + seconds
            calls.settled([success(job, attempts[job.id])])
        calls.settled([])

    assert [record.message for record in caplog.records] == ["wake.not_sent"] * 2
