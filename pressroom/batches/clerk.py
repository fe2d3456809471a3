"""What batches need besides running their jobs: taken in, wound up when cancelled, their files written.

Each worker process has a clerk; the row says what is to be done and who is at it (`turns.py`), so whatever ends a
process ends nothing: another takes the batch up.
"""

import logging
import time
from collections.abc import Callable

from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from pressroom.batches.finalize import finalize
from pressroom.batches.turns import Turn, TurnEnded, TurnLost, never, take_turn
from pressroom.batches.validate import refuse, validate
from pressroom.errors import Problem
from pressroom.files.books import sweep_files
from pressroom.jobs.end_early import finish_cancel
from pressroom.settings import Settings
from pressroom.storage import ObjectStore, StorageError

_SWEEP_SECONDS = 30.0
_RETRY_SECONDS = 5.0
_BUG_SECONDS = 60.0
_STILL_RUNNING_SECONDS = 10.0
_MOST_TRIES = 20
"""Processes that may end while they take one file in before it is refused."""

_log = logging.getLogger("pressroom.batches")


class Clerk:
    """`turn` does one piece of work, if there is any. Any number of them, in any number of processes."""

    def __init__(
        self,
        engine: Engine,
        store: ObjectStore,
        settings: Settings,
        *,
        is_stopping: Callable[[], bool] = never,
    ) -> None:
        self._engine = engine
        self._store = store
        self._settings = settings
        self._is_stopping = is_stopping
        self._sweep_at = 0.0

    def turn(self) -> bool:
        """Work on one batch; whether there was one. Raises what an unreachable database raises."""
        self._sweep_in_time()
        turn = take_turn(self._engine, is_stopping=self._is_stopping)
        if turn is None:
            return False
        try:
            self._work(turn)
        except TurnLost:
            _log.info("batch.turn_lost", extra={"batch": str(turn.id)})
        except TurnEnded:
            turn.put_off(0.0)
        except (DBAPIError, StorageError) as error:
            # Everything is as it was; a server that is away is met again, by whoever looks then.
            _log.warning("batch.part_down", extra={"batch": str(turn.id), "error": type(error).__name__})
            turn.put_off(_RETRY_SECONDS)
        except Exception as error:  # noqa: BLE001
            self._give_up(turn, error)
        return True

    def work_off(self) -> int:
        """Turns until there is nothing left to do at this moment; how many."""
        turns = 0
        while not self._is_stopping() and self.turn():
            turns += 1
        return turns

    def _work(self, turn: Turn) -> None:
        began = time.monotonic()
        if turn.state == "validating":
            if turn.tries > _MOST_TRIES:
                refuse(turn, [_cannot_be_taken_in()])
            else:
                validate(turn, self._store, self._settings)
        elif turn.state == "cancelling":
            finish_cancel(self._engine, turn.project_id, turn.id)
            turn.put_off(_STILL_RUNNING_SECONDS)
        else:
            finalize(turn, self._store)
        seconds = round(time.monotonic() - began, 3)
        _log.info("batch.worked_on", extra={"batch": str(turn.id), "was": turn.state, "seconds": seconds})

    def _give_up(self, turn: Turn, error: Exception) -> None:
        """A bug must be seen, and must not be run into again and again."""
        _log.error("batch.bug", exc_info=error, extra={"batch": str(turn.id), "was": turn.state})
        if turn.state == "validating":
            refuse(turn, [_cannot_be_taken_in()])
        else:
            turn.put_off(_BUG_SECONDS)

    def _sweep_in_time(self) -> None:
        now = time.monotonic()
        if now < self._sweep_at:
            return
        self._sweep_at = now + _SWEEP_SECONDS
        try:
            sweep_files(self._engine, self._store)
        except StorageError as error:
            _log.warning("files.not_swept", extra={"error": type(error).__name__})


def _cannot_be_taken_in() -> Problem:
    remedy = "It is in the log of the workers; tell whoever runs this installation"
    return Problem("input_file_id", "could not be taken in: something went wrong here", remedy, code="internal_error")
