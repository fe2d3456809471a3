"""Ask for a batch of a file that was uploaded. Its lines are read afterwards, by whoever gets to it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from uuid import UUID

import orjson
from sqlalchemy import Connection, text

from models import FilePurpose
from pressroom.batches.find import fingerprint_of
from pressroom.batches.input_line import PromptOptions
from pressroom.errors import InvalidInput, NotFound, Problem
from pressroom.events.outbox import record_batches
from pressroom.files.books import find_file
from pressroom.files.uploads import MAX_EXPIRY_SECONDS, MIN_EXPIRY_SECONDS
from pressroom.ids import new_id, parse_id
from pressroom.operations.checks import metadata as metadata_problem
from pressroom.operations.checks import shown
from pressroom.operations.registry import SUPPORTED_URLS

_WINDOW = re.compile(r"([1-9][0-9]{0,3})([hd])")
_LONGEST_WINDOW = timedelta(days=30)
_WINDOW_REMEDY = 'Give hours or days up to 30 days, as in "24h" or "7d"'

_INSERT = text(
    """
    INSERT INTO batches (id, project_id, state, input_name, fingerprint, metadata, total, est_cost_usd, endpoint,
      input_file_id, output_expires_seconds, api_key_id, completion_window, deadline)
    VALUES (:id, :project_id, 'validating', :input_name, :fingerprint, CAST(:metadata AS jsonb), 0, 0, :endpoint,
      :input_file_id, :output_expires_seconds, :api_key_id, :completion_window, now() + :window)
    """
)


@dataclass(frozen=True, slots=True)
class BatchRequest:
    """What a client asks for. `provider` is `Settings.provider`."""

    project_id: UUID
    input_file_id: str
    endpoint: str
    completion_window: str
    provider: str
    metadata: Mapping[str, str] = field(default_factory=dict)
    output_expires_seconds: int | None = None
    api_key_id: UUID | None = None


def create_batch(conn: Connection, request: BatchRequest) -> UUID:
    """Put the batch on the books as `validating`. Raises InvalidInput."""
    window = parse_window(request.completion_window)
    problems = [problem for problem in _what_is_wrong(request) if problem is not None]
    if problems:
        raise InvalidInput(problems)
    try:
        file = find_file(conn, request.project_id, parse_id("file", request.input_file_id))
    except (NotFound, InvalidInput):
        remedy = "Upload it first, with purpose batch, and give the id that comes back"
        field_, value = "input_file_id", shown(request.input_file_id)
        raise InvalidInput([Problem(field_, "is no file of this project", remedy, value=value)]) from None
    if file.purpose != FilePurpose.BATCH:
        remedy = f"Upload it with purpose {FilePurpose.BATCH}"
        raise InvalidInput([Problem("input_file_id", "was uploaded for another purpose", remedy, value=file.purpose)])
    batch_id = new_id()
    row = {
        "id": batch_id,
        "project_id": request.project_id,
        "input_name": file.filename,
        "fingerprint": fingerprint_of(file.sha256, PromptOptions(), request.provider),
        "metadata": orjson.dumps(dict(request.metadata)).decode(),
        "endpoint": request.endpoint,
        "input_file_id": file.id,
        "output_expires_seconds": request.output_expires_seconds,
        "api_key_id": request.api_key_id,
        "completion_window": request.completion_window,
        "window": window,
    }
    conn.execute(_INSERT, row)
    record_batches(conn, [batch_id], "batch.created")
    return batch_id


def parse_window(window: str) -> timedelta:
    """`24h`, `7d`: an hour to 30 days. Raises InvalidInput."""
    found = _WINDOW.fullmatch(window)
    span = timedelta(hours=int(found[1]) * (24 if found[2] == "d" else 1)) if found else _LONGEST_WINDOW * 2
    if span > _LONGEST_WINDOW:
        reason = "is not a completion window"
        raise InvalidInput([Problem("completion_window", reason, _WINDOW_REMEDY, value=shown(window))])
    return span


def _what_is_wrong(request: BatchRequest) -> list[Problem | None]:
    problems = [metadata_problem("metadata", dict(request.metadata))]
    if request.endpoint not in SUPPORTED_URLS:
        remedy = f"Give one of: {', '.join(SUPPORTED_URLS)}"
        problems.append(Problem("endpoint", "is not supported", remedy, value=shown(request.endpoint)))
    if any("\0" in text for pair in request.metadata.items() for text in pair):
        problems.append(Problem("metadata", "contains the character NUL", "Leave it out"))
    seconds = request.output_expires_seconds
    if seconds is not None and not MIN_EXPIRY_SECONDS <= seconds <= MAX_EXPIRY_SECONDS:
        remedy = f"Give {MIN_EXPIRY_SECONDS} (an hour) to {MAX_EXPIRY_SECONDS} (30 days)"
        problems.append(Problem("output_expires_after.seconds", "is out of range", remedy, value=str(seconds)))
    return problems
