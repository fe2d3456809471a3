"""What is done for batches in the background: by one process at a time, whole or not at all, and again if it ends."""

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any
from uuid import UUID

import pytest

from models import DEFAULT_PROJECT_ID
from pressroom.batches import clerk as clerk_module
from pressroom.batches.clerk import Clerk
from pressroom.batches.create import BatchRequest, create_batch
from pressroom.batches.finalize import finalize
from pressroom.batches.status import BatchStatus, BatchView, find_view
from pressroom.batches.turns import Turn, TurnLost, take_turn
from pressroom.batches.validate import validate
from pressroom.files.books import find_file
from pressroom.files.uploads import FileFacts, Upload
from pressroom.ids import show_id
from pressroom.jobs.end_early import begin_cancel
from pressroom.jobs.retry import retry
from pressroom.jobs.selection import Selection
from pressroom.settings import SANDBOX, Settings
from pressroom.storage import ObjectStore, StorageUnavailable
from tests.api.batch_lines import CHAT, as_jsonl, chat_line, read_jsonl
from tests.fixtures.desk import Desk, refusal, success

_SETTINGS = Settings(max_batch_lines=6000)


@pytest.fixture
def clerk(desk: Desk, store: ObjectStore) -> Clerk:
    return Clerk(desk.engine, store, _SETTINGS)


def test_one_of_many_clerks_takes_a_batch_in(desk: Desk, store: ObjectStore) -> None:
    batches = [_ask(desk, store, [chat_line(n) for n in range(50)]) for _ in range(3)]
    with ThreadPoolExecutor(6) as pool:
        turns = sum(pool.map(lambda _: Clerk(desk.engine, store, _SETTINGS).work_off(), range(6)))
    assert turns == 3
    for batch in batches:
        assert (_view(desk, batch).status, _jobs(desk, batch)) == (BatchStatus.IN_PROGRESS, 50)
    assert desk.faults() == {}


def test_whoever_stood_still_stores_nothing(desk: Desk, store: ObjectStore, clerk: Clerk) -> None:
    batch = _ask(desk, store, [chat_line(n) for n in range(10)])
    slow = _take(desk)
    _lapse(desk, batch)
    assert clerk.turn()
    with pytest.raises(TurnLost):
        validate(slow, store, _SETTINGS)
    assert _jobs(desk, batch) == 10
    assert desk.faults() == {}


def test_a_hold_is_renewed_and_lost_for_good(desk: Desk, store: ObjectStore) -> None:
    clock = iter([0.0, 5.0, 11.0, 22.0])
    batch = _ask(desk, store, [chat_line(0)])
    turn = take_turn(desk.engine, clock=lambda: next(clock))
    assert turn is not None
    taken = _held_until(desk, batch)
    turn.keep()
    assert _held_until(desk, batch) == taken
    turn.keep()
    assert _held_until(desk, batch) > taken
    assert take_turn(desk.engine) is None
    begin_cancel(desk.engine, DEFAULT_PROJECT_ID, batch)
    with pytest.raises(TurnLost):
        turn.keep()


def test_a_process_that_ends_leaves_the_batch_to_the_next(desk: Desk, store: ObjectStore, clerk: Clerk) -> None:
    batch = _ask(desk, store, [chat_line(n) for n in range(4000)])
    asked = iter([False, True])
    Clerk(desk.engine, store, _SETTINGS, is_stopping=lambda: next(asked, True)).turn()
    assert (_view(desk, batch).status, _jobs(desk, batch)) == (BatchStatus.VALIDATING, 0)
    assert clerk.turn()
    assert _view(desk, batch).total == 4000


def test_a_batch_cancelled_while_it_is_read_is_not_stored(desk: Desk, store: ObjectStore) -> None:
    batch = _ask(desk, store, [chat_line(n) for n in range(10)])
    turn = _take(desk)
    assert begin_cancel(desk.engine, DEFAULT_PROJECT_ID, batch)
    with pytest.raises(TurnLost):
        validate(turn, store, _SETTINGS)
    view = _view(desk, batch)
    assert (view.status, view.total, _jobs(desk, batch)) == (BatchStatus.CANCELLED, 0, 0)
    assert take_turn(desk.engine) is None


def test_a_store_that_is_away_is_waited_for(desk: Desk, store: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
    batch = _ask(desk, store, [chat_line(0)])

    def away(*_: object) -> bytes:
        raise StorageUnavailable("away", bucket="b", key="k")

    with monkeypatch.context() as patch:
        patch.setattr(store, "get_range", away)
        assert Clerk(desk.engine, store, _SETTINGS).turn()
    assert _view(desk, batch).status == BatchStatus.VALIDATING
    _lapse(desk, batch)
    assert Clerk(desk.engine, store, _SETTINGS).turn()
    assert _view(desk, batch).status == BatchStatus.IN_PROGRESS


def test_a_file_that_ends_every_process_is_refused_at_last(desk: Desk, store: ObjectStore, clerk: Clerk) -> None:
    batch = _ask(desk, store, [chat_line(0)])
    desk.execute("UPDATE batches SET clerk_tries = :tries", tries=clerk_module._MOST_TRIES)
    assert clerk.turn()
    view = _view(desk, batch)
    assert (view.status, (view.errors or [{}])[0]["code"]) == (BatchStatus.FAILED, "internal_error")


def test_too_many_lines_are_refused(desk: Desk, store: ObjectStore, clerk: Clerk) -> None:
    batch = _ask(desk, store, [chat_line(n) for n in range(6001)])
    clerk.turn()
    view = _view(desk, batch)
    assert view.status == BatchStatus.FAILED
    assert [(error["code"], error["line"]) for error in view.errors or []] == [("too_many_lines", 6001)]
    assert _jobs(desk, batch) == 0


@pytest.mark.parametrize("data", [b"\x1f\x8b\x08\x00packed", b"\n\n", b"\xff\xfe{\x00"])
def test_what_is_no_batch_file_is_refused(desk: Desk, store: ObjectStore, clerk: Clerk, data: bytes) -> None:
    batch = _ask(desk, store, [data])
    clerk.turn()
    view = _view(desk, batch)
    assert (view.status, len(view.errors or [])) == (BatchStatus.FAILED, 1)


def test_files_are_written_once_and_anew_after_a_retry(desk: Desk, store: ObjectStore, clerk: Clerk) -> None:
    batch = _ask(desk, store, [chat_line(n) for n in range(3)])
    clerk.turn()
    _run(desk, bad=1)
    before = _view(desk, batch)
    assert before.status == BatchStatus.FINALIZING
    assert clerk.work_off() == 1
    assert _view(desk, batch).status == BatchStatus.COMPLETED
    assert [len(_lines(desk, store, file)) for file in (before.output_file_id, before.error_file_id)] == [2, 1]

    with desk.engine.begin() as conn:
        assert retry(conn, Selection(project_id=DEFAULT_PROJECT_ID, batch_id=batch)) == 1
    assert _view(desk, batch).status == BatchStatus.IN_PROGRESS
    assert clerk.work_off() == 0
    _run(desk)
    assert clerk.work_off() == 1
    after = _view(desk, batch)
    assert (after.status, after.output_file_id) == (BatchStatus.COMPLETED, before.output_file_id)
    assert len(_lines(desk, store, after.output_file_id)) == 3
    assert desk.scalar("SELECT count(*) FROM files WHERE deleted_at IS NULL AND purpose = 'batch_output'") == 1
    assert desk.faults() == {}


def test_a_retry_in_the_middle_takes_the_writing_away(desk: Desk, store: ObjectStore, clerk: Clerk) -> None:
    batch = _ask(desk, store, [chat_line(n) for n in range(3)])
    clerk.turn()
    _run(desk, bad=1)
    turn = _take(desk)
    with desk.engine.begin() as conn:
        retry(conn, Selection(project_id=DEFAULT_PROJECT_ID, batch_id=batch))
    with pytest.raises(TurnLost):
        finalize(turn, store)
    assert _view(desk, batch).status == BatchStatus.IN_PROGRESS
    assert [key for key in store.list_keys() if "/batches/" in key] == []


def test_a_cancelled_batch_is_wound_up(desk: Desk, store: ObjectStore, clerk: Clerk) -> None:
    batch = _ask(desk, store, [chat_line(n) for n in range(5)])
    clerk.turn()
    assert begin_cancel(desk.engine, DEFAULT_PROJECT_ID, batch)
    assert _view(desk, batch).status == BatchStatus.CANCELLING
    assert desk.dispatch() == []
    assert clerk.work_off() == 2
    view = _view(desk, batch)
    assert (view.status, view.cancelled) == (BatchStatus.CANCELLED, 5)
    assert len(_lines(desk, store, view.error_file_id)) == 5
    assert desk.faults() == {}


def _ask(desk: Desk, store: ObjectStore, lines: list[Any]) -> UUID:
    """A batch of a file with these lines, as a client makes it."""
    upload = Upload(desk.engine, store, DEFAULT_PROJECT_ID, max_bytes=10**9)
    upload.write(as_jsonl(lines))
    file = upload.finish(FileFacts("in.jsonl", "batch"))
    with desk.engine.begin() as conn:
        return create_batch(conn, BatchRequest(DEFAULT_PROJECT_ID, show_id("file", file.id), CHAT, "24h", SANDBOX))


def _take(desk: Desk) -> Turn:
    turn = take_turn(desk.engine)
    assert turn is not None
    return turn


def _lapse(desk: Desk, batch: UUID) -> None:
    """As if whoever holds it had stood still for a minute."""
    desk.execute("UPDATE batches SET clerk_until = now() - interval '1 second' WHERE id = :id", id=batch)


def _run(desk: Desk, *, bad: int = 0) -> None:
    """All jobs that are queued run; the first `bad` of them fail."""
    worker = desk.worker()
    jobs = desk.take(worker)
    attempts = desk.start(jobs, worker)
    kinds = [refusal] * bad + [success] * (len(jobs) - bad)
    desk.settle(*(kind(job, attempts[job.id]) for kind, job in zip(kinds, jobs, strict=True)))


def _view(desk: Desk, batch: UUID) -> BatchView:
    with desk.engine.connect() as conn:
        return find_view(conn, DEFAULT_PROJECT_ID, batch)


def _jobs(desk: Desk, batch: UUID) -> int:
    return int(desk.scalar("SELECT count(*) FROM jobs WHERE batch_id = :id", id=batch))


def _held_until(desk: Desk, batch: UUID) -> datetime:
    found: datetime = desk.scalar("SELECT clerk_until FROM batches WHERE id = :id", id=batch)
    return found


def _lines(desk: Desk, store: ObjectStore, file_id: UUID) -> list[dict[str, Any]]:
    with desk.engine.connect() as conn:
        row = find_file(conn, DEFAULT_PROJECT_ID, file_id)
    return read_jsonl(store.get(row.key, max_bytes=row.byte_size))
