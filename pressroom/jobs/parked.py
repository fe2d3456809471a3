"""Answers that were paid for and could not be finished before their worker had to end: kept on its disk for the next.

A parked answer is its outcome and the pictures that the object store would not take. Its job stays `running` under its
lease, which goes to a keeper: a worker row that counts as alive for `KEPT_SECONDS`. Until then any worker with the same
data directory takes the answer up; after that the job runs again, as after any lost worker.
"""

import fcntl
import logging
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from uuid import UUID

from pydantic import TypeAdapter
from sqlalchemy import Connection, Engine, text

from pressroom.ids import new_id
from pressroom.jobs.dependencies import release
from pressroom.jobs.outcome import Outcome, StoredObject
from pressroom.jobs.settle import settle
from pressroom.storage import ObjectStore, StorageError

KEPT_SECONDS = 3600.0

_ANSWER = "answer.json"
_LOCK = "lock"
_outcomes = TypeAdapter(Outcome)
_log = logging.getLogger("pressroom.parked")


class ParkedAnswers:
    """The answers of one data directory: a folder per process, and in it one per answer.

    A process holds a lock in its folder for as long as it lives; that tells the living from the dead also between
    containers that share a volume, where process ids do not.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.own = directory / f"{os.getpid()}-{new_id().hex}"
        """This process's folder; pictures that wait for the store are spooled here too."""
        self._lock: int | None = None

    def open(self) -> None:
        """Make the folder and lock it. Where the directory cannot be written nothing is parked, and a log says so."""
        draft = self._directory / f".{self.own.name}"
        try:
            draft.mkdir(parents=True, mode=0o700)
            self._lock = os.open(draft / _LOCK, os.O_CREAT | os.O_RDWR, 0o600)
            fcntl.flock(self._lock, fcntl.LOCK_EX)
            # Seen by others only now that it is locked.
            draft.rename(self.own)
        except OSError as error:
            _log.warning("parked.no_folder", extra={"directory": str(self._directory), "error": str(error)})

    def close(self) -> None:
        """Remove the folder if it holds no answers, and leave it to others if it does."""
        if self.own.exists() and not any(self.own.glob(f"*/{_ANSWER}")):
            shutil.rmtree(self.own, ignore_errors=True)
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def park(self, outcome: Outcome, waiting: Sequence[tuple[StoredObject, bytes]]) -> None:
        """Write the answer down. Raises OSError where the disk does not take it."""
        folder = self.own / outcome.attempt_id.hex
        folder.mkdir(exist_ok=True, mode=0o700)
        for about, data in waiting:
            (folder / about.id.hex).write_bytes(data)
        # Last, and at once: a folder without it is what a process left that did not come to its end.
        draft = folder / f"{_ANSWER}.part"
        draft.write_bytes(_outcomes.dump_json(outcome))
        draft.replace(folder / _ANSWER)

    def take_up(self, store: ObjectStore, database: Engine) -> int:
        """Finish what processes that are gone have parked: pictures into the store, then the books. Returns how many.

        Safe in any number of processes: a folder belongs to whoever could rename it. Raises what an unreachable
        database raises; what the store does not take stays for another time.
        """
        return sum(self._finish(folder, store, database) for folder in self._claim_left())

    def _claim_left(self) -> Iterator[Path]:
        for process in self._directory.glob("[!.]*"):
            if process != self.own and not _is_left(process):
                continue
            for answer in process.glob(f"*/{_ANSWER}"):
                mine = self.own / answer.parent.name
                try:
                    answer.parent.rename(mine)
                except OSError:
                    continue  # another process was quicker
                yield mine
            if process != self.own and not any(process.glob(f"*/{_ANSWER}")):
                # What is left are pictures whose calls are `unknown` by now: their jobs run again.
                shutil.rmtree(process, ignore_errors=True)

    def _finish(self, folder: Path, store: ObjectStore, database: Engine) -> int:
        outcome = _outcomes.validate_json((folder / _ANSWER).read_bytes())
        try:
            for about in outcome.stored:
                file = folder / about.id.hex
                if file.exists():
                    store.put(about.key, file.read_bytes(), content_type=about.content_type, sha256=about.sha256)
        except StorageError as error:
            _log.warning("parked.store_unavailable", extra={"job_id": str(outcome.job_id), "error": str(error)})
            return 0
        with database.begin() as conn:
            settled = settle(conn, [outcome])
        release(database, settled.dependants)
        _log.info("parked.finished", extra={"job_id": str(outcome.job_id)})
        shutil.rmtree(folder, ignore_errors=True)
        return 1


def _is_left(folder: Path) -> bool:
    """Whether the process that made it is gone."""
    try:
        lock = os.open(folder / _LOCK, os.O_RDWR)
    except OSError:
        return False  # not ours to judge, or gone already
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    finally:
        os.close(lock)
    return True


def keep_leases(conn: Connection, jobs: Sequence[tuple[UUID, UUID]], *, host: str) -> None:
    """Give the leases of parked jobs, as (job id, lease id), to a keeper, so that nobody takes the jobs back yet."""
    if not jobs:
        return
    keeper = new_id()
    conn.execute(
        text(
            "INSERT INTO workers (id, host, pid, heartbeat_at)"
            " VALUES (:id, :host, 0, now() + make_interval(secs => :seconds))"
        ),
        {"id": keeper, "host": f"{host} (parked answers)", "seconds": KEPT_SECONDS},
    )
    leases = sorted({lease for _, lease in jobs})
    conn.execute(text("UPDATE leases SET worker_id = :id WHERE id = ANY(:leases)"), {"id": keeper, "leases": leases})
