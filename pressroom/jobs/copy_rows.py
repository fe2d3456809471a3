"""Send rows by COPY while the next ones are being made: the database works on one core, and we on another."""

import sys
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from sqlalchemy import Connection
from sqlalchemy.exc import OperationalError

_SWITCH_SECONDS = 0.0001
"""How long a thread that computes keeps the interpreter from one that wants it, while rows are on their way.

A chunk takes dozens of short steps to send. At the 5 ms that Python ships with each waits for the thread that makes the
next rows, and a line takes twice as long. Other threads of the process only gain by it.
"""

Chunk = Sequence[tuple[str, str]]
"""COPY statements, each with its rows as text."""


class CopyRows:
    """One connection's. While a chunk is on its way nobody else may use the connection: `settle` first."""

    def __init__(self, conn: Connection) -> None:
        self._conn = conn
        self._thread: ThreadPoolExecutor | None = None
        self._on_its_way: Future[None] | None = None
        self._switch_seconds = sys.getswitchinterval()

    def send(self, chunk: Chunk) -> None:
        """Send a chunk and return when it is there. Raises what the database raises."""
        self.settle()
        self._copy(chunk)

    def begin(self, chunk: Chunk) -> None:
        """Send a chunk and return when the one before is there; its errors come with the next call."""
        self.settle()
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, thread_name_prefix="copy")
            sys.setswitchinterval(_SWITCH_SECONDS)
        self._on_its_way = self._thread.submit(self._copy, chunk)

    def settle(self) -> None:
        """Wait until nothing is on its way. Raises what the database raised."""
        pending, self._on_its_way = self._on_its_way, None
        if pending is not None:
            pending.result()

    def close(self) -> None:
        """Wait, whatever became of it: the connection is about to be used, to commit or to roll back."""
        if self._thread is not None:
            self._thread.shutdown(wait=True)
            sys.setswitchinterval(self._switch_seconds)

    def _copy(self, chunk: Chunk) -> None:
        cursor = self._conn.connection.cursor()
        try:
            for statement, rows in chunk:
                with cursor.copy(statement) as copy:
                    copy.write(rows)
        except self._conn.dialect.loaded_dbapi.Error as error:
            # As any other statement's: this one goes past SQLAlchemy, which knows no COPY.
            raise OperationalError(statement, None, error) from error
        finally:
            cursor.close()
