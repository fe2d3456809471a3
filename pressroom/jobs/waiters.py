"""Whoever waits for jobs in this process: woken by the workers' messages, and by a look at SQL once a second.

Lives on one event loop. Answers of jobs that end together are read together.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Collection, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from uuid import UUID

import redis.asyncio
from redis.exceptions import RedisError
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from pressroom.database import quick
from pressroom.jobs.finished import FinishedJob, load_finished
from pressroom.jobs.wake import decode_ended, wake_channel

LOOK_SECONDS = 1.0
"""How long a message may be lost before somebody asks."""

_REMEMBERED = 8192
_READ_AT_MOST = 200
_LISTEN_AGAIN_SECONDS = 0.5
_IDLE_SECONDS = 10.0

_log = logging.getLogger("pressroom.wake")


class JobWaiters:
    """`start`, then `wait` from any number of tasks, then `close`."""

    def __init__(self, database: Engine, client: redis.asyncio.Redis, *, prefix: str) -> None:
        self._database = database
        self._client = client
        self._channel = wake_channel(prefix)
        self._waiting: dict[UUID, set[asyncio.Future[FinishedJob]]] = {}
        self._due: set[UUID] = set()
        self._is_due = asyncio.Event()
        # A job may end before its submitter comes to wait for it.
        self._ended: deque[UUID] = deque()
        self._ended_set: set[UUID] = set()
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="waiters")
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def waiting(self) -> int:
        """Jobs that somebody waits for."""
        return len(self._waiting)

    def start(self) -> None:
        """Begin to listen and to look."""
        self._tasks = [asyncio.create_task(work) for work in (self._listen(), self._look(), self._read())]

    async def close(self) -> None:
        """Stop. Whoever still waits gets a CancelledError."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for futures in self._waiting.values():
            for future in futures:
                future.cancel()
        self._executor.shutdown(wait=False)

    async def wait(self, job_id: UUID, seconds: float) -> FinishedJob | None:
        """The job once it has ended; None if it has not within `seconds`."""
        future: asyncio.Future[FinishedJob] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(job_id, set()).add(future)
        if job_id in self._ended_set:
            self._make_due([job_id])
        try:
            async with asyncio.timeout(seconds):
                return await future
        except TimeoutError:
            return None
        finally:
            futures = self._waiting.get(job_id, set())
            futures.discard(future)
            if not futures:
                self._waiting.pop(job_id, None)

    def ended(self, job_ids: Collection[UUID]) -> None:
        """These jobs have ended, or may have: whoever waits for them is to be told."""
        for job_id in job_ids:
            if job_id not in self._ended_set:
                self._ended_set.add(job_id)
                self._ended.append(job_id)
        while len(self._ended) > _REMEMBERED:
            self._ended_set.discard(self._ended.popleft())
        self._make_due(job_ids)

    def _make_due(self, job_ids: Iterable[UUID]) -> None:
        due = [job_id for job_id in job_ids if job_id in self._waiting]
        if due:
            self._due.update(due)
            self._is_due.set()

    async def _read(self) -> None:
        """While one group is read the next gathers."""
        loop = asyncio.get_running_loop()
        while True:
            await self._is_due.wait()
            group = list(self._due)[:_READ_AT_MOST]
            self._due.difference_update(group)
            if not self._due:
                self._is_due.clear()
            try:
                finished = await loop.run_in_executor(self._executor, self._load, group)
            except SQLAlchemyError as error:
                # The next look finds them again.
                _log.warning("wake.not_read", extra={"jobs": len(group), "error": type(error).__name__})
                await asyncio.sleep(_LISTEN_AGAIN_SECONDS)
                continue
            for job in finished:
                for future in self._waiting.pop(job.id, ()):
                    if not future.done():
                        future.set_result(job)

    def _load(self, job_ids: Collection[UUID]) -> list[FinishedJob]:
        with quick(self._database).connect() as conn:
            return load_finished(conn, job_ids)

    async def _look(self) -> None:
        """Jobs that were waited for at the last look already: their message may be lost, or never have been sent."""
        before: set[UUID] = set()
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            now = set(self._waiting)
            self._make_due(before & now)
            before = now

    async def _listen(self) -> None:
        while True:
            try:
                await self._hear()
            except (RedisError, OSError) as error:
                _log.warning("wake.not_heard", extra={"error": str(error)})
                await asyncio.sleep(_LISTEN_AGAIN_SECONDS)

    async def _hear(self) -> None:
        pubsub = self._client.pubsub(ignore_subscribe_messages=True)
        try:
            await pubsub.subscribe(self._channel)
            # Whatever ended while nobody listened.
            self._make_due(list(self._waiting))
            asked = False
            while True:
                message = await pubsub.get_message(timeout=_IDLE_SECONDS)
                if message is None:
                    # A connection that is only half open would stay silent for ever.
                    if asked:
                        raise ConnectionError("the server does not answer a ping")
                    await pubsub.ping()
                asked = message is None
                if message is not None and message["type"] == "message":
                    self.ended([job_id for job_id, _ in decode_ended(message["data"])])
        finally:
            with suppress(RedisError, OSError):
                await pubsub.aclose()  # type: ignore[no-untyped-call]
