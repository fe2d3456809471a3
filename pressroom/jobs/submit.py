"""Put jobs on the books: `queued`, priced, in one transaction. From the commit on nothing can lose them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from itertools import islice
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import Connection

from models import PriorityClass
from pressroom.ids import new_id
from pressroom.jobs.flows import FlowChange, change_flows, ensure_flow
from pressroom.jobs.resolve import DeploymentRef
from pressroom.operations.base import Estimate

CHUNK = 2000
"""Jobs in memory at a time."""

# What is the same for all jobs of a model comes first, so that it is put together once.
_COPY_JOBS = (
    "COPY jobs (project_id, batch_id, max_attempts, state, flow_id, deployment_id, url, id, line_no, custom_id,"
    " priority, run_at, deadline, est_tokens, est_images, est_cost_usd) FROM STDIN"
)
_COPY_REQUESTS = "COPY job_requests (job_id, body) FROM STDIN"
_ESCAPES = (("\t", "\\t"), ("\n", "\\n"), ("\r", "\\r"))


class NewJob(NamedTuple):
    """A checked and priced request, ready to be inserted. `body` is the request as JSON text."""

    url: str
    model: str
    body: str
    estimate: Estimate
    custom_id: str | None = None
    line_no: int | None = None
    run_at: datetime | None = None
    deadline: datetime | None = None
    priority: int = 0


@dataclass(frozen=True, slots=True)
class Destination:
    """Where a submission's jobs belong. `deployments` may find its entries only when asked for them."""

    project_id: UUID
    deployments: Mapping[str, DeploymentRef]
    priority_class: PriorityClass = PriorityClass.NORMAL
    batch_id: UUID | None = None
    max_attempts: int = 5


@dataclass(slots=True)
class Inserted:
    """What a submission put on the books."""

    total: int = 0
    est_cost_usd: Decimal = field(default_factory=Decimal)
    ids: list[UUID] = field(default_factory=list)


def insert_jobs(conn: Connection, jobs: Iterable[NewJob], to: Destination, *, keep_ids: bool = False) -> Inserted:
    """Insert `jobs` in the caller's transaction by COPY, in flat memory, and wake their flows at the end.

    `keep_ids` returns the new ids, for submissions small enough to want them.
    """
    rows = _Rows(conn, to)
    inserted = Inserted()
    stream = iter(jobs)
    while count := rows.take(islice(stream, CHUNK), inserted, keep_ids=keep_ids):
        inserted.total += count
        rows.copy()
    # Not `wake_flows` alone: two submissions to several flows would lock them in any order, and could deadlock.
    change_flows(conn, {flow: FlowChange(queued=count, ready=True) for flow, count in rows.ready.items() if count})
    return inserted


class _Rows:
    """Jobs as rows in COPY's text format, written by hand: three times as fast as one value after another.

    Each job becomes text at once and is let go: thousands of live objects would cost a sixth more, in garbage
    collections.
    """

    def __init__(self, conn: Connection, to: Destination) -> None:
        self._conn = conn
        self._to = to
        self._flow_of: dict[str, int] = {}
        self._starts: dict[tuple[str, str], str] = {}
        self._jobs: list[str] = []
        self._requests: list[str] = []
        self.ready: dict[int, int] = {}
        for model in sorted(to.deployments):
            self._find_flow(model)

    def take(self, jobs: Iterable[NewJob], inserted: Inserted, *, keep_ids: bool) -> int:
        """Add rows; returns how many."""
        flow_of, starts, ready = self._flow_of, self._starts, self.ready
        for url, model, body, estimate, custom_id, line_no, run_at, deadline, priority in jobs:
            start = starts.get((model, url)) or self._start(model, url)
            job_id = new_id()
            shown = job_id.hex
            self._jobs.append(
                f"{start}\t{shown}\t{_nullable(line_no)}\t{_nullable(custom_id)}\t{priority}\t{_nullable(run_at)}"
                f"\t{_nullable(deadline)}\t{estimate.tokens}\t{estimate.images}\t{estimate.cost_usd}\n"
            )
            self._requests.append(f"{shown}\t{_escape(body)}\n")
            inserted.est_cost_usd += estimate.cost_usd
            ready[flow_of[model]] += 1
            if keep_ids:
                inserted.ids.append(job_id)
        return len(self._jobs)

    def copy(self) -> None:
        """Send what was added, and forget it."""
        cursor = self._conn.connection.cursor()
        try:
            for statement, rows in ((_COPY_JOBS, self._jobs), (_COPY_REQUESTS, self._requests)):
                with cursor.copy(statement) as copy:
                    copy.write("".join(rows))
                rows.clear()
        finally:
            cursor.close()

    def _start(self, model: str, url: str) -> str:
        """The columns that all jobs of a model at an endpoint share."""
        to = self._to
        if model not in self._flow_of:
            self._find_flow(model)
        batch = to.batch_id.hex if to.batch_id is not None else "\\N"
        places = f"{self._flow_of[model]}\t{to.deployments[model].id}\t{_escape(url)}"
        start = f"{to.project_id.hex}\t{batch}\t{to.max_attempts}\tqueued\t{places}"
        self._starts[model, url] = start
        return start

    def _find_flow(self, model: str) -> None:
        pool_id = self._to.deployments[model].pool_id
        flow = ensure_flow(
            self._conn, pool_id=pool_id, project_id=self._to.project_id, priority_class=self._to.priority_class
        )
        self._flow_of[model] = flow
        self.ready.setdefault(flow, 0)


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
