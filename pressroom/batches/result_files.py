"""A batch's two files of results, readable from its first ended job on.

Their ids are the batch's own from its beginning. Until it is finalized they name what the books say at the moment,
put together while it is read; then rows of `files`, which never change.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection, Engine, text

from models import JobState
from pressroom.batches.pages import job_pages
from pressroom.batches.rendering import PROVIDER_WORDS, LineRenderer
from pressroom.ids import show_id
from pressroom.storage import ObjectStore

LINK_SECONDS = 7 * 86_400
"""The longest that S3 allows; the provider's are good for an hour."""
_CHUNK_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True)
class ResultRole:
    """Which jobs a file has lines of."""

    name: str
    states: tuple[JobState, ...]


OUTPUT = ResultRole("output", (JobState.SUCCEEDED,))
ERRORS = ResultRole("error", (JobState.FAILED, JobState.CANCELLED, JobState.EXPIRED))

# Two lookups in unique indexes; an OR would read all batches.
_FIND = text(
    """
    SELECT id, created_at, 'output' AS role FROM batches
    WHERE output_file_id = :file AND project_id = :project AND finalized_at IS NULL
    UNION ALL SELECT id, created_at, 'error' FROM batches
    WHERE error_file_id = :file AND project_id = :project AND finalized_at IS NULL
    """
)


@dataclass(frozen=True, slots=True)
class GrowingFile:
    """A file of results of which no object is written yet. How large it is, nobody knows before it is read."""

    id: UUID
    batch_id: UUID
    role: ResultRole
    created_at: datetime

    @property
    def filename(self) -> str:
        """As that of the finished file."""
        return f"{show_id('batch', self.batch_id)}_{self.role.name}.jsonl"


def result_lines(store: ObjectStore) -> LineRenderer:
    """Lines in the provider's words; pictures that were asked for as links can be had by them for a week."""
    return LineRenderer(
        store,
        lambda picture: store.presigned_url(picture.key, expires_seconds=LINK_SECONDS),
        words=PROVIDER_WORDS,
    )


def find_growing(conn: Connection, project_id: UUID, file_id: UUID) -> GrowingFile | None:
    """The file of that id, if it is one of a batch that is not finalized."""
    row = conn.execute(_FIND, {"file": file_id, "project": project_id}).one_or_none()
    if row is None:
        return None
    return GrowingFile(file_id, row.id, OUTPUT if row.role == OUTPUT.name else ERRORS, row.created_at)


def read_growing(engine: Engine, store: ObjectStore, growing: GrowingFile) -> Iterator[bytes]:
    """What the file has by now, in chunks, in the order of the input and in flat memory. Raises StorageError."""
    renderer = result_lines(store)
    chunk = bytearray()
    for jobs, pictures in job_pages(engine, growing.batch_id, growing.role.states):
        for _, _, pieces in renderer.lines([(job, pictures.get(job.id, [])) for job in jobs]):
            for piece in pieces:
                chunk += piece
                if len(chunk) >= _CHUNK_BYTES:
                    yield bytes(chunk)
                    chunk.clear()
    if chunk:
        yield bytes(chunk)
