"""The thread that delivers webhooks, on an event loop of its own: a slow receiver holds up no job."""

import asyncio
import logging
import threading

from pressroom.jobs.alerts import raise_alert
from pressroom.webhooks.deliverer import Deliverer
from worker.assembly import Servers

_log = logging.getLogger("pressroom.worker")


class DeliveryThread:
    """Runs one Deliverer from `start` to `stop`."""

    def __init__(self, servers: Servers) -> None:
        self._servers = servers
        self._deliverer: Deliverer | None = None
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="webhooks", daemon=True)

    def start(self) -> None:
        """Begin; returns at once."""
        self._thread.start()

    def poke(self) -> None:
        """Look at once: something was said to be due."""
        if self._deliverer is not None:
            self._deliverer.poke()

    def stop(self, wait_seconds: float | None = None) -> None:
        """Ask it to end, and wait for what it is sending if `wait_seconds` is given."""
        self._stopping = True
        if self._deliverer is not None:
            self._deliverer.stop()
        if wait_seconds is not None:
            self._thread.join(wait_seconds)

    def _run(self) -> None:
        try:
            asyncio.run(self._live())
        except Exception:  # noqa: BLE001
            # Others deliver in our stead; jobs are not concerned.
            _log.exception("webhooks.bug")

    async def _live(self) -> None:
        self._deliverer = Deliverer(self._servers.database, self._servers.settings, tell=raise_alert)
        if not self._stopping:
            await self._deliverer.run()
