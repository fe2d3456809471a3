"""From the environment to the servers in use: settings, a local stack where none is named, and clients for them.

Imports of SQLAlchemy, boto3, redis and Celery are inside functions throughout `cli`: they take longer to load than
`--help` may take in all.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from cli.exits import CouldNotRun
from cli.options import program

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from pressroom.jobs.publish import CeleryPublisher
    from pressroom.limits.redis_limiter import LimiterAdmin
    from pressroom.local_stack import StackWatch
    from pressroom.settings import Settings
    from pressroom.storage import ObjectStore

_T = TypeVar("_T")


def load_settings(data_dir: Path | None = None) -> Settings:
    """The settings from the environment, `--data-dir` first. Raises InvalidInput naming the variable."""
    from pydantic import ValidationError

    from pressroom.errors import InvalidInput, Problem
    from pressroom.settings import Settings

    if data_dir is None and "PRESSROOM_DATA_DIR" in os.environ and not os.environ["PRESSROOM_DATA_DIR"]:
        data_dir = Path(".pressroom")  # set but empty means not set
    try:
        return Settings(data_dir=data_dir) if data_dir is not None else Settings()
    except ValidationError as error:
        problems = [
            Problem(
                _variable(details["loc"]),
                details["msg"].removeprefix("Value error, "),
                "Correct the variable, or unset it for the default",
            )
            for details in error.errors(include_url=False, include_input=False)
        ]
        raise InvalidInput(problems, source="environment") from None


def _variable(location: tuple[int | str, ...]) -> str:
    name = str(location[0]) if location else "settings"
    return name if name.isupper() else f"PRESSROOM_{name.upper()}"


@dataclass
class System:
    """The servers that a command works with, and clients that connect when first used."""

    settings: Settings
    environment: dict[str, str] = field(repr=False)
    """What a worker process needs on top of this process's environment. Holds secrets."""
    stack: StackWatch | None = None
    """Looks after the local stack, where servers of it are in use."""

    @property
    def is_local(self) -> bool:
        """Whether any server is the local stack's."""
        return self.stack is not None

    @cached_property
    def engine(self) -> Engine:
        """PostgreSQL."""
        from pressroom.database import connect

        return connect(self.database_url, application="pressroom-cli", pool_size=2)

    @property
    def database_url(self) -> str:
        """Password included."""
        return _required(self.settings.database_url).get_secret_value()

    @property
    def redis_url(self) -> str:
        """Password included."""
        return _required(self.settings.redis_url).get_secret_value()

    @cached_property
    def limiter(self) -> LimiterAdmin:
        """The operator's side of the limiter."""
        import redis

        from pressroom.limits.redis_limiter import LimiterAdmin

        client = redis.Redis.from_url(self.redis_url, socket_timeout=5, socket_connect_timeout=3)
        return LimiterAdmin(client, prefix=self.settings.redis_prefix)

    @cached_property
    def store(self) -> ObjectStore:
        """The bucket."""
        from pressroom.storage import ObjectStore

        settings = self.settings
        secret = settings.s3_secret_access_key
        return ObjectStore(
            _required(settings.s3_bucket),
            endpoint_url=settings.s3_endpoint_url,
            access_key_id=settings.s3_access_key_id,
            secret_access_key=secret.get_secret_value() if secret is not None else None,
            region=settings.s3_region,
        )

    @cached_property
    def publisher(self) -> CeleryPublisher:
        """The way to the workers."""
        from pressroom.jobs.publish import CeleryPublisher

        return CeleryPublisher(self.redis_url, self.settings.redis_prefix)

    def prepare(self) -> None:
        """Bring the schema and the price table up to date and make the bucket, so that work can start."""
        from migrations.migrate import upgrade
        from pressroom.money.price_book import sync_catalog_prices

        upgrade(self.database_url)
        with self.engine.begin() as conn:
            sync_catalog_prices(conn)
        self.store.ensure_bucket()

    def prepare_local(self) -> None:
        """Bring the schema up to date where the database is the local stack's; any other is its operator's to migrate.

        For questions that need no jobs: what something would cost, or what prices there are.
        """
        from migrations.migrate import upgrade

        if "PRESSROOM_DATABASE_URL" in self.environment:
            upgrade(self.database_url)

    def expect_new_sandbox(self) -> None:
        """A sandbox that starts now knows nothing of what one before it taught our limiter."""
        from pressroom.jobs.deployments import forget_sandbox_limits
        from pressroom.jobs.workers import alive

        with self.engine.begin() as conn:
            if not alive(conn):
                forget_sandbox_limits(conn, self.limiter)

    def close(self) -> None:
        """Give back every connection that was opened."""
        opened = self.__dict__
        if "engine" in opened:
            self.engine.dispose()
        if "store" in opened:
            self.store.close()
        if "publisher" in opened:
            self.publisher.close()


@contextlib.contextmanager
def open_system(settings: Settings, *, create: bool = False) -> Iterator[System]:
    """The servers that the settings name; those that they do not name come from the local stack.

    A local stack that did not run is stopped again at the end, unless somebody else came to use it. Without `create`
    it must have been made before: a question about jobs is no reason to build a database.
    """
    home = {"PRESSROOM_DATA_DIR": str(settings.data_dir)}
    if settings.database_url and settings.redis_url and settings.s3_bucket:
        system = System(settings, home)
        try:
            yield system
        finally:
            system.close()
        return
    from pressroom.local_stack import LocalStack, StackWatch

    stack = LocalStack(settings.data_dir)
    if not create and not stack.status():
        raise CouldNotRun(
            f"there is no data yet in {stack.data_dir}: start with `{program()} run INPUT` or `{program()} up`, or set "
            "PRESSROOM_DATABASE_URL, PRESSROOM_REDIS_URL and PRESSROOM_S3_BUCKET to the servers in use"
        )
    urls = stack.acquire()
    environment = _missing(settings, urls.environment())
    system = System(_with(settings, environment), environment | home, StackWatch(stack, urls))
    try:
        yield system
    finally:
        system.close()
        stack.release(stop=True)


def _missing(settings: Settings, stack: dict[str, str]) -> dict[str, str]:
    """The variables of the local stack for what the settings do not name. S3 comes with its address and keys."""
    wanted = {
        "PRESSROOM_DATABASE_URL": settings.database_url is None,
        "PRESSROOM_REDIS_URL": settings.redis_url is None,
    }
    return {name: value for name, value in stack.items() if wanted.get(name, settings.s3_bucket is None)}


def _with(settings: Settings, environment: dict[str, str]) -> Settings:
    from pydantic import SecretStr

    fields = {
        "PRESSROOM_DATABASE_URL": "database_url",
        "PRESSROOM_REDIS_URL": "redis_url",
        "PRESSROOM_S3_ENDPOINT_URL": "s3_endpoint_url",
        "PRESSROOM_S3_BUCKET": "s3_bucket",
        "AWS_ACCESS_KEY_ID": "s3_access_key_id",
        "AWS_SECRET_ACCESS_KEY": "s3_secret_access_key",
    }
    secret = ("database_url", "redis_url", "s3_secret_access_key")
    update = {
        fields[name]: SecretStr(value) if fields[name] in secret else value for name, value in environment.items()
    }
    return settings.model_copy(update=update)


def _required(value: _T | None) -> _T:
    if value is None:
        raise RuntimeError("a System is made only from settings that are complete")
    return value
