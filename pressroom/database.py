"""The one way to a database engine."""

from sqlalchemy import Engine, create_engine
from sqlalchemy.engine import make_url


def connect(database_url: str, *, application: str, pool_size: int = 5) -> Engine:
    """An engine with a small pool. `application` shows in `pg_stat_activity`. Nothing connects before first use.

    A connection that hangs is cut by TCP user timeout; a transaction that idles is cut by the server, so that no
    stuck process can hold back vacuum.
    """
    url = make_url(database_url)
    return create_engine(
        url,
        pool_size=pool_size,
        max_overflow=pool_size,
        pool_pre_ping=True,
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
