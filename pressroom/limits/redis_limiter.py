"""The limiter that workers share, and its operator's view. docs/limiter.md explains the algorithm in tick.lua."""

from __future__ import annotations

import secrets
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence

import redis
import redis.asyncio

from pressroom.errors import QueueUnavailable
from pressroom.limits import commands
from pressroom.limits.book import WorkerBook
from pressroom.limits.commands import LEASE_SECONDS, Keys, TickRequest
from pressroom.limits.costs import Cost
from pressroom.limits.messages import Grant, PoolStatus, Rejected, Settled
from pressroom.limits.pool_limits import PoolLimits
from pressroom.limits.scripts import Steps, T, adrive, drive

DEFAULT_PREFIX = "pressroom:"
ACQUIRE_MAX = 128
_STARTS = 3


class LimiterStateLost(QueueUnavailable):
    """The pool's state vanished again and again while it was being made."""


class RedisLimiter:
    """One account of quota per pool, shared by every process that ticks the same Redis.

    `limits_for` and `running_for` (calls in flight by the durable record) are asked only when a pool has no state.
    `epoch_for` gives the epoch last seen for the pool, from durable storage: with one, missing state means *lost*
    state and the pool starts at half rate; with none it is a new pool and starts at full rate. Store `Grant.epoch`
    when it changes. `day_used_for` gives what the last 24 h used, for daily limits. Nothing connects before the
    first call. Errors of Redis pass through; reports handed over are kept and delivered with the next tick.
    """

    def __init__(
        self,
        client: redis.asyncio.Redis,
        *,
        limits_for: Callable[[str], Awaitable[PoolLimits]],
        running_for: Callable[[str], Awaitable[int]],
        epoch_for: Callable[[str], Awaitable[str | None]] | None = None,
        day_used_for: Callable[[str], Awaitable[Cost]] | None = None,
        prefix: str = DEFAULT_PREFIX,
        lease_seconds: float = LEASE_SECONDS,
        clock_us: Callable[[], int] | None = None,
    ) -> None:
        """`lease_seconds`: a worker that holds calls must tick at least every third of it. `clock_us` is for tests."""
        self._client = client
        self._limits_for, self._running_for = limits_for, running_for
        self._epoch_for, self._day_used_for = epoch_for, day_used_for
        self._prefix, self._lease_seconds, self._clock_us = prefix, lease_seconds, clock_us
        self._books: defaultdict[tuple[str, str], WorkerBook] = defaultdict(WorkerBook)
        self._epochs: dict[str, str] = {}
        # A process that comes back under the same worker name must not inherit the numbering of the one before.
        self._incarnation = secrets.token_hex(4)

    async def tick(
        self,
        pool: str,
        worker: str,
        *,
        settled: Sequence[Settled] = (),
        rejected: Sequence[Rejected] = (),
        acquire: Sequence[Cost] = (),
    ) -> Grant:
        """Report what ended and ask for start times, in one round trip; at most the first 128 of `acquire`.

        An empty tick is a heartbeat. While `poll_after` lasts, tick to report but ask for nothing.
        """
        book = self._books[pool, worker]
        keys = Keys.of(self._prefix, pool)
        async with book.lock:
            book.report(settled, rejected)
            for _ in range(_STARTS):
                request = TickRequest(
                    worker=f"{worker}#{self._incarnation}",
                    held=book.held,
                    settled=book.settled,
                    rejected=book.rejected,
                    acquire=acquire[:ACQUIRE_MAX],
                    lease_seconds=self._lease_seconds,
                )
                reply = await self._run(commands.tick_steps(keys, request, self._clock()))
                if reply is not None:
                    self._epochs[pool] = reply.epoch
                    return book.answered(reply, acquire)
                await self._start(pool, keys)
        raise LimiterStateLost(
            f"limiter state of pool {pool!r} was lost {_STARTS} times in a row: is something flushing Redis, or is it "
            "evicting keys? Give the limiter a server with maxmemory-policy noeviction"
        )

    async def set_limits(self, pool: str, limits: PoolLimits) -> bool:
        """Use these limits from now on; False when the pool has no state (its first tick asks `limits_for`)."""
        return await self._run(commands.set_limits_steps(Keys.of(self._prefix, pool), limits, self._clock()))

    async def pause(self, pool: str, seconds: float | None, reason: str) -> None:
        """Grant nothing for `seconds`, or until `resume` when None."""
        await self._run(commands.pause_steps(Keys.of(self._prefix, pool), seconds, reason))

    async def resume(self, pool: str) -> bool:
        """Lift an operator's pause and a 429's; False when there was none."""
        return await self._run(commands.resume_steps(Keys.of(self._prefix, pool), self._clock()))

    async def status(self, pool: str) -> PoolStatus:
        """The pool now; reading changes nothing."""
        return await self._run(commands.status_steps(Keys.of(self._prefix, pool), pool, self._clock()))

    async def forget(self, pool: str) -> None:
        """Delete the pool's state, pause included; the next tick starts it afresh."""
        await self._run(commands.forget_steps(Keys.of(self._prefix, pool)))
        self._epochs.pop(pool, None)

    async def _start(self, pool: str, keys: Keys) -> None:
        known = self._epochs.get(pool)
        if known is None and self._epoch_for is not None:
            known = await self._epoch_for(pool)
        limits = await self._limits_for(pool)
        running = await self._running_for(pool)
        used = await self._day_used_for(pool) if self._day_used_for and (limits.rpd or limits.tpd) else None
        steps = commands.init_steps(
            keys,
            limits,
            running=running,
            lost=known is not None,
            day_used=used,
            lease_seconds=self._lease_seconds,
            clock_us=self._clock(),
        )
        await self._run(steps)

    def _clock(self) -> str:
        return "" if self._clock_us is None else str(self._clock_us())

    async def _run(self, steps: Steps[T]) -> T:
        return await adrive(steps, self._client.execute_command)


class LimiterAdmin:
    """The operator's side on a blocking client: read, change limits, pause. Grants nothing."""

    def __init__(self, client: redis.Redis, *, prefix: str = DEFAULT_PREFIX) -> None:
        self._client, self._prefix = client, prefix

    def status(self, pool: str) -> PoolStatus:
        """The pool now; reading changes nothing."""
        return self._run(commands.status_steps(self._keys(pool), pool))

    def set_limits(self, pool: str, limits: PoolLimits) -> bool:
        """Use these limits from now on; False when the pool has no state yet."""
        return self._run(commands.set_limits_steps(self._keys(pool), limits))

    def pause(self, pool: str, seconds: float | None, reason: str) -> None:
        """Grant nothing for `seconds`, or until `resume` when None."""
        self._run(commands.pause_steps(self._keys(pool), seconds, reason))

    def resume(self, pool: str) -> bool:
        """Lift an operator's pause and a 429's; False when there was none."""
        return self._run(commands.resume_steps(self._keys(pool)))

    def forget(self, pool: str) -> None:
        """Delete the pool's state, pause included."""
        self._run(commands.forget_steps(self._keys(pool)))

    def _keys(self, pool: str) -> Keys:
        return Keys.of(self._prefix, pool)

    def _run(self, steps: Steps[T]) -> T:
        return drive(steps, self._client.execute_command)
