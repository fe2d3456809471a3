"""Look after a local stack while somebody uses it: a server that died is started again where it was."""

from __future__ import annotations

import time
from collections.abc import Callable

from pressroom.local_stack.errors import LocalStackError
from pressroom.local_stack.stack import LocalStack
from pressroom.local_stack.urls import StackUrls

_LOOK_SECONDS = 2.0
_SURE_SECONDS = 0.2


class StackGone(LocalStackError):
    """The stack was stopped by somebody, or is elsewhere now: waiting for it is no use."""


class StackWatch:
    """For whoever holds `stack`, acquired as `urls`. Not for several threads at once."""

    def __init__(
        self,
        stack: LocalStack,
        urls: StackUrls,
        *,
        look_seconds: float = _LOOK_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._stack, self._urls = stack, urls
        self._look_seconds, self._clock = look_seconds, clock
        self._due = clock() + look_seconds

    def look(self) -> list[str]:
        """Start again what died; the names of those. Does nothing when called again within `look_seconds`.

        Raises StackGone, and LocalStackError when a server cannot be started: a later look tries again.
        """
        if self._clock() < self._due:
            return []
        try:
            return self._revive()
        finally:
            self._due = self._clock() + self._look_seconds

    def _revive(self) -> list[str]:
        ended = self._stack.ended()
        if not ended:
            return []
        time.sleep(_SURE_SECONDS)  # one that is being stopped on purpose leaves its pid file for a moment
        ended = self._stack.ended()
        if "stopped" in ended.values():
            raise StackGone(
                f"The local stack in {self._stack.data_dir} is stopped",
                cause="somebody stopped it while it was in use (`pressroom down`)",
                remedy="start this again: it starts the stack, and goes on where it was",
            )
        if ended and self._stack.acquire() != self._urls:
            raise StackGone(
                f"The local stack in {self._stack.data_dir} is at another address now",
                cause=f"another program took the port of {' or '.join(ended)} while it was down",
                remedy="start this again: it goes on where it was, at the new address",
            )
        return list(ended)
