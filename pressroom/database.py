"""The one way to a database engine."""

import time
from typing import Any

from sqlalchemy import Engine, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import InvalidatePoolError

_TRUSTED_SECONDS = 1.0
"""A connection that was in use so lately is taken to be alive; the statement that finds it is not is tried again."""


def connect(database_url: str, *, application: str, pool_size: int = 5) -> Engine:
    """An engine with a small pool. `application` shows in `pg_stat_activity`. Nothing connects before first use.

    A connection that hangs is cut by TCP user timeout; a transaction that idles is cut by the server, so that no
    stuck process can hold back vacuum.
    """
    url = make_url(database_url)
    engine = create_engine(
        url,
        pool_size=pool_size,
        max_overflow=pool_size,
        # The connection that was used last knows the statements, and is not asked whether it lives.
        pool_use_lifo=True,
        pool_recycle=1800,
        # Statements go into logs with their errors; prompts and answers must not.
        hide_parameters=True,
        connect_args={
            "application_name": application,
            "connect_timeout": 5,
            "tcp_user_timeout": 10_000,
            "options": "-c idle_in_transaction_session_timeout=60000 -c lock_timeout=30000",
        },
    )
    _ask_idle_ones(engine)
    return engine


def quick(engine: Engine) -> Engine:
    """The same pool for single statements: each is its own transaction, and goes and comes once."""
    return engine.execution_options(isolation_level="AUTOCOMMIT")


def _ask_idle_ones(engine: Engine) -> None:
    """Whether they live, before they are handed out. If one does not, none of those that are idle is believed."""

    @event.listens_for(engine, "checkin")
    def note(_connection: Any, record: Any) -> None:
        record.info["used_at"] = time.monotonic()

    @event.listens_for(engine, "checkout")
    def ask(connection: Any, record: Any, _proxy: Any) -> None:
        used_at = record.info.get("used_at")
        if used_at is None or time.monotonic() - used_at < _TRUSTED_SECONDS:
            return
        try:
            engine.dialect.do_ping(connection)
        except engine.dialect.loaded_dbapi.Error as error:
            raise InvalidatePoolError from error
