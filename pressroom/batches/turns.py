"""Who works on a batch in the background: a hold in the books with an end, so that a crash gives the work away.

Several processes look; one finds a batch. Whoever holds it renews in time and writes the result only while it holds:
one that stood still for too long finds somebody else's name there and lets go.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection, Engine, text

from models.batch import AWAITS_CLERK
from pressroom.errors import PressroomError
from pressroom.ids import new_id

HOLD_SECONDS = 60.0
RENEW_SECONDS = 10.0

_TAKE = text(
    f"""
    UPDATE batches b SET clerk_id = :me, clerk_until = now() + make_interval(secs => :seconds),
      clerk_tries = least(b.clerk_tries + 1, 30000)
    WHERE b.id = (SELECT id FROM batches WHERE ({AWAITS_CLERK}) AND (clerk_until IS NULL OR clerk_until < now())
      ORDER BY id LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED)
    RETURNING b.id, b.project_id, b.state::text AS state, b.endpoint, b.input_file_id, b.deadline, b.api_key_id,
      b.output_file_id, b.error_file_id, b.output_expires_seconds, b.clerk_tries AS tries
    """  # noqa: S608  (a constant)
)

_RENEW = text(
    f"""
    UPDATE batches SET clerk_until = now() + make_interval(secs => :seconds)
    WHERE id = :id AND clerk_id = :me AND ({AWAITS_CLERK})
    """  # noqa: S608
)

_LOCK = text(f"SELECT 1 FROM batches WHERE id = :id AND clerk_id = :me AND ({AWAITS_CLERK}) FOR NO KEY UPDATE")  # noqa: S608

_PUT_OFF = text(
    "UPDATE batches SET clerk_until = now() + make_interval(secs => :seconds)"
    " WHERE id = :id AND clerk_id = :me AND state = CAST(:state AS batch_state)"
)


class TurnLost(PressroomError):
    """Somebody else holds the batch now, or there is nothing left to do for it: it was cancelled, say."""


class TurnEnded(PressroomError):
    """This process is to end: another begins the batch's work anew."""


def never() -> bool:
    """Nobody asks us to stop."""
    return False


@dataclass(slots=True)
class Turn:
    """A batch that is ours for a while, and what was known of it when it became so."""

    id: UUID
    project_id: UUID
    state: str
    endpoint: str | None
    input_file_id: UUID | None
    deadline: datetime | None
    api_key_id: UUID | None
    output_file_id: UUID
    error_file_id: UUID
    output_expires_seconds: int | None
    tries: int
    me: UUID
    engine: Engine
    is_stopping: Callable[[], bool] = never
    _clock: Callable[[], float] = time.monotonic
    _renewed_at: float = field(default=0.0)

    def keep(self) -> None:
        """Call it often: renews the hold when that is due, in a transaction of its own.

        Raises TurnLost, and TurnEnded when this process is to end.
        """
        if self.is_stopping():
            raise TurnEnded(f"batch {self.id} is left for another process")
        now = self._clock()
        if now - self._renewed_at < RENEW_SECONDS:
            return
        with self.engine.begin() as conn:
            if conn.execute(_RENEW, {"id": self.id, "me": self.me, "seconds": HOLD_SECONDS}).rowcount == 0:
                raise TurnLost(f"batch {self.id} is no longer ours to work on")
        self._renewed_at = now

    def lock(self, conn: Connection) -> None:
        """The batch's row, ours to the end of the transaction. Raises TurnLost."""
        if conn.execute(_LOCK, {"id": self.id, "me": self.me}).one_or_none() is None:
            raise TurnLost(f"batch {self.id} is no longer ours to work on")

    def put_off(self, seconds: float) -> None:
        """Nobody need look again before then, while there is the same to do for it."""
        with self.engine.begin() as conn:
            conn.execute(_PUT_OFF, {"id": self.id, "me": self.me, "state": self.state, "seconds": seconds})


def take_turn(
    engine: Engine, *, is_stopping: Callable[[], bool] = never, clock: Callable[[], float] = time.monotonic
) -> Turn | None:
    """The oldest batch that something is to be done for and nobody is at; None when there is none."""
    me = new_id()
    with engine.begin() as conn:
        row = conn.execute(_TAKE, {"me": me, "seconds": HOLD_SECONDS}).one_or_none()
    if row is None:
        return None
    return Turn(**row._mapping, me=me, engine=engine, is_stopping=is_stopping, _clock=clock, _renewed_at=clock())
