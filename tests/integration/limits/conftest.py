"""A limiter on the real server, with a clock that the test moves."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field

import pytest
import redis
import redis.asyncio

from pressroom.limits.costs import Cost
from pressroom.limits.pool_limits import PoolLimits
from pressroom.limits.redis_limiter import LimiterAdmin, RedisLimiter


@dataclass
class Clock:
    """Microseconds, moved by hand."""

    us: int = 1_790_000_000_000_000

    def __call__(self) -> int:
        return self.us

    def pass_(self, seconds: float) -> None:
        self.us += int(seconds * 1e6)


@dataclass
class Facts:
    """What a pool's owner knows of it, as the limiter asks for it."""

    limits: PoolLimits = field(default_factory=PoolLimits)
    running: int = 0
    epoch: str | None = None
    used: Cost = field(default_factory=lambda: Cost(0))
    asked: int = 0

    async def limits_for(self, pool: str) -> PoolLimits:
        self.asked += 1
        return self.limits

    async def running_for(self, pool: str) -> int:
        return self.running

    async def epoch_for(self, pool: str) -> str | None:
        return self.epoch

    async def day_used_for(self, pool: str) -> Cost:
        return self.used


@dataclass
class Bench:
    """Makes limiters (one stands for one worker process) and runs what uses them."""

    url: str
    clock: Clock = field(default_factory=Clock)
    facts: Facts = field(default_factory=Facts)

    def run(self, body: Callable[..., Awaitable[None]], *, limiters: int = 1) -> None:
        """Call `body` with that many limiters, each on a connection of its own."""

        async def inside() -> None:
            clients = [redis.asyncio.Redis.from_url(self.url) for _ in range(limiters)]
            try:
                await body(*(self._limiter(client) for client in clients))
            finally:
                for client in clients:
                    await client.aclose()

        asyncio.run(inside())

    def _limiter(self, client: redis.asyncio.Redis) -> RedisLimiter:
        return RedisLimiter(
            client,
            limits_for=self.facts.limits_for,
            running_for=self.facts.running_for,
            epoch_for=self.facts.epoch_for,
            day_used_for=self.facts.day_used_for,
            clock_us=self.clock,
        )


@pytest.fixture
def bench(redis_url: str) -> Bench:
    return Bench(redis_url)


@pytest.fixture
def server(redis_url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(redis_url) as client:
        yield client


@pytest.fixture
def admin(server: redis.Redis) -> LimiterAdmin:
    return LimiterAdmin(server)
