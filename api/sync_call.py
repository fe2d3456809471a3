"""A synchronous call's way through the queue: submitted, waited for, answered as the provider answered.

A client that hangs up cancels a job that has not been called; one that is being called goes on, and its answer is kept.
"""

import asyncio
import logging
import math
import time
from contextlib import suppress
from dataclasses import dataclass, field
from decimal import Decimal
from uuid import UUID

from fastapi import Request, Response
from redis.exceptions import RedisError
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from api.auth import Caller
from api.errors import ApiError
from api.services import Services
from api.sync_request import SyncRequest
from api.threads import in_thread
from models import JobState
from pressroom.database import quick
from pressroom.ids import show_id
from pressroom.jobs.answers import ProviderAnswer, answer_of
from pressroom.jobs.end_early import cancel
from pressroom.jobs.finished import FinishedJob, Picture
from pressroom.jobs.idempotency import RepeatableRequest, find_earlier
from pressroom.jobs.intake import NewRequest
from pressroom.jobs.keyed_calls import KeyTaken, claim_keys
from pressroom.jobs.quota_share import Quota, quota_headers
from pressroom.jobs.selection import Selection

LINK_SECONDS = 3600
"""How long a picture's address is good for, as the provider's."""

_LEFT_OF_DRAIN = 0.25
"""The part of the drain that is kept for answering those whose jobs have not ended."""

_UNSTARTED = (JobState.BLOCKED, JobState.QUEUED, JobState.LEASED)

_log = logging.getLogger("pressroom.api")


class HungUp(Exception):
    """Nobody is there any more to answer."""


@dataclass(slots=True)
class SyncCall:
    """One call. Made when it came in; `submit`, then `finish`, then `headers`."""

    services: Services
    caller: Caller
    asked: SyncRequest
    began: float = field(default_factory=time.perf_counter)
    job_id: UUID = field(init=False)
    _quotas: "asyncio.Task[list[Quota]] | None" = field(default=None, init=False)

    async def submit(self) -> None:
        """Put it on the books, or find the job of the same key. Raises what is wrong with it."""
        if self.asked.key is None:
            await self._submit_new(())
        else:
            await self._submit_keyed(self.asked.key)

    async def _submit_keyed(self, key: RepeatableRequest) -> None:
        if await self._find_earlier(key):
            return
        try:
            await self._submit_new(((claim_keys, key),))
        except KeyTaken:
            if not await self._find_earlier(key):
                raise

    async def _find_earlier(self, key: RepeatableRequest) -> bool:
        earlier = await in_thread(_find_earlier, self.services.database, key)
        if earlier is None:
            return False
        self.job_id = earlier
        return True

    async def _submit_new(self, notes: tuple[tuple[object, RepeatableRequest], ...]) -> None:
        asked, settings = self.asked, self.services.settings
        new = NewRequest(
            project_id=self.caller.project_id,
            url=asked.url,
            body=asked.body,
            api_key_id=self.caller.api_key_id,
            text=asked.text,
            max_attempts=settings.max_attempts,
            notes=notes,  # type: ignore[arg-type]
        )
        accepted = await self.services.intake.submit(new)
        self.job_id = accepted.job_id
        if self.services.quotas.known(self.caller.project_id, accepted.pool_id) is None:
            # While the job runs there is time for it.
            self._quotas = asyncio.create_task(self._find_quotas(accepted.pool_id))

    @property
    def longest_wait(self) -> float:
        """Seconds that this call may be held open."""
        most = self.services.settings.api_longest_wait_seconds
        if self.asked.respond_async:
            return 0.0
        return most if self.asked.wait_seconds is None else min(most, self.asked.wait_seconds)

    async def finish(self, request: Request, seconds: float) -> FinishedJob | None:
        """The job once it has ended; None after `seconds`, or when this process is to end.

        Raises HungUp once the client is gone, and ApiError (503) where the client will find the job by its key.
        """
        if seconds <= 0:
            return None
        waiting = asyncio.create_task(self.services.waiters.wait(self.job_id, seconds))
        gone = asyncio.create_task(_disconnected(request))
        draining = asyncio.create_task(self.services.draining.wait())
        try:
            await asyncio.wait({waiting, gone, draining}, return_when=asyncio.FIRST_COMPLETED)
            if not waiting.done() and not gone.done() and draining.done():
                await self._drain(waiting, gone)
            if waiting.done():
                return waiting.result()
            if gone.done():
                await self.hang_up()
                raise HungUp
            return None
        finally:
            for task in (waiting, gone, draining):
                task.cancel()

    async def _drain(self, waiting: "asyncio.Task[FinishedJob | None]", gone: "asyncio.Task[None]") -> None:
        if self.asked.key is not None:
            raise ApiError(
                503,
                code="unavailable",
                message=f"this server ends; {show_id('job', self.job_id)} goes on: send the same request with the same "
                "Idempotency-Key again, which waits for it",
                headers={"Retry-After": "1", "x-should-retry": "true", **self.headers_of_job()},
            )
        # Sent again it would be a second job: wait as long as can be.
        seconds = (1 - _LEFT_OF_DRAIN) * self.services.settings.api_drain_seconds
        await asyncio.wait({waiting, gone}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)

    async def hang_up(self) -> None:
        """The client is gone: cancel the job if its call has not begun.

        Not where a key says that the client may come back for it.
        """
        if self.asked.key is not None:
            return
        which = Selection(self.caller.project_id, ids=[self.job_id], states=_UNSTARTED)
        with suppress(SQLAlchemyError):  # it runs, then, and its answer is kept
            await in_thread(_cancel, self.services.database, which)

    async def answer(self, job: FinishedJob) -> ProviderAnswer:
        """What the provider said, pictures included."""
        store = self.services.store

        def link(picture: Picture) -> str:
            return store.presigned_url(picture.key, expires_seconds=LINK_SECONDS)

        if job.pictures:
            return await in_thread(answer_of, job, self.asked.body, store=store, link=link)
        return answer_of(job, self.asked.body, store=store, link=link)

    async def response(self, job: FinishedJob) -> Response:
        """The whole answer."""
        answer = await self.answer(job)
        headers = await self.headers(job)
        if not answer.retrying_helps:
            headers["x-should-retry"] = "false"
        return Response(answer.body, answer.status, headers, "application/json")

    def headers_of_job(self) -> dict[str, str]:
        """Where the job is found."""
        shown = show_id("job", self.job_id)
        return {"x-pressroom-job-id": shown, "Location": f"/v1/jobs/{shown}"}

    async def headers(self, job: FinishedJob) -> dict[str, str]:
        """The provider's headers, and ours."""
        milliseconds = math.ceil((time.perf_counter() - self.began) * 1000)
        headers = {"x-pressroom-job-id": show_id("job", self.job_id), "openai-processing-ms": str(milliseconds)}
        if job.cost_usd is not None:
            headers["x-pressroom-cost-usd"] = _shown(job.cost_usd)
        if job.request_id is not None:
            headers["x-pressroom-provider-request-id"] = job.request_id
        if job.is_sandbox:
            headers["x-pressroom-sandbox"] = "true"
        return headers | quota_headers(await self._quotas_of(job.pool_id))

    async def _quotas_of(self, pool_id: int) -> list[Quota]:
        known = self.services.quotas.known(self.caller.project_id, pool_id)
        if known is not None:
            return known
        return await (self._quotas if self._quotas is not None else self._find_quotas(pool_id))

    async def _find_quotas(self, pool_id: int) -> list[Quota]:
        try:
            return await in_thread(self.services.quotas.of, self.caller.project_id, pool_id)
        except (SQLAlchemyError, RedisError, OSError) as error:
            # An answer that was paid for is not withheld for want of its headers.
            _log.warning("api.quota_unknown", extra={"error": type(error).__name__})
            return []


async def _disconnected(request: Request) -> None:
    """Until the client is gone. The body has been read, so nothing else can come."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _find_earlier(database: Engine, key: RepeatableRequest) -> UUID | None:
    with quick(database).connect() as conn:
        earlier = find_earlier(conn, key)
    return earlier.job_id if earlier is not None else None


def _cancel(database: Engine, which: Selection) -> None:
    with database.begin() as conn:
        cancel(conn, which)


def _shown(amount: Decimal) -> str:
    shown = f"{amount:f}"
    return shown.rstrip("0").rstrip(".") if "." in shown else shown
