"""The rows of files: added, found, listed, deleted, and swept away with their objects when their time is over."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection, Engine, text

from pressroom.errors import NotFound
from pressroom.ids import show_id
from pressroom.storage import ObjectStore

_SWEPT_AT_ONCE = 100

_INSERT = text(
    """
    INSERT INTO files (id, project_id, purpose, filename, content_type, byte_size, sha256, key, batch_id, expires_at)
    VALUES (:id, :project_id, :purpose, :filename, :content_type, :byte_size, :sha256, :key, :batch_id,
      now() + make_interval(secs => :expires_seconds))
    RETURNING id, purpose, filename, content_type, byte_size, sha256, key, expires_at, created_at
    """
)

_COLUMNS = "f.id, f.purpose, f.filename, f.content_type, f.byte_size, f.sha256, f.key, f.expires_at, f.created_at"

# A batch that runs again writes its files anew: what it wrote before is no file meanwhile.
_SEEN = """
    FROM files f LEFT JOIN batches b ON b.id = f.batch_id
    WHERE f.project_id = :project AND f.deleted_at IS NULL AND (f.expires_at IS NULL OR f.expires_at > now())
      AND (f.batch_id IS NULL OR b.finalized_at IS NOT NULL)
"""

_FIND = text(f"SELECT {_COLUMNS} {_SEEN} AND f.id = :id")

_DELETE = text(
    """
    UPDATE files SET deleted_at = now() WHERE id = :id AND project_id = :project AND deleted_at IS NULL
      AND (expires_at IS NULL OR expires_at > now())
    """
)

# Its row makes way for the new one's at once; the old object is left for the sweep under an id of its own.
_DROP = text("UPDATE files SET deleted_at = now(), id = uuidv7() WHERE batch_id = :batch")

# One that a batch is still to be made of stays, however it was deleted.
_OVER = text(
    """
    SELECT id, key FROM files f WHERE (deleted_at IS NOT NULL OR expires_at <= now())
      AND NOT EXISTS (SELECT 1 FROM batches b WHERE b.state = 'validating' AND b.input_file_id = f.id)
    ORDER BY id LIMIT :limit FOR UPDATE SKIP LOCKED
    """
)

_REMOVE = text("DELETE FROM files WHERE id = ANY(:ids)")


@dataclass(frozen=True, slots=True)
class NewFile:
    """A file whose object is in the store."""

    id: UUID
    project_id: UUID
    purpose: str
    filename: str
    content_type: str
    byte_size: int
    sha256: str
    key: str
    batch_id: UUID | None = None
    expires_seconds: int | None = None
    """From now on; None keeps it until somebody deletes it."""


@dataclass(frozen=True, slots=True)
class FileRow:
    """A file as its project sees it."""

    id: UUID
    purpose: str
    filename: str
    content_type: str
    byte_size: int
    sha256: str
    key: str
    expires_at: datetime | None
    created_at: datetime


def add_file(conn: Connection, file: NewFile) -> FileRow:
    """Put a file on the books."""
    return FileRow(**conn.execute(_INSERT, asdict(file)).one()._mapping)


def find_file(conn: Connection, project_id: UUID, file_id: UUID) -> FileRow:
    """One file. Raises NotFound."""
    row = conn.execute(_FIND, {"id": file_id, "project": project_id}).one_or_none()
    if row is None:
        raise NotFound(f"there is no file {show_id('file', file_id)} in this project: it may have expired")
    return FileRow(**row._mapping)


def list_files(
    conn: Connection,
    project_id: UUID,
    *,
    purpose: str | None = None,
    after: UUID | None = None,
    limit: int = 100,
    newest_first: bool = True,
) -> Sequence[FileRow]:
    """In the order in which they were made; `after` continues after the last id of the page before."""
    where, order = ("<", "DESC") if newest_first else (">", "ASC")
    query = f"""
        SELECT {_COLUMNS} {_SEEN} AND (CAST(:purpose AS text) IS NULL OR f.purpose = :purpose)
          AND (CAST(:after AS uuid) IS NULL OR f.id {where} :after) ORDER BY f.id {order} LIMIT :limit
    """
    bound = {"project": project_id, "purpose": purpose, "after": after, "limit": limit}
    return [FileRow(**row._mapping) for row in conn.execute(text(query), bound)]


def delete_file(conn: Connection, project_id: UUID, file_id: UUID) -> None:
    """From now on there is no such file; its object goes soon after. Raises NotFound."""
    if conn.execute(_DELETE, {"id": file_id, "project": project_id}).rowcount == 0:
        raise NotFound(f"there is no file {show_id('file', file_id)} in this project: it may have expired")


def drop_files_of(conn: Connection, batch_id: UUID) -> None:
    """Take back the files that a batch wrote before: it writes them anew."""
    conn.execute(_DROP, {"batch": batch_id})


def sweep_files(engine: Engine, store: ObjectStore) -> int:
    """Remove objects and rows of files that were deleted or whose time is over, 100 at most; how many.

    Safe in any number of processes. Raises StorageError; what was not removed is met again.
    """
    with engine.begin() as conn:
        rows = conn.execute(_OVER, {"limit": _SWEPT_AT_ONCE}).all()
        for row in rows:
            store.delete(row.key)
        if rows:
            conn.execute(_REMOVE, {"ids": [row.id for row in rows]})
    return len(rows)
