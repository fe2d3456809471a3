"""Delivers what is due, in one process, until it is told to stop. Any number of processes may; each takes its own."""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar
from uuid import UUID

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from pressroom.events.purge import purge_events
from pressroom.net.guard import NetPolicy
from pressroom.settings import Settings
from pressroom.webhooks.outgoing import AT_ONCE, Outgoing, Sent, Tell, claim_due, settle_sent
from pressroom.webhooks.send import send_to_endpoint

_ENDPOINTS_AT_ONCE = 20
_LOOK_SECONDS = 0.5
_PURGE_SECONDS = 60.0
_AGAIN_SECONDS = 1.0
_DATABASE_THREADS = 2

_P = ParamSpec("_P")
_T = TypeVar("_T")

_log = logging.getLogger("pressroom.webhooks")


class _NoThreads(Exception):
    """The interpreter ends, and begins no more work: a process told to end while it begins tells us in no other way."""


class Deliverer:
    """Lives on one event loop. `poke` from any thread: look at once instead of at the next turn."""

    def __init__(self, database: Engine, settings: Settings, *, tell: Tell) -> None:
        """`tell` raises an alert, in the transaction that disables an endpoint."""
        self._database = database
        self._settings = settings
        self._policy = NetPolicy(settings.webhook_networks, settings.webhook_port_numbers)
        self._tell = tell
        self._sending: dict[UUID, asyncio.Task[None]] = {}
        self._wake = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._stopping = False
        self._purge_at = time.monotonic()
        # Not the loop's own threads, which may all be waiting for name servers.
        self._threads = ThreadPoolExecutor(_DATABASE_THREADS, thread_name_prefix="webhooks-sql")

    def poke(self) -> None:
        """Something is due. May come when the loop has ended: then whoever looks next finds it."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._wake.set)

    def stop(self) -> None:
        """Let `run` return once what is being sent is settled; nothing more is taken. From any thread."""
        self._stopping = True
        self.poke()

    async def run(self) -> None:
        """Turn after turn. A database that is away is met again at the next."""
        while not self._stopping:
            try:
                await self._turn()
            except SQLAlchemyError as error:
                _log.warning("webhooks.part_down", extra={"error": str(error)})
            except _NoThreads:
                break
            except Exception:  # noqa: BLE001
                # A bug must be seen, and must not end what all endpoints wait for.
                _log.exception("webhooks.bug")
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_SECONDS):
                    await self._wake.wait()
            self._wake.clear()
        if self._sending:
            await asyncio.wait(self._sending.values())
        self._threads.shutdown(wait=False)

    async def _turn(self) -> None:
        if time.monotonic() >= self._purge_at:
            self._purge_at = time.monotonic() + _PURGE_SECONDS
            await self._in_thread(self._purge)
        room = _ENDPOINTS_AT_ONCE - len(self._sending)
        if room <= 0:
            return
        taken = await self._in_thread(self._claim, list(self._sending), room * AT_ONCE)
        groups: dict[UUID, list[Outgoing]] = {}
        for one in taken:
            groups.setdefault(one.endpoint_id, []).append(one)
        for endpoint_id, group in groups.items():
            self._sending[endpoint_id] = asyncio.create_task(self._deliver(endpoint_id, group))

    async def _deliver(self, endpoint_id: UUID, group: Sequence[Outgoing]) -> None:
        try:
            sent = await send_to_endpoint(group, self._policy, timeout_seconds=self._settings.webhook_timeout_seconds)
            await self._settle(sent)
        except _NoThreads:
            _log.info("webhooks.left_unsettled", extra={"endpoint_id": str(endpoint_id)})
        except Exception:  # noqa: BLE001
            # A bug must be seen; what was taken is taken again when its time is over.
            _log.exception("webhooks.bug")
        finally:
            del self._sending[endpoint_id]
            if len(group) >= AT_ONCE:
                self._wake.set()

    async def _settle(self, sent: Sequence[Sent]) -> None:
        """Until it worked, or whoever takes them next has to make them again."""
        for last in (False, False, True):
            try:
                await self._in_thread(self._write, sent)
            except SQLAlchemyError as error:
                _log.warning("webhooks.not_settled", extra={"deliveries": len(sent), "error": str(error)})
                if not last:
                    await asyncio.sleep(_AGAIN_SECONDS)
            else:
                break
        for one in sent:
            extra = {"endpoint_id": str(one.outgoing.endpoint_id), "event_id": one.outgoing.event.id}
            if one.error is not None:
                _log.info("webhook.failed", extra=extra | {"attempt": one.outgoing.attempts, "error": one.error})

    async def _in_thread(self, fn: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
        try:
            doing = self._threads.submit(fn, *args, **kwargs)
        except RuntimeError as error:
            raise _NoThreads from error
        return await asyncio.wrap_future(doing)

    def _claim(self, busy: Sequence[UUID], limit: int) -> list[Outgoing]:
        with self._database.begin() as conn:
            return claim_due(conn, busy=busy, limit=limit)

    def _write(self, sent: Sequence[Sent]) -> None:
        after = self._settings.webhook_disable_after_seconds
        with self._database.begin() as conn:
            if settle_sent(conn, sent, tell=self._tell, disable_after_seconds=after):
                _log.warning("webhook.disabled", extra={"endpoint_id": str(sent[0].outgoing.endpoint_id)})

    def _purge(self) -> None:
        with self._database.begin() as conn:
            purge_events(conn, keep_seconds=self._settings.event_keep_seconds)
