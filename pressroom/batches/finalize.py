"""When a batch has ended: its output and error files, written once, from the books to the store in flat memory."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

import orjson
from sqlalchemy import Connection, text

from pressroom.batches.pages import job_pages
from pressroom.batches.result_files import ERRORS, OUTPUT, ResultRole, result_lines
from pressroom.batches.turns import Turn, TurnLost
from pressroom.events.outbox import record_batches
from pressroom.files.books import NewFile, add_file, drop_files_of
from pressroom.ids import new_id, show_id
from pressroom.storage import ObjectStore, PartUpload

# What calls said that they used, whatever became of their jobs: it was billed. Chat and responses name it differently.
_USAGE = text(
    """
    WITH used AS (
      SELECT coalesce(u ->> 'input_tokens', u ->> 'prompt_tokens')::bigint AS input,
        coalesce(u ->> 'output_tokens', u ->> 'completion_tokens')::bigint AS output,
        coalesce(u -> 'input_tokens_details', u -> 'prompt_tokens_details') ->> 'cached_tokens' AS cached,
        coalesce(u -> 'output_tokens_details', u -> 'completion_tokens_details') ->> 'reasoning_tokens' AS reasoning
      FROM (SELECT a.usage AS u FROM jobs j JOIN attempts a ON a.job_id = j.id
        WHERE j.batch_id = :batch AND jsonb_typeof(a.usage) = 'object') t
    )
    SELECT coalesce(sum(input), 0)::bigint AS input, coalesce(sum(output), 0)::bigint AS output,
      coalesce(sum(cached::bigint), 0)::bigint AS cached, coalesce(sum(reasoning::bigint), 0)::bigint AS reasoning
    FROM used
    """
)

_FINALIZE = text(
    """
    UPDATE batches SET finalized_at = now(), usage = CAST(:usage AS jsonb), clerk_id = NULL, clerk_until = NULL,
      clerk_tries = 0 WHERE id = :id
    """
)


@dataclass(slots=True)
class _Writing:
    """One of the two files in the making."""

    role: ResultRole
    id: UUID
    upload: PartUpload
    lines: int = 0


def finalize(turn: Turn, store: ObjectStore) -> None:
    """Write the files, put them on the books, and let the batch be seen as over.

    A file without lines is not made. Raises TurnLost, StorageError, and what an unreachable database raises; then
    nothing of it is seen, and somebody begins anew.
    """
    writings = [
        _begin(turn, store, OUTPUT, turn.output_file_id),
        _begin(turn, store, ERRORS, turn.error_file_id),
    ]
    try:
        _write(turn, store, writings)
        for writing in writings:
            if writing.lines:
                writing.upload.finish()
    except BaseException:
        for writing in writings:
            writing.upload.abort()
        raise
    try:
        _book(turn, writings)
    except TurnLost:
        for writing in writings:
            store.delete(writing.upload.key)
        raise


def _book(turn: Turn, writings: Sequence[_Writing]) -> None:
    with turn.engine.connect() as conn:
        usage = _usage(conn, turn.id)
    with turn.engine.begin() as conn:
        turn.lock(conn)
        drop_files_of(conn, turn.id)
        for writing in writings:
            if writing.lines:
                add_file(conn, _file(turn, writing))
        conn.execute(_FINALIZE, {"id": turn.id, "usage": orjson.dumps(usage).decode()})
        record_batches(conn, [turn.id])


def _begin(turn: Turn, store: ObjectStore, role: ResultRole, file_id: UUID) -> _Writing:
    # A name of its own for each time: a batch that was retried is written again, and the old file may be being read.
    key = f"projects/{turn.project_id}/batches/{turn.id}/{role.name}-{new_id().hex}.jsonl"
    return _Writing(role, file_id, store.open_upload(key, content_type="application/jsonl"))


def _write(turn: Turn, store: ObjectStore, writings: Sequence[_Writing]) -> None:
    renderer = result_lines(store)
    by_state = {state.value: writing for writing in writings for state in writing.role.states}
    for jobs, pictures in job_pages(turn.engine, turn.id, (*OUTPUT.states, *ERRORS.states)):
        for job, _, pieces in renderer.lines([(job, pictures.get(job.id, [])) for job in jobs]):
            writing = by_state[job.state]
            writing.lines += 1
            for piece in pieces:
                writing.upload.write(piece)
        turn.keep()


def _file(turn: Turn, writing: _Writing) -> NewFile:
    return NewFile(
        id=writing.id,
        project_id=turn.project_id,
        purpose="batch_output",
        filename=f"{show_id('batch', turn.id)}_{writing.role.name}.jsonl",
        content_type="application/jsonl",
        byte_size=writing.upload.byte_size,
        sha256=writing.upload.sha256,
        key=writing.upload.key,
        batch_id=turn.id,
        expires_seconds=turn.output_expires_seconds,
    )


def _usage(conn: Connection, batch_id: UUID) -> dict[str, object]:
    row = conn.execute(_USAGE, {"batch": batch_id}).one()
    return {
        "input_tokens": row.input,
        "input_tokens_details": {"cached_tokens": row.cached},
        "output_tokens": row.output,
        "output_tokens_details": {"reasoning_tokens": row.reasoning},
        "total_tokens": row.input + row.output,
    }
