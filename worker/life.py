"""The life of a worker process: registered, beating, dispatching, and ending in order."""

import faulthandler
import logging
import os
import threading
import time
from concurrent.futures import wait
from uuid import UUID

from redis.exceptions import RedisError
from sqlalchemy.exc import SQLAlchemyError

from pressroom.database import quick
from pressroom.jobs import workers
from pressroom.jobs.accounts import Accounts
from pressroom.jobs.engine import JobEngine
from pressroom.jobs.lease import ClaimedLease, claim_lease, hand_back
from pressroom.jobs.parked import keep_leases
from pressroom.jobs.recover import take_back_jobs
from pressroom.jobs.urgent import UrgentLine
from worker.assembly import Servers, make_parts
from worker.clerking import ClerkThread
from worker.dispatching import Dispatching
from worker.heartbeat import Heartbeat
from worker.loop import EngineThread
from worker.repeating import Repeating
from worker.webhooks import DeliveryThread

_STOP_MARGIN_SECONDS = 5.0
_TAKE_UP_SECONDS = 2.0
_CLAIM_AGAIN_SECONDS = 0.5
_LINE_SECONDS = 1.0
_FULL_SECONDS = 0.02
_BROKEN = 70
"""Exit code of a process that ended itself because a part of it had: EX_SOFTWARE of sysexits."""

_log = logging.getLogger("pressroom.worker")


class WorkerLife:
    """One per process. Made running; `run_lease` from any thread; then `begin_end` and `end`."""

    def __init__(self, servers: Servers) -> None:
        """Register, start the engine, and start beating and dispatching. Raises what a server that is down raises."""
        self._servers = servers
        servers.parked.open()
        settings = servers.settings
        self._accounts = Accounts(settings)
        with servers.database.begin() as conn:
            worker_id = workers.register(conn, host=servers.host, pid=os.getpid())
        self._ending = False
        self._engine_thread = EngineThread(
            lambda: make_parts(servers),
            worker_id=worker_id,
            max_in_flight=settings.worker_max_in_flight,
            on_broken=_exit_at_once,
        )
        self._engine: JobEngine = self._engine_thread.start()
        self._heartbeat = Heartbeat(
            servers.database, self._engine, host=servers.host, gap_seconds=settings.worker_dead_after_seconds / 2
        )
        parts = self._engine_thread.parts
        dispatching = Dispatching(servers, parts, self._heartbeat.healthy_for, self._take_urgent)
        self._beating = Repeating("heartbeat", self._heartbeat.beat, settings.heartbeat_interval_seconds)
        self._dispatching = Repeating("dispatch", dispatching.turn, settings.dispatch_interval_seconds)
        self._finishing = Repeating(
            "parked", lambda: servers.parked.take_up(servers.store, servers.database), _TAKE_UP_SECONDS
        )
        self._delivering = DeliveryThread(servers)
        self._clerk = ClerkThread(servers)
        self._line = UrgentLine(servers.redis, prefix=settings.redis_prefix)
        self._standing_in_line = Repeating("urgent", self._stand_in_line, 0.0)
        self._end_begun, self._has_ended = threading.Event(), threading.Event()
        threading.Thread(target=self._watch_end, name="end", daemon=True).start()
        self._beating.start()
        self._dispatching.start()
        self._finishing.start()
        self._standing_in_line.start()
        self._delivering.start()
        self._clerk.start()
        _log.info("worker.started", extra={"worker_id": str(worker_id), "pid": os.getpid()})

    def run_lease(self, lease_id: UUID) -> None:
        """Claim the lease and return when none of its jobs waits here for us any more. A stale message does nothing.

        Jobs that wait for their pool's quota go on waiting, and the thread is free for leases of other pools.
        """
        lease = self._claim_ours(lease_id)
        if lease is None:
            return
        left = self._engine.take(lease)
        while not left.done():
            wait([left], self._servers.settings.dispatch_ahead_seconds)
            if self._ending or not self._engine.full:
                return

    def deliver_webhooks(self) -> None:
        """Look for webhooks that are due at once. Returns before they are delivered."""
        self._delivering.poke()

    def _take_urgent(self, lease_id: UUID) -> None:
        """Not through Celery, whose threads may all be waiting for the starts of other leases."""
        if self._engine.full:
            return
        lease = self._claim_ours(lease_id)
        if lease is not None:
            self._engine.take(lease)

    def _stand_in_line(self) -> None:
        """One turn at the line of urgent leases; who has no call free leaves it to others."""
        if self._engine.full:
            time.sleep(_FULL_SECONDS)
            return
        try:
            lease_id = self._line.take(_LINE_SECONDS)
        except RedisError:
            time.sleep(_LINE_SECONDS)
            raise
        if lease_id is not None:
            self._take_urgent(lease_id)

    def _claim_ours(self, lease_id: UUID) -> ClaimedLease | None:
        lease = self._claim(lease_id)
        if lease is None or self._accounts.serves(lease.base_url, lease.api_key_env):
            return lease
        # Only workers with that account's key may call it; the books show the jobs as queued for one.
        _log.error("lease.not_ours", extra={"lease_id": str(lease_id), "base_url": lease.base_url})
        self._hand_back(lease)
        return None

    def _claim(self, lease_id: UUID) -> ClaimedLease | None:
        """Asks until it is answered: a claim that was made and not heard of would hold its jobs for our whole life."""
        again = False
        while not self._ending:
            try:
                with quick(self._servers.database).connect() as conn:
                    return claim_lease(conn, lease_id, self._engine.worker_id, again=again)
            except SQLAlchemyError as error:
                _log.warning("claim.retrying", extra={"lease_id": str(lease_id), "error": str(error)})
                again = True
                time.sleep(_CLAIM_AGAIN_SECONDS)
        return None

    def _hand_back(self, lease: ClaimedLease) -> None:
        while not self._ending:
            try:
                with self._servers.database.begin() as conn:
                    hand_back(conn, [(job.id, lease.id) for job in lease.jobs])
                return
            except SQLAlchemyError as error:
                _log.warning("hand_back.failed", extra={"lease_id": str(lease.id), "error": str(error)})
                time.sleep(_CLAIM_AGAIN_SECONDS)

    def begin_end(self) -> None:
        """Stop taking leases, hand back what has not started, let calls finish. Returns at once."""
        self._ending = True
        self._end_begun.set()
        self._dispatching.stop()
        self._finishing.stop()
        self._standing_in_line.stop()
        self._delivering.stop()
        self._clerk.stop()
        self._engine_thread.drain(self._servers.settings.drain_seconds)

    def end(self) -> bool:
        """Wait for the calls, for `drain_seconds` at most, and sign off. False if some had to be left behind."""
        self.begin_end()
        finished = self._engine_thread.join(2 * self._servers.settings.drain_seconds + _STOP_MARGIN_SECONDS)
        self._dispatching.stop(_STOP_MARGIN_SECONDS)
        self._finishing.stop(_STOP_MARGIN_SECONDS)
        self._standing_in_line.stop(_STOP_MARGIN_SECONDS)
        self._delivering.stop(_STOP_MARGIN_SECONDS)
        self._clerk.stop(_STOP_MARGIN_SECONDS)
        self._beating.stop(_STOP_MARGIN_SECONDS)
        worker_id = self._heartbeat.worker_id
        try:
            with self._servers.database.begin() as conn:
                parked = self._engine.parked
                take_back_jobs(conn, sorted(workers.held(conn, worker_id) - parked))
                keep_leases(conn, sorted(parked), host=self._servers.host)
                workers.sign_off(conn, worker_id)
        except SQLAlchemyError as error:
            _log.warning("worker.sign_off_failed", extra={"worker_id": str(worker_id), "error": str(error)})
        self._servers.parked.close()
        self._has_ended.set()
        _log.info("worker.stopped", extra={"worker_id": str(worker_id), "finished": finished})
        return finished

    def _watch_end(self) -> None:
        """An end that takes too long shows where it stands, and one that never comes is cut short.

        Celery waits for its threads and its broker before it lets us sign off. What we held then runs again when this
        worker is given up, so nothing is lost by not waiting for ever.
        """
        self._end_begun.wait()
        expected = self._servers.settings.drain_seconds + _STOP_MARGIN_SECONDS
        if self._has_ended.wait(expected):
            return
        _log.error("worker.end_overdue", extra={"pid": os.getpid()})
        faulthandler.dump_traceback(all_threads=True)
        if not self._has_ended.wait(2 * expected):
            _log.critical("worker.end_given_up", extra={"pid": os.getpid()})
            _exit_at_once()


def _exit_at_once() -> None:
    """Without its engine the process would beat, claim and never call. Its jobs run again when it is given up."""
    os._exit(_BROKEN)
