"""One listener's stream: everything from its place on, in order, once; and the end of what it follows."""

import time
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Engine

from pressroom.errors import PressroomError
from pressroom.events.feed import EventFeed, InThread
from pressroom.events.read import Event, Interest, is_kept_after, read_for
from pressroom.events.subjects import Standing, ends, look_at_batch, look_at_job

_LOOK_SECONDS = 1.0
_LOOKS_FOR_EVENT = 5
"""How often what is over is seen to be over before its stream ends without the event that should say so."""
KEEP_ALIVE_SECONDS = 15.0
_ANY_ID = 2**63 - 1


class EventsGone(PressroomError):
    """The place that a listener wants to go on from is no longer kept: it may have missed something."""


@dataclass(frozen=True, slots=True)
class Beginning:
    """Where a stream begins. `standing` is told first; `is_over` when nothing can come any more."""

    place: int
    standing: Standing | None = None
    is_over: bool = False


class Following:
    """What one client follows. `begin` once, then `events`, within `feed.joined()`."""

    def __init__(self, feed: EventFeed, database: Engine, in_thread: InThread, interest: Interest) -> None:
        self._feed = feed
        self._database = database
        self._in_thread = in_thread
        self._interest = interest
        self._all = replace(interest, types=("*",))
        """Of every type, for the end must not be missed whatever is asked for."""
        self._has_subject = interest.job_id is not None or interest.batch_id is not None
        self._pause_seconds = _LOOK_SECONDS if self._has_subject else KEEP_ALIVE_SECONDS
        self._looks_since_end = 0
        self._told: Mapping[str, Any] = {}

    async def begin(self, last_id: int | None) -> Beginning:
        """From after `last_id`, or from now. Raises NotFound, EventsGone and Unavailable."""
        # First the place, then the state: what is not over yet will be told by an event after the place.
        place = await self._feed.ready()
        standing = await self._in_thread(self._look) if self._has_subject else None
        if last_id is None:
            return Beginning(place, standing, is_over=standing is not None and standing.is_final)
        if not await self._in_thread(self._is_kept, last_id):
            raise EventsGone(
                f"what came after event {last_id} is not all kept any more: leave Last-Event-ID out, and read how "
                "things stand from the jobs and batches themselves"
            )
        if standing is not None and standing.is_final:
            left = await self._in_thread(self._left, last_id)
            return Beginning(last_id, is_over=not left and standing.has_events)
        return Beginning(last_id)

    async def events(self, beginning: Beginning, *, seconds: float) -> AsyncGenerator[Event | int, None]:
        """Events; and a number when all up to that place have been told: first, last, and when it has long been quiet.

        Ends with the job or batch that is followed, and after so many seconds.
        """
        if beginning.standing is not None and beginning.standing.is_final:
            yield beginning.standing.event
            return
        place, quiet_seconds, ends_at = beginning.place, 0.0, time.monotonic() + seconds
        yield place
        if beginning.standing is not None and self._is_news(beginning.standing):
            yield beginning.standing.event
        while not self._feed.ended and (left := ends_at - time.monotonic()) > 0:
            came, place = await self._next(place)
            for event in came:
                is_end = self._is_end(event)
                if is_end or self._interest.wants(event):
                    yield event
                if is_end:
                    return
            pause = min(self._pause_seconds, left)
            quiet_seconds = 0.0 if came else quiet_seconds + pause
            if came or place < self._feed.floor or await self._feed.wait(self._all, place, pause):
                continue
            news = await self._news()
            if news is not None:
                yield news.event
                if news.is_final:
                    return
            elif quiet_seconds >= KEEP_ALIVE_SECONDS:
                quiet_seconds = 0.0
                yield place
        yield place

    async def _next(self, place: int) -> tuple[list[Event], int]:
        if place < self._feed.floor:
            return await self._feed.read_back(self._all, place)
        return self._feed.since(self._all, place)

    def _is_end(self, event: Event) -> bool:
        return ends(event, job_id=self._interest.job_id, batch_id=self._interest.batch_id)

    async def _news(self) -> Standing | None:
        """What no event tells: how far a batch is, and the end of a job without events."""
        if not self._has_subject:
            return None
        standing = await self._in_thread(self._look)
        if standing.is_final and standing.has_events:
            # Its event comes in a moment, unless somebody has removed it.
            self._looks_since_end += 1
            if self._looks_since_end < _LOOKS_FOR_EVENT:
                return None
        return standing if self._is_news(standing) else None

    def _is_news(self, standing: Standing) -> bool:
        """Whether to tell of it: an end always, a batch's progress when it changed and is asked for."""
        if standing.is_final:
            return True
        if self._interest.batch_id is None or standing.event.data == self._told:
            return False
        self._told = standing.event.data
        return self._interest.wants_type(standing.event.type)

    def _look(self) -> Standing:
        project, job, batch = self._interest.project_id, self._interest.job_id, self._interest.batch_id
        with self._database.connect() as conn:
            if job is not None:
                return look_at_job(conn, project, job)
            if batch is None:
                raise RuntimeError("a stream of a whole project has no state to look at")
            return look_at_batch(conn, project, batch)

    def _left(self, last_id: int) -> list[Event]:
        """What there is after that of what is over. What is committed is enough: no place is taken from it."""
        with self._database.connect() as conn:
            return read_for(conn, self._all, (last_id, _ANY_ID), limit=1)[0]

    def _is_kept(self, event_id: int) -> bool:
        with self._database.connect() as conn:
            return is_kept_after(conn, event_id)
