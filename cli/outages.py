"""Live through a server's outage: say it once, wait, say when it is over, and give up only after minutes."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, TypeVar

from cli.exits import CouldNotRun
from cli.options import program
from cli.terminal import say
from cli.wording import duration

if TYPE_CHECKING:
    from cli.context import System

POSTGRESQL: Final = "PostgreSQL"
REDIS: Final = "Redis"
STORE: Final = "the object store"
STACK: Final = "the local stack"

_PATIENCE_SECONDS = 300.0
_ASK_AGAIN_SECONDS = 0.5
_PASSING = ("08", "53", "57", "58")
_T = TypeVar("_T")


def server_that_is_away(error: BaseException) -> str | None:
    """Which server does not answer, where that may pass; None for every other error."""
    from redis.exceptions import ConnectionError as RedisConnectionError
    from redis.exceptions import TimeoutError as RedisTimeoutError
    from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError

    from pressroom.storage.errors import StorageUnavailable

    if isinstance(error, DBAPIError):
        state = getattr(error.orig, "sqlstate", None)
        unreached = state is None and (isinstance(error, OperationalError | InterfaceError))
        return POSTGRESQL if unreached or error.connection_invalidated or (state or "")[:2] in _PASSING else None
    if isinstance(error, RedisConnectionError | RedisTimeoutError):
        return REDIS
    return STORE if isinstance(error, StorageUnavailable) else None


class Outages:
    """What is away now, and since when. Also looks after the local stack, if that is in use."""

    def __init__(
        self,
        system: System,
        *,
        patience_seconds: float = _PATIENCE_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._system = system
        self._patience_seconds = patience_seconds
        self._clock = clock
        self._since: dict[str, float] = {}

    @property
    def any(self) -> bool:
        """Whether something is away."""
        return bool(self._since)

    def look_after(self) -> None:
        """Start again what died of the local stack. Raises CouldNotRun when that fails for too long, StackGone."""
        from pressroom.local_stack import LocalStackError, StackGone

        if self._system.stack is None:
            return
        try:
            started = self._system.stack.look()
        except StackGone:
            raise
        except LocalStackError as error:
            self._missed(STACK, str(error))
            return
        if started:
            say(f"{' and '.join(started)} of the local stack had died, and {_was(started)} started again")
            self._since.pop(STACK, None)

    def ask(self, question: Callable[[], _T], *servers: str) -> _T | None:
        """The answer, which comes from all of `servers`; None while one is away. Raises CouldNotRun after minutes."""
        try:
            answer = question()
        except Exception as error:
            server = server_that_is_away(error)
            if server is None:
                raise
            self._missed(server, _reason(error))
            return None
        for server in servers:
            if self._since.pop(server, None) is not None:
                say(f"{server} is back")
        return answer

    def insist(self, question: Callable[[], _T], *servers: str) -> _T:
        """The answer, however long it takes. Raises CouldNotRun after minutes. `None` is no answer."""
        while True:
            self.look_after()
            answer = self.ask(question, *servers)
            if answer is not None:
                return answer
            time.sleep(_ASK_AGAIN_SECONDS)

    def _missed(self, server: str, reason: str) -> None:
        now = self._clock()
        if server not in self._since:
            self._since[server] = now
            say(f"{server} does not answer; waiting for it ({reason})")
        elif now - self._since[server] >= self._patience_seconds:
            waited = duration(now - self._since[server])
            raise CouldNotRun(
                f"{server} has not answered for {waited}: {reason}. `{program()} doctor` looks at every part"
            )


def _reason(error: Exception) -> str:
    """The first line of what the server's client says."""
    said = str(getattr(error, "orig", None) or error).strip().splitlines()
    return said[0].rstrip(".") if said else type(error).__name__


def _was(names: list[str]) -> str:
    return "is" if len(names) == 1 else "are"
