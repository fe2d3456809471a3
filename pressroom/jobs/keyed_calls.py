"""Synchronous calls under an Idempotency-Key: the same key and body find the same job, across restarts of the API.

Keys of many calls are claimed in one statement, in the transaction that inserts their jobs. A key that somebody claimed
meanwhile refuses the insert; whoever asked then finds the other's job.
"""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import Connection, text

from pressroom.errors import Conflict
from pressroom.jobs.idempotency import KEPT_SECONDS, RepeatableRequest

# In the order of the keys, so that two groups with the same ones cannot wait for each other.
_CLAIM = text(
    """
    INSERT INTO idempotency_keys AS k (project_id, key, fingerprint, job_id)
    SELECT * FROM unnest(CAST(:projects AS uuid[]), CAST(:keys AS text[]), CAST(:fingerprints AS text[]),
      CAST(:jobs AS uuid[])) AS t (project_id, key, fingerprint, job_id) ORDER BY project_id, key
    ON CONFLICT (project_id, key) DO UPDATE SET fingerprint = excluded.fingerprint, job_id = excluded.job_id,
      status = NULL, body = NULL, created_at = now() WHERE k.created_at < now() - make_interval(secs => :kept)
    """
)


class KeyTaken(Conflict):
    """Somebody claimed the key since it was looked for."""


def claim_keys(conn: Connection, claims: Sequence[tuple[UUID, RepeatableRequest]]) -> None:
    """Claim the keys for new jobs, in the transaction that inserts them. Raises KeyTaken where one is not free."""
    distinct = {(request.project_id, request.key) for _, request in claims}
    claimed = 0
    if len(distinct) == len(claims):
        bound = {
            "projects": [request.project_id for _, request in claims],
            "keys": [request.key for _, request in claims],
            "fingerprints": [request.fingerprint for _, request in claims],
            "jobs": [job_id for job_id, _ in claims],
        }
        claimed = conn.execute(_CLAIM, bound | {"kept": KEPT_SECONDS}).rowcount
    if claimed != len(claims):
        raise KeyTaken("another request with the same Idempotency-Key came first")
