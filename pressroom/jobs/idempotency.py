"""Requests that may be sent twice and count once: by a key that the client makes up, kept for a day.

The key is claimed in the transaction that stores what the request asked for. So both are there or neither is, and of
two requests at the same time one waits for the other at the key's row.
"""

import hashlib
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from pressroom.errors import Conflict, InvalidInput, Problem
from pressroom.operations.checks import shown

KEPT_SECONDS = 86_400.0
"""How long a key is remembered."""

MAX_KEY_CHARACTERS = 255
RETRY_SECONDS = 2
"""When to send a request again whose twin is still being stored."""

_LOCK_NOT_AVAILABLE = "55P03"
_PURGE_AT_ONCE = 5_000

# Waiting for a twin is bounded: a thread that waits for a row serves nobody.
_WAIT = text("SET LOCAL lock_timeout = '3s'")
_WAIT_NO_MORE = text("SET LOCAL lock_timeout TO DEFAULT")

_CLAIM = text(
    """
    INSERT INTO idempotency_keys AS k (project_id, key, fingerprint) VALUES (:project_id, :key, :fingerprint)
    ON CONFLICT (project_id, key) DO UPDATE SET fingerprint = excluded.fingerprint, job_id = NULL, status = NULL,
      body = NULL, created_at = now() WHERE k.created_at < now() - make_interval(secs => :kept)
    RETURNING true
    """
)
_FIND = text(
    """
    SELECT fingerprint, job_id, status, body FROM idempotency_keys
    WHERE project_id = :project_id AND key = :key AND created_at >= now() - make_interval(secs => :kept)
    """
)
_RECORD = text(
    """
    UPDATE idempotency_keys SET job_id = :job_id, status = :status, body = :body
    WHERE project_id = :project_id AND key = :key
    """
)
_PURGE = text(
    """
    DELETE FROM idempotency_keys WHERE (project_id, key) IN (
      SELECT project_id, key FROM idempotency_keys WHERE created_at < now() - make_interval(secs => :kept)
      ORDER BY created_at LIMIT :limit FOR UPDATE SKIP LOCKED)
    """
)


class KeyReused(Conflict):
    """The key was used for another request before."""


class KeyInUse(Conflict):
    """Another request with the key is being stored just now; the same request works in RETRY_SECONDS."""


@dataclass(frozen=True, slots=True)
class RepeatableRequest:
    """A request under the client's key. `fingerprint` is the same for the same request and for no other."""

    project_id: UUID
    key: str
    fingerprint: str


@dataclass(frozen=True, slots=True)
class Earlier:
    """What came of the request before: its whole answer, or the job whose result is the answer."""

    job_id: UUID | None
    status: int | None
    body: bytes | None


def repeatable(project_id: UUID, key: str, *parts: str | bytes) -> RepeatableRequest:
    """The request that `parts` say all about: method, path and body, or what was read of it.

    Raises InvalidInput for a key that is empty or longer than MAX_KEY_CHARACTERS.
    """
    if not key or len(key) > MAX_KEY_CHARACTERS:
        remedy = f"Give 1 to {MAX_KEY_CHARACTERS} characters that no other request has, as a UUID"
        raise InvalidInput([Problem("Idempotency-Key", "has not the right length", remedy, value=shown(key))])
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        digest.update(len(data).to_bytes(8, "big"))
        digest.update(data)
    return RepeatableRequest(project_id, key, digest.hexdigest())


def find_earlier(conn: Connection, request: RepeatableRequest) -> Earlier | None:
    """What came of the same request before, if anything is committed. Raises KeyReused for another under its key."""
    bound = {"project_id": request.project_id, "key": request.key, "kept": KEPT_SECONDS}
    row = conn.execute(_FIND, bound).one_or_none()
    if row is None:
        return None
    if row.fingerprint != request.fingerprint:
        raise KeyReused(
            f"Idempotency-Key {shown(request.key)} was used for another request within the last day: "
            "make up a new key for every new request"
        )
    return Earlier(row.job_id, row.status, row.body)


def begin(conn: Connection, request: RepeatableRequest) -> Earlier | None:
    """Claim the key in the caller's transaction, which must have locked nothing yet. None: the request is the first.

    Waits while another transaction holds the key. Raises KeyReused for another request under the same key, KeyInUse
    when the other transaction takes long.
    """
    bound = {"project_id": request.project_id, "key": request.key}
    conn.execute(_WAIT)
    try:
        claim = {**bound, "fingerprint": request.fingerprint, "kept": KEPT_SECONDS}
        is_first = conn.execute(_CLAIM, claim).scalar_one_or_none()
    except DBAPIError as error:
        if getattr(error.orig, "sqlstate", None) != _LOCK_NOT_AVAILABLE:
            raise
        raise _in_use(request) from None
    conn.execute(_WAIT_NO_MORE)
    if is_first:
        return None
    # In a statement after the one that waited: it sees what the other committed.
    earlier = find_earlier(conn, request)
    if earlier is None:
        raise _in_use(request)
    return earlier


def record(
    conn: Connection,
    request: RepeatableRequest,
    *,
    job_id: UUID | None = None,
    status: int | None = None,
    body: bytes | None = None,
) -> None:
    """Keep what came of a request, for whoever sends it again. In the transaction that began it."""
    bound = {"project_id": request.project_id, "key": request.key}
    conn.execute(_RECORD, {**bound, "job_id": job_id, "status": status, "body": body})


def purge(conn: Connection) -> int:
    """Forget keys older than a day, some thousands at most; how many. Safe to run in any number of processes."""
    return conn.execute(_PURGE, {"kept": KEPT_SECONDS, "limit": _PURGE_AT_ONCE}).rowcount


def _in_use(request: RepeatableRequest) -> KeyInUse:
    key = shown(request.key)
    return KeyInUse(f"another request with Idempotency-Key {key} is being stored: send it again in some seconds")
