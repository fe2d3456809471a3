"""An uploaded file as the input of a batch: read from the store a range at a time."""

from collections.abc import Callable, Iterable, Iterator
from uuid import UUID

from sqlalchemy import Connection, text

from pressroom.batches.ingest import Input
from pressroom.batches.input_line import InputLine, bad_line
from pressroom.batches.lines import physical_lines, refuse_foreign
from pressroom.batches.read_input import InputKind
from pressroom.batches.read_jsonl import read_jsonl
from pressroom.errors import InvalidInput, Problem
from pressroom.operations.checks import shown
from pressroom.storage import ObjectStore

_LINES_BETWEEN_LOOKS = 2000

# Deleted since or not: whoever deletes a file takes nothing from the batches that were made of it before.
_FILE = text(
    "SELECT filename, key, byte_size FROM files WHERE id = :id AND project_id = :project_id AND purpose = 'batch'"
)


def stored_input(
    conn: Connection,
    store: ObjectStore,
    place: tuple[UUID, UUID],
    *,
    endpoint: str,
    max_lines: int,
    keep: Callable[[], None],
) -> Input:
    """The lines of a project's file (`place`: project and file), all of which must ask for `endpoint`.

    `keep` is called now and then while they are read, and may end it. Raises InvalidInput where there is no such file;
    reading raises it for one that is no text or too long, and StorageError.
    """
    project_id, file_id = place
    row = conn.execute(_FILE, {"id": file_id, "project_id": project_id}).one_or_none()
    if row is None:
        raise InvalidInput([file_is_gone()])
    return Input(row.filename, InputKind.JSONL, _lines(store, row, endpoint=endpoint, max_lines=max_lines, keep=keep))


def file_is_gone() -> Problem:
    """There is no file to read."""
    remedy = "Upload it again, with purpose batch, and make a new batch"
    return Problem("input_file_id", "is no file of this project any more", remedy, code="file_not_found")


def _lines(
    store: ObjectStore, row: object, *, endpoint: str, max_lines: int, keep: Callable[[], None]
) -> Iterator[InputLine]:
    name, key, byte_size = row.filename, row.key, row.byte_size  # type: ignore[attr-defined]
    with store.open_read(key, byte_size) as file:
        refuse_foreign(file, name)
        lines = read_jsonl(physical_lines(file))
        yield from _bounded(_of_endpoint(lines, endpoint), name, max_lines=max_lines, keep=keep)


def _of_endpoint(lines: Iterable[InputLine], endpoint: str) -> Iterator[InputLine]:
    for line in lines:
        if line.url != endpoint and not line.problems:
            remedy = f"All lines of a batch go to its endpoint, {endpoint}: make a batch for each endpoint"
            reason = "is not the endpoint of the batch"
            code = "mismatched_endpoint"
            yield bad_line(Problem("url", reason, remedy, value=shown(line.url), line=line.number, code=code))
        else:
            yield line


def _bounded(lines: Iterable[InputLine], name: str, *, max_lines: int, keep: Callable[[], None]) -> Iterator[InputLine]:
    for count, line in enumerate(lines, start=1):
        if count % _LINES_BETWEEN_LOOKS == 0:
            keep()
        if count > max_lines:
            remedy = "Split it, or raise PRESSROOM_MAX_BATCH_LINES"
            reason = f"has more than {max_lines} lines"
            problem = Problem("file", reason, remedy, line=line.number, code="too_many_lines")
            raise InvalidInput([problem], source=name)
        yield line
