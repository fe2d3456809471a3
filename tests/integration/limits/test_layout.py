"""What an upgrade finds in Redis: state of another layout is no state, and nobody has to flush it."""

from __future__ import annotations

import re

import redis

from pressroom.limits.commands import LAYOUT, Keys
from pressroom.limits.costs import Cost
from pressroom.limits.pool_limits import PoolLimits
from pressroom.limits.redis_limiter import LimiterAdmin, RedisLimiter
from tests.integration.limits.conftest import Bench

_FIELDS = {
    # layout: what init.lua makes of a pool with a limit, but for what only headers, refusals and settings add
    2: "R:rpm T:ipm T:rpd T:rpm T:tpd T:tpm a1 a2 a3 b:rpm base burst bz c:rpm cut e:rpm ep fh g:rpm "
    "gl gn granted gt ls m maxc mt pause pg pn poll pw rejected rx sR:rpm share sp t:rpm tT v:rpm vo w:rpm wT wb z:rpm",
}


def test_a_state_that_an_older_version_left_starts_the_pool_carefully(bench: Bench, server: redis.Redis) -> None:
    bench.facts.limits, bench.facts.epoch = PoolLimits(rpm=600, burst_seconds=0), "e1"
    keys = Keys.of("pressroom:", "p")
    # As the version before layouts had numbers kept it: neither generations nor probing.
    before: dict[str | bytes | int | float, str | int] = {
        "base": bench.clock.us - 10_000_000,
        "ep": "e1",
        "gt": 5,
        "pause": 0,
        "R:rpm": 10,
        "t:rpm": 400,
    }
    for name, value in before.items():
        server.hset("pressroom:lim:{p}:s", name, str(value))
    server.hset("pressroom:lim:{p}:w", "w#0", "3|7|99999|0")
    assert server.expire("pressroom:lim:{p}:s", 60)
    assert server.expire("pressroom:lim:{p}:w", 60)

    async def body(limiter: RedisLimiter) -> None:
        grant = await limiter.tick("p", "w", acquire=[Cost()] * 64)
        assert grant.slots[:2] == [0.0, 0.2], "at half rate, as after a flush"
        assert grant.epoch not in ("", "e1")

    bench.run(body)
    assert server.exists(keys.state, keys.workers) == 2
    assert server.hget("pressroom:lim:{p}:s", "t:rpm") == b"400", "a program of the version before may still use it"


def test_an_operators_pause_outlives_an_upgrade(bench: Bench, server: redis.Redis, admin: LimiterAdmin) -> None:
    server.set("pressroom:lim:{p}:p", "by hand", ex=60)

    async def body(limiter: RedisLimiter) -> None:
        assert not (await limiter.tick("p", "w", acquire=[Cost()])).slots

    bench.run(body)
    assert admin.status("p").stopped_reason == "by hand"


def test_who_changes_what_the_state_holds_raises_the_layout(bench: Bench, server: redis.Redis) -> None:
    bench.facts.limits = PoolLimits(rpm=600)

    async def body(limiter: RedisLimiter) -> None:
        assert (await limiter.tick("p", "w")).epoch

    bench.run(body)
    made = {str(name, "ascii") for name in server.hkeys(Keys.of("pressroom:", "p").state) if isinstance(name, bytes)}
    made -= {name for name in made if re.fullmatch(r"B\d|n\d.*", name)}
    assert made == set(_FIELDS[LAYOUT].split()), (
        "a program of this version cannot go on from the state of the one before: raise LAYOUT in "
        "pressroom/limits/commands.py, and put the new fields here under its number"
    )
