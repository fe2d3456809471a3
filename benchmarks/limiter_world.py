"""The simulated world around a limiter: jobs, workers, the network, and what is measured.

Workers differ as in life: one is three times slower, one is down for the middle third of a run. Estimates are wrong
by a tenant's bias (1.0-1.5, unknown to the client) and noise; between a call's start and its arrival lies a jitter of
30 ms median, 150 ms at the 99th percentile.
"""

from __future__ import annotations

import heapq
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from benchmarks.limiter_provider import Limits, Provider, Refusal
from pressroom.limits.costs import Cost
from pressroom.limits.headers import QuotaHeaders

TENANTS = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """One world. Utilization is measured from `warm_seconds` to `seconds`."""

    name: str
    limits: Limits
    seconds: float = 300.0
    warm_seconds: float = 30.0
    workers: int = 8
    concurrency: int = 100
    mean_tokens: float = 1000.0
    images: int = 0
    """Images a job makes; with `image_share` below 1 the other jobs are text and make none."""
    image_share: float = 1.0
    latency: float = 1.0
    load: float | None = None
    """Arrivals as a share of capacity, in bursts; None: there is always work."""
    outage: bool = True
    seed: int = 1
    batch: int | None = None
    """So many jobs, all there at the start, instead of work without end; the run ends with the last of them."""
    exact: bool = False
    """Every job takes `mean_tokens`, and the client knows; latency is then between 0.8 and 1.2 times `latency`."""
    foreign: tuple[float, float, float] | None = None
    """Somebody else on the account, from and until (seconds), and the share of the limits they ask for."""
    changes: tuple[tuple[float, float], ...] = ()
    """When the provider changes the limits, and by which factor."""


@dataclass(slots=True)
class Job:
    """One call to be made; `true` is its cost, `charged` what the provider charges at admission."""

    tenant: int
    true: Cost
    charged: Cost
    raw_tokens: float
    """What characters / 4 suggest."""
    arrived: float


class Client(Protocol):
    """A strategy under test: told when to look for work and what became of its calls."""

    def wake(self, worker: int) -> None:
        """There may be something to do."""

    def done(self, worker: int, job: Job, headers: QuotaHeaders) -> None:
        """The call succeeded."""

    def refused(self, worker: int, job: Job, refusal: Refusal, headers: QuotaHeaders) -> None:
        """The call was answered 429."""


@dataclass(slots=True)
class Counts:
    """What was measured after the warm-up."""

    admitted: int = 0
    refused: int = 0
    lost: int = 0
    ticks: int = 0
    units: list[float] = field(default_factory=lambda: [0.0, 0.0, 0.0])
    delays: list[float] = field(default_factory=list)
    busy_seconds: float = 0.0
    """Sum of the calls' latencies."""
    refusals: int = 0
    """429s of the whole run, warm-up included."""
    unavoidable: int = 0
    """429s after the warm-up, of calls that left before any worker could know of the limits that refused them."""
    ended: float = 0.0
    """When the last call came back."""


class World:
    """Runs one scenario. `client` must be set before `run`."""

    client: Client

    def __init__(self, scenario: Scenario) -> None:
        self.scenario, self.provider, self.counts = scenario, Provider(scenario.limits), Counts()
        self.now = 0.0
        self.free = [scenario.concurrency] * scenario.workers
        self.up = [True] * scenario.workers
        self.backlog: deque[Job] = deque()
        self.jobs, self.net = random.Random(scenario.seed), random.Random(scenario.seed + 7)
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._number = 0
        self._left, self._completed = scenario.batch, 0
        self._factor, self._factor_seconds, self._since = 1.0, 0.0, scenario.warm_seconds
        self._heard: float | None = 0.0
        self._rise, self._unknown_seconds = 0.0, 0.0
        self._bias = [1.0 + 0.5 * self.jobs.random() for _ in range(TENANTS)]

    def at(self, when: float, action: Callable[[], None]) -> None:
        """Do `action` at `when`."""
        self._number += 1
        heapq.heappush(self._events, (when, self._number, action))

    def run(self) -> Counts:
        """Run to the end and return what was measured."""
        scenario = self.scenario
        if scenario.outage and scenario.workers > 7:
            self.at(scenario.seconds / 3, lambda: self._set_up(7, up=False))
            self.at(scenario.seconds * 2 / 3, lambda: self._set_up(7, up=True))
        if scenario.load is not None:
            self.at(0.0, self._arrival)
        if scenario.foreign is not None:
            self.at(scenario.foreign[0], self._foreign_arrival)
        for when, factor in scenario.changes:
            self.at(when, lambda factor=factor: self._change(factor))  # type: ignore[misc]
        for worker in range(scenario.workers):
            self.at(0.001 * worker, lambda w=worker: self.client.wake(w))  # type: ignore[misc]
        while self._events and self._events[0][0] <= scenario.seconds and not self._batch_done:
            self.now, _, action = heapq.heappop(self._events)
            action()
        return self.counts

    @property
    def _batch_done(self) -> bool:
        return self._left == 0 and not self.backlog and self.counts.admitted == self.scenario.batch == self._completed

    @property
    def measured(self) -> bool:
        """Whether the warm-up is over."""
        return self.now >= self.scenario.warm_seconds

    def next_job(self) -> Job | None:
        """The head of the backlog, or a new job where work never ends."""
        if self.backlog:
            return self.backlog.popleft()
        if self._left is not None:
            if self._left == 0:
                return None
            self._left -= 1
        return self._new_job() if self.scenario.load is None else None

    def send(self, worker: int, job: Job) -> None:
        """Call the provider; the client hears of it through `done` or `refused`."""
        left = self.now
        self.at(self.now + self._jitter(), lambda: self._arrives(worker, job, left))

    def utilization(self, *, known: bool = False) -> float:
        """Share of the binding dimension's quota used; `known`: without what no answer had told of yet."""
        limits, seconds = self.scenario.limits, self.scenario.seconds - self.scenario.warm_seconds
        per_minute = (limits.rpm, limits.tpm, limits.ipm)
        used = [a + b for a, b in zip(self.counts.units, self.provider.foreign_units, strict=True)]
        whole = self._factor_seconds + self._factor * (self.scenario.seconds - self._since)
        whole -= self._unknown_seconds if known else 0.0
        shares = [u * 60 / limit / whole for u, limit in zip(used, per_minute, strict=True) if limit]
        if limits.rpd:
            shares.append(self.counts.units[0] / (limits.rpd * (1 + seconds / 86400)))
        if limits.concurrency:
            shares.append(self.counts.busy_seconds / limits.concurrency / seconds)
        return max(shares)

    def _new_job(self) -> Job:
        scenario, rng = self.scenario, self.jobs
        tenant = rng.randrange(TENANTS)
        if scenario.exact:
            cost = Cost(1, scenario.mean_tokens, scenario.images)
            return Job(tenant, cost, cost, scenario.mean_tokens / 1.25, self.now)
        total = max(2.0, min(scenario.mean_tokens * rng.lognormvariate(-0.18, 0.6), 12 * scenario.mean_tokens))
        images = scenario.images if scenario.images and rng.random() < scenario.image_share else 0
        charged = 1.4 * total if scenario.limits.reserves_max_tokens else total
        raw = total / (self._bias[tenant] * rng.lognormvariate(0, 0.25))
        return Job(tenant, Cost(1, total, images), Cost(1, charged, images), raw, self.now)

    def _arrival(self) -> None:
        assert self.scenario.load is not None
        limits = self.scenario.limits
        capacity = min((limits.rpm or 1e9) / 60, (limits.tpm or 1e12) / 60 / self.scenario.mean_tokens)
        self.backlog.append(self._new_job())
        busy = 2.0 if self.now % 10 < 2 else 0.75
        gap = self.jobs.expovariate(self.scenario.load * capacity * busy)
        self.at(self.now + gap, self._arrival)
        self.client.wake(self.net.randrange(self.scenario.workers))

    def _foreign_arrival(self) -> None:
        assert self.scenario.foreign is not None
        _, until, share = self.scenario.foreign
        limits, tokens = self.scenario.limits, self.scenario.mean_tokens
        capacity = min((limits.rpm or 1e9) / 60, (limits.tpm or 1e12) / 60 / tokens)
        self.provider.arrive_foreign(self.now, Cost(1, tokens))
        gap = self.net.expovariate(share * capacity)
        if self.now + gap < until:
            self.at(self.now + gap, self._foreign_arrival)

    def _change(self, factor: float) -> None:
        self.provider.scale(self.now, factor / self._factor)
        self._factor_seconds += self._factor * (self.now - self._since)
        self._rise = factor - self._factor
        self._factor, self._since = factor, self.now
        self._heard = None

    def _set_up(self, worker: int, *, up: bool) -> None:
        self.up[worker] = up
        if up:
            self.client.wake(worker)

    def _jitter(self) -> float:
        jitter = 0.030 * self.net.lognormvariate(0, 0.7)
        return jitter + 0.2 * self.net.random() if self.net.random() < 0.001 else jitter

    def _arrives(self, worker: int, job: Job, left: float) -> None:
        since = self._since
        refusal = self.provider.arrive(self.now, job.charged)
        if refusal is not None:
            self.counts.refused += self.measured
            self.counts.refusals += 1
            self.counts.unavoidable += self.measured and (self._heard is None or left < self._heard)
            back, seen = self.now + 0.02 + self._jitter(), self.provider.headers(self.now)
            self.at(back, lambda: self._refused(worker, job, refusal, since=since, headers=seen))
            return
        if self.measured:
            self.counts.admitted += 1
            self.counts.delays.append(self.now - job.arrived)
            self.counts.units = [a + b for a, b in zip(self.counts.units, job.true.units(), strict=True)]
        headers = self.provider.headers(self.now)
        if self.scenario.exact:
            latency = self.scenario.latency * self.net.uniform(0.8, 1.2)
        else:
            scale = (0.8 + 2.0 * job.true.tokens / self.scenario.mean_tokens) * (3.0 if worker == 6 else 1.0)
            latency = scale * self.net.lognormvariate(-0.08, 0.4) * self.scenario.latency
        self.counts.busy_seconds += latency * self.measured
        self.at(self.now + latency, lambda: self._completes(worker, job, since, headers))

    def _refused(self, worker: int, job: Job, refusal: Refusal, *, since: float, headers: QuotaHeaders) -> None:
        self._hear(since)
        self.client.refused(worker, job, refusal, headers)

    def _hear(self, since: float) -> None:
        """An answer under the limits that hold since then has come back."""
        if self._heard is None and since == self._since:
            self._heard = self.now
            self._unknown_seconds += max(0.0, self._rise) * (self.now - since)

    def _completes(self, worker: int, job: Job, since: float, headers: QuotaHeaders) -> None:
        self._hear(since)
        self._completed += 1
        self.counts.ended = self.now
        self.provider.complete(self.now, job.charged, job.true)
        self.client.done(worker, job, headers)
