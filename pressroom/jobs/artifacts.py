"""Stored objects as people ask for them: one, those of a job, those of a batch's jobs. Answers are one project's."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection, text

from models import ArtifactKind
from pressroom.errors import InvalidInput, NotFound, Problem
from pressroom.ids import show_id

_COLUMNS = """
    a.id, a.job_id, a.batch_id, a.kind::text AS kind, a.position, a.key, a.content_type, a.byte_size, a.sha256, a.width,
    a.height, a.created_at, a.kind = 'image' AND EXISTS (SELECT 1 FROM artifacts t
      WHERE t.job_id = a.job_id AND t.kind = 'thumbnail' AND t.position = a.position) AS has_thumbnail
"""

_FIND = text(f"SELECT {_COLUMNS} FROM artifacts a WHERE a.id = :id AND a.project_id = :project_id")  # noqa: S608
_THUMBNAIL = text(
    f"""
    SELECT {_COLUMNS} FROM artifacts a
    WHERE a.job_id = :job_id AND a.kind = 'thumbnail' AND a.position = :position AND a.project_id = :project_id
    """  # noqa: S608
)
_OF_JOB = text(
    f"""
    SELECT {_COLUMNS} FROM artifacts a WHERE a.job_id = :job_id AND a.project_id = :project_id
      AND (CAST(:kind AS artifact_kind) IS NULL OR a.kind = :kind)
      AND (CAST(:after_kind AS artifact_kind) IS NULL OR (a.kind, a.position) > (:after_kind, :after_position))
    ORDER BY a.kind, a.position LIMIT :limit
    """  # noqa: S608
)

# In the order of two indexes, one inside the other: a page of a batch of a million is as quick as of one of ten.
_OF_BATCH = text(
    f"""
    SELECT {_COLUMNS} FROM jobs j JOIN artifacts a ON a.job_id = j.id
    WHERE j.batch_id BETWEEN :batch_id AND :batch_id AND j.project_id = :project_id
      AND (CAST(:kind AS artifact_kind) IS NULL OR a.kind = :kind)
      AND (CAST(:after_job AS uuid) IS NULL OR (j.id >= :after_job
        AND (j.id, a.kind, a.position) > (:after_job, :after_kind, :after_position)))
    ORDER BY j.batch_id, j.id, a.kind, a.position LIMIT :limit
    """  # noqa: S608
)


@dataclass(frozen=True, slots=True)
class StoredArtifact:
    """A stored object. `has_thumbnail` is of pictures: there is a small one of it."""

    id: UUID
    job_id: UUID | None
    batch_id: UUID | None
    kind: str
    position: int
    key: str
    content_type: str
    byte_size: int
    sha256: str
    width: int | None
    height: int | None
    created_at: datetime
    has_thumbnail: bool


@dataclass(frozen=True, slots=True)
class ArtifactPlace:
    """Of which job or batch (one of the two), of which kind, and after which one of them."""

    job_id: UUID | None = None
    batch_id: UUID | None = None
    kind: ArtifactKind | None = None
    after: UUID | None = None


def find_artifact(conn: Connection, project_id: UUID, artifact_id: UUID) -> StoredArtifact:
    """One. Raises NotFound."""
    row = conn.execute(_FIND, {"id": artifact_id, "project_id": project_id}).one_or_none()
    if row is None:
        raise NotFound(f"there is no artifact {show_id('art', artifact_id)} in this project")
    return StoredArtifact(**row._mapping)


def find_thumbnail(conn: Connection, project_id: UUID, artifact_id: UUID) -> StoredArtifact:
    """The small one of a picture; a thumbnail is its own. Raises NotFound."""
    found = find_artifact(conn, project_id, artifact_id)
    if found.kind == ArtifactKind.THUMBNAIL:
        return found
    bound = {"job_id": found.job_id, "position": found.position, "project_id": project_id}
    row = conn.execute(_THUMBNAIL, bound).one_or_none() if found.has_thumbnail else None
    if row is None:
        raise NotFound(f"{show_id('art', artifact_id)} has no thumbnail: it is no picture, or none could be made")
    return StoredArtifact(**row._mapping)


def list_artifacts(conn: Connection, project_id: UUID, of: ArtifactPlace, *, limit: int) -> Sequence[StoredArtifact]:
    """By job, kind and position. Raises InvalidInput unless one of job and batch is named, NotFound for `after`."""
    if (of.job_id is None) == (of.batch_id is None):
        raise InvalidInput([Problem("job_id", "or batch_id is needed, one of them", "Name a job or a batch")])
    after = find_artifact(conn, project_id, of.after) if of.after is not None else None
    bound = {
        "project_id": project_id,
        "kind": of.kind.value if of.kind is not None else None,
        "after_kind": after.kind if after is not None else None,
        "after_position": after.position if after is not None else None,
        "limit": limit,
    }
    if of.job_id is not None:
        rows = conn.execute(_OF_JOB, bound | {"job_id": of.job_id})
    else:
        after_job = after.job_id if after is not None else None
        rows = conn.execute(_OF_BATCH, bound | {"batch_id": of.batch_id, "after_job": after_job})
    return [StoredArtifact(**row._mapping) for row in rows]
