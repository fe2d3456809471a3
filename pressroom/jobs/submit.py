"""Put jobs on the books: `queued`, priced, in one transaction. From the commit on nothing can lose them."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import Connection

from models import PriorityClass
from pressroom.events.outbox import record_jobs
from pressroom.ids import new_id
from pressroom.jobs.copy_rows import CopyRows
from pressroom.jobs.flows import FlowChange, FlowKey, change_flows, ensure_flow, ensure_stake, flow_deadline
from pressroom.jobs.resolve import DeploymentRef
from pressroom.jobs.share import Share
from pressroom.jobs.stops import mark_paused
from pressroom.operations.base import Estimate

CHUNK = 2000
"""Jobs in memory at a time."""
CHUNK_CHARACTERS = 8_000_000
"""And about what their requests may take together: pictures come as data."""

_REMEMBERED_STARTS = 10_000

# What is the same for all jobs of a flow at an endpoint comes first, so that it is put together once.
_COPY_JOBS = (
    "COPY jobs (project_id, batch_id, api_key_id, max_attempts, state, priority, deadline, flow_id, deployment_id, url,"
    " id, line_no, custom_id, run_at, est_tokens, est_images, est_cost_usd) FROM STDIN"
)
_StartKey = tuple[int, str, int, datetime | None]
"""Deployment, endpoint, priority and deadline."""

_COPY_REQUESTS = "COPY job_requests (job_id, body) FROM STDIN"
_ESCAPES = (("\t", "\\t"), ("\n", "\\n"), ("\r", "\\r"))


class NewJob(NamedTuple):
    """A checked and priced request, ready to be inserted. `body` is the request as JSON text.

    `id` is given where something else names the job before it is there.
    """

    url: str
    model: str
    body: str
    estimate: Estimate
    custom_id: str | None = None
    line_no: int | None = None
    run_at: datetime | None = None
    deadline: datetime | None = None
    priority: int = 0
    id: UUID | None = None


@dataclass(frozen=True, slots=True)
class Destination:
    """Where a submission's jobs belong. `deployments` may find its entries only when asked for them.

    A model that several deployments serve has a share there, which deals its jobs out. `blocked` jobs wait for others
    (`dependencies`).
    """

    project_id: UUID
    deployments: Mapping[str, DeploymentRef | Share]
    priority_class: PriorityClass = PriorityClass.NORMAL
    batch_id: UUID | None = None
    max_attempts: int = 5
    api_key_id: UUID | None = None
    blocked: bool = False


@dataclass(slots=True)
class Inserted:
    """What a submission put on the books."""

    total: int = 0
    est_cost_usd: Decimal = field(default_factory=Decimal)
    ids: list[UUID] = field(default_factory=list)


def insert_jobs(
    conn: Connection,
    jobs: Iterable[NewJob],
    to: Destination,
    *,
    keep_ids: bool = False,
    before_waking: Callable[[Inserted], None] | None = None,
) -> Inserted:
    """Insert `jobs` in the caller's transaction by COPY, in flat memory, and wake their flows at the end.

    `keep_ids` returns the new ids, for submissions small enough to want them; outside batches their events are written.
    `before_waking` may take its time: the transaction holds locks on rows that nobody else sees yet, and none on a
    flow.
    """
    return insert_groups(conn, [(to, jobs)], keep_ids=keep_ids, before_waking=before_waking)


def insert_groups(
    conn: Connection,
    groups: Iterable[tuple[Destination, Iterable[NewJob]]],
    *,
    keep_ids: bool = False,
    before_waking: Callable[[Inserted], None] | None = None,
) -> Inserted:
    """The same for jobs that are treated differently: all flows are written at the end, once, in order."""
    inserted = Inserted()
    changes: dict[int, FlowChange] = {}
    told = keep_ids
    for to, jobs in groups:
        told = told and to.batch_id is None
        rows = _Rows(conn, to)
        stream = iter(jobs)
        try:
            while count := rows.take(stream, inserted, keep_ids=keep_ids):
                inserted.total += count
                rows.copy()
            rows.settle()
        finally:
            rows.close()
        for flow, change in rows.changes.items():
            if not to.blocked:
                change.queued = change.jobs
            changes.setdefault(flow, FlowChange()).add(change)
    if before_waking is not None:
        before_waking(inserted)
    change_flows(conn, changes)
    mark_paused(conn, list(changes))
    if told:
        record_jobs(conn, inserted.ids)
    return inserted


class _Rows:
    """Jobs as rows in COPY's text format, written by hand: three times as fast as one value after another.

    Each job becomes text at once and is let go: thousands of live objects would cost a sixth more, in garbage
    collections.
    """

    def __init__(self, conn: Connection, to: Destination) -> None:
        self._conn = conn
        self._to = to
        self._places: dict[str, DeploymentRef | Share] = {}
        self._pool_of: dict[int, int] = {}
        self._stakes: dict[int, int] = {}
        self._starts: dict[_StartKey, tuple[str, FlowChange]] = {}
        self._jobs: list[str] = []
        self._requests: list[str] = []
        self._copying = CopyRows(conn)
        self._is_whole = False
        self.changes: dict[int, FlowChange] = {}
        for model in to.deployments:
            self._find_place(model)
        # In order: two submissions that make the same stakes in different orders would wait for each other.
        for pool_id in sorted(set(self._pool_of.values())):
            self._find_stake(pool_id)

    def take(self, jobs: Iterator[NewJob], inserted: Inserted, *, keep_ids: bool) -> int:
        """Add rows of the next jobs, a chunk of them at most; returns how many."""
        places, starts = self._places, self._starts
        room = CHUNK_CHARACTERS
        for url, model, body, estimate, custom_id, line_no, run_at, deadline, priority, given_id in jobs:
            place = places.get(model) or self._find_place(model)
            if type(place) is Share:
                place = place.next()
            key = (place.id, url, priority, deadline)  # type: ignore[union-attr]
            start, change = starts.get(key) or self._start(key)
            job_id = given_id or new_id()
            shown = job_id.hex
            self._jobs.append(
                f"{start}\t{shown}\t{_nullable(line_no)}\t{_nullable(custom_id)}\t{_nullable(run_at)}"
                f"\t{estimate.tokens}\t{estimate.images}\t{estimate.cost_usd}\n"
            )
            self._requests.append(f"{shown}\t{_escape(body)}\n")
            inserted.est_cost_usd += estimate.cost_usd
            change.jobs += 1
            change.tokens += estimate.tokens
            change.images += estimate.images
            if keep_ids:
                inserted.ids.append(job_id)
            room -= len(body)
            if room <= 0 or len(self._jobs) >= CHUNK:
                self._is_whole = True
                break
        return len(self._jobs)

    def copy(self) -> None:
        """Send what was added, and forget it. A whole chunk goes while the next is being made."""
        is_whole, self._is_whole = self._is_whole, False
        chunk = [(_COPY_JOBS, "".join(self._jobs)), (_COPY_REQUESTS, "".join(self._requests))]
        self._jobs.clear()
        self._requests.clear()
        if is_whole:
            self._copying.begin(chunk)
        else:
            self._copying.send(chunk)

    def settle(self) -> None:
        """Wait until all that was sent is there."""
        self._copying.settle()

    def close(self) -> None:
        """Let go of the connection, whatever happened."""
        self._copying.close()

    def _start(self, key: _StartKey) -> tuple[str, FlowChange]:
        """The columns that all jobs of a flow at an endpoint share, and what is added to the flow."""
        to, (deployment_id, url, priority, deadline) = self._to, key
        if len(self._starts) >= _REMEMBERED_STARTS:
            self._starts.clear()
        pool_id = self._pool_of[deployment_id]
        stake = self._stakes.get(pool_id) or self._find_stake(pool_id)
        self.settle()
        flow = ensure_flow(self._conn, FlowKey(stake, deployment_id, to.batch_id, priority, flow_deadline(deadline)))
        change = self.changes.setdefault(flow, FlowChange(ready=not to.blocked))
        batch = to.batch_id.hex if to.batch_id is not None else "\\N"
        api_key = to.api_key_id.hex if to.api_key_id is not None else "\\N"
        places = f"{priority}\t{_nullable(deadline)}\t{flow}\t{deployment_id}\t{_escape(url)}"
        state = "blocked" if to.blocked else "queued"
        start = f"{to.project_id.hex}\t{batch}\t{api_key}\t{to.max_attempts}\t{state}\t{places}"
        self._starts[key] = start, change
        return start, change

    def _find_place(self, model: str) -> DeploymentRef | Share:
        place = self._places[model] = self._to.deployments[model]
        for ref in place.refs if isinstance(place, Share) else [place]:
            self._pool_of[ref.id] = ref.pool_id
        return place

    def _find_stake(self, pool_id: int) -> int:
        to = self._to
        self.settle()
        stake = ensure_stake(self._conn, pool_id=pool_id, project_id=to.project_id, priority_class=to.priority_class)
        self._stakes[pool_id] = stake
        return stake


def _nullable(value: object) -> str:
    return "\\N" if value is None else _escape(str(value))


def _escape(text: str) -> str:
    """As COPY's text format wants it. JSON text has no bare control characters, so most pass untouched."""
    if "\\" in text:
        text = text.replace("\\", "\\\\")
    for character, escape in _ESCAPES:
        if character in text:
            text = text.replace(character, escape)
    return text
