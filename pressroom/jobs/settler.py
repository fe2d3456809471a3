"""Collects the outcomes of all leases in the process and commits them together, soon, and until it worked."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from uuid import UUID

from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError, SQLAlchemyError

from pressroom.jobs.dependencies import release
from pressroom.jobs.outcome import Next, Outcome
from pressroom.jobs.settle import settle

_LARGEST_GROUP = 500
_LONGEST_WAIT_SECONDS = 5.0
_REFUSED = "result_not_storable"

_log = logging.getLogger("pressroom.settler")


class Settler:
    """One per process, on the engine's loop. While a commit is on its way the next group gathers.

    A database that is down costs nothing but time: outcomes stay in memory until it answers again. Settlement is
    idempotent, so a commit whose answer was lost is simply repeated.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        interval_seconds: float,
        settled: Callable[[Sequence[Outcome]], None] = lambda group: None,
    ) -> None:
        """`settled` hears of every group, on the thread that committed it."""
        self._engine = engine
        self._tell_settled = settled
        self._interval_seconds = interval_seconds
        self._waiting: list[Outcome] = []
        self._callbacks: dict[UUID, Callable[[], None]] = {}
        self._arrived = asyncio.Event()
        self._hurry = asyncio.Event()
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="settle")
        self._closing = False
        self.unsettled = 0

    def add(self, outcome: Outcome, when_settled: Callable[[], None], *, urgent: bool = False) -> None:
        """Settle `outcome`; `when_settled` is called on the loop once it is committed.

        An urgent one, for which somebody waits, waits for no company: only for the commit that is on its way.
        """
        self.unsettled += 1
        self._waiting.append(outcome)
        self._callbacks[outcome.attempt_id] = when_settled
        self._arrived.set()
        if urgent:
            self._hurry.set()

    async def run(self) -> None:
        """Until `close`, and then until nothing is left."""
        while True:
            await self._arrived.wait()
            await self._gather()
            group, self._waiting = self._waiting[:_LARGEST_GROUP], self._waiting[_LARGEST_GROUP:]
            if not self._waiting:
                self._arrived.clear()
                if not self._closing:
                    self._hurry.clear()
            if group:
                await self._commit_until_done(group)
            if self._closing and not self._waiting:
                self._executor.shutdown(wait=False)
                return

    async def _gather(self) -> None:
        """Wait for company, until something is urgent."""
        with suppress(TimeoutError):
            async with asyncio.timeout(self._interval_seconds):
                await self._hurry.wait()
        # What arrived in the same turn of the loop comes along.
        await asyncio.sleep(0)

    def close(self) -> None:
        """Let `run` return when all is settled."""
        self._closing = True
        self._arrived.set()
        self._hurry.set()

    async def _commit_until_done(self, group: Sequence[Outcome]) -> None:
        loop = asyncio.get_running_loop()
        wait_seconds = 0.05
        while True:
            try:
                await loop.run_in_executor(self._executor, self._commit, group)
                break
            except Exception as error:  # noqa: BLE001  a settler that ends would settle nothing any more
                if not _may_pass(error):
                    await self._settle_singly(group, error)
                    return
                _log.warning("settle.retrying", extra={"jobs": len(group), "error": _reason(error)})
                await asyncio.sleep(wait_seconds)
                wait_seconds = min(_LONGEST_WAIT_SECONDS, wait_seconds * 2)
        self._done(group)

    async def _settle_singly(self, group: Sequence[Outcome], error: Exception) -> None:
        """The database, or its driver, refused the group's content: one row must not take the others down with it."""
        if len(group) > 1:
            for outcome in group:
                await self._commit_until_done([outcome])
            return
        [outcome] = group
        ids = {"job_id": str(outcome.job_id), "attempt_id": str(outcome.attempt_id)}
        _log.error("settle.refused", extra=ids | {"error": _reason(error)})
        if outcome.error_code == _REFUSED:
            # Even without content. The job stays `running`; the worker finds that nobody knows it and takes it back.
            self._done(group)
            return
        await self._commit_until_done([_without_content(outcome, _reason(error))])

    def _commit(self, group: Sequence[Outcome]) -> None:
        with self._engine.begin() as conn:
            dependants = settle(conn, group).dependants
        self._tell_settled(group)
        if dependants:
            release(self._engine, dependants)

    def _done(self, group: Sequence[Outcome]) -> None:
        for outcome in group:
            self.unsettled -= 1
            self._callbacks.pop(outcome.attempt_id)()


def _may_pass(error: Exception) -> bool:
    """Whether the same transaction may succeed later: lost connections, restarts, deadlocks, full disks, failovers."""
    if not isinstance(error, DBAPIError):
        return isinstance(error, SQLAlchemyError)
    state = getattr(error.orig, "sqlstate", None)
    if error.connection_invalidated or state is None:
        # Without a state it never reached the server: the connection failed, or the value cannot be sent.
        return error.connection_invalidated or isinstance(error, OperationalError | InterfaceError)
    return str(state)[:2] in ("08", "25", "40", "53", "55", "57", "58")


def _reason(error: Exception) -> str:
    return str(error.orig) if isinstance(error, DBAPIError) else f"{type(error).__name__}: {error}"


def _without_content(outcome: Outcome, reason: str) -> Outcome:
    """The same attempt as a failure that says why its answer could not be stored; its cost stays on the books."""
    error = {"code": _REFUSED, "message": f"The database refused the answer: {reason[:500]}"}
    return replace(
        outcome,
        then=Next.FAIL,
        body=None,
        error=error,
        error_code=_REFUSED,
        error_message=error["message"],
        request_id=None,
        usage=None,
        stored=(),
    )
