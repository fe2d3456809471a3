"""Tags and metadata of jobs, written with them and copied to whoever takes their place."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from uuid import UUID

import orjson
from sqlalchemy import Connection, text

_TAGS = text(
    """
    INSERT INTO job_tags (project_id, tag, job_id)
    SELECT :project_id, tag, job_id FROM unnest(CAST(:tags AS text[]), CAST(:jobs AS uuid[])) AS t (tag, job_id)
    ORDER BY tag, job_id
    """
)
_METADATA = text(
    """
    INSERT INTO job_notes (job_id, metadata)
    SELECT * FROM unnest(CAST(:jobs AS uuid[]), CAST(:metadata AS jsonb[]))
    """
)


@dataclass(frozen=True, slots=True)
class Notes:
    """What is noted of one job. `tags` may repeat themselves."""

    job_id: UUID
    tags: Sequence[str] = ()
    metadata: Mapping[str, str] = field(default_factory=dict)


def insert_notes(conn: Connection, project_id: UUID, notes: Sequence[Notes]) -> None:
    """Write down what is noted of new jobs of one project, in the transaction that inserts them."""
    tags = [(tag, one.job_id) for one in notes for tag in dict.fromkeys(one.tags)]
    if tags:
        words, jobs = zip(*tags, strict=True)
        conn.execute(_TAGS, {"project_id": project_id, "tags": list(words), "jobs": list(jobs)})
    noted = [one for one in notes if one.metadata]
    if noted:
        metadata = [orjson.dumps(dict(one.metadata)).decode() for one in noted]
        conn.execute(_METADATA, {"jobs": [one.job_id for one in noted], "metadata": metadata})
