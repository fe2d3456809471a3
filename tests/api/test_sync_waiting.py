"""How long a synchronous call waits, and what becomes of its job when its client does not."""

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx2
import openai
import pytest
import redis

from tests.fixtures.api import LiveApi, start_api_process
from tests.fixtures.system import TEXT, System

HELLO: dict[str, Any] = {
    "model": "gpt-4o-mini",
    "messages": [{"role": "user", "content": "Say hello."}],
    "max_tokens": 20,
}


@pytest.fixture(autouse=True)
def no_messages_left(redis_url: str) -> Iterator[None]:
    """Tests without a worker leave messages that nobody takes."""
    yield
    with redis.Redis.from_url(redis_url) as client:
        client.delete("pressroom:leases")


def states(api: LiveApi) -> dict[str, int]:
    """Jobs by state."""
    return api.system.counts("jobs", "state")


def slow(api: LiveApi, seconds: float) -> None:
    """Let every call take so long."""
    api.system.sandbox.configure(latency={"chat": {"kind": "fixed", "seconds": seconds}})


@contextmanager
def held(api: LiveApi, **headers: str) -> Iterator[None]:
    """A call that is on its way, and whose client is gone at the end of the block."""
    body = json.dumps(HELLO).encode()
    lines = [
        f"POST {TEXT} HTTP/1.1",
        "Host: localhost",
        f"Authorization: Bearer {api.key}",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
        *(f"{name}: {value}" for name, value in headers.items()),
    ]
    with socket.create_connection(("127.0.0.1", int(api.origin.rpartition(":")[2]))) as connection:
        connection.sendall("\r\n".join(lines).encode() + b"\r\n\r\n" + body)
        yield


def test_respond_async_is_answered_with_the_jobs_address(api: LiveApi) -> None:
    answer = api.client().post(TEXT, json=HELLO, headers={"Prefer": "respond-async"})

    told = answer.json()
    job_id = api.system.scalar("SELECT id FROM jobs").hex
    assert answer.status_code == 202
    assert answer.headers["Preference-Applied"] == "respond-async"
    assert answer.headers["Location"] == told["job_url"] == f"/v1/jobs/job_{job_id}"
    assert told["id"] == answer.headers["x-pressroom-job-id"] == f"job_{job_id}"


def test_a_wait_that_is_over_is_answered_with_the_jobs_address(api: LiveApi) -> None:
    answer = api.client().post(TEXT, json=HELLO, headers={"Prefer": "wait=1"})

    assert answer.status_code == 202
    assert answer.headers["Preference-Applied"] == "wait=1"
    assert set(states(api)) <= {"queued", "leased"}, "the job goes on"


def test_a_client_that_hangs_up_cancels_a_job_that_waits(api: LiveApi) -> None:
    with held(api):
        api.system.wait_until("there is a job", lambda: sum(states(api).values()) == 1, 20)

    api.system.wait_until("the job is cancelled", lambda: states(api) == {"cancelled": 1}, 20)


def test_a_client_that_hangs_up_keeps_the_result_of_a_job_that_runs(api: LiveApi) -> None:
    slow(api, 2.0)
    api.system.start_workers(1)

    with held(api):
        api.system.wait_until("the job runs", lambda: states(api) == {"running": 1}, 20)

    api.system.wait_until("the job has ended", lambda: states(api) == {"succeeded": 1}, 20)
    assert api.system.scalar("SELECT count(*) FROM job_results WHERE body IS NOT NULL") == 1


def test_a_client_with_a_key_may_hang_up_and_come_back(api: LiveApi) -> None:
    with held(api, **{"Idempotency-Key": "mine"}):
        api.system.wait_until("there is a job", lambda: sum(states(api).values()) == 1, 20)
    api.system.start_workers(1)

    answer = api.client().post(TEXT, json=HELLO, headers={"Idempotency-Key": "mine"})
    again = api.client().post(TEXT, json=HELLO, headers={"Idempotency-Key": "mine"})

    assert answer.status_code == again.status_code == 200
    assert answer.json() == again.json()
    assert states(api) == {"succeeded": 1}


def test_a_key_stands_for_one_request(api: LiveApi) -> None:
    headers = {"Idempotency-Key": "mine", "Prefer": "respond-async"}
    first = api.client().post(TEXT, json=HELLO, headers=headers)

    other = api.client().post(TEXT, json={**HELLO, "max_tokens": 21}, headers=headers)
    elsewhere = api.client(api.other_key).post(TEXT, json={**HELLO, "max_tokens": 21}, headers=headers)

    assert first.status_code == 202
    assert other.status_code == 409
    assert "Idempotency-Key" in other.json()["error"]["message"]
    assert elsewhere.status_code == 202, "another project's keys are its own"


def test_calls_with_one_key_at_once_are_one_job(api: LiveApi) -> None:
    api.system.start_workers(1)
    client, answers = api.client(), list[httpx2.Response]()

    def call() -> None:
        answers.append(client.post(TEXT, json=HELLO, headers={"Idempotency-Key": "all-of-us"}))

    threads = [threading.Thread(target=call) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)

    assert [one.status_code for one in answers] == [200] * 8
    assert len({one.headers["x-pressroom-job-id"] for one in answers}) == 1
    assert states(api) == {"succeeded": 1}


def test_a_cancelled_job_is_told_as_that(api: LiveApi) -> None:
    answers: list[httpx2.Response] = []
    client = api.client()
    thread = threading.Thread(target=lambda: answers.append(client.post(TEXT, json=HELLO)))
    thread.start()
    api.system.wait_until("there is a job", lambda: sum(states(api).values()) == 1, 20)

    with api.system.engine.begin() as conn:
        conn.exec_driver_sql("UPDATE jobs SET state = 'cancelled', lease_id = NULL, finished_at = now()")
    thread.join(20)

    [answer] = answers
    assert answer.status_code == 409
    assert answer.json()["error"]["code"] == "cancelled"
    assert answer.headers["x-should-retry"] == "false"


def test_a_stream_tells_the_whole_answer(api: LiveApi) -> None:
    api.system.start_workers(1)
    client = api.openai()

    whole = client.chat.completions.create(**HELLO)
    chunks = list(client.chat.completions.create(**HELLO, stream=True, stream_options={"include_usage": True}))

    text = "".join(one.choices[0].delta.content or "" for one in chunks if one.choices)
    assert text == whole.choices[0].message.content
    assert chunks[0].choices[0].delta.role == "assistant"
    assert [one.choices[0].finish_reason for one in chunks[:-1]][-1] == whole.choices[0].finish_reason
    assert chunks[-1].usage == whole.usage
    assert chunks[-1].choices == []
    bodies = api.system.scalar("SELECT count(DISTINCT CAST(body AS text)) FROM job_requests")
    assert bodies == 1, "a job is asked for without the stream"


def test_a_stream_whose_request_is_refused_has_the_errors_status(api: LiveApi) -> None:
    client = api.openai()

    with pytest.raises(openai.BadRequestError):
        client.chat.completions.create(model="gpt-4o-mini", messages=[], stream=True)
    with pytest.raises(openai.BadRequestError, match="no_such_option"):
        client.chat.completions.create(**HELLO, stream=True, stream_options={"no_such_option": True})  # type: ignore[call-overload]


def test_a_server_that_ends_tells_those_with_a_key_to_come_again(system: System) -> None:
    api = start_api_process(system)
    process = api.process
    assert process is not None
    answers: dict[str, httpx2.Response] = {}
    client = api.client()

    def call(key: str) -> None:
        answers[key] = client.post(TEXT, json=HELLO, headers={"Idempotency-Key": key})

    thread = threading.Thread(target=call, args=("mine",))
    thread.start()
    system.wait_until("there is a job", lambda: sum(states(api).values()) == 1, 20)
    process.process.terminate()
    thread.join(30)
    api.close()
    after = start_api_process(system)
    system.start_workers(1)
    again = after.client(api.key).post(TEXT, json=HELLO, headers={"Idempotency-Key": "mine"})
    after.close()

    assert answers["mine"].status_code == 503
    assert answers["mine"].headers["x-should-retry"] == "true"
    assert again.status_code == 200
    assert again.headers["x-pressroom-job-id"] == answers["mine"].headers["x-pressroom-job-id"]
    assert states(after) == {"succeeded": 1}
    assert json.loads(again.content)["object"] == "chat.completion"
