"""Bring a database to the current schema, one migrator at a time, without ever queueing behind or in front of work.

A migration that cannot get its lock within `LOCK_TIMEOUT` gives up rather than block every job behind it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, create_engine, text
from sqlalchemy.pool import NullPool

from models import Base

LOCK_TIMEOUT = "5s"
STATEMENT_TIMEOUT = "10min"
_ADVISORY_KEY = 0x70726573


def _config(connection: Connection | None = None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    config.set_main_option("path_separator", "os")
    if connection is not None:
        config.attributes["connection"] = connection
    return config


@contextmanager
def _exclusive(database_url: str) -> Iterator[Connection]:
    """A connection with the timeouts set that holds the migration lock for as long as it is open."""
    engine = create_engine(database_url, poolclass=NullPool)
    try:
        with engine.connect() as connection:
            connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": _ADVISORY_KEY})
            connection.execute(text(f"SET lock_timeout = '{LOCK_TIMEOUT}'"))
            connection.execute(text(f"SET statement_timeout = '{STATEMENT_TIMEOUT}'"))
            connection.commit()
            yield connection
    finally:
        engine.dispose()


def upgrade(database_url: str, revision: str = "head") -> None:
    """Run all migrations up to `revision`. Waits for another migrator to finish, then finds nothing left to do."""
    with _exclusive(database_url) as connection:
        command.upgrade(_config(connection), revision)


def downgrade(database_url: str, revision: str) -> None:
    """Go back to `revision` (`base` for an empty schema). Data in dropped tables is gone."""
    with _exclusive(database_url) as connection:
        command.downgrade(_config(connection), revision)


def head_revision() -> str:
    """The newest revision this code knows."""
    head = ScriptDirectory.from_config(_config()).get_current_head()
    if head is None:
        raise RuntimeError("migrations/versions holds no revision")
    return head


def current_revision(database_url: str) -> str | None:
    """The revision the database is at, None for one that was never migrated."""
    engine = create_engine(database_url, poolclass=NullPool)
    try:
        with engine.connect() as connection:
            return MigrationContext.configure(connection).get_current_revision()
    finally:
        engine.dispose()


def drift(database_url: str) -> list[str]:
    """Differences between the models and a migrated database, one line each; empty when they agree."""
    engine = create_engine(database_url, poolclass=NullPool)
    try:
        with engine.connect() as connection:
            context = MigrationContext.configure(
                connection, opts={"compare_type": True, "compare_server_default": True}
            )
            return [str(difference) for difference in compare_metadata(context, Base.metadata)]
    finally:
        engine.dispose()
