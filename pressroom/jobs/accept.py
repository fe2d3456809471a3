"""Put the jobs of one request on the books: all of them, or none."""

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

from models import PriorityClass
from pressroom.errors import InvalidInput, Problem
from pressroom.ids import new_id, show_id
from pressroom.jobs.check import NewJobDraft
from pressroom.jobs.dependencies import Needs, hold_needed, insert_needs, release
from pressroom.jobs.dispatch import DispatchPolicy, dispatch_pools, pools_served
from pressroom.jobs.drafts import CheckedDraft, JobDraft, check_drafts
from pressroom.jobs.idempotency import Earlier, RepeatableRequest, begin, find_earlier, record
from pressroom.jobs.notes import Notes, insert_notes
from pressroom.jobs.publish import Publisher
from pressroom.jobs.resolve import DeploymentRef
from pressroom.jobs.share import Share
from pressroom.jobs.submit import Destination, Inserted, NewJob, insert_groups
from pressroom.jobs.terms import Terms, TermsBook, TermsKey

_log = logging.getLogger("pressroom.accept")


@dataclass(frozen=True, slots=True)
class Answer:
    """What the client gets. `replayed`: it is that of the first time, and nothing was stored now."""

    status: int
    body: bytes
    pools: Sequence[int] = ()
    replayed: bool = False


Render = Callable[[Connection, Sequence[UUID]], tuple[int, bytes]]
"""The answer to a submission, from the rows of its jobs, within its transaction."""


@dataclass(frozen=True, slots=True)
class Submitter:
    """Whose jobs they are."""

    project_id: UUID
    api_key_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class _Placed:
    """A checked draft with its id, and where its model goes."""

    id: UUID
    checked: CheckedDraft
    place: DeploymentRef | Share


class Acceptor:
    """One a process; from any thread."""

    def __init__(self, database: Engine, publisher: Publisher, policy: DispatchPolicy) -> None:
        self._database = database
        self._publisher = publisher
        self._policy = policy
        self._terms = TermsBook(database, policy.base_url)
        # What is kept of prices and models is not for two threads at once.
        self._checking = threading.Lock()
        self._dispatching = threading.Lock()
        self._dispatches = False
        self._to_dispatch: set[int] = set()
        self._known_pools: set[int] = set()
        self._served: set[int] = set()

    def accept(
        self,
        drafts: Sequence[JobDraft | Sequence[Problem]],
        submitter: Submitter,
        *,
        alone: bool,
        render: Render,
        repeat: RepeatableRequest | None = None,
    ) -> Answer:
        """Store the jobs and say so, or say what was said to the same request before.

        `alone`: the request was one job, not a list. `dispatch` them afterwards. Raises InvalidInput naming everything
        that is wrong, KeyReused, KeyInUse; then nothing was stored.
        """
        if repeat is not None and (earlier := self._earlier(repeat)) is not None:
            return earlier
        placed = self._check(drafts, submitter, alone=alone)
        with self._database.begin() as conn:
            if repeat is not None and (found := begin(conn, repeat)) is not None:
                return _replay(found)
            status, body = self._insert(conn, placed, submitter, render, alone=alone)
            if repeat is not None:
                record(conn, repeat, status=status, body=body)
        blocked = [one.id for one in placed if one.checked.needs]
        if blocked:
            # What they need may have ended before they came.
            release(self._database, blocked)
        return Answer(status, body, sorted({pool for one in placed for pool in _pools(one.place)}))

    def dispatch(self, pools: Sequence[int]) -> None:
        """Send new jobs on their way without waiting for a worker's turn. Their submission holds whatever this does.

        What comes while another thread dispatches is left to it.
        """
        with self._dispatching:
            self._to_dispatch.update(pools)
            if self._dispatches:
                return
            self._dispatches = True
        try:
            while found := self._next_pools():
                self._dispatch(found)
        except Exception as error:
            with self._dispatching:
                self._dispatches = False
            if not isinstance(error, SQLAlchemyError):
                raise
            # The workers' dispatchers take them within a quarter of a second.
            _log.warning("accept.not_dispatched", extra={"error": type(error).__name__})

    def _next_pools(self) -> set[int]:
        """Empty: none are left, and whoever comes next dispatches."""
        with self._dispatching:
            found, self._to_dispatch = self._to_dispatch, set()
            self._dispatches = bool(found)
        return found

    def _dispatch(self, pools: set[int]) -> None:
        """By the one thread that dispatches. Which account a pool belongs to never changes."""
        unknown = pools - self._known_pools
        if unknown:
            with self._database.connect() as conn:
                self._served |= pools_served(conn, sorted(unknown), self._policy)
            self._known_pools |= unknown
        dispatch_pools(self._database, self._publisher, self._policy, sorted(pools & self._served))

    def _earlier(self, repeat: RepeatableRequest) -> Answer | None:
        """Asked before anything is checked: what was accepted then may not be acceptable today."""
        with self._database.connect() as conn:
            found = find_earlier(conn, repeat)
        return _replay(found) if found is not None else None

    def _check(
        self, drafts: Sequence[JobDraft | Sequence[Problem]], submitter: Submitter, *, alone: bool
    ) -> list[_Placed]:
        with self._checking:
            terms: dict[PriorityClass, Terms] = {
                kind: self._terms.of(TermsKey(submitter.project_id, submitter.api_key_id, kind))
                for kind in {draft.priority_class for draft in drafts if isinstance(draft, JobDraft)}
            }

            def check(draft: JobDraft) -> NewJobDraft | list[Problem]:
                return terms[draft.priority_class].checker.check(draft.url, draft.body)

            checked = check_drafts(drafts, check, now=datetime.now(UTC), alone=alone)
            return [
                _Placed(new_id(), one, terms[one.draft.priority_class].deployments[one.priced.model]) for one in checked
            ]

    def _insert(
        self, conn: Connection, placed: Sequence[_Placed], submitter: Submitter, render: Render, *, alone: bool
    ) -> tuple[int, bytes]:
        needed = {need for one in placed for need in one.checked.needs if isinstance(need, UUID)}
        known = hold_needed(conn, submitter.project_id, needed)
        if needed - known.keys():
            raise InvalidInput([_unknown(placed, need, alone=alone) for need in sorted(needed - known.keys())])
        answer: tuple[int, bytes] = (0, b"")

        def complete(_: Inserted) -> None:
            nonlocal answer
            insert_needs(conn, [_needs(one, placed) for one in placed])
            notes = [Notes(one.id, one.checked.draft.tags, one.checked.draft.metadata) for one in placed]
            insert_notes(conn, submitter.project_id, notes)
            answer = render(conn, [one.id for one in placed])

        insert_groups(conn, _groups(placed, submitter), keep_ids=True, before_waking=complete)
        return answer


def _groups(placed: Sequence[_Placed], submitter: Submitter) -> list[tuple[Destination, list[NewJob]]]:
    """Jobs that are treated alike, together."""
    found: dict[tuple[PriorityClass, int, bool], list[_Placed]] = {}
    for one in placed:
        draft = one.checked.draft
        key = (draft.priority_class, draft.max_attempts, bool(one.checked.needs))
        found.setdefault(key, []).append(one)
    return [
        (
            Destination(
                project_id=submitter.project_id,
                deployments={one.checked.priced.model: one.place for one in group},
                priority_class=priority_class,
                max_attempts=max_attempts,
                api_key_id=submitter.api_key_id,
                blocked=blocked,
            ),
            [_job(one) for one in group],
        )
        for (priority_class, max_attempts, blocked), group in found.items()
    ]


def _job(one: _Placed) -> NewJob:
    draft, priced = one.checked.draft, one.checked.priced
    return NewJob(
        url=priced.url,
        model=priced.model,
        body=draft.text,
        estimate=priced.estimate,
        custom_id=draft.custom_id,
        run_at=draft.run_at,
        deadline=draft.deadline,
        priority=draft.priority,
        id=one.id,
    )


def _needs(one: _Placed, placed: Sequence[_Placed]) -> Needs:
    ids = [placed[need].id if isinstance(need, int) else need for need in one.checked.needs]
    return Needs(one.id, ids, one.checked.draft.run_on_failure)


def _unknown(placed: Sequence[_Placed], need: UUID, *, alone: bool) -> Problem:
    index = next(n for n, one in enumerate(placed) if need in one.checked.needs)
    field = "depends_on" if alone else f"jobs[{index}].depends_on"
    remedy = "Give the id of a job of this project: GET /v1/jobs lists them"
    return Problem(field, "names a job that is not there", remedy, value=show_id("job", need), code="job_not_found")


def _pools(place: DeploymentRef | Share) -> list[int]:
    return [ref.pool_id for ref in (place.refs if isinstance(place, Share) else [place])]


def _replay(found: Earlier) -> Answer:
    if found.status is None or found.body is None:
        raise RuntimeError("a key was recorded without the answer that goes with it")
    return Answer(found.status, found.body, replayed=True)
