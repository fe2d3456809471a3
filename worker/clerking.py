"""The worker's clerk: a thread that looks for batches to take in, wind up or write out, and does it."""

import threading

from pressroom.batches.clerk import Clerk
from worker.assembly import Servers
from worker.repeating import Repeating

_LOOK_SECONDS = 0.5


class ClerkThread:
    """`stop` lets go of what it works on, at the next good moment, for another process to begin anew."""

    def __init__(self, servers: Servers) -> None:
        self._stopping = threading.Event()
        self._clerk = Clerk(servers.database, servers.store, servers.settings, is_stopping=self._stopping.is_set)
        self._repeating = Repeating("clerk", self._clerk.work_off, _LOOK_SECONDS)

    def start(self) -> None:
        """Begin; the first look comes after one interval."""
        self._repeating.start()

    def stop(self, wait_seconds: float | None = None) -> None:
        """Ask it to end, and wait for it if `wait_seconds` is given."""
        self._stopping.set()
        self._repeating.stop(wait_seconds)
