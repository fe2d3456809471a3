"""The thread that the asyncio engine lives on."""

import asyncio
import logging
import threading
from collections.abc import Callable
from typing import Any
from uuid import UUID

from pressroom.jobs.engine import EngineParts, JobEngine

_log = logging.getLogger("pressroom.worker")


class EngineThread:
    """Runs one JobEngine and its settler on an event loop of its own from `start` to `stop`."""

    def __init__(
        self,
        make_parts: Callable[[], EngineParts],
        *,
        worker_id: UUID,
        max_in_flight: int,
        on_broken: Callable[[], None],
    ) -> None:
        """`on_broken` is called, on this thread, when the engine ends without having been asked to."""
        self._make_parts = make_parts
        self._on_broken = on_broken
        self._worker_id = worker_id
        self._max_in_flight = max_in_flight
        self._ready = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._engine: JobEngine | None = None
        self._parts: EngineParts | None = None
        self._failure: BaseException | None = None
        self._drain_within: asyncio.Future[float] | None = None
        self._drained = False
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)

    def start(self) -> JobEngine:
        """Start, and wait until the engine takes leases. Raises what its parts raised."""
        self._thread.start()
        self._ready.wait()
        if self._failure is not None or self._engine is None:
            raise self._failure or RuntimeError("the engine did not start")
        return self._engine

    @property
    def parts(self) -> EngineParts:
        """What the engine works with. After `start`."""
        if self._parts is None:
            raise RuntimeError("the engine has not started")
        return self._parts

    def drain(self, seconds: float) -> None:
        """Begin to end: nothing new is started. Returns at once."""
        if self._loop is not None and self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._ask_drain, seconds)

    def join(self, seconds: float) -> bool:
        """Wait for the end after `drain`. True when every call was finished and settled."""
        self._thread.join(seconds)
        return self._drained and not self._thread.is_alive()

    def _ask_drain(self, seconds: float) -> None:
        if self._drain_within is not None and not self._drain_within.done():
            self._drain_within.set_result(seconds)

    def _run(self) -> None:
        try:
            asyncio.run(self._live())
        except BaseException as failure:  # noqa: BLE001  whatever it is, `start` raises it on the caller's thread
            self._failure = failure
            if self._ready.is_set():
                _log.critical("engine.broken", exc_info=failure)
                self._on_broken()
        finally:
            self._ready.set()

    async def _live(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._drain_within = self._loop.create_future()
        parts = self._parts = self._make_parts()
        engine = JobEngine(parts, worker_id=self._worker_id, max_in_flight=self._max_in_flight)
        settling = asyncio.create_task(parts.settler.run())
        self._engine = engine
        self._ready.set()
        ends: set[asyncio.Future[Any]] = {self._drain_within, settling, engine.broken}
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        if not self._drain_within.done():
            raise RuntimeError("a lane or the settler of the engine ended by itself")
        seconds = self._drain_within.result()
        self._drained = await engine.drain(seconds)
        try:
            async with asyncio.timeout(max(1.0, seconds)):
                await settling
        except TimeoutError:
            self._drained = False
        await parts.close()
