"""New events for all listeners of one process: one reader of the outbox, however many listen.

The newest are remembered, by what they are of, and a listener takes from there what came after its place. One that is
further behind than is remembered reads the table itself, page by page, as fast as its client takes it: nothing is
queued for anybody, so no listener can fill the memory.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from heapq import merge
from typing import Any, Literal, Protocol, TypeVar
from uuid import UUID

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from pressroom.errors import Unavailable
from pressroom.events.horizon import Horizon
from pressroom.events.read import Event, Interest, read_all, read_for

Key = tuple[Literal["project", "job", "batch", "all"], UUID | None]
_OPEN: Key = ("all", None)

_LOOK_SECONDS = 0.25
_AGAIN_SECONDS = 1.0
_FIRST_LOOK_SECONDS = 5.0
_FIRST_LOOK_AGAIN_SECONDS = 0.02
_REMEMBERED = 10_000
_PAGE = 500

_T = TypeVar("_T")

_log = logging.getLogger("pressroom.events")


class InThread(Protocol):
    """Runs what blocks, somewhere else."""

    def __call__(self, fn: Callable[..., _T], *args: Any, **named: Any) -> Coroutine[Any, Any, _T]:
        """As `fn(*args, **named)`."""


class EventFeed:
    """One per process, on its event loop. It looks while anybody listens, and rests while nobody does."""

    def __init__(
        self,
        database: Engine,
        in_thread: InThread,
        *,
        most_listeners: int,
        is_draining: Callable[[], bool] = lambda: False,
        look_seconds: float = _LOOK_SECONDS,
        remembered: int = _REMEMBERED,
    ) -> None:
        """Once `is_draining`, all streams end: clients come again, to a process that goes on."""
        self._is_draining = is_draining
        self._database = database
        self._in_thread = in_thread
        self._most_listeners = most_listeners
        self._look_seconds = look_seconds
        self._remembered = remembered
        self._horizon = Horizon()
        self._listeners = 0
        self._looking: asyncio.Task[None] | None = None
        self._begun = asyncio.Event()
        self._newest: deque[Event] = deque()
        self._by_key: dict[Key, deque[Event]] = {}
        self._waiting: dict[Key, set[asyncio.Event]] = {}
        self.position = 0
        """Up to here everything is remembered or older than `floor`."""
        self.ended = False
        """Whether the process is about to stop."""
        self.floor = 0
        """What came after this place is remembered."""

    @contextmanager
    def joined(self) -> Iterator[None]:
        """For as long as somebody listens. Raises Unavailable where too many do."""
        if self._listeners >= self._most_listeners:
            raise Unavailable(f"this process holds {self._most_listeners} streams of events open already")
        self._listeners += 1
        try:
            if self._looking is None:
                self._looking = asyncio.create_task(self._look())
            yield
        finally:
            self._listeners -= 1
            if not self._listeners and self._looking is not None:
                self._looking.cancel()
                self._rest()

    async def ready(self) -> int:
        """The place up to which all is settled: a listener that begins now begins there. Raises Unavailable."""
        if self.ended:
            raise Unavailable("this process is about to stop")
        try:
            async with asyncio.timeout(_FIRST_LOOK_SECONDS):
                await self._begun.wait()
        except TimeoutError:
            raise Unavailable("the events cannot be read at the moment") from None
        return self.position

    def since(self, interest: Interest, after: int) -> tuple[list[Event], int]:
        """What is remembered for the listener after its place, which must not be before `floor`; and its new place."""
        found = merge(*(self._remembered_of(key, after) for key in _keys_of(interest)), key=lambda event: event.id)
        return [event for event in found if interest.wants(event)], self.position

    async def read_back(self, interest: Interest, after: int) -> tuple[list[Event], int]:
        """A page for one that is further behind, and its new place. Raises what an unreachable database raises."""
        return await self._in_thread(self._read_page, interest, after, self.position)

    async def wait(self, interest: Interest, after: int, seconds: float) -> bool:
        """Until there may be something for the listener after its place, or the feed ends; False when neither was."""
        if self.ended:
            return True
        if self.position > after and any(True for key in _keys_of(interest) for _ in self._remembered_of(key, after)):
            return True
        woken = asyncio.Event()
        keys = _keys_of(interest)
        for key in keys:
            self._waiting.setdefault(key, set()).add(woken)
        try:
            async with asyncio.timeout(seconds):
                await woken.wait()
        except TimeoutError:
            return False
        finally:
            for key in keys:
                waiting = self._waiting[key]
                waiting.discard(woken)
                if not waiting:
                    del self._waiting[key]
        return True

    async def _look(self) -> None:
        while not self.ended:
            if self._is_draining():
                self._end()
                return
            try:
                full = await self._turn()
            except SQLAlchemyError as error:
                _log.warning("events.not_read", extra={"error": type(error).__name__})
                await asyncio.sleep(_AGAIN_SECONDS)
                continue
            if not self._begun.is_set():
                await asyncio.sleep(_FIRST_LOOK_AGAIN_SECONDS)
            elif not full:
                await asyncio.sleep(self._look_seconds)

    async def _turn(self) -> bool:
        """Read what is new; True if there may be more."""
        if not self._begun.is_set():
            upto = await self._in_thread(self._read_horizon, self._horizon)
            if upto is not None:
                self.position = self.floor = upto
                self._begun.set()
            return False
        events, reached = await self._in_thread(self._read_new, self._horizon, self.position)
        self._remember(events)
        self.position = reached
        return len(events) == _PAGE

    def _end(self) -> None:
        self.ended = True
        for waiting in self._waiting.values():
            for one in waiting:
                one.set()

    def _remember(self, events: list[Event]) -> None:
        woken: set[asyncio.Event] = set()
        for event in events:
            self._newest.append(event)
            for key in _keys_for(event):
                self._by_key.setdefault(key, deque()).append(event)
                woken |= self._waiting.get(key, set())
        while len(self._newest) > self._remembered:
            oldest = self._newest.popleft()
            self.floor = oldest.id
            for key in _keys_for(oldest):
                self._by_key[key].popleft()
                if not self._by_key[key]:
                    del self._by_key[key]
        for one in woken:
            one.set()

    def _remembered_of(self, key: Key, after: int) -> Iterator[Event]:
        newer: list[Event] = []
        for event in reversed(self._by_key.get(key, ())):
            if event.id <= after:
                break
            newer.append(event)
        return reversed(newer)

    def _rest(self) -> None:
        self._looking = None
        # A thread may still be at work with the old one.
        self._horizon = Horizon()
        self._begun.clear()
        self._newest.clear()
        self._by_key.clear()

    def _read_horizon(self, horizon: Horizon) -> int | None:
        with self._database.connect() as conn:
            upto = horizon.advance(conn)
        return upto if horizon.is_settled else None

    def _read_new(self, horizon: Horizon, after: int) -> tuple[list[Event], int]:
        with self._database.connect() as conn:
            upto = horizon.advance(conn)
            if upto <= after:
                return [], after
            events = read_all(conn, after, upto, limit=_PAGE)
        return events, events[-1].id if len(events) == _PAGE else upto

    def _read_page(self, interest: Interest, after: int, upto: int) -> tuple[list[Event], int]:
        with self._database.connect() as conn:
            return read_for(conn, interest, (after, upto), limit=_PAGE)

    async def close(self) -> None:
        """Stop looking."""
        self._end()
        if self._looking is not None:
            self._looking.cancel()
            with suppress(asyncio.CancelledError):
                await self._looking


def _keys_of(interest: Interest) -> list[Key]:
    """Where the listener's events are remembered."""
    if interest.job_id is not None:
        return [("job", interest.job_id)]
    if interest.batch_id is not None:
        return [("batch", interest.batch_id)]
    return [("project", interest.project_id), _OPEN]


def _keys_for(event: Event) -> list[Key]:
    keys: list[Key] = [_OPEN if event.project_id is None else ("project", event.project_id)]
    if event.job_id is not None:
        keys.append(("job", event.job_id))
    if event.batch_id is not None:
        keys.append(("batch", event.batch_id))
    return keys
