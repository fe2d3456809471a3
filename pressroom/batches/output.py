"""Write what became of a batch, in the OpenAI Batch output format: a line a job, in the order of the input."""

from dataclasses import dataclass
from typing import BinaryIO
from uuid import UUID

from sqlalchemy import Engine

from pressroom.batches.downloads import contact_sheet_for, download_images
from pressroom.batches.pages import ArtifactRow, batch_facts, job_pages
from pressroom.batches.rendering import LineRenderer, Link
from pressroom.storage import ObjectStore

__all__ = ["ArtifactRow", "OutputSummary", "contact_sheet_for", "download_images", "write_output"]

_UNFINISHED = ("blocked", "queued", "leased", "running")


@dataclass(slots=True)
class OutputSummary:
    """Lines written, by how their jobs ended; `unfinished` jobs have no line. `images` counts pictures in them."""

    lines: int = 0
    succeeded: int = 0
    failed: int = 0
    cancelled: int = 0
    expired: int = 0
    unfinished: int = 0
    images: int = 0


def write_output(
    engine: Engine,
    batch_id: UUID,
    file: BinaryIO,
    *,
    store: ObjectStore | None = None,
    link: Link | None = None,
) -> OutputSummary:
    """Write a line for every job that has ended, in flat memory.

    Pictures become a `url` by `link` (`s3://bucket/key` without it), or `b64_json` read from `store` where the request
    asked for that and a store is given. Raises NotFound, and StorageError for a picture that cannot be read.
    """
    batch_facts(engine, batch_id)
    summary = OutputSummary()
    renderer = LineRenderer(store, link)
    for jobs, pictures in job_pages(engine, batch_id):
        ended = [(job, pictures.get(job.id, [])) for job in jobs if job.state not in _UNFINISHED]
        summary.unfinished += len(jobs) - len(ended)
        for job, of_job, pieces in renderer.lines(ended):
            file.writelines(pieces)
            summary.lines += 1
            summary.images += len(of_job)
            setattr(summary, job.state, getattr(summary, job.state) + 1)
    return summary
