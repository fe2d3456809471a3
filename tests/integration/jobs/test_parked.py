"""Answers that a worker leaves behind on disk, and the next one finishes."""

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest

from pressroom.ids import new_id
from pressroom.jobs.outcome import StoredObject
from pressroom.jobs.parked import ParkedAnswers, keep_leases
from pressroom.jobs.workers import sign_off
from pressroom.storage import ObjectStore
from tests.fixtures.desk import COST_USD, Desk, success

PICTURE = b"a picture that was paid for"


@pytest.fixture
def first(tmp_path: Path) -> ParkedAnswers:
    parked = ParkedAnswers(tmp_path)
    parked.open()
    return parked


@pytest.fixture
def second(tmp_path: Path) -> ParkedAnswers:
    parked = ParkedAnswers(tmp_path)
    parked.open()
    return parked


def park_one(desk: Desk, parked: ParkedAnswers) -> StoredObject:
    """A job whose call succeeded and whose picture is on disk; its worker has signed off."""
    [job], attempts, worker = desk.run(1)
    key = f"projects/{job.project_id}/jobs/{job.id}/picture.png"
    digest = hashlib.sha256(PICTURE).hexdigest()
    about = StoredObject(new_id(), "image", 0, key, "image/png", len(PICTURE), digest, 256, 256)
    parked.park(replace(success(job, attempts[job.id]), stored=[about]), [(about, PICTURE)])
    with desk.engine.begin() as conn:
        keep_leases(conn, [(job.id, job.lease_id)], host="here")
        sign_off(conn, worker)
    return about


def test_the_next_worker_stores_the_picture_and_settles_the_job(
    desk: Desk, store: ObjectStore, first: ParkedAnswers, second: ParkedAnswers
) -> None:
    about = park_one(desk, first)
    first.close()

    assert second.take_up(store, desk.engine) == 1

    assert store.get(about.key, max_bytes=100) == PICTURE
    assert desk.states() == {"succeeded": 1}
    assert desk.scalar("SELECT cost_usd FROM batches") == COST_USD
    assert desk.scalar("SELECT count(*) FROM artifacts WHERE id = :id", id=about.id) == 1
    assert desk.faults() == {}
    assert second.take_up(store, desk.engine) == 0
    assert not first.own.exists()


def test_what_a_living_process_keeps_is_left_alone(
    desk: Desk, store: ObjectStore, first: ParkedAnswers, second: ParkedAnswers
) -> None:
    park_one(desk, first)
    (first.own / "spooled").write_bytes(PICTURE)

    assert second.take_up(store, desk.engine) == 0

    assert (first.own / "spooled").exists()
    assert desk.states() == {"running": 1}
    first.close()


def test_nobody_takes_the_job_back_meanwhile(desk: Desk, first: ParkedAnswers) -> None:
    park_one(desk, first)

    assert desk.sweep(dead_after_seconds=10) == 0
    assert desk.states() == {"running": 1}

    desk.execute("UPDATE workers SET heartbeat_at = now() - interval '11 seconds' WHERE pid = 0")
    assert desk.sweep(dead_after_seconds=10) == 1
    assert desk.states() == {"queued": 1}
    first.close()


def test_a_folder_that_cannot_be_made_is_no_reason_to_fail(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    ParkedAnswers(tmp_path / "file").open()


def test_an_end_without_answers_leaves_nothing(tmp_path: Path, first: ParkedAnswers) -> None:
    first.close()

    assert list(tmp_path.iterdir()) == []
