"""Enqueueing without HTTP: the same jobs, checks and idempotency, on the database itself."""

from collections.abc import Iterator

import pytest
from sqlalchemy import text

from pressroom.client import Direct, JobRequest, NotSetUp, Pressroom
from pressroom.errors import Conflict, InvalidInput, NotFound
from pressroom.settings import Settings
from tests.fixtures.api import LiveApi, api_settings
from tests.fixtures.asked import CHAT, chat_body, chat_lines


@pytest.fixture
def direct(shared_api: LiveApi) -> Iterator[Direct]:
    """A producer beside the servers."""
    with Pressroom.direct(api_settings(shared_api.system)) as direct:
        yield direct


def test_what_is_enqueued_directly_is_a_job_like_any_other(direct: Direct, shared_api: LiveApi) -> None:
    job = direct.submit(CHAT, chat_body(1), custom_id="one", tags=["x"], metadata={"k": "v"}, priority_class="bulk")

    assert (job.custom_id, job.priority_class, job.tags, job.metadata) == ("one", "bulk", ("x",), {"k": "v"})
    assert job.est_cost_usd > 0
    with Pressroom(shared_api.origin, shared_api.key) as over_http:
        assert over_http.result(job, timeout_seconds=60).text


def test_many_are_stored_in_order_and_run(direct: Direct, shared_api: LiveApi) -> None:
    jobs = direct.submit_many(chat_lines(40), tags=["forty"])

    assert [job.custom_id for job in jobs] == [line["custom_id"] for line in chat_lines(40)]
    done = (
        "SELECT count(*) = 40 FROM jobs j JOIN job_tags t ON t.job_id = j.id"
        " WHERE t.tag = 'forty' AND j.state = 'succeeded'"
    )
    shared_api.system.wait_until("all forty have succeeded", lambda: bool(shared_api.system.scalar(done)), 60)


def test_the_same_key_finds_the_same_jobs(direct: Direct) -> None:
    first = direct.submit_many(chat_lines(3), idempotency_key="once")
    again = direct.submit_many(chat_lines(3), idempotency_key="once")

    assert [job.id for job in again] == [job.id for job in first]
    with pytest.raises(Conflict, match="was used for another request"):
        direct.submit_many(chat_lines(2), idempotency_key="once")


def test_one_bad_request_refuses_all(direct: Direct, shared_api: LiveApi) -> None:
    jobs = "SELECT count(*) FROM jobs"
    before = shared_api.system.scalar(jobs)

    with pytest.raises(InvalidInput, match=r"jobs\[1\].body.temperature"):
        direct.submit_many([JobRequest(CHAT, chat_body(1)), JobRequest(CHAT, {**chat_body(2), "temperature": 9})])

    assert shared_api.system.scalar(jobs) == before


def test_jobs_belong_to_the_project_that_is_named(shared_api: LiveApi) -> None:
    settings = api_settings(shared_api.system)
    with shared_api.system.engine.begin() as conn:
        conn.execute(text("INSERT INTO projects (id, name) VALUES (gen_random_uuid(), 'prints')"))
    with Direct(settings, project="prints") as direct:
        direct.submit(CHAT, chat_body(1), custom_id="of prints")
    with Direct(settings, project="nobody") as nobody, pytest.raises(NotFound, match="nobody"):
        nobody.submit(CHAT, chat_body(1))

    owner = "SELECT p.name FROM jobs j JOIN projects p ON p.id = j.project_id WHERE j.custom_id = 'of prints'"
    assert shared_api.system.scalar(owner) == "prints"


def test_without_servers_it_says_what_to_set() -> None:
    with pytest.raises(NotSetUp, match="PRESSROOM_DATABASE_URL"):
        Direct(Settings())
