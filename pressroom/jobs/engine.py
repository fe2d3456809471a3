"""The process's one asyncio engine: takes leases, paces them through their lanes, calls, and settles.

Lives on one event loop. Everything here runs on it, except what its docstring calls thread-safe.
"""

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import chain
from typing import Any, TypeVar
from uuid import UUID

from redis.exceptions import RedisError
from sqlalchemy import Engine as Database
from sqlalchemy.exc import SQLAlchemyError

from pressroom.database import quick
from pressroom.jobs import execute
from pressroom.jobs.accounts import ProviderClients
from pressroom.jobs.health import HealthBook
from pressroom.jobs.lane import Lane, LaneDoors, LaneJob, slot_expired
from pressroom.jobs.lease import ClaimedLease, Start, hand_back, start_jobs
from pressroom.jobs.outcome import Outcome
from pressroom.jobs.parked import ParkedAnswers
from pressroom.jobs.pictures import Landed, PictureStore
from pressroom.jobs.pool_state import PoolStates
from pressroom.jobs.settler import Settler
from pressroom.jobs.token_book import TokenBook
from pressroom.limits.messages import Rejected, Settled
from pressroom.limits.redis_limiter import RedisLimiter
from pressroom.money.price_book import PriceBook
from pressroom.operations.base import MalformedReply
from pressroom.operations.registry import operation_for
from pressroom.providers.failures import Failure, FailureKind, ProviderError, outcome_unknown

_log = logging.getLogger("pressroom.engine")
_T = TypeVar("_T")
_REPORT_SECONDS = 1.0
_LOOK_SECONDS = 0.02
_HAND_BACK_AGAIN_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class EngineParts:
    """What the engine works with. All are made for its loop and closed by whoever made them."""

    database: Database
    limiter: RedisLimiter
    limiter_heartbeat_seconds: float
    pools: PoolStates
    tokens: TokenBook
    providers: ProviderClients
    pictures: PictureStore
    parked: ParkedAnswers
    prices: PriceBook
    settler: Settler
    health: HealthBook
    pause: Callable[[ClaimedLease, str, FailureKind], None]
    """Stop a deployment, in SQL and in the limiter; blocking, called on a thread."""
    close: Callable[[], Awaitable[None]]
    """Close what was opened for these parts; calls still on their way fail."""


class JobEngine:
    """`take` hands it leases; `drain` ends it in order; `forsake` drops what a lost heartbeat took away."""

    def __init__(self, parts: EngineParts, *, worker_id: UUID, max_in_flight: int) -> None:
        self.worker_id = worker_id
        self._parts = parts
        self._max_in_flight = max_in_flight
        self._in_flight = 0
        self._lanes: dict[str, Lane] = {}
        self._lane_tasks: list[asyncio.Task[None]] = []
        self._unstarted: dict[UUID, int] = {}
        self._left: dict[UUID, list[Future[None]]] = {}
        self._calling: dict[UUID, LaneJob] = {}
        self._held: set[tuple[UUID, UUID]] = set()
        self.parked: set[tuple[UUID, UUID]] = set()
        """Jobs, as (job id, lease id), whose answers were parked while draining."""
        self._draining = False
        self._ended = False
        self._executor = ThreadPoolExecutor(max_workers=2, thread_name_prefix="start")
        self._rng = random.Random()
        self._loop = asyncio.get_running_loop()
        self.broken: asyncio.Future[None] = self._loop.create_future()
        """Done when a part of the engine ended that must not: the process is of no more use."""

    def take(self, lease: ClaimedLease) -> Future[None]:
        """Thread-safe. The future is done when none of the lease's jobs waits here any more.

        Jobs that are here already are passed over: a lease of which two messages came during an outage is claimed once
        for each.
        """
        left: Future[None] = Future()
        self._loop.call_soon_threadsafe(self._take, lease, left)
        return left

    def ask_cancel(self, job_ids: Iterable[UUID]) -> None:
        """Thread-safe. Jobs whose call has not been made are not called; others finish."""
        self._loop.call_soon_threadsafe(self._mark_cancelled, list(job_ids))

    def forsake(self, new_worker_id: UUID) -> None:
        """Thread-safe. Our leases were taken away: forget what waits, and go on under the new id."""
        self._loop.call_soon_threadsafe(self._forsake, new_worker_id)

    def give_up(self, leases: Collection[UUID]) -> None:
        """Thread-safe. Hand back what has not started of these leases: their deployment was stopped."""
        self._loop.call_soon_threadsafe(lambda: self._spawn(self._hand_back(leases)))

    def holds(self) -> set[tuple[UUID, UUID]]:
        """Thread-safe. Every job that waits, starts, is called or is settled here, as (job id, lease id)."""
        return self._held.copy()

    @property
    def in_flight(self) -> int:
        """Calls being made or settled."""
        return self._in_flight

    @property
    def full(self) -> bool:
        """Whether it makes as many calls as it may. Safe to read from any thread."""
        return self._free_calls() <= 0

    async def drain(self, seconds: float) -> bool:
        """Hand back what has not started, finish what has, settle all. False if calls were still on their way then."""
        self._draining = True
        self._parts.pictures.end()
        deadline = self._loop.time() + seconds
        await self._hand_back()
        while self._busy() and self._loop.time() < deadline:
            await asyncio.sleep(_LOOK_SECONDS)
            await self._hand_back()
        finished = self._in_flight == 0
        await self._report_all()
        self._ended = True
        for task in list(self._lane_tasks):
            task.cancel()
        for left in chain.from_iterable(self._left.values()):
            left.set_result(None)
        self._parts.settler.close()
        return finished

    def _take(self, lease: ClaimedLease, left: Future[None]) -> None:
        jobs = [self._parts.tokens.lane_job(job, lease) for job in lease.jobs if (job.id, lease.id) not in self._held]
        if not jobs or self._ended:
            # What a worker claims after its end comes back when it has signed off.
            left.set_result(None)
            return
        self._parts.pools.saw(lease)
        self._held.update((job.job.id, lease.id) for job in jobs)
        self._unstarted[lease.id] = self._unstarted.get(lease.id, 0) + len(jobs)
        self._left.setdefault(lease.id, []).append(left)
        lane = self._lane(lease.pool_name)
        lane.add(jobs)
        if self._draining:
            self._spawn(self._hand_back())

    def _lane(self, pool: str) -> Lane:
        lane = self._lanes.get(pool)
        if lane is None:
            doors = LaneDoors(
                start=self._start,
                call=self._call,
                free_calls=self._free_calls,
                left=self._job_left,
                granted=lambda grant: self._parts.pools.epoch_seen(pool, grant.epoch),
            )
            lane = self._lanes[pool] = Lane(
                pool,
                self.worker_id.hex,
                self._parts.limiter,
                doors,
                heartbeat_seconds=self._parts.limiter_heartbeat_seconds,
            )
            self._spawn(lane.run(), vital=True)
        return lane

    def _spawn(self, work: Any, *, vital: bool = False) -> None:
        task = self._loop.create_task(work)
        self._lane_tasks.append(task)
        task.add_done_callback(self._task_ended)
        if vital:
            task.add_done_callback(self._vital_task_ended)

    def _vital_task_ended(self, task: asyncio.Task[None]) -> None:
        """A lane runs until it is cancelled. One that ended would keep its jobs for as long as the process lives."""
        if not self._ended and not self.broken.done():
            self.broken.set_result(None)

    def _task_ended(self, task: asyncio.Task[None]) -> None:
        self._lane_tasks.remove(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("engine.task_failed", exc_info=error)

    def _free_calls(self) -> int:
        ahead = sum(lane.ahead for lane in self._lanes.values())
        return 0 if self._draining else self._max_in_flight - self._in_flight - ahead

    def _busy(self) -> bool:
        return self._in_flight > 0 or any(lane.busy for lane in self._lanes.values())

    def _job_left(self, job: LaneJob) -> None:
        if not job.started:
            self._let_go(job)
        left = self._unstarted.get(job.lease.id)
        if left is None:
            return
        self._unstarted[job.lease.id] = left - 1
        if left <= 1:
            del self._unstarted[job.lease.id]
            for waiting in self._left.pop(job.lease.id):
                waiting.set_result(None)

    async def _start(self, starts: Sequence[Start]) -> set[UUID]:
        return await self._in_thread(self._start_in_database, starts)

    def _start_in_database(self, starts: Sequence[Start]) -> set[UUID]:
        with quick(self._parts.database).connect() as conn:
            return start_jobs(conn, self.worker_id, starts)

    async def _call(self, job: LaneJob) -> None:
        self._in_flight += 1
        # By attempt: a job whose lease was lost may be called here a second time before the first call ends.
        self._calling[job.attempt_id] = job
        try:
            outcome = await self._attempt(job)
            if outcome is None:
                self._call_ended()
                if (job.job.id, job.lease.id) not in self.parked:
                    self._lanes[job.lease.pool_name].again(job)
                return
        except BaseException:
            # Cancelled, or a bug: its place is free again. The job stays `running` until the worker ends, or finds at
            # its next looks that the books name a job which nobody here knows.
            self._settled(job)
            raise
        finally:
            del self._calling[job.attempt_id]
        self._parts.settler.add(outcome, lambda: self._settled(job), urgent=job.is_urgent)

    def _settled(self, job: LaneJob) -> None:
        self._let_go(job)
        self._call_ended()

    def _let_go(self, job: LaneJob) -> None:
        self._held.discard((job.job.id, job.lease.id))

    def _call_ended(self) -> None:
        was_full = self._free_calls() <= 0
        self._in_flight -= 1
        if was_full:
            for lane in self._lanes.values():
                lane.wake()

    async def _attempt(self, job: LaneJob) -> Outcome | None:
        """Call when its time has come.

        None when the attempt stays on the books as it is: its time was missed or is void, or its answer is parked.
        """
        await asyncio.sleep(max(0.0, job.slot_time - self._loop.time()))
        ledger = self._ledger(job)
        spacing = execute.estimated_seconds(ledger.rates, job)
        late = slot_expired(job, self._loop.time(), spacing=spacing)
        void = self._lanes[job.lease.pool_name].is_void(job)
        if job.cancelled or late or void:
            self._report(job, execute.limiter_unsent(job, spacing=spacing, missed=late and not void))
            if (late or void) and not job.cancelled and not self._draining:
                return None
            return execute.unsent(job, ledger.rates, cancelled=job.cancelled)
        began = time.monotonic()
        try:
            return await self._request(job, began)
        except ProviderError as error:
            return await self._fail(job, error.failure, latency=time.monotonic() - began)
        except MalformedReply as error:
            failure = outcome_unknown("malformed_reply", str(error), status_code=200)
            return await self._fail(job, failure, latency=time.monotonic() - began)
        except Exception as error:  # noqa: BLE001  a bug in handling one answer must not lose the job or its attempt
            _log.error("call.bug", exc_info=error, extra={"job_id": str(job.job.id)})
            failure = outcome_unknown("internal_error", f"{type(error).__name__}: {error}")
            return await self._fail(job, failure, latency=time.monotonic() - began)

    async def _request(self, job: LaneJob, began: float) -> Outcome | None:
        operation = operation_for(job.job.url)
        if operation is None:
            message = f"this worker does not know {job.job.url}; it is older than the submitter: update it"
            raise ProviderError(Failure(FailureKind.REFUSED, "unsupported_url", None, message))
        answer = await self._parts.providers.of(job.lease).call(
            job.job.url, operation.outgoing(job.job.body), client_request_id=str(job.attempt_id)
        )
        latency = time.monotonic() - began
        reply = operation.read(job.job.body, answer.body)
        self._report(job, execute.limiter_success(job, reply.usage, answer.headers))
        self._parts.tokens.learn(job, reply.usage)
        landed = Landed([], [])
        if reply.images:
            # Pictures may wait long for the store: nothing but the store may hold on to them.
            images = list(reply.images)
            reply, answer = replace(reply, images=()), replace(answer, body=None)
            owner = job.job
            landed = await self._parts.pictures.land(images, project_id=owner.project_id, job_id=owner.id)
        ledger = self._ledger(job)
        outcome = execute.succeeded(job, answer, reply, stored=landed.stored, latency=latency, ledger=ledger)
        if outcome.cost_usd is None:
            # Served in a tier, or with a kind of usage, that has no price: on the books as cost at risk.
            ids = {"job_id": str(job.job.id), "model": job.lease.model, "service_tier": reply.usage.service_tier}
            _log.error("call.unpriced", extra=ids)
        if landed.waiting:
            await self._in_thread(self._parts.parked.park, outcome, landed.waiting)
            self.parked.add((job.job.id, job.lease.id))
            return None
        return outcome

    async def _fail(self, job: LaneJob, failure: Failure, *, latency: float) -> Outcome:
        self._report(job, execute.limiter_failure(job, failure))
        failed = execute.failed(job, failure, latency=latency, ledger=self._ledger(job), rng=self._rng)
        if failed.pause_reason is not None:
            await self._pause(job.lease, failed.pause_reason, failure.kind)
        return failed.outcome

    async def _pause(self, lease: ClaimedLease, reason: str, kind: FailureKind) -> None:
        _log.error("deployment.paused", extra={"model": lease.model, "pool": lease.pool_name, "reason": reason})
        try:
            await self._in_thread(self._parts.pause, lease, reason, kind)
        except (SQLAlchemyError, RedisError, OSError) as error:
            # The next job to meet the same answer will pause it.
            _log.warning("deployment.pause_failed", extra={"model": lease.model, "error": str(error)})

    def _report(self, job: LaneJob, what: Settled | Rejected) -> None:
        """Give the slot back once, with the first that is known of the call."""
        if job.reported:
            return
        job.reported = True
        lane = self._lanes[job.lease.pool_name]
        lane.report(settled=what) if isinstance(what, Settled) else lane.report(rejected=what)

    def _ledger(self, job: LaneJob) -> execute.Ledger:
        return execute.Ledger(self._parts.prices, self._parts.pools.rates(job.lease.pool_name), datetime.now(UTC))

    def _mark_cancelled(self, job_ids: list[UUID]) -> None:
        asked = frozenset(job_ids)
        here = [job for job in self._calling.values() if job.job.id in asked]
        for lane in self._lanes.values():
            here += lane.find(asked)
        for job in here:
            job.cancelled = True

    def _forsake(self, new_worker_id: UUID) -> None:
        self.worker_id = new_worker_id
        for lane in self._lanes.values():
            for job in lane.take_waiting():
                self._leave_unsent(job)

    async def _hand_back(self, leases: Collection[UUID] | None = None) -> None:
        jobs = [job for lane in list(self._lanes.values()) for job in lane.take_waiting(leases)]
        if not jobs:
            return
        pairs = [(job.job.id, job.lease.id) for job in jobs if not job.started]
        while pairs:
            try:
                await self._in_thread(self._hand_back_in_database, pairs)
                break
            except SQLAlchemyError as error:
                _log.warning("hand_back.failed", extra={"jobs": len(pairs), "error": str(error)})
                if self._draining:
                    # They come back when this worker has signed off or been given up.
                    break
                await asyncio.sleep(_HAND_BACK_AGAIN_SECONDS)
        for job in jobs:
            self._leave_unsent(job)

    def _leave_unsent(self, job: LaneJob) -> None:
        """The job goes no further here. If it was, or may have been, started, its attempt is settled as never sent."""
        if job.start_asked:
            rates = self._parts.pools.rates(job.lease.pool_name)
            outcome = execute.unsent(job, rates, cancelled=job.cancelled)
            self._parts.settler.add(outcome, lambda: self._let_go(job))
        if not job.started:
            self._job_left(job)

    def _hand_back_in_database(self, pairs: list[tuple[UUID, UUID]]) -> None:
        with self._parts.database.begin() as conn:
            hand_back(conn, pairs)

    async def _report_all(self) -> None:
        """Give lanes a moment to tell the limiter what ended, so that its count of calls in flight is right."""
        deadline = self._loop.time() + _REPORT_SECONDS
        while self._loop.time() < deadline:
            if all(lane.idle for lane in self._lanes.values()):
                return
            await asyncio.sleep(_LOOK_SECONDS)

    async def _in_thread(self, work: Callable[..., _T], *arguments: Any) -> _T:
        return await self._loop.run_in_executor(self._executor, work, *arguments)
