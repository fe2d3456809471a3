"""A batch's jobs and pictures in line order, page by page: flat memory, and no transaction open meanwhile.

A cursor would hold one snapshot for as long as pictures are fetched, which keeps vacuum back and ends by the idle
timeout. Paged, each line is seen once, as it is when its turn comes.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Engine, Row, text

from models import ArtifactKind, JobState
from pressroom.errors import NotFound

PAGE = 500
_PAGE_CHARACTERS = 4_000_000
"""About what a page's answers may take together; after a page of long ones the next has fewer."""

_BATCH = text(
    """
    SELECT b.id, b.project_id, b.input_name, EXISTS (
      SELECT 1 FROM jobs j JOIN deployments d ON d.id = j.deployment_id WHERE j.batch_id = b.id AND d.is_sandbox
    ) AS is_sandbox
    FROM batches b WHERE b.id = :batch
    """
)

_JOBS = text(
    """
    SELECT j.id, j.line_no, j.custom_id, j.url, j.state, j.error_code, d.is_sandbox,
      r.status_code, r.request_id, r.body::text AS body, r.error::text AS error,
      CASE WHEN j.est_images > 0 AND j.state = 'succeeded' THEN q.body::text END AS request
    FROM jobs j JOIN deployments d ON d.id = j.deployment_id
    JOIN job_requests q ON q.job_id = j.id
    LEFT JOIN job_results r ON r.job_id = j.id
    WHERE j.batch_id = :batch AND j.line_no > :after AND j.superseded_by IS NULL
      AND (CAST(:states AS job_state[]) IS NULL OR j.state = ANY(CAST(:states AS job_state[])))
    ORDER BY j.line_no LIMIT :page
    """
)

_COLUMNS = (
    "a.id, a.job_id, j.line_no, j.custom_id, a.position, a.key, a.content_type, a.byte_size, a.sha256, a.width,"
    " a.height"
)

_PICTURES_OF = text(
    f"""
    SELECT {_COLUMNS} FROM artifacts a JOIN jobs j ON j.id = a.job_id
    WHERE a.job_id = ANY(CAST(:jobs AS uuid[])) AND a.kind = 'image' ORDER BY a.job_id, a.position
    """  # noqa: S608 - the columns are a constant of this module
)

_PICTURES = text(
    f"""
    SELECT {_COLUMNS} FROM jobs j JOIN artifacts a ON a.job_id = j.id
    WHERE j.batch_id = :batch AND j.superseded_by IS NULL AND a.kind = CAST(:kind AS artifact_kind)
      AND j.line_no >= :line AND (j.line_no, a.position) > (:line, :position)
    ORDER BY j.line_no, a.position LIMIT :page
    """  # noqa: S608 - the columns are a constant of this module
)

JobRow = Row[Any]


@dataclass(frozen=True, slots=True)
class ArtifactRow:
    """A stored picture, and the line that it answers."""

    id: UUID
    job_id: UUID
    line_no: int
    custom_id: str | None
    position: int
    key: str
    content_type: str
    byte_size: int
    sha256: str
    width: int | None
    height: int | None


@dataclass(frozen=True, slots=True)
class BatchFacts:
    """What files about a batch say of it."""

    id: UUID
    project_id: UUID
    input_name: str
    is_sandbox: bool


def batch_facts(engine: Engine, batch_id: UUID) -> BatchFacts:
    """The batch. Raises NotFound."""
    with engine.connect() as conn:
        row = conn.execute(_BATCH, {"batch": batch_id}).mappings().one_or_none()
    if row is None:
        raise NotFound(f"there is no batch {batch_id}")
    return BatchFacts(**row)


def job_pages(
    engine: Engine, batch_id: UUID, states: Collection[JobState] = ()
) -> Iterator[tuple[Sequence[JobRow], Mapping[UUID, list[ArtifactRow]]]]:
    """Jobs with their results, without superseded ones; and the pictures of each page by job, in order.

    Only those in `states`, where any are given.
    """
    after, page = -1, PAGE
    wanted = [state.value for state in states] or None
    while True:
        with engine.connect() as conn:
            jobs = conn.execute(_JOBS, {"batch": batch_id, "after": after, "page": page, "states": wanted}).all()
            pictures: dict[UUID, list[ArtifactRow]] = {}
            with_pictures = [job.id for job in jobs if job.request is not None]
            if with_pictures:
                for row in conn.execute(_PICTURES_OF, {"jobs": with_pictures}).mappings():
                    pictures.setdefault(row["job_id"], []).append(ArtifactRow(**row))
        if not jobs:
            return
        yield jobs, pictures
        after = jobs[-1].line_no
        mean = 1 + sum(len(job.body or "") for job in jobs) // len(jobs)
        page = max(1, min(PAGE, _PAGE_CHARACTERS // mean))


def pictures_of(engine: Engine, batch_id: UUID, kind: ArtifactKind = ArtifactKind.IMAGE) -> Iterator[ArtifactRow]:
    """The batch's pictures (or thumbnails), by line and position."""
    line, position = -1, -1
    while True:
        with engine.connect() as conn:
            parameters = {"batch": batch_id, "kind": kind.value, "line": line, "position": position, "page": PAGE}
            rows = conn.execute(_PICTURES, parameters).mappings().all()
        for row in rows:
            yield ArtifactRow(**row)
        if not rows:
            return
        line, position = rows[-1]["line_no"], rows[-1]["position"]
