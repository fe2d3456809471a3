"""Put jobs on the books: `queued`, priced, in one transaction. From the commit on nothing can lose them."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from itertools import islice
from typing import Any
from uuid import UUID

from sqlalchemy import Connection

from models import PriorityClass
from pressroom.ids import new_id
from pressroom.jobs.flows import ensure_flow, wake_flows
from pressroom.jobs.resolve import DeploymentRef
from pressroom.operations.base import Estimate

_CHUNK = 2000

_COPY_JOBS = (
    "COPY jobs (id, project_id, batch_id, line_no, custom_id, flow_id, deployment_id, url, state, priority, run_at,"
    " deadline, max_attempts, est_tokens, est_images, est_cost_usd) FROM STDIN"
)
_COPY_REQUESTS = "COPY job_requests (job_id, body) FROM STDIN"


@dataclass(frozen=True, slots=True)
class NewJob:
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
    """Where a submission's jobs belong."""

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
    flow_of = {
        model: ensure_flow(conn, pool_id=ref.pool_id, project_id=to.project_id, priority_class=to.priority_class)
        for model, ref in sorted(to.deployments.items())
    }
    ready: dict[int, int] = {}
    stream = iter(jobs)
    while chunk := list(islice(stream, _CHUNK)):
        ids = _copy_chunk(conn, chunk, to, flow_of)
        for job in chunk:
            inserted.est_cost_usd += job.estimate.cost_usd
            ready[flow_of[job.model]] = ready.get(flow_of[job.model], 0) + 1
        inserted.total += len(chunk)
        if keep_ids:
            inserted.ids.extend(ids)
    wake_flows(conn, ready)
    return inserted


def _copy_chunk(conn: Connection, chunk: list[NewJob], to: Destination, flow_of: Mapping[str, int]) -> list[UUID]:
    ids = [new_id() for _ in chunk]
    cursor = conn.connection.cursor()
    try:
        with cursor.copy(_COPY_JOBS) as copy:
            for row in _job_rows(ids, chunk, to, flow_of):
                copy.write_row(row)
        with cursor.copy(_COPY_REQUESTS) as copy:
            for job_id, job in zip(ids, chunk, strict=True):
                copy.write_row((job_id, job.body))
    finally:
        cursor.close()
    return ids


def _job_rows(
    ids: list[UUID], chunk: list[NewJob], to: Destination, flow_of: Mapping[str, int]
) -> Iterator[tuple[Any, ...]]:
    for job_id, job in zip(ids, chunk, strict=True):
        yield (
            job_id,
            to.project_id,
            to.batch_id,
            job.line_no,
            job.custom_id,
            flow_of[job.model],
            to.deployments[job.model].id,
            job.url,
            "queued",
            job.priority,
            job.run_at,
            job.deadline,
            to.max_attempts,
            job.estimate.tokens,
            job.estimate.images,
            job.estimate.cost_usd,
        )
