"""Tell whoever waits for jobs that they have ended: one message for each settled group, over Redis pub/sub.

A message is a hint, as everywhere: whoever waits also looks at SQL once a second. It holds 17 bytes a job.
"""

import logging
import time
from collections.abc import Callable, Sequence
from uuid import UUID

import redis
from redis.exceptions import RedisError

from models import FINAL_STATES, JobState
from pressroom.jobs.outcome import Outcome

_ID_BYTES = 16
_ENTRY_BYTES = _ID_BYTES + 1
_CODES = {state: bytes([number]) for number, state in enumerate(sorted(FINAL_STATES), start=1)}
_STATES = {code[0]: state for state, code in _CODES.items()}
_SILENT_SECONDS = 2.0
"""After a failure nothing is sent for so long: a server that hangs must not hold up settlements again and again."""

_log = logging.getLogger("pressroom.wake")


def wake_channel(prefix: str) -> str:
    """The channel of an installation."""
    return f"{prefix}ended"


def encode_ended(ended: Sequence[tuple[UUID, JobState]]) -> bytes:
    """Jobs and their final states as one message."""
    return b"".join([job_id.bytes + _CODES[state] for job_id, state in ended])


def decode_ended(message: bytes) -> list[tuple[UUID, JobState]]:
    """The inverse; a message of another version tells nothing."""
    if len(message) % _ENTRY_BYTES:
        return []
    return [
        (UUID(bytes=message[at : at + _ID_BYTES]), state)
        for at in range(0, len(message), _ENTRY_BYTES)
        if (state := _STATES.get(message[at + _ID_BYTES])) is not None
    ]


class WakeCalls:
    """Sends them. For one thread; give it a client with a short timeout, for a settlement waits for the answer."""

    def __init__(self, client: redis.Redis, *, prefix: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._client = client
        self._channel = wake_channel(prefix)
        self._clock = clock
        self._silent_until = 0.0

    def settled(self, group: Sequence[Outcome]) -> None:
        """Tell of those that have ended with this committed group. Raises nothing: waiters find out by themselves."""
        ended = [(outcome.job_id, outcome.then.value) for outcome in group if outcome.is_final]
        if not ended or self._clock() < self._silent_until:
            return
        try:
            self._client.publish(self._channel, encode_ended(ended))
        except (RedisError, OSError) as error:
            self._silent_until = self._clock() + _SILENT_SECONDS
            _log.warning("wake.not_sent", extra={"jobs": len(ended), "error": str(error)})
