"""Take a batch in that was asked for by file id: its jobs on the books, or the reasons why not."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import Connection, text

from pressroom.batches.ingest import Figures, IngestOptions, take_in
from pressroom.batches.stored_input import file_is_gone, stored_input
from pressroom.batches.turns import Turn
from pressroom.errors import InvalidInput, NotFound, Problem
from pressroom.events.outbox import record_batches
from pressroom.settings import Settings
from pressroom.storage import ObjectNotFound, ObjectStore

MAX_PROBLEMS = 100
"""Problems that a refused batch tells; the others are counted."""

_ACCEPT = text(
    """
    UPDATE batches SET state = 'in_progress', total = :total, est_cost_usd = :est_cost_usd, model = :model,
      in_progress_at = clock_timestamp(), clerk_id = NULL, clerk_until = NULL, clerk_tries = 0 WHERE id = :id
    """
)

_REFUSE = text(
    """
    UPDATE batches SET state = 'failed', errors = CAST(:errors AS jsonb), finished_at = now(), finalized_at = now(),
      clerk_id = NULL, clerk_until = NULL WHERE id = :id
    """
)


@dataclass(frozen=True, slots=True)
class _WaitingRow:
    """A batch whose row was there first."""

    turn: Turn

    @property
    def id(self) -> UUID:
        return self.turn.id

    def begin(self, conn: Connection) -> None:
        """Nothing: its row is there."""

    def complete(self, conn: Connection, figures: Figures) -> None:
        self.turn.lock(conn)
        row = {"total": figures.total, "est_cost_usd": figures.est_cost_usd, "model": figures.model, "id": self.id}
        conn.execute(_ACCEPT, row)


def validate(turn: Turn, store: ObjectStore, settings: Settings) -> bool:
    """Bring the batch from `validating` to `in_progress`, or to `failed` with what is wrong: nothing stored or spent.

    Returns whether it was accepted. Raises TurnLost, StorageError, and what an unreachable database raises; then it is
    `validating` still, and somebody begins anew.
    """
    options = IngestOptions(
        base_url=settings.provider,
        project_id=turn.project_id,
        max_attempts=settings.max_attempts,
        deadline=turn.deadline,
        api_key_id=turn.api_key_id,
    )
    if turn.input_file_id is None or turn.endpoint is None:
        raise ValueError(f"batch {turn.id} is validating and names no file or endpoint")
    try:
        with turn.engine.connect() as conn:
            given = stored_input(
                conn,
                store,
                (turn.project_id, turn.input_file_id),
                endpoint=turn.endpoint,
                max_lines=settings.max_batch_lines,
                keep=turn.keep,
            )
        take_in(turn.engine, given, _WaitingRow(turn), options=options, max_problems=MAX_PROBLEMS)
    except InvalidInput as refusal:
        refuse(turn, refusal.problems, refusal.more)
        return False
    except ObjectNotFound:
        refuse(turn, [file_is_gone()])
        return False
    except NotFound as refusal:
        refuse(turn, [Problem("project", str(refusal), "Use a key of a project that is there")])
        return False
    return True


def refuse(turn: Turn, problems: list[Problem], more: int = 0) -> None:
    """The batch is over before it began. Raises TurnLost."""
    errors = [_wire(problem) for problem in problems]
    if more:
        errors.append({"code": "more", "line": None, "message": f"… and {more} more problems", "param": None})
    with turn.engine.begin() as conn:
        turn.lock(conn)
        conn.execute(_REFUSE, {"id": turn.id, "errors": orjson.dumps(errors).decode()})
        record_batches(conn, [turn.id])


def _wire(problem: Problem) -> dict[str, Any]:
    value = f" (got {problem.value})" if problem.value is not None else ""
    message = f"{problem.field}: {problem.reason}{value}. {problem.remedy}".replace("\0", "\ufffd")
    return {"code": problem.code, "line": problem.line, "message": message, "param": problem.field}
