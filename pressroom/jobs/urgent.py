"""The short way of leases that somebody waits for: a Redis list at which every worker stands, past queues and threads.

A message is a hint, here too: dispatch looks for urgent leases that nobody has claimed, several times a second.
"""

import logging
from collections.abc import Sequence
from uuid import UUID

import redis
from redis.exceptions import RedisError

_KEPT_SECONDS = 60

_log = logging.getLogger("pressroom.publish")


class UrgentLine:
    """Implements `Publisher`; `take` is the workers' end of it. Thread-safe."""

    def __init__(self, client: redis.Redis, *, prefix: str) -> None:
        self._client = client
        self._key = f"{prefix}urgent"

    def publish(self, leases: Sequence[UUID]) -> int:
        """Tell one worker of each lease. Returns how many went out; a server that is down raises nothing."""
        if not leases:
            return 0
        try:
            with self._client.pipeline(transaction=False) as pipe:
                pipe.rpush(self._key, *(lease_id.bytes for lease_id in leases))
                pipe.expire(self._key, _KEPT_SECONDS)
                pipe.execute()
        except (RedisError, OSError) as error:
            _log.warning("lease.urgent_not_published", extra={"of": len(leases), "error": str(error)})
            return 0
        return len(leases)

    def take(self, seconds: float) -> UUID | None:
        """The next lease, if one comes within `seconds`. Raises RedisError."""
        found = self._client.blpop([self._key], timeout=seconds)
        return UUID(bytes=bytes(found[1])) if found is not None else None  # type: ignore[arg-type]
