"""Keeps the process's registration alive, notices when it was given up, hears of cancels and stopped deployments."""

import logging
import os
import time
from collections.abc import Callable
from uuid import UUID

import psutil
from sqlalchemy import Engine as Database

from pressroom.jobs import workers
from pressroom.jobs.engine import JobEngine
from pressroom.jobs.recover import take_back_jobs

_COMPARE_SECONDS = 10.0
_KEYS_SECONDS = 3.0

_log = logging.getLogger("pressroom.worker")


class Heartbeat:
    """`beat` is one turn. `healthy_for` says how long beats have come through without a gap."""

    def __init__(self, database: Database, engine: JobEngine, *, host: str, gap_seconds: float) -> None:
        self._database = database
        self._engine = engine
        self._host = host
        self._gap_seconds = gap_seconds
        self._last = self._since = time.monotonic()
        self.worker_id: UUID = engine.worker_id
        self._compare_at = self._last + _COMPARE_SECONDS
        self._keys_at = 0.0
        self._suspects: set[tuple[UUID, UUID]] = set()

    def beat(self) -> None:
        """Renew the registration. Raises what an unreachable database raises."""
        with self._database.begin() as conn:
            if workers.beat(conn, self.worker_id):
                if time.monotonic() >= self._keys_at:
                    workers.tell_keys(conn, self.worker_id, os.environ)
                    self._keys_at = time.monotonic() + _KEYS_SECONDS
                asked = workers.cancels_asked(conn, self.worker_id)
                stopped = workers.stopped_leases(conn, self.worker_id)
            else:
                asked, stopped = [], []
                self._register_again(workers.register(conn, host=self._host, pid=os.getpid()))
        now = time.monotonic()
        if now - self._last > self._gap_seconds:
            self._since = now
        self._last = now
        if asked:
            self._engine.ask_cancel(asked)
        if stopped:
            self._engine.give_up(stopped)
        if now >= self._compare_at:
            self._compare_at = now + _COMPARE_SECONDS
            self._take_back_forgotten()

    def healthy_for(self) -> float:
        """Seconds of unbroken beating; 0 when the last beat is too old."""
        now = time.monotonic()
        return now - self._since if now - self._last <= self._gap_seconds else 0.0

    def _take_back_forgotten(self) -> None:
        """Jobs that the books say we hold and the engine does not know, at two looks in a row, run again.

        No path leads there that we know of; a database that lost a commit it had confirmed would, or a bug.
        """
        with self._database.begin() as conn:
            unknown = workers.held(conn, self.worker_id) - self._engine.holds()
            forgotten = sorted(unknown & self._suspects)
            if forgotten:
                _log.error("worker.forgot_jobs", extra={"jobs": len(forgotten), "first": str(forgotten[0][0])})
                take_back_jobs(conn, forgotten)
            self._suspects = unknown

    def _register_again(self, worker_id: UUID) -> None:
        """We were silent too long, and others have our jobs now. What we still call is booked when it answers."""
        _log.error("worker.was_given_up", extra={"worker_id": str(self.worker_id), "new_worker_id": str(worker_id)})
        self.worker_id = worker_id
        self._keys_at = 0.0
        self._engine.forsake(worker_id)


class ParentWatch:
    """For workers that a command started: end when that command is gone, however it ended."""

    def __init__(self, pid: int, on_gone: Callable[[], None]) -> None:
        self._parent = psutil.Process(pid)
        self._on_gone = on_gone
        self._told = False

    def look(self) -> None:
        """One turn."""
        if not self._told and not self._parent.is_running():
            self._told = True
            _log.warning("worker.parent_gone", extra={"pid": self._parent.pid})
            self._on_gone()
