"""Single submissions committed together: nobody's fault is another's, and no answer comes before its commit."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar
from uuid import UUID

import pytest
from sqlalchemy import Connection, Engine, create_engine, text

from models import DEFAULT_PROJECT_ID
from pressroom.errors import Conflict, InvalidInput, Unavailable
from pressroom.ids import new_id
from pressroom.jobs.dispatch import DispatchPolicy
from pressroom.jobs.idempotency import repeatable
from pressroom.jobs.intake import Accepted, Intake, NewRequest
from pressroom.jobs.keyed_calls import claim_keys
from pressroom.settings import SANDBOX
from tests.fixtures.desk import Desk, Postbox

T = TypeVar("T")
URL = "/v1/chat/completions"


def request(content: str = "Hello", *, project: UUID = DEFAULT_PROJECT_ID, **fields: Any) -> NewRequest:
    """A small chat."""
    body = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": content}], "max_tokens": 20}
    return NewRequest(project, URL, {**body, **fields.pop("body", {})}, **fields)


def with_intake(engine: Engine, work: Callable[[Intake], Awaitable[T]], postbox: Postbox | None = None) -> T:
    """Run `work` with an intake of its own."""

    async def run() -> T:
        intake = Intake(engine, postbox if postbox is not None else Postbox(), DispatchPolicy(SANDBOX))
        try:
            return await work(intake)
        finally:
            await intake.close()

    return asyncio.run(run())


def test_a_thousand_at_once_cost_tens_of_commits(desk: Desk) -> None:
    postbox, commits = Postbox(), []

    async def work(intake: Intake) -> list[Accepted]:
        accepted = await asyncio.gather(*(intake.submit(request(str(number))) for number in range(1000)))
        commits.append(intake.commits)
        return accepted

    accepted = with_intake(desk.engine, work, postbox)

    assert len({one.job_id for one in accepted}) == 1000
    assert desk.scalar("SELECT count(*) FROM jobs") == 1000
    assert commits[0] <= 20
    assert postbox.messages
    assert desk.scalar("SELECT DISTINCT priority_class::text FROM stakes") == "interactive"


def test_each_request_keeps_its_own_body(desk: Desk) -> None:
    async def work(intake: Intake) -> list[Accepted]:
        return await asyncio.gather(*(intake.submit(request(f"number {number}")) for number in range(30)))

    for number, one in enumerate(with_intake(desk.engine, work)):
        body = desk.scalar("SELECT body FROM job_requests WHERE job_id = :id", id=one.job_id)
        assert body["messages"][0]["content"] == f"number {number}"


def test_what_is_wrong_with_one_does_not_fail_the_others(desk: Desk) -> None:
    async def work(intake: Intake) -> list[Any]:
        good, bad = request(), request(body={"model": "gpt-9-misspelt"})
        return await asyncio.gather(*map(intake.submit, [good, bad, good]), return_exceptions=True)

    first, second, third = with_intake(desk.engine, work)

    assert isinstance(first, Accepted)
    assert isinstance(third, Accepted)
    assert isinstance(second, InvalidInput)
    assert second.problems[0].code == "model_not_found"
    assert desk.scalar("SELECT count(*) FROM jobs") == 2


def test_notes_are_written_with_the_job_or_not_at_all(desk: Desk) -> None:
    written: list[list[Any]] = []

    def write(conn: Connection, values: Sequence[tuple[UUID, Any]]) -> None:
        written.append([value for _, value in values])
        if "refused" in written[-1]:
            raise Conflict("this note cannot be")
        statement = text(
            "INSERT INTO idempotency_keys (project_id, key, fingerprint, job_id) VALUES (:project, :value, '', :id)"
        )
        for job_id, value in values:
            conn.execute(statement, {"project": DEFAULT_PROJECT_ID, "id": job_id, "value": value})

    async def work(intake: Intake) -> list[Any]:
        new = [request(notes=[(write, value)]) for value in ("a", "refused", "b")]
        return await asyncio.gather(*map(intake.submit, new), return_exceptions=True)

    first, second, third = with_intake(desk.engine, work)

    assert written[0] == ["a", "refused", "b"], "one call for the group"
    assert isinstance(second, Conflict)
    with desk.engine.connect() as conn:
        rows = conn.execute(text("SELECT j.id, k.key FROM jobs j FULL JOIN idempotency_keys k ON k.job_id = j.id"))
        assert {row.id: row.key for row in rows} == {first.job_id: "a", third.job_id: "b"}


_WAITS_FOR_A_ROW = """
SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'
"""


def _until_somebody_waits(desk: Desk) -> None:
    until = time.monotonic() + 20
    while not desk.scalar(_WAITS_FOR_A_ROW):
        assert time.monotonic() < until, "nobody waits for a row"
        time.sleep(0.01)


def test_who_waits_for_a_key_holds_nothing_up(desk: Desk) -> None:
    """Leased at once or not: else two with the same key, in two processes, would wait for each other."""
    key = repeatable(DEFAULT_PROJECT_ID, "k", "a request")

    async def work(intake: Intake) -> Accepted:
        await intake.submit(request())
        with desk.engine.connect() as twin, desk.engine.connect() as dispatcher:
            claim_keys(twin, [(new_id(), key)])
            waiting = asyncio.create_task(intake.submit(request(notes=((claim_keys, key),))))
            await asyncio.to_thread(_until_somebody_waits, desk)
            assert dispatcher.execute(text("SELECT id FROM flows FOR UPDATE NOWAIT")).all()
            dispatcher.rollback()
            twin.rollback()
        return await waiting

    accepted = with_intake(desk.engine, work)

    assert desk.scalar("SELECT state::text FROM jobs WHERE id = :id", id=accepted.job_id) == "leased"
    assert desk.scalar("SELECT job_id FROM idempotency_keys") == accepted.job_id


def test_projects_do_not_share_a_transaction(desk: Desk) -> None:
    other = desk.project("other")

    async def work(intake: Intake) -> int:
        await asyncio.gather(*(intake.submit(request(project=p)) for p in (DEFAULT_PROJECT_ID, other) * 10))
        return intake.commits

    assert with_intake(desk.engine, work) == 2
    assert desk.scalar("SELECT count(*) FROM jobs WHERE project_id = :id", id=other) == 10


def test_a_database_that_is_away_stores_nothing_and_says_so(desk: Desk) -> None:
    away = create_engine("postgresql+psycopg://nobody@127.0.0.1:1/nothing")

    with pytest.raises(Unavailable, match="nothing of this request was stored"):
        with_intake(away, lambda intake: intake.submit(request()))


def test_a_project_that_is_unknown_is_its_submitters_error_only(desk: Desk) -> None:
    async def work(intake: Intake) -> list[Any]:
        new = [request(), request(project=UUID(int=7))]
        return await asyncio.gather(*map(intake.submit, new), return_exceptions=True)

    known, unknown = with_intake(desk.engine, work)

    assert isinstance(known, Accepted)
    assert isinstance(unknown, Exception)
