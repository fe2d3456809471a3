"""Retry by hand: a new job takes the line over, counters go back, the old job stays as it ended."""

from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from models import DEFAULT_PROJECT_ID, JobState
from pressroom.ids import new_id
from pressroom.jobs.end_early import cancel_batch
from pressroom.jobs.retry import retry
from pressroom.jobs.selection import Selection
from tests.integration.batches.inputs import chat_line, stored, take_in, write_jsonl
from tests.integration.batches.running import Counters, counters, fail, run_all, succeed


@pytest.fixture
def batch(engine: Engine, tmp_path: Path) -> Selection:
    """Twelve jobs: every third failed, the others succeeded."""
    taken = take_in(engine, write_jsonl(tmp_path / "in.jsonl", [chat_line(n) for n in range(12)]))
    run_all(engine, lambda job: fail(400, "bad") if _number(job.body) % 3 == 0 else succeed({"id": "x"}))
    return Selection(project_id=DEFAULT_PROJECT_ID, batch_id=taken.id)


def _number(body: dict[str, object]) -> int:
    return int(str(body["messages"]).split("question ")[1].split("'")[0])


def _retry(engine: Engine, which: Selection) -> int:
    with engine.begin() as conn:
        return retry(conn, which)


def _batch(engine: Engine, which: Selection) -> Counters:
    assert which.batch_id is not None
    return counters(engine, which.batch_id)


def test_failed_jobs_run_again_and_the_batch_with_them(engine: Engine, batch: Selection) -> None:
    assert _batch(engine, batch) == Counters("completed", 12, 8, 4, 0, 0, finished=True)
    assert _retry(engine, batch) == 4
    assert _batch(engine, batch) == Counters("in_progress", 12, 8, 0, 0, 0, finished=False)
    assert run_all(engine, lambda job: succeed({"id": "again"})) == 4
    assert _batch(engine, batch) == Counters("completed", 12, 12, 0, 0, 0, finished=True)


def test_the_new_job_is_the_old_one_before_its_first_call(engine: Engine, batch: Selection) -> None:
    _retry(engine, batch)
    same = "batch_id, line_no, custom_id, flow_id, deployment_id, url, priority, max_attempts, est_tokens, est_images"
    with engine.connect() as conn:
        pairs = conn.execute(
            text(
                f"SELECT (SELECT ROW({same}, est_cost_usd)::text FROM jobs WHERE id = o.id) AS was,"
                f" (SELECT ROW({same}, est_cost_usd)::text FROM jobs WHERE id = o.superseded_by) AS is_now,"
                " o.state AS old_state, n.state, n.calls, n.attempts_used, n.error_code, n.finished_at,"
                " a.body::text AS old_body, b.body::text AS new_body"
                " FROM jobs o JOIN jobs n ON n.id = o.superseded_by"
                " JOIN job_requests a ON a.job_id = o.id JOIN job_requests b ON b.job_id = n.id"
            )
        ).all()
    assert len(pairs) == 4
    for pair in pairs:
        assert pair.was == pair.is_now
        assert pair.old_body == pair.new_body
        assert (pair.old_state, pair.state) == ("failed", "queued")
        assert (pair.calls, pair.attempts_used, pair.error_code, pair.finished_at) == (0, 0, None, None)


def test_twice_retries_once(engine: Engine, batch: Selection) -> None:
    assert _retry(engine, batch) == 4
    assert _retry(engine, batch) == 0
    assert len(stored(engine)) == 16


def test_only_what_was_selected(engine: Engine, batch: Selection) -> None:
    failed = [row.id for row in stored(engine, "id, state") if row.state == "failed"]
    some = Selection(project_id=DEFAULT_PROJECT_ID, ids=failed[:1])
    assert _retry(engine, some) == 1
    assert _batch(engine, batch) == Counters("in_progress", 12, 8, 3, 0, 0, finished=False)


def test_succeeded_jobs_stay(engine: Engine, batch: Selection) -> None:
    assert batch.batch_id is not None
    succeeded = Selection(project_id=DEFAULT_PROJECT_ID, batch_id=batch.batch_id, states=[JobState.SUCCEEDED])
    assert _retry(engine, succeeded) == 0
    assert _batch(engine, batch).state == "completed"


def test_another_project_sees_nothing(engine: Engine, batch: Selection) -> None:
    assert _retry(engine, Selection(project_id=new_id(), batch_id=batch.batch_id)) == 0


def test_a_cancelled_batch_comes_back(engine: Engine, tmp_path: Path) -> None:
    taken = take_in(engine, write_jsonl(tmp_path / "in.jsonl", [chat_line(n) for n in range(3)]))
    cancel_batch(engine, DEFAULT_PROJECT_ID, taken.id)
    assert counters(engine, taken.id) == Counters("cancelled", 3, 0, 0, 3, 0, finished=True)
    assert _retry(engine, Selection(project_id=DEFAULT_PROJECT_ID, batch_id=taken.id)) == 3
    assert counters(engine, taken.id) == Counters("in_progress", 3, 0, 0, 0, 0, finished=False)
    assert run_all(engine, lambda job: succeed({"id": "x"})) == 3
    assert counters(engine, taken.id) == Counters("completed", 3, 3, 0, 0, 0, finished=True)


def test_a_deadline_that_has_passed_is_dropped(engine: Engine, batch: Selection) -> None:
    with engine.begin() as conn:
        conn.execute(text("UPDATE jobs SET deadline = now() - interval '1 hour' WHERE line_no = 1"))
        conn.execute(text("UPDATE jobs SET deadline = now() + interval '1 hour' WHERE line_no = 4"))
    _retry(engine, batch)
    rows = stored(engine, "line_no, state, deadline IS NULL AS free")
    assert {row.line_no: row.free for row in rows if row.state == "queued"} == {1: True, 4: False, 7: True, 10: True}


def test_flows_count_what_was_queued_again(engine: Engine, batch: Selection) -> None:
    _retry(engine, batch)
    with engine.connect() as conn:
        flow = conn.execute(text("SELECT queued, active FROM flows")).one()
    assert (flow.queued, flow.active) == (4, True)


def test_many_thousands_at_once(engine: Engine, tmp_path: Path) -> None:
    taken = take_in(engine, write_jsonl(tmp_path / "in.jsonl", [chat_line(n) for n in range(5000)]))
    cancel_batch(engine, DEFAULT_PROJECT_ID, taken.id)
    assert _retry(engine, Selection(project_id=DEFAULT_PROJECT_ID, batch_id=taken.id)) == 5000
    assert counters(engine, taken.id).cancelled == 0
