"""Puts a worker process together from its settings."""

import asyncio
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import redis
import redis.asyncio
from sqlalchemy import Connection
from sqlalchemy import Engine as Database

from models import StopKind
from pressroom.database import connect
from pressroom.errors import PressroomError
from pressroom.jobs.accounts import Accounts, ProviderClients
from pressroom.jobs.engine import EngineParts
from pressroom.jobs.health import HealthBook
from pressroom.jobs.lease import ClaimedLease
from pressroom.jobs.outcome import Outcome
from pressroom.jobs.parked import ParkedAnswers
from pressroom.jobs.pictures import PictureBounds, PictureStore
from pressroom.jobs.pool_state import PoolStates
from pressroom.jobs.publish import CeleryPublisher
from pressroom.jobs.settler import Settler
from pressroom.jobs.stop_deployment import Stop, stop_deployment
from pressroom.jobs.token_book import TokenBook
from pressroom.jobs.wake import WakeCalls
from pressroom.limits.costs import Cost
from pressroom.limits.pool_limits import PoolLimits
from pressroom.limits.redis_limiter import LimiterAdmin, RedisLimiter
from pressroom.money.price_book import load_price_book, sync_catalog_prices
from pressroom.providers.failures import FailureKind
from pressroom.settings import Settings
from pressroom.storage import ObjectStore

_WAKE_SECONDS = 0.5
"""How long a settlement waits, once in a while, for a server that does not take the news of it."""

_LIMITER_BEATS = 6
"""Heartbeats that the limiter may miss before it gives a worker's calls up."""

_T = TypeVar("_T")

_STOPS = {
    FailureKind.BILLING_STOP: StopKind.BILLING,
    FailureKind.UNAUTHORISED: StopKind.UNAUTHORISED,
    FailureKind.MODEL_REMOVED: StopKind.MODEL_REMOVED,
}


class NotConfigured(PressroomError):
    """A setting that a worker cannot do without is missing."""


@dataclass(frozen=True, slots=True)
class Servers:
    """What a worker process holds for its whole life, whatever becomes of its engine."""

    settings: Settings
    database: Database
    redis_url: str
    redis: redis.Redis
    admin: LimiterAdmin
    publisher: CeleryPublisher
    store: ObjectStore
    parked: ParkedAnswers
    host: str

    def close(self) -> None:
        """Give all connections back."""
        self.database.dispose()
        self.publisher.close()
        self.redis.close()
        self.store.close()


def connect_servers(settings: Settings) -> Servers:
    """Clients for the servers that the settings name. Nothing connects before first use. Raises NotConfigured."""
    if settings.database_url is None or settings.redis_url is None or settings.s3_bucket is None:
        raise NotConfigured(
            "a worker needs PRESSROOM_DATABASE_URL, PRESSROOM_REDIS_URL and PRESSROOM_S3_BUCKET "
            "(`pressroom up` starts a local stack and sets them)"
        )
    redis_url = settings.redis_url.get_secret_value()
    client = redis.Redis.from_url(redis_url, socket_timeout=5)
    return Servers(
        settings=settings,
        database=connect(settings.database_url.get_secret_value(), application="pressroom-worker", pool_size=8),
        redis_url=redis_url,
        redis=client,
        admin=LimiterAdmin(client, prefix=settings.redis_prefix),
        publisher=CeleryPublisher(redis_url, settings.redis_prefix),
        store=_make_store(settings, settings.s3_bucket),
        parked=ParkedAnswers(settings.data_dir / "spool"),
        host=socket.gethostname(),
    )


def make_parts(servers: Servers) -> EngineParts:
    """The engine's parts; call it on the engine's loop. Raises what an unreachable database raises."""
    settings = servers.settings
    with servers.database.begin() as conn:
        sync_catalog_prices(conn)
        prices = load_price_book(conn)
    providers = ProviderClients(Accounts(settings))
    pools, health = PoolStates(), HealthBook()
    client = redis.asyncio.Redis.from_url(servers.redis_url, socket_timeout=5, socket_connect_timeout=2)
    pictures = _make_pictures(servers, providers)
    telling = redis.Redis.from_url(
        servers.redis_url, socket_timeout=_WAKE_SECONDS, socket_connect_timeout=_WAKE_SECONDS
    )
    wake_calls = WakeCalls(telling, prefix=settings.redis_prefix)

    async def close() -> None:
        await providers.aclose()
        await client.aclose()
        pictures.close()
        telling.close()

    def settled(group: Sequence[Outcome]) -> None:
        health.add(group)
        wake_calls.settled(group)

    def pause(lease: ClaimedLease, reason: str, kind: FailureKind) -> None:
        stop = Stop(_STOPS[kind], reason, settings.breaker_retry_seconds)
        with servers.database.begin() as conn:
            stop_deployment(conn, servers.admin, lease.deployment_id, stop)

    return EngineParts(
        database=servers.database,
        limiter=_make_limiter(servers, pools, client),
        limiter_heartbeat_seconds=_limiter_heartbeat(settings),
        pools=pools,
        tokens=TokenBook(),
        providers=providers,
        pictures=pictures,
        parked=servers.parked,
        prices=prices,
        settler=Settler(servers.database, interval_seconds=settings.settle_interval_seconds, settled=settled),
        health=health,
        pause=pause,
        close=close,
    )


def _make_limiter(servers: Servers, pools: PoolStates, client: redis.asyncio.Redis) -> RedisLimiter:
    async def books(read: Callable[[Connection, str], _T], pool: str) -> _T:
        def work() -> _T:
            with servers.database.connect() as conn:
                return read(conn, pool)

        return await asyncio.to_thread(work)

    async def limits_for(pool: str) -> PoolLimits:
        return pools.limits(pool)

    async def epoch_for(pool: str) -> str | None:
        return pools.epoch(pool)

    async def running_for(pool: str) -> int:
        return await books(pools.running, pool)

    async def day_used_for(pool: str) -> Cost:
        return await books(pools.day_used, pool)

    return RedisLimiter(
        client,
        limits_for=limits_for,
        running_for=running_for,
        epoch_for=epoch_for,
        day_used_for=day_used_for,
        prefix=servers.settings.redis_prefix,
        lease_seconds=_LIMITER_BEATS * _limiter_heartbeat(servers.settings),
    )


def _limiter_heartbeat(settings: Settings) -> float:
    """As long as other workers are patient with a silent one: 10 s as shipped, so its calls count for 60 s at most."""
    return settings.worker_dead_after_seconds


def _make_store(settings: Settings, bucket: str) -> ObjectStore:
    secret = settings.s3_secret_access_key
    return ObjectStore(
        bucket,
        endpoint_url=settings.s3_endpoint_url,
        access_key_id=settings.s3_access_key_id,
        secret_access_key=secret.get_secret_value() if secret is not None else None,
        region=settings.s3_region,
    )


def _make_pictures(servers: Servers, providers: ProviderClients) -> PictureStore:
    settings = servers.settings
    bounds = PictureBounds(
        max_bytes=settings.max_image_bytes,
        max_pixels=settings.max_image_pixels,
        memory_bytes=settings.image_memory_bytes,
    )
    return PictureStore(
        servers.store,
        bounds,
        spool_dir=servers.parked.own,
        fetch=lambda url, max_bytes: providers.fetch(url, max_bytes=max_bytes),
    )
