"""One pool's jobs in one worker process: ask the limiter for start times, put the attempts on the books, call.

Nothing polls: a lane ticks when it has jobs and the limiter said it is worth asking, and to report what ended.
"""

import asyncio
import heapq
import logging
import math
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Coroutine, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from redis.exceptions import RedisError
from sqlalchemy.exc import SQLAlchemyError

from pressroom.errors import Unavailable
from pressroom.ids import new_id
from pressroom.jobs.lease import ClaimedLease, LeasedJob, Start
from pressroom.jobs.overtake import slot_to_take
from pressroom.jobs.server_clock import ServerClock
from pressroom.limits.calibration import Key
from pressroom.limits.costs import Cost
from pressroom.limits.headers import QuotaHeaders
from pressroom.limits.messages import Grant, Rejected, Settled
from pressroom.limits.redis_limiter import RedisLimiter

_ASK_AT_MOST = 64
_REPORT_SECONDS = 0.2
_ASK_SECONDS = 0.02
_ASK_SECONDS_IN_BULK = 0.06
_BULK_WAITING = 32
_BEFORE_OTHERS = 1 << 40
"""More than jobs arrive in the life of a process."""
_START_AHEAD_SECONDS = 0.25
_START_AHEAD_MOST_SECONDS = 1.0
_START_TOGETHER_SECONDS = 0.15
_RETRY_SECONDS = 0.5

_LATE_SECONDS = 0.2
_LATE_MOST_SECONDS = 2.0
"""A call may leave so long after its start time: 0.2 s, more where calls are far apart, and twice as much with each
start time it has missed, so that a machine which is always slow still makes its calls. What is later comes out of turn:
processes stalled together would send all that fell due meanwhile at once, into a bucket that holds half a second."""

_log = logging.getLogger("pressroom.lane")


@dataclass(slots=True)
class LaneJob:
    """A leased job in this process. `attempt_id` stays the same until a start of it was answered."""

    job: LeasedJob
    lease: ClaimedLease
    cost: Cost
    """What the limiter is asked for: the tokens that calls like this one were seen to take."""
    key: Key = (0, "", "plain")
    """Under what its tokens are learned."""
    attempt_id: UUID = field(default_factory=new_id)
    slot_id: str = ""
    slot_time: float = 0.0
    slot_generation: int = 0
    cancelled: bool = False
    reported: bool = False
    start_asked: bool = False
    """Whether a start was sent to the database, answered or not."""
    started: bool = False
    """Whether it is `running` and on the books; then it only needs a start time that is not missed."""
    arrival: int = 0
    misses: int = 0
    """Start times that came and went."""

    @property
    def is_urgent(self) -> bool:
        """Whether it starts before others."""
        return self.lease.urgent


@dataclass(frozen=True, slots=True)
class LaneDoors:
    """What a lane needs of its engine: the books, the calls, and how many more calls the process may take."""

    start: Callable[[Sequence[Start]], Awaitable[set[UUID]]]
    """Answers with the attempts that are on the books now and may be called."""
    call: Callable[[LaneJob], Coroutine[None, None, None]]
    free_calls: Callable[[], int]
    left: Callable[[LaneJob], None]
    """The job no longer waits here: it is being called, or it was taken away."""
    granted: Callable[[Grant], None]


class Lane:
    """Runs on the engine's loop. Jobs leave in order of arrival; those handed back by a missed slot go first again."""

    def __init__(
        self, pool: str, worker: str, limiter: RedisLimiter, doors: LaneDoors, *, heartbeat_seconds: float
    ) -> None:
        """`heartbeat_seconds`: how often the limiter must hear of calls in flight, or it takes them for lost."""
        self.pool = pool
        self.waiting: deque[LaneJob] = deque()
        self._arrivals = 0
        self._asking = 0
        self._starting = 0
        self._worker = worker
        self._limiter = limiter
        self._doors = doors
        self._heartbeat_seconds = heartbeat_seconds
        self._granted: list[tuple[float, int, LaneJob]] = []
        self._grants = 0
        self._settled: list[Settled] = []
        self._rejected: list[Rejected] = []
        self._wake = asyncio.Event()
        self._ask_at = 0.0
        self._report_at = 0.0
        self._tasks: set[asyncio.Task[None]] = set()
        self._start_ahead = _START_AHEAD_SECONDS
        self._start_seconds = 0.0
        self._announced: tuple[float, ...] = ()
        self._ticking = False
        self._generation = 0
        self._server_clock = ServerClock()

    def add(self, jobs: Sequence[LaneJob]) -> None:
        """Queue jobs for start times; urgent ones before all that are not."""
        urgent = any(job.lease.urgent for job in jobs)
        for job in jobs:
            self._arrivals += 1
            job.arrival = self._arrivals - (_BEFORE_OTHERS if job.lease.urgent else 0)
        if urgent:
            self._return_to_head([displaced for job in jobs if (displaced := self._overtake(job)) is not None])
            return
        self.waiting.extend(jobs)
        self._wake.set()

    def _overtake(self, job: LaneJob) -> LaneJob | None:
        """Give an urgent job the earliest start time that another has, if one will do. Returns who has none now."""
        index = slot_to_take(self._granted, job)
        if index is None:
            return job
        at, _, other = self._granted[index]
        job.slot_id, job.slot_time, job.cost = other.slot_id, other.slot_time, other.cost
        job.slot_generation = other.slot_generation
        self._grants += 1
        self._granted[index] = (at, self._grants, job)
        heapq.heapify(self._granted)
        return other

    def again(self, job: LaneJob) -> None:
        """A started job missed its start time: it gets another before all others."""
        job.reported = False
        job.misses += 1
        self._return_to_head([job])

    def find(self, job_ids: Collection[UUID]) -> list[LaneJob]:
        """Jobs here that wait for a start time or for it to come."""
        here = [*self.waiting, *(entry[2] for entry in self._granted)]
        return [job for job in here if job.job.id in job_ids]

    def report(self, settled: Settled | None = None, rejected: Rejected | None = None) -> None:
        """Tell the limiter with the next tick how a call ended. The slot is free from now on."""
        if settled is not None:
            self._settled.append(settled)
            if settled.headers is not None and (limits := _announced(settled.headers)) != self._announced:
                self._announced = limits
                self._report_at = 0.0
        if rejected is not None:
            self._rejected.append(rejected)
            if rejected.retry_after > 0:
                # As with limits that changed: every other process should hold back now, not in a fifth of a second.
                self._report_at = 0.0
        self._wake.set()

    def wake(self) -> None:
        """Look again: calls became free."""
        self._wake.set()

    def take_waiting(self, leases: Collection[UUID] | None = None) -> list[LaneJob]:
        """Everything not yet being started, of these leases or of all, slots given back: to be handed back.

        Jobs that the limiter is just being asked for are not among them: look again while the lane is `busy`.
        """

        def wanted(job: LaneJob) -> bool:
            return leases is None or job.lease.id in leases

        jobs = [job for job in self.waiting if wanted(job)]
        self.waiting = deque(job for job in self.waiting if not wanted(job))
        granted = [entry[2] for entry in self._granted if wanted(entry[2])]
        self._granted = [entry for entry in self._granted if not wanted(entry[2])]
        heapq.heapify(self._granted)
        for job in granted:
            self._give_back_slot(job)
        return jobs + granted

    @property
    def ahead(self) -> int:
        """Jobs that have a start time, or are being given one, and are not being called yet."""
        return self._asking + self._starting + len(self._granted)

    @property
    def busy(self) -> bool:
        """Whether anything is being asked for, started or called."""
        return bool(self._tasks) or self._asking > 0

    @property
    def idle(self) -> bool:
        """Whether no job waits, starts, or has a start time here, and all is reported."""
        return not (self.waiting or self._granted or self.busy or self._settled or self._rejected)

    async def run(self) -> None:
        """For ever; cancel the task to end it."""
        loop = asyncio.get_running_loop()
        while True:
            now = loop.time()
            self._start_due(now)
            if self._should_tick(now):
                # Beside the loop: an answer that takes long must not make late what has its start time.
                self._ticking = True
                self._spawn(self._tick(loop))
            self._wake.clear()
            try:
                async with asyncio.timeout(max(0.0, self._next_event() - now)):
                    await self._wake.wait()
            except TimeoutError:
                pass

    def _should_tick(self, now: float) -> bool:
        if self._ticking:
            return False
        if self._can_ask() and now >= self._ask_at:
            return True
        reports = bool(self._settled or self._rejected)
        return now >= self._report_at and (reports or now >= self._report_at + self._heartbeat_seconds)

    def _can_ask(self) -> bool:
        return bool(self.waiting) and self._doors.free_calls() > 0

    def _next_event(self) -> float:
        times = [math.inf]
        if not self._ticking:
            times.append(self._report_at + (0.0 if self._settled or self._rejected else self._heartbeat_seconds))
            if self._can_ask():
                times.append(self._ask_at)
        if self._granted:
            times.append(self._granted[0][0] - self._start_ahead)
        return min(times)

    async def _tick(self, loop: asyncio.AbstractEventLoop) -> None:
        may_ask = loop.time() >= self._ask_at
        count = min(_ASK_AT_MOST, self._doors.free_calls(), len(self.waiting)) if may_ask else 0
        asked = [self.waiting.popleft() for _ in range(max(0, count))]
        self._asking = len(asked)
        settled, self._settled = self._settled, []
        rejected, self._rejected = self._rejected, []
        sent = loop.time()
        try:
            grant = await self._limiter.tick(
                self.pool, self._worker, settled=settled, rejected=rejected, acquire=[job.cost for job in asked]
            )
        except Exception as error:  # noqa: BLE001  whatever it is, a lane that ends would keep its jobs for ever
            self._tick_failed(asked, error, loop.time())
            return
        finally:
            self._asking, self._ticking = 0, False
            self._wake.set()
        received = loop.time()
        answered = self._server_clock.answered_at(server=grant.server_seconds, sent=sent, received=received)
        self._take_grant(grant, asked, answered)

    def _tick_failed(self, asked: Sequence[LaneJob], error: Exception, now: float) -> None:
        """The limiter object keeps what it was told and tells it again: only the jobs are ours to keep."""
        # A limiter without state reads the books, so the database may be what is down.
        if isinstance(error, RedisError | OSError | SQLAlchemyError | Unavailable):
            _log.warning("limiter.unavailable", extra={"pool": self.pool, "error": str(error)})
        else:
            _log.error("limiter.bug", exc_info=error, extra={"pool": self.pool})
        self._return_to_head(asked)
        self._ask_at = self._report_at = now + _RETRY_SECONDS

    def _take_grant(self, grant: Grant, asked: Sequence[LaneJob], now: float) -> None:
        """`now` is when the limiter answered, which may have been a while ago."""
        for job, offset, slot_id in zip(asked, grant.slots, grant.slot_ids, strict=False):
            job.slot_id, job.slot_time, job.slot_generation = slot_id, now + offset, grant.generation
            self._grants += 1
            heapq.heappush(self._granted, (job.slot_time, self._grants, job))
        refused = asked[len(grant.slots) :]
        if refused and any(job.lease.urgent for job in self.waiting):
            # Urgent ones that came meanwhile go before those that were asked for.
            self._return_to_head(refused)
        else:
            self.waiting.extendleft(reversed(refused))
        self._report_at = now + _REPORT_SECONDS
        if asked:
            # With many waiting, larger groups are cheaper; with few, none should wait for company.
            pause = _ASK_SECONDS_IN_BULK if len(self.waiting) > _BULK_WAITING else _ASK_SECONDS
            self._ask_at = now + max(pause, grant.poll_after if refused else 0.0)
        if grant.paused_for > 0:
            self._give_back(lambda job: job.slot_time < now + grant.paused_for)
        if grant.generation != self._generation:
            self._generation = grant.generation
            self._give_back(self.is_void)
        self._doors.granted(grant)

    def is_void(self, job: LaneJob) -> bool:
        """Whether its start time was granted by a limit that has fallen since."""
        return job.slot_generation != self._generation

    def _give_back(self, void: Callable[[LaneJob], bool]) -> None:
        """Start times that must not be used: of a pool that stands still, or by a limit that fell."""
        stopped = [entry[2] for entry in self._granted if void(entry[2])]
        if stopped:
            self._granted = [entry for entry in self._granted if not void(entry[2])]
            heapq.heapify(self._granted)
            for job in stopped:
                self._give_back_slot(job)
            self._return_to_head(stopped)

    def _start_due(self, now: float) -> None:
        """Start what is due, and with it what is due soon: at a steady pace every job would be a transaction else."""
        if not self._granted or self._granted[0][0] > now + self._start_ahead:
            return
        until = now + self._start_ahead + _START_TOGETHER_SECONDS
        due: list[LaneJob] = []
        while self._granted and self._granted[0][0] <= until:
            due.append(heapq.heappop(self._granted)[2])
        self._spawn(self._start(due))

    async def _start(self, jobs: Sequence[LaneJob]) -> None:
        for job in jobs:
            if job.started:
                self._spawn(self._doors.call(job))
        jobs = [job for job in jobs if not job.started]
        if not jobs:
            return
        for job in jobs:
            job.start_asked = True
        self._starting += len(jobs)
        began = asyncio.get_running_loop().time()
        try:
            started = await self._doors.start([Start(j.job.id, j.lease.id, j.attempt_id) for j in jobs])
        except SQLAlchemyError as error:
            _log.warning("start.retrying", extra={"pool": self.pool, "jobs": len(jobs), "error": str(error)})
            await asyncio.sleep(_RETRY_SECONDS)
            for job in jobs:
                self._give_back_slot(job)
            self._return_to_head(jobs)
            return
        finally:
            self._starting -= len(jobs)
            self._start_took(asyncio.get_running_loop().time() - began)
        for job in jobs:
            if job.attempt_id in started:
                job.started = True
                self._spawn(self._doors.call(job))
            else:
                self._give_back_slot(job)
            self._doors.left(job)

    def _start_took(self, seconds: float) -> None:
        """A slow database is asked earlier."""
        self._start_seconds = max(seconds, 0.9 * self._start_seconds)
        self._start_ahead = min(_START_AHEAD_MOST_SECONDS, max(_START_AHEAD_SECONDS, 1.5 * self._start_seconds))

    def _return_to_head(self, jobs: Sequence[LaneJob]) -> None:
        # Several starts may have failed together, and come back in any order.
        self.waiting = deque(sorted([*jobs, *self.waiting], key=lambda job: job.arrival))
        self._wake.set()

    def _give_back_slot(self, job: LaneJob) -> None:
        self.report(rejected=Rejected(job.slot_id, job.cost, 0.0))

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._finished)

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("lane.task_failed", exc_info=error, extra={"pool": self.pool})


def _announced(headers: QuotaHeaders) -> tuple[float, ...]:
    return tuple(quota.limit for quota in (headers.requests, headers.tokens, headers.images) if quota is not None)


def slot_expired(job: LaneJob, now: float, *, spacing: float) -> bool:
    """Whether the start time is so long past that the call would come out of turn. `spacing`: the job's own share of
    the pool's time, in seconds."""
    valid = max(_LATE_SECONDS, min(spacing / 4, 1.0)) * 2.0 ** min(job.misses, 10)
    return now > job.slot_time + min(valid, _LATE_MOST_SECONDS)
