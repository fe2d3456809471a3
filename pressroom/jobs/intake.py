"""Single submissions, put on the books together: those that arrive while a commit is on its way share the next one.

Lives on one event loop, with a thread that checks, prices and commits, and another that dispatches what was committed.
So a thousand calls at once cost tens of commits, one call alone waits for no company, and no answer comes before its
commit.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from models import PriorityClass
from pressroom.errors import InvalidInput, PressroomError, Unavailable
from pressroom.ids import new_id
from pressroom.jobs.check import NewJobDraft
from pressroom.jobs.dispatch import DispatchPolicy, dispatch_pools, pools_served
from pressroom.jobs.express import ExpressJob, ExpressLane, fits, lease_at_once, open_lane
from pressroom.jobs.publish import Publisher
from pressroom.jobs.share import Share
from pressroom.jobs.submit import Destination, NewJob, insert_jobs
from pressroom.jobs.terms import Terms, TermsBook, TermsKey

_LARGEST_GROUP = 200

_log = logging.getLogger("pressroom.intake")

Note = tuple[Callable[[Connection, Sequence[tuple[UUID, Any]]], None], Any]
"""Something to write in the same transaction: a function that takes (job id, value) of many jobs, and the value."""


@dataclass(frozen=True, slots=True)
class NewRequest:
    """One request as its submitter gave it. `text` is the body's own JSON text, where it is at hand.

    `notes` are written with the job or not at all, before its row or after; what they raise refuses the request.
    """

    project_id: UUID
    url: str
    body: Mapping[str, Any]
    api_key_id: UUID | None = None
    priority_class: PriorityClass = PriorityClass.INTERACTIVE
    text: str | None = None
    custom_id: str | None = None
    run_at: datetime | None = None
    deadline: datetime | None = None
    priority: int = 0
    max_attempts: int = 5
    notes: Sequence[Note] = ()


@dataclass(frozen=True, slots=True)
class Accepted:
    """A job that is on the books. `pool_id` is where it goes, or the first of several that it may go to."""

    job_id: UUID
    model: str
    pool_id: int
    est_cost_usd: Decimal


@dataclass(slots=True)
class _Entry:
    new: NewRequest
    answer: asyncio.Future[Accepted]
    draft: NewJobDraft | None = None
    pools: Sequence[int] = ()
    lease_id: UUID | None = None
    """Set where it was leased in the transaction that inserted it."""


@dataclass(frozen=True, slots=True)
class _GroupKey:
    terms: TermsKey
    max_attempts: int


class Intake:
    """`submit` from any number of tasks; `close` at the end."""

    def __init__(
        self, database: Engine, publisher: Publisher, policy: DispatchPolicy, *, urgent: Publisher | None = None
    ) -> None:
        """`urgent` carries what was leased at once; `publisher`, where it is not given."""
        self._urgent = urgent if urgent is not None else publisher
        self._database = database
        self._publisher = publisher
        self._policy = policy
        self._terms = TermsBook(database, policy.base_url)
        self._arrived: list[_Entry] = []
        self._committing: asyncio.Task[None] | None = None
        self._to_dispatch: set[int] = set()
        self._to_publish: list[UUID] = []
        self._dispatching: asyncio.Task[None] | None = None
        # Which account a pool belongs to never changes.
        self._known_pools: set[int] = set()
        self._served: set[int] = set()
        self._commits = ThreadPoolExecutor(max_workers=1, thread_name_prefix="intake")
        self._dispatches = ThreadPoolExecutor(max_workers=1, thread_name_prefix="intake-dispatch")
        self.commits = 0
        """Transactions so far."""

    async def submit(self, new: NewRequest) -> Accepted:
        """The job, once it is committed; it is dispatched at once afterwards.

        Raises InvalidInput, what its notes raise, and Unavailable while the database is away: then nothing was stored.
        A caller that is cancelled meanwhile may leave its job behind.
        """
        entry = _Entry(new, asyncio.get_running_loop().create_future())
        self._arrived.append(entry)
        if self._committing is None:
            self._committing = asyncio.create_task(self._commit_all())
        return await entry.answer

    async def close(self) -> None:
        """Finish what is on its way."""
        for task in (self._committing, self._dispatching):
            if task is not None:
                await task
        self._commits.shutdown(wait=False)
        self._dispatches.shutdown(wait=False)

    async def _commit_all(self) -> None:
        loop = asyncio.get_running_loop()
        # What arrived in the same turn of the loop comes along.
        await asyncio.sleep(0)
        try:
            while self._arrived:
                group, self._arrived = self._arrived[:_LARGEST_GROUP], self._arrived[_LARGEST_GROUP:]
                results = await loop.run_in_executor(self._commits, self._take, group)
                for entry, result in zip(group, results, strict=True):
                    _settle(entry.answer, result)
                accepted = [e for e, result in zip(group, results, strict=True) if isinstance(result, Accepted)]
                self._dispatch(accepted)
        finally:
            self._committing = None

    def _dispatch(self, accepted: Sequence[_Entry]) -> None:
        leases = {entry.lease_id for entry in accepted if entry.lease_id is not None}
        self._to_publish += sorted(leases)
        self._to_dispatch |= {pool for entry in accepted if entry.lease_id is None for pool in entry.pools}
        if self._dispatching is None and (self._to_publish or self._to_dispatch):
            self._dispatching = asyncio.create_task(self._dispatch_all())

    async def _dispatch_all(self) -> None:
        """One turn after the other; what is committed during one shares the next."""
        loop = asyncio.get_running_loop()
        try:
            while self._to_publish or self._to_dispatch:
                leases, self._to_publish = self._to_publish, []
                pools, self._to_dispatch = self._to_dispatch, set()
                try:
                    await loop.run_in_executor(self._dispatches, self._send, leases, pools)
                except SQLAlchemyError as error:
                    # The workers' dispatchers take them within a quarter of a second.
                    _log.warning("intake.not_dispatched", extra={"pools": len(pools), "error": type(error).__name__})
        finally:
            self._dispatching = None

    def _send(self, leases: Sequence[UUID], pools: set[int]) -> None:
        self._urgent.publish(leases)
        if not pools:
            return
        unknown = pools - self._known_pools
        if unknown:
            with self._database.connect() as conn:
                self._served |= pools_served(conn, sorted(unknown), self._policy)
            self._known_pools |= unknown
        dispatch_pools(self._database, self._publisher, self._policy, sorted(pools & self._served))

    def _take(self, group: Sequence[_Entry]) -> list[Accepted | Exception]:
        """On the thread: a result for each, in order."""
        results: dict[int, Accepted | Exception] = {}
        groups: dict[_GroupKey, list[_Entry]] = {}
        for entry in group:
            try:
                groups.setdefault(self._check(entry), []).append(entry)
            except Exception as error:  # noqa: BLE001  whatever one request did must not fail the others
                results[id(entry)] = _told(error)
        for key, entries in groups.items():
            for entry, result in zip(entries, self._insert(key, entries), strict=True):
                results[id(entry)] = result
        return [results[id(entry)] for entry in group]

    def _check(self, entry: _Entry) -> _GroupKey:
        new = entry.new
        key = TermsKey(new.project_id, new.api_key_id, new.priority_class)
        terms = self._terms.of(key)
        checked = terms.checker.check(new.url, new.body)
        if not isinstance(checked, NewJobDraft):
            raise InvalidInput(checked)
        entry.draft = checked
        entry.pools = _pools(terms, checked.model)
        return _GroupKey(key, new.max_attempts)

    def _insert(self, key: _GroupKey, entries: Sequence[_Entry]) -> list[Accepted | Exception]:
        try:
            return list(self._insert_together(key, entries))
        except Exception as error:  # noqa: BLE001  as above
            if len(entries) == 1 or _is_away(error):
                return [_told(error)] * len(entries)
            # One of them is at fault: each by itself.
            return [result for entry in entries for result in self._insert(key, [entry])]

    def _insert_together(self, key: _GroupKey, entries: Sequence[_Entry]) -> list[Accepted]:
        terms = self._terms.of(key.terms)
        to = Destination(
            project_id=key.terms.project_id,
            deployments=terms.deployments,
            priority_class=key.terms.priority_class,
            max_attempts=key.max_attempts,
            api_key_id=key.terms.api_key_id,
        )
        jobs = [_job(entry) for entry in entries]
        lane = self._lane(terms, jobs, to)
        with self._database.begin() as conn:
            ids = self._lease_at_once(conn, lane, entries, jobs=jobs, to=to) if lane is not None else None
            if ids is None:
                ids = insert_jobs(
                    conn,
                    jobs,
                    to,
                    keep_ids=True,
                    before_waking=lambda inserted: _write_notes(conn, entries, inserted.ids),
                ).ids
        self.commits += 1
        return [
            Accepted(job_id, draft.model, entry.pools[0], draft.estimate.cost_usd)
            for entry, job_id in zip(entries, ids, strict=True)
            if (draft := entry.draft) is not None
        ]

    def _lane(self, terms: Terms, jobs: Sequence[NewJob], to: Destination) -> ExpressLane | None:
        """The way straight into a lease, where all of them go to one deployment that nothing speaks against."""
        models = {job.model for job in jobs}
        if len(models) > 1 or not fits(jobs, to):
            return None
        place = terms.deployments[models.pop()]
        if isinstance(place, Share):
            return None
        lane = terms.lanes.get(place.id)
        if lane is None:
            with self._database.begin() as conn:
                lane = terms.lanes[place.id] = open_lane(conn, place, to.project_id, self._policy)
        return lane if lane.is_served else None

    def _lease_at_once(
        self, conn: Connection, lane: ExpressLane, entries: Sequence[_Entry], *, jobs: Sequence[NewJob], to: Destination
    ) -> list[UUID] | None:
        express = [ExpressJob(new_id(), job) for job in jobs]
        ids = [one.id for one in express]
        # Notes before flows are locked, in the order of `insert_jobs`: two with one key would wait for each other.
        with conn.begin_nested() if any(entry.new.notes for entry in entries) else nullcontext() as undoing:
            _write_notes(conn, entries, ids)
            lease_id = lease_at_once(conn, lane, express, to, policy=self._policy)
            if lease_id is None and undoing is not None:
                undoing.rollback()
        for entry in entries:
            entry.lease_id = lease_id
        return ids if lease_id is not None else None


def _job(entry: _Entry) -> NewJob:
    new, draft = entry.new, entry.draft
    if draft is None:
        raise RuntimeError("a request was not checked before it was inserted")
    return NewJob(
        url=draft.url,
        model=draft.model,
        body=new.text if new.text is not None else orjson.dumps(new.body).decode(),
        estimate=draft.estimate,
        custom_id=new.custom_id,
        run_at=new.run_at,
        deadline=new.deadline,
        priority=new.priority,
    )


def _write_notes(conn: Connection, entries: Sequence[_Entry], ids: Sequence[UUID]) -> None:
    """Each kind in one call, in order."""
    found: dict[Any, list[tuple[UUID, Any]]] = {}
    for entry, job_id in zip(entries, ids, strict=True):
        for write, value in entry.new.notes:
            found.setdefault(write, []).append((job_id, value))
    for write, values in found.items():
        write(conn, values)


def _pools(terms: Terms, model: str) -> list[int]:
    place = terms.deployments[model]
    return [ref.pool_id for ref in (place.refs if isinstance(place, Share) else [place])]


def _is_away(error: Exception) -> bool:
    """Whether the server is at fault and not what it was given."""
    return isinstance(error, DBAPIError) and (
        error.connection_invalidated or _state(error)[:2] in ("", "08", "53", "57")
    )


def _state(error: DBAPIError) -> str:
    return str(getattr(error.orig, "sqlstate", None) or "")


def _told(error: Exception) -> Exception:
    """What the submitter hears: errors of the house as they are, a database that is away as that."""
    if isinstance(error, DBAPIError) and not isinstance(error, PressroomError) and _is_away(error):
        return Unavailable("the database does not answer; nothing of this request was stored")
    return error


def _settle(answer: asyncio.Future[Accepted], result: Accepted | Exception) -> None:
    if answer.done():
        return
    if isinstance(result, Accepted):
        answer.set_result(result)
    else:
        answer.set_exception(result)
