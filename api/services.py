"""What routes work with: the settings and the clients of the servers, made once for a process."""

import asyncio
from dataclasses import dataclass, field
from typing import Annotated

from fastapi import Depends
from redis import Redis as BlockingRedis
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from sqlalchemy import Engine
from starlette.requests import HTTPConnection

from api.keyring import Keyring
from api.threads import LONG_THREADS, THREADS, in_thread
from pressroom.database import connect
from pressroom.errors import PressroomError
from pressroom.events.feed import EventFeed
from pressroom.jobs.accept import Acceptor
from pressroom.jobs.dispatch import DispatchPolicy
from pressroom.jobs.intake import Intake
from pressroom.jobs.publish import CeleryPublisher
from pressroom.jobs.quota_share import QuotaShares
from pressroom.jobs.urgent import UrgentLine
from pressroom.jobs.waiters import JobWaiters
from pressroom.limits.redis_limiter import LimiterAdmin
from pressroom.settings import Settings
from pressroom.storage import ObjectStore

_REDIS_CONNECTIONS = 50
"""Of one process; questions take a fraction of a millisecond, and those beyond it wait their turn."""


class NotConfigured(PressroomError):
    """A setting that the API cannot do without is missing."""


@dataclass(frozen=True, slots=True)
class Services:
    """The servers in use. `database` and `limiter` block: call them through `api.threads.in_thread`."""

    settings: Settings
    database: Engine
    redis: Redis
    limiter: LimiterAdmin
    store: ObjectStore
    publisher: CeleryPublisher
    keyring: Keyring
    acceptor: Acceptor
    """Takes native jobs in, all of a request or none of it."""
    intake: Intake
    """Takes single requests in, many in one commit."""
    events: EventFeed
    """What is new in the outbox, for all who listen in this process."""
    waiters: JobWaiters
    """Whoever waits for a job's end in this process."""
    quotas: QuotaShares
    draining: asyncio.Event = field(repr=False)
    """Set when the process was told to stop: answers that would take long end now, so that clients come again."""
    _blocking_redis: BlockingRedis = field(repr=False)

    async def close(self) -> None:
        """Give all connections back."""
        await self.intake.close()
        await self.events.close()
        await self.waiters.close()
        await self.redis.aclose()
        self._blocking_redis.close()
        self.publisher.close()
        self.store.close()
        self.database.dispose()


def named_servers(settings: Settings) -> tuple[str, str, str]:
    """The addresses of PostgreSQL and Redis, and the bucket. Raises NotConfigured where one is not named."""
    if settings.database_url is None or settings.redis_url is None or settings.s3_bucket is None:
        raise NotConfigured(
            "the API needs PRESSROOM_DATABASE_URL, PRESSROOM_REDIS_URL and PRESSROOM_S3_BUCKET "
            "(`pressroom up` starts a local stack and sets them)"
        )
    return settings.database_url.get_secret_value(), settings.redis_url.get_secret_value(), settings.s3_bucket


def connect_services(settings: Settings) -> Services:
    """Clients for the servers that the settings name. Nothing connects before first use. Raises NotConfigured."""
    database_url, redis_url, bucket = named_servers(settings)
    database = connect(database_url, application="pressroom-api", pool_size=THREADS + LONG_THREADS)
    blocking = BlockingRedis.from_url(redis_url, socket_timeout=5, socket_connect_timeout=2)
    secret = settings.s3_secret_access_key
    client = Redis.from_pool(
        BlockingConnectionPool.from_url(
            redis_url,
            max_connections=_REDIS_CONNECTIONS,
            timeout=5,
            socket_timeout=5,
            socket_connect_timeout=2,
            # After a restart of Redis every connection of before fails once; without a pause, for clients wait.
            retry=Retry(NoBackoff(), 1, supported_errors=(RedisConnectionError,)),
        )
    )
    limiter = LimiterAdmin(blocking, prefix=settings.redis_prefix)
    publisher = CeleryPublisher(redis_url, settings.redis_prefix)
    draining = asyncio.Event()
    return Services(
        settings=settings,
        database=database,
        redis=client,
        limiter=limiter,
        store=ObjectStore(
            bucket,
            endpoint_url=settings.s3_endpoint_url,
            access_key_id=settings.s3_access_key_id,
            secret_access_key=secret.get_secret_value() if secret is not None else None,
            region=settings.s3_region,
        ),
        publisher=publisher,
        keyring=Keyring(database),
        acceptor=Acceptor(database, publisher, DispatchPolicy.of(settings)),
        intake=Intake(
            database, publisher, DispatchPolicy.of(settings), urgent=UrgentLine(blocking, prefix=settings.redis_prefix)
        ),
        events=EventFeed(database, in_thread, most_listeners=settings.event_streams_max, is_draining=draining.is_set),
        waiters=JobWaiters(database, client, prefix=settings.redis_prefix),
        quotas=QuotaShares(database, limiter),
        draining=draining,
        _blocking_redis=blocking,
    )


def services_of(connection: HTTPConnection) -> Services:
    """The services that the application was made with."""
    services: Services = connection.app.state.services
    return services


Serving = Annotated[Services, Depends(services_of)]
"""A route's parameter: `services: Serving`."""
