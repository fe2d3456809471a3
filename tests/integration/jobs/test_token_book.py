"""What processes learn of token use comes together in the table, and back to each of them."""

from dataclasses import replace
from uuid import UUID

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError

from models import DEFAULT_PROJECT_ID
from pressroom.jobs.resolve import resolve_deployments
from pressroom.jobs.token_book import TokenBook
from pressroom.limits.calibration import Key, expected_ratios
from pressroom.settings import SANDBOX
from tests.unit.jobs.leased import lane_job

OTHER_PROJECT = UUID("00000000-0000-7000-8000-0000000000aa")


@pytest.fixture
def key(engine: Engine) -> Key:
    with engine.begin() as conn:
        conn.execute(text("INSERT INTO projects (id, name) VALUES (:id, 'other')"), {"id": OTHER_PROJECT})
        ref = resolve_deployments(conn, SANDBOX, {"gpt-4o-mini": "gpt-4o-mini"}, {})["gpt-4o-mini"]
    return ref.id, "/v1/chat/completions", "plain"


def learn(book: TokenBook, key: Key, ratio: float, *, project: UUID = DEFAULT_PROJECT_ID, calls: int = 300) -> None:
    for _ in range(calls):
        book.observe(key, project, estimated=1000.0, actual=1000.0 * ratio, output_tokens=40.0)


def flush(engine: Engine, *books: TokenBook) -> None:
    for book in books:
        with engine.begin() as conn:
            book.flush(conn)


def test_two_processes_learn_together(engine: Engine, key: Key) -> None:
    one, two = TokenBook(), TokenBook()
    learn(one, key, 0.2)
    learn(two, key, 0.2)
    flush(engine, one, two)

    with engine.connect() as conn:
        known = expected_ratios(conn)[key]
        token_ratio = conn.execute(text("SELECT token_ratio FROM deployments")).scalar_one()
    assert known.samples == 600
    assert known.output_tokens_mean == pytest.approx(40.0)
    assert known.ratio == pytest.approx(0.2, abs=0.03)
    assert token_ratio == pytest.approx(0.2, abs=0.03)


def test_a_process_asks_for_what_all_of_them_know(engine: Engine, key: Key) -> None:
    teacher, pupil = TokenBook(), TokenBook()
    job = lane_job().job
    lease = replace(lane_job().lease, deployment_id=key[0])
    before = pupil.lane_job(job, lease)
    learn(teacher, key, 0.2)
    flush(engine, teacher, pupil)

    after = pupil.lane_job(job, lease)
    assert before.cost.tokens == 600.0
    assert after.cost.tokens == pytest.approx(120.0, rel=0.2)
    assert after.key == key


def test_a_project_of_its_own_ways_is_known_by_them(engine: Engine, key: Key) -> None:
    book = TokenBook()
    book.lane_job(lane_job().job, replace(lane_job().lease, deployment_id=key[0]))
    learn(book, key, 0.2)
    learn(book, key, 1.0, project=OTHER_PROJECT)
    flush(engine, book)

    assert book.expected_ratio(key, DEFAULT_PROJECT_ID, otherwise=1.0) < 0.3
    assert book.expected_ratio(key, OTHER_PROJECT, otherwise=1.0) > 0.9


def test_a_flush_that_the_database_did_not_take_is_made_up_for(engine: Engine, key: Key) -> None:
    book = TokenBook()
    learn(book, key, 0.2, calls=5)
    with engine.connect() as conn:
        conn.execute(text("SET TRANSACTION READ ONLY"))
        with pytest.raises(DBAPIError):
            book.flush(conn)
    flush(engine, book)

    with engine.connect() as conn:
        assert expected_ratios(conn)[key].samples == 5
