"""Keep a batch's input file beside its results."""

import hashlib
from pathlib import Path
from uuid import UUID

from sqlalchemy import Engine, text

from models import ArtifactKind
from pressroom.batches.pages import batch_facts
from pressroom.ids import new_id
from pressroom.storage import ObjectStore

_INSERT = text(
    """
    INSERT INTO artifacts (id, project_id, batch_id, kind, key, content_type, byte_size, sha256)
    VALUES (:id, :project_id, :batch_id, CAST(:kind AS artifact_kind), :key, :content_type, :byte_size, :sha256)
    ON CONFLICT (key) DO NOTHING
    """
)
_CONTENT_TYPES = {".csv": "text/csv", ".tsv": "text/tab-separated-values", ".txt": "text/plain"}


def store_input(engine: Engine, store: ObjectStore, path: Path, batch_id: UUID) -> str:
    """Put the input file in the store and on the books; its key. Doing it twice does it once.

    Raises NotFound, StorageError and OSError.
    """
    facts = batch_facts(engine, batch_id)
    suffix = path.suffix.lower() if path.suffix.lower() in _CONTENT_TYPES else ".jsonl"
    key = f"projects/{facts.project_id}/batches/{batch_id}/input{suffix}"
    content_type = _CONTENT_TYPES.get(suffix, "application/jsonl")
    store.put_file(key, path, content_type=content_type)
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    row = {
        "id": new_id(),
        "project_id": facts.project_id,
        "batch_id": batch_id,
        "kind": ArtifactKind.INPUT.value,
        "key": key,
        "content_type": content_type,
        "byte_size": path.stat().st_size,
        "sha256": digest,
    }
    with engine.begin() as conn:
        conn.execute(_INSERT, row)
    return key
