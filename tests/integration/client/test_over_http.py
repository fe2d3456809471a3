"""The client against a live API with a worker and the sandbox behind it: what a program does with it."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pressroom.client import (
    AsyncPressroom,
    BadReference,
    Batch,
    Counts,
    JobNotSucceeded,
    JobRequest,
    KeyRefused,
    NoSuchThing,
    Pressroom,
    RequestRefused,
    StateConflict,
    StillRunning,
)
from tests.fixtures.api import LiveApi
from tests.fixtures.asked import CHAT, MODEL, PNG_START, chat_body, chat_lines, jsonl

IMAGES = "/v1/images/generations"
PICTURE = {"model": "dall-e-2", "prompt": "a fox", "size": "256x256"}
NO_JOB = "job_" + "0" * 32


@pytest.fixture
def press(shared_api: LiveApi) -> Iterator[Pressroom]:
    """A program's client."""
    with Pressroom(shared_api.origin, shared_api.key) as press:
        yield press


def tomorrow() -> datetime:
    return datetime.now(UTC) + timedelta(days=1)


def test_a_job_is_submitted_waited_for_and_answered(press: Pressroom) -> None:
    job = press.submit(CHAT, chat_body(1), custom_id="one", tags=["t"], metadata={"k": "v"}, priority_class="bulk")
    ended = press.wait(job, timeout_seconds=60)
    result = press.result(ended)

    assert (job.custom_id, job.tags, job.metadata, job.priority_class) == ("one", ("t",), {"k": "v"}, "bulk")
    assert (ended.id, ended.state, ended.is_sandbox) == (job.id, "succeeded", True)
    assert result.text == result.answer["choices"][0]["message"]["content"]
    assert result.job.cost_usd is not None
    assert 0 < result.job.cost_usd <= job.est_cost_usd


def test_many_are_submitted_and_found_again(press: Pressroom) -> None:
    jobs = press.submit_many(chat_lines(30), tags=["thirty"])
    results = press.results_of(jobs, timeout_seconds=60)

    assert [one.job.custom_id for one in results] == [line["custom_id"] for line in chat_lines(30)]
    assert not results.failed
    assert results.cost_usd > 0
    assert {job.id for job in press.jobs(tag="thirty", state=["succeeded"])} == {job.id for job in jobs}


def test_map_answers_in_the_rows_order_and_tells_how_far_it_is(press: Pressroom) -> None:
    told: list[Counts] = []

    results = press.map("Say {row}.", ["one", "two", "three"], model=MODEL, progress=told.append, timeout_seconds=60)

    assert len(results.texts) == 3
    asked = [press.job(one.job).id for one in results]
    assert asked == [one.job.id for one in results]
    assert told[-1] == Counts(3, 3)


def test_a_failed_job_says_why(press: Pressroom, shared_api: LiveApi) -> None:
    shared_api.system.sandbox.configure(faults=[{"fault": "moderation"}])
    try:
        result = press.result(press.submit(IMAGES, PICTURE), timeout_seconds=60)
    finally:
        shared_api.system.sandbox.configure(faults=[])

    assert result.job.state == "failed"
    assert result.job.error is not None
    assert result.job.error.message
    with pytest.raises(JobNotSucceeded, match="it is failed"):
        _ = result.text


def test_pictures_are_downloaded_once_and_called_by_their_job(press: Pressroom, tmp_path: Path) -> None:
    job = press.wait(press.submit(IMAGES, {**PICTURE, "n": 2}, custom_id="../fox 1"), timeout_seconds=60)

    paths = press.download_images(job, tmp_path)
    written = [path.stat().st_mtime_ns for path in paths]

    assert [path.name for path in paths] == ["_fox_1-1.png", "_fox_1-2.png"]
    assert all(path.read_bytes().startswith(PNG_START) for path in paths)
    assert press.download_images(job, tmp_path) == paths
    assert [path.stat().st_mtime_ns for path in paths] == written


def test_a_batch_of_requests_hands_out_every_result_once(press: Pressroom) -> None:
    batch = press.create_batch(chat_lines(60), metadata={"of": "client"})

    lines = list(press.results(batch, timeout_seconds=60))

    assert sorted(line.custom_id for line in lines) == sorted(line["custom_id"] for line in chat_lines(60))
    assert all(line.text for line in lines)
    ended = press.wait(batch, timeout_seconds=60)
    assert (ended.status, ended.completed, ended.failed, ended.metadata) == ("completed", 60, 0, {"of": "client"})
    assert batch.id in {one.id for one in press.batches()}


def test_a_batch_of_pictures_is_downloaded(press: Pressroom, tmp_path: Path) -> None:
    batch = press.create_batch([JobRequest(IMAGES, PICTURE, custom_id=f"fox-{n}") for n in range(3)])
    press.wait(batch, timeout_seconds=60)

    paths = press.download_images(batch, tmp_path / "new")

    assert sorted(path.name for path in paths) == ["fox-0-1.png", "fox-1-1.png", "fox-2-1.png"]


def test_a_file_from_disk_is_uploaded_and_its_output_saved(press: Pressroom, tmp_path: Path) -> None:
    source = tmp_path / "in.jsonl"
    source.write_bytes(jsonl(chat_lines(3)))

    batch = press.wait(press.create_batch(press.upload(source), endpoint=CHAT), timeout_seconds=60)

    assert batch.output_file_id is not None
    saved = press.download(batch.output_file_id, tmp_path / "out.jsonl")
    assert len(saved.read_text().splitlines()) == 3


def test_a_bad_line_is_told_with_the_batch(press: Pressroom) -> None:
    batch = press.wait(press.create_batch([JobRequest(CHAT, {"model": MODEL})]), timeout_seconds=60)

    assert batch.status == "failed"
    assert "line 1: " in batch.problems[0]


def test_what_waits_is_cancelled_retried_and_moved(press: Pressroom) -> None:
    job = press.submit(CHAT, chat_body(1), run_at=tomorrow())
    assert job.waits is not None
    assert job.waits.reason == "run_at"

    moved = press.reprioritise(job, priority_class="interactive", priority=-3)
    cancelled = press.cancel(job)
    again = press.retry(job)

    assert (moved.priority_class, moved.priority) == ("interactive", -3)
    assert cancelled.state == "cancelled"
    assert again.id != job.id
    assert press.retry(job).id == again.id, "asked twice, one new job"
    press.cancel(again)


def test_waiting_ends_when_its_time_is_over_and_the_job_goes_on(press: Pressroom) -> None:
    job = press.submit(CHAT, chat_body(1), run_at=tomorrow())

    with pytest.raises(StillRunning, match="goes on"):
        press.wait(job, timeout_seconds=0.2)

    assert press.job(job).state == "queued"
    press.cancel(job)


def test_a_job_runs_after_the_one_it_needs(press: Pressroom) -> None:
    first = JobRequest(CHAT, chat_body(1), custom_id="first")
    second = JobRequest(CHAT, chat_body(2), custom_id="second", depends_on=["first"])

    jobs = press.submit_many([second, first])

    assert jobs[0].state == "blocked"
    assert [job.state for job in press.wait(jobs, timeout_seconds=60)] == ["succeeded", "succeeded"]


def test_the_same_key_makes_no_second_job(press: Pressroom) -> None:
    first = press.submit_many(chat_lines(3), idempotency_key="client-once")
    again = press.submit_many(chat_lines(3), idempotency_key="client-once")

    assert [job.id for job in first] == [job.id for job in again]
    with pytest.raises(StateConflict):
        press.submit_many(chat_lines(2), idempotency_key="client-once")


def test_the_same_key_makes_no_second_batch(press: Pressroom) -> None:
    file = press.upload(chat_lines(2))

    made = [press.create_batch(file, endpoint=CHAT, idempotency_key="batch-once").id for _ in range(2)]

    assert made[0] == made[1]


def test_errors_are_typed(press: Pressroom, shared_api: LiveApi) -> None:
    with pytest.raises(RequestRefused) as refused:
        press.submit(CHAT, {**chat_body(1), "temperature": 9})
    assert refused.value.param == "body.temperature"
    assert refused.value.request_id
    with pytest.raises(NoSuchThing):
        press.job(NO_JOB)
    with pytest.raises(BadReference):
        press.job("../keys")
    with Pressroom(shared_api.origin, "pr_nobody") as stranger, pytest.raises(KeyRefused):
        stranger.job(NO_JOB)


def test_the_async_client_does_the_same(shared_api: LiveApi, tmp_path: Path) -> None:
    async def run() -> None:
        async with AsyncPressroom(shared_api.origin, shared_api.key) as press:
            results = await press.map("Say {row}.", ["one", "two"], model=MODEL, timeout_seconds=60)
            assert len(results.texts) == 2
            batch = await press.create_batch(chat_lines(20))
            lines = [line.custom_id async for line in press.results(batch, timeout_seconds=60)]
            assert sorted(lines) == sorted(line["custom_id"] for line in chat_lines(20))
            ended: Batch = await press.wait(batch)
            assert ended.status == "completed"
            made = await press.result(await press.submit(IMAGES, PICTURE), timeout_seconds=60)
            assert len(await press.download_images(made, tmp_path)) == 1
            assert made.job.id in {job.id async for job in press.jobs(model="dall-e-2")}
            with pytest.raises(NoSuchThing):
                await press.job(NO_JOB)

    asyncio.run(run())
