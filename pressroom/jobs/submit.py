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
    inserted = Inserted()
    flow_of: dict[str, int] = {}
    _find_flows(conn, to.deployments, to, flow_of)
    ready: dict[int, int] = {}
    stream = iter(jobs)
    while chunk := list(islice(stream, CHUNK)):
        _find_flows(conn, {job.model for job in chunk}, to, flow_of)
        ids = _copy_chunk(conn, chunk, to, flow_of)
        for job in chunk:
            inserted.est_cost_usd += job.estimate.cost_usd
            flow = flow_of[job.model]
            ready[flow] = ready.get(flow, 0) + 1
        inserted.total += len(chunk)
        if keep_ids:
            inserted.ids.extend(ids)
    # Not `wake_flows` alone: two submissions to several flows would lock them in any order, and could deadlock.
    change_flows(conn, {flow: FlowChange(queued=count, ready=True) for flow, count in ready.items()})
    return inserted


def _find_flows(conn: Connection, models: Iterable[str], to: Destination, flow_of: dict[str, int]) -> None:
    for model in sorted(set(models) - flow_of.keys()):
        flow_of[model] = ensure_flow(
            conn,
            pool_id=to.deployments[model].pool_id,
            project_id=to.project_id,
            priority_class=to.priority_class,
        )


def _copy_chunk(conn: Connection, chunk: list[NewJob], to: Destination, flow_of: Mapping[str, int]) -> list[UUID]:
    ids = [new_id() for _ in chunk]
    shown = [job_id.hex for job_id in ids]
    cursor = conn.connection.cursor()
    try:
        with cursor.copy(_COPY_JOBS) as copy:
            copy.write(_job_rows(shown, chunk, to, flow_of))
        with cursor.copy(_COPY_REQUESTS) as copy:
            copy.write("".join([f"{job_id}\t{_escape(job.body)}\n" for job_id, job in zip(shown, chunk, strict=True)]))
    finally:
        cursor.close()
    return ids


def _job_rows(ids: list[str], chunk: list[NewJob], to: Destination, flow_of: Mapping[str, int]) -> str:
    """Rows in COPY's text format, written by hand: three times as fast as one value after another."""
    batch = to.batch_id.hex if to.batch_id is not None else "\\N"
    common = f"{to.project_id.hex}\t{batch}\t{to.max_attempts}\tqueued"
    starts: dict[tuple[str, str], str] = {}
    rows: list[str] = []
    for job_id, (url, model, _, estimate, custom_id, line_no, run_at, deadline, priority) in zip(
        ids, chunk, strict=True
    ):
        start = starts.get((model, url))
        if start is None:
            start = f"{common}\t{flow_of[model]}\t{to.deployments[model].id}\t{_escape(url)}"
            starts[model, url] = start
        rows.append(
            f"{start}\t{job_id}\t{_nullable(line_no)}\t{_nullable(custom_id)}\t{priority}\t{_nullable(run_at)}"
            f"\t{_nullable(deadline)}\t{estimate.tokens}\t{estimate.images}\t{estimate.cost_usd}\n"
        )
    return "".join(rows)


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
