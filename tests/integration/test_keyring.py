"""Keys in memory: one look for many requests, revocation within seconds, grace to the second; and rates in Redis."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import redis.asyncio

from api.keyring import FRESH_SECONDS, Keyring
from models import DEFAULT_PROJECT_ID
from pressroom.errors import InvalidInput
from pressroom.ids import new_id
from pressroom.tenants.keys import NewKey, create_key, revoke_key, rotate_key
from pressroom.tenants.rate import Rate, take
from pressroom.tenants.secrets import KeyText, new_key, parse_key
from tests.fixtures.desk import Desk


@dataclass
class Clock:
    """Stands still until it is moved."""

    now: float = 100.0

    def __call__(self) -> float:
        return self.now


def _make(desk: Desk, **fields: Any) -> NewKey:
    with desk.engine.begin() as conn:
        return create_key(conn, DEFAULT_PROJECT_ID, "a test's", **fields)


def _parsed(text: str) -> KeyText:
    key = parse_key(text)
    assert key is not None
    return key


def test_many_requests_at_once_ask_once(desk: Desk) -> None:
    key, clock = _parsed(_make(desk).text), Clock()

    async def work() -> None:
        keyring = Keyring(desk.engine, clock)
        assert None not in await asyncio.gather(*(keyring.find(key) for _ in range(50)))
        assert keyring.looks == 1
        clock.now += FRESH_SECONDS
        await keyring.find(key)
        assert keyring.looks == 1
        clock.now += 0.1
        assert None not in await asyncio.gather(*(keyring.find(key) for _ in range(50)))
        assert keyring.looks == 2

    asyncio.run(work())


def test_a_revoked_key_is_refused_after_the_time_that_is_promised(desk: Desk) -> None:
    made, clock = _make(desk), Clock()
    key = _parsed(made.text)

    async def work() -> None:
        keyring = Keyring(desk.engine, clock)
        assert await keyring.find(key) is not None
        with desk.engine.begin() as conn:
            revoke_key(conn, DEFAULT_PROJECT_ID, made.row.id)
        clock.now += FRESH_SECONDS + 0.01
        assert await keyring.find(key) is None

    asyncio.run(work())
    assert FRESH_SECONDS < 5


def test_grace_and_expiry_end_while_the_key_is_remembered(desk: Desk) -> None:
    made, clock = _make(desk), Clock()
    expiring = _parsed(_make(desk, expires_at=datetime.now(UTC) + timedelta(seconds=2)).text)
    with desk.engine.begin() as conn:
        rotated = rotate_key(conn, DEFAULT_PROJECT_ID, made.row.id, grace_seconds=2)
    old, new = _parsed(made.text), _parsed(rotated.text)

    async def work() -> None:
        keyring = Keyring(desk.engine, clock)
        assert None not in [await keyring.find(key) for key in (old, new, expiring)]
        clock.now += 2.5
        assert await keyring.find(old) is None
        assert await keyring.find(new) is not None
        assert await keyring.find(expiring) is None
        assert keyring.looks == 2

    asyncio.run(work())


def test_a_right_prefix_with_a_wrong_secret_is_refused_and_counts_as_no_use(desk: Desk) -> None:
    made = _make(desk)
    key = new_key(made.row.prefix)

    async def work() -> None:
        keyring = Keyring(desk.engine)
        assert await keyring.find(key) is None
        await keyring.note_used()

    asyncio.run(work())
    assert desk.scalar("SELECT last_used_at FROM api_keys") is None


def test_use_that_could_not_be_written_is_written_later(desk: Desk) -> None:
    key = _parsed(_make(desk).text)

    async def work() -> None:
        keyring = Keyring(desk.engine)
        await keyring.find(key)
        desk.execute("ALTER TABLE api_keys RENAME TO gone")
        with pytest.raises(Exception, match="api_keys"):
            await keyring.note_used()
        desk.execute("ALTER TABLE gone RENAME TO api_keys")
        await keyring.note_used()

    asyncio.run(work())
    assert desk.scalar("SELECT last_used_at IS NOT NULL FROM api_keys") is True


@pytest.mark.parametrize(
    "text", ["", "pr_", "sk-1234", "pr_ab_cd", f"pr_{'0' * 12}_{'é' * 64}", f"pr_{'0' * 12}_{' ' * 64}"]
)
def test_what_is_no_key_is_told_without_asking_anybody(text: str) -> None:
    assert parse_key(text) is None


def test_grace_is_bounded(desk: Desk) -> None:
    made = _make(desk)
    with pytest.raises(InvalidInput, match="grace_seconds"), desk.engine.begin() as conn:
        rotate_key(conn, DEFAULT_PROJECT_ID, made.row.id, grace_seconds=1e9)


def _with_redis(url: str, work: Callable[[redis.asyncio.Redis], Awaitable[list[Rate]]]) -> list[Rate]:
    async def run() -> list[Rate]:
        pool = redis.asyncio.BlockingConnectionPool.from_url(url, max_connections=4)
        client = redis.asyncio.Redis(connection_pool=pool)
        try:
            return await work(client)
        finally:
            await pool.aclose()

    return asyncio.run(run())


@pytest.mark.parametrize("per_minute", [1, 7, 60])
def test_a_minute_s_worth_is_granted_at_once_and_no_more(redis_url: str, per_minute: int) -> None:
    key_id = new_id()

    async def work(client: redis.asyncio.Redis) -> list[Rate]:
        asked = (take(client.execute_command, "test:", key_id, per_minute) for _ in range(2 * per_minute + 1))
        return list(await asyncio.gather(*asked))

    rates = _with_redis(redis_url, work)
    granted = [rate for rate in rates if rate.granted]
    refused = [rate for rate in rates if not rate.granted]
    # What refills while they ask is one more at most, on a machine that stands still for less than a second.
    assert per_minute <= len(granted) <= per_minute + 1
    assert sorted(rate.left for rate in granted)[-per_minute:] == list(range(per_minute))
    assert all(0 < rate.fits_in_seconds <= 60 / per_minute and rate.left == 0 for rate in refused)
    assert all(0 < rate.full_in_seconds <= 60 for rate in rates)
    assert all(int(rate.headers()["retry-after"]) >= 1 for rate in refused)


def test_the_largest_rate_is_no_trouble(redis_url: str) -> None:
    async def work(client: redis.asyncio.Redis) -> list[Rate]:
        return [await take(client.execute_command, "test:", new_id(), 10_000_000)]

    [rate] = _with_redis(redis_url, work)
    assert (rate.granted, rate.left) == (True, 9_999_999)
