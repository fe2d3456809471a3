"""Strategies for the simulation: the real script in the loop, and what people use instead."""

from __future__ import annotations

import random
from collections import deque
from functools import partial
from typing import Any

import redis

from benchmarks.limiter_provider import Bucket, Refusal
from benchmarks.limiter_world import TENANTS, Job, World
from pressroom.limits.book import WorkerBook
from pressroom.limits.commands import Keys, TickRequest, init_steps, tick_steps
from pressroom.limits.costs import Cost
from pressroom.limits.headers import QuotaHeaders
from pressroom.limits.messages import Grant, Rejected, Settled
from pressroom.limits.pool_limits import PoolLimits
from pressroom.limits.scripts import Steps, T, drive

GROUP = 64
PERIOD_SECONDS = 0.2
START_US = 1_790_000_000_000_000


class Estimator:
    """A tenant's ratio of true tokens to characters / 4: what a worker learns by itself."""

    def __init__(self, *, reserves_max_tokens: bool) -> None:
        self._ratio = [1.25] * TENANTS
        self._reserves = reserves_max_tokens

    def estimate(self, job: Job) -> Cost:
        if self._reserves:
            return job.charged
        return Cost(1, job.raw_tokens * self._ratio[job.tenant], job.true.images)

    def learn(self, job: Job) -> None:
        ratio = self._ratio[job.tenant]
        self._ratio[job.tenant] = ratio + 0.02 * (job.true.tokens / job.raw_tokens - ratio)


class ScriptClient:
    """Workers that share the limiter: the Lua scripts on a real server, with the simulation's clock."""

    def __init__(self, world: World, connection: redis.Redis, limits: PoolLimits, *, name: str) -> None:
        self._world, self._connection, self._limits = world, connection, limits
        self.keys = Keys.of("simulation:", name)
        self._drive(init_steps(self.keys, limits, running=0, lost=False, clock_us=self._clock()))
        scenario = world.scenario
        self._estimator = Estimator(reserves_max_tokens=scenario.limits.reserves_max_tokens)
        self._books = [WorkerBook() for _ in range(scenario.workers)]
        self._local: list[deque[Job]] = [deque() for _ in range(scenario.workers)]
        self._slots: dict[int, tuple[str, Cost]] = {}
        self._ahead: list[dict[str, Job]] = [{} for _ in range(scenario.workers)]
        self._reports: list[tuple[list[Settled], list[Rejected]]] = [([], []) for _ in range(scenario.workers)]
        self._waking = [False] * scenario.workers
        self._paused_until = [0.0] * scenario.workers
        self._generations = [0] * scenario.workers
        self._announced: list[tuple[float, ...]] = [()] * scenario.workers

    def lose_state(self) -> None:
        """What FLUSHALL does."""
        self._connection.delete(*self.keys.all())

    def wake(self, worker: int) -> None:
        if not self._waking[worker]:
            self._waking[worker] = True
            delay = self._world.net.uniform(0, PERIOD_SECONDS)
            self._world.at(self._world.now + delay, partial(self._cycle, worker))

    def done(self, worker: int, job: Job, headers: QuotaHeaders) -> None:
        self._estimator.learn(job)
        slot_id, estimate = self._slots.pop(id(job))
        self._reports[worker][0].append(Settled(slot_id, estimate, job.true, headers))
        self._world.free[worker] += 1
        self.wake(worker)
        limits = tuple(quota.limit for quota in headers.units() if quota is not None)
        if limits != self._announced[worker]:
            self._announced[worker] = limits
            self._tick(worker, [])

    def refused(self, worker: int, job: Job, refusal: Refusal, headers: QuotaHeaders) -> None:
        slot_id, estimate = self._slots.pop(id(job))
        self._reports[worker][1].append(Rejected(slot_id, estimate, refusal.retry_after, refusal.dimension, headers))
        self._back(worker, job)
        self._tick(worker, [])  # at once: every call sent before the others know is one more refused

    def _back(self, worker: int, job: Job) -> None:
        self._local[worker].appendleft(job)
        self._world.free[worker] += 1
        self.wake(worker)

    def _cycle(self, worker: int) -> None:
        world = self._world
        self._waking[worker] = False
        jobs = self._pick(worker, min(GROUP, world.free[worker])) if world.up[worker] else []
        grant = self._tick(worker, [self._estimator.estimate(job) for job in jobs])
        self._paused_until[worker] = world.now + grant.paused_for
        for job, slot, slot_id in zip(jobs, grant.slots, grant.slot_ids, strict=False):
            world.free[worker] -= 1
            self._slots[id(job)] = (slot_id, self._estimator.estimate(job))
            self._ahead[worker][slot_id] = job
            world.at(world.now + slot + 0.001, partial(self._start, worker, slot_id))
        left = jobs[len(grant.slots) :]
        self._local[worker].extendleft(reversed(left))
        if (left or (jobs and world.free[worker])) and not self._waking[worker]:
            self._waking[worker] = True
            again = max(PERIOD_SECONDS, grant.poll_after) + world.net.uniform(0, 0.01)
            world.at(world.now + again, partial(self._cycle, worker))

    def _start(self, worker: int, slot_id: str) -> None:
        job = self._ahead[worker].pop(slot_id, None)
        if job is None:
            return
        if self._paused_until[worker] > self._world.now:
            self._give_back(worker, job)
        else:
            self._world.send(worker, job)

    def _give_back(self, worker: int, job: Job) -> None:
        slot_id, estimate = self._slots.pop(id(job))
        self._reports[worker][1].append(Rejected(slot_id, estimate, 0.0))
        self._back(worker, job)

    def _recall(self, worker: int, generation: int) -> None:
        """A limit fell: what has a start time by the old one, and is still here, asks again."""
        if generation == self._generations[worker]:
            return
        self._generations[worker] = generation
        void, self._ahead[worker] = self._ahead[worker], {}
        for job in reversed(void.values()):
            self._give_back(worker, job)

    def _pick(self, worker: int, count: int) -> list[Job]:
        jobs: list[Job] = []
        local = self._local[worker]
        while len(jobs) < count:
            job = local.popleft() if local else self._world.next_job()
            if job is None:
                break
            jobs.append(job)
        return jobs

    def _tick(self, worker: int, costs: list[Cost]) -> Grant:
        book = self._books[worker]
        book.report(*self._reports[worker])
        self._reports[worker] = ([], [])
        self._world.counts.ticks += self._world.measured
        while True:
            request = TickRequest(f"w{worker}", book.held, book.settled, book.rejected, costs)
            reply = self._drive(tick_steps(self.keys, request, self._clock()))
            if reply is not None:
                self._recall(worker, reply.generation)
                return book.answered(reply, costs)
            running = len(self._slots)
            self._drive(init_steps(self.keys, self._limits, running=running, lost=True, clock_us=self._clock()))

    def _clock(self) -> str:
        return str(START_US + int(self._world.now * 1e6))

    def _drive(self, steps: Steps[T]) -> T:
        return drive(steps, self._connection.execute_command)


class BackoffClient:
    """No limiter: a call answered 429 sleeps 1..60 s, doubling at random, and holds its place meanwhile."""

    attempts = 6

    def __init__(self, world: World, **_: Any) -> None:
        self._world, self._tries = world, dict[int, int]()

    def wake(self, worker: int) -> None:
        world = self._world
        while world.up[worker] and world.free[worker] and (job := world.next_job()):
            world.free[worker] -= 1
            world.send(worker, job)

    def done(self, worker: int, job: Job, headers: QuotaHeaders) -> None:
        self._free(worker, job)

    def refused(self, worker: int, job: Job, refusal: Refusal, headers: QuotaHeaders) -> None:
        world = self._world
        tries = self._tries[id(job)] = self._tries.get(id(job), 0) + 1
        if tries >= self.attempts:
            world.counts.lost += world.measured
            self._free(worker, job)
            return
        delay = max(1.0, world.net.uniform(0, min(60.0, 2.0 ** (tries - 1))))
        world.at(world.now + delay, partial(world.send, worker, job))

    def _free(self, worker: int, job: Job) -> None:
        self._tries.pop(id(job), None)
        self._world.free[worker] += 1
        self.wake(worker)


class SplitClient(BackoffClient):
    """Each worker has its own smooth bucket of an equal share of the quota (0.1 s of burst) and waits for it."""

    def __init__(self, world: World, **_: Any) -> None:
        super().__init__(world)
        limits, workers = world.scenario.limits, world.scenario.workers
        rates = [(limit or 1e15) / 60 / workers for limit in (limits.rpm, limits.tpm, limits.ipm)]
        self._buckets = [[Bucket(rate, max(1.0, rate * 0.1)) for rate in rates] for _ in range(workers)]
        self._heads: list[Job | None] = [None] * workers
        self._sleeping = [False] * workers
        self._estimator = Estimator(reserves_max_tokens=limits.reserves_max_tokens)
        self._rng = random.Random(0)

    def wake(self, worker: int) -> None:
        world = self._world
        while world.up[worker] and world.free[worker] and not self._sleeping[worker]:
            job = self._heads[worker] or world.next_job()
            self._heads[worker] = job
            if job is None:
                return
            needs = list(zip(self._buckets[worker], self._estimator.estimate(job).units(), strict=True))
            wait = max(bucket.wait(world.now, units) for bucket, units in needs)
            if wait > 1e-9:
                self._sleeping[worker] = True
                world.at(world.now + wait + 1e-6, partial(self._resume, worker))
                return
            for bucket, units in needs:
                bucket.take(world.now, units)
            self._heads[worker] = None
            world.free[worker] -= 1
            world.send(worker, job)

    def done(self, worker: int, job: Job, headers: QuotaHeaders) -> None:
        self._estimator.learn(job)
        super().done(worker, job, headers)

    def refused(self, worker: int, job: Job, refusal: Refusal, headers: QuotaHeaders) -> None:
        again = self._world.now + refusal.retry_after + self._rng.random()
        self._world.at(again, partial(self._world.send, worker, job))

    def _resume(self, worker: int) -> None:
        self._sleeping[worker] = False
        self.wake(worker)
