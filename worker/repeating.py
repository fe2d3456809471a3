"""A thread that does one thing again and again until it is told to stop."""

import logging
import threading
from collections.abc import Callable

from redis.exceptions import RedisError
from sqlalchemy.exc import DBAPIError

_log = logging.getLogger("pressroom.worker")


class Repeating:
    """Calls `work` every `interval_seconds`. A part that is down is logged and met again at the next turn."""

    def __init__(self, name: str, work: Callable[[], object], interval_seconds: float) -> None:
        self._work = work
        self._interval_seconds = interval_seconds
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._name = name

    def start(self) -> None:
        """Begin; the first turn comes after one interval."""
        self._thread.start()

    def stop(self, wait_seconds: float | None = None) -> None:
        """Ask it to end, and wait for it if `wait_seconds` is given."""
        self._stop.set()
        if wait_seconds is not None:
            self._thread.join(wait_seconds)

    def _run(self) -> None:
        while not self._stop.wait(self._interval_seconds):
            try:
                self._work()
            except (DBAPIError, RedisError, OSError) as error:
                _log.warning(f"{self._name}.part_down", extra={"error": str(error)})
            except Exception:  # noqa: BLE001
                # A bug must be seen, and must not stop the heartbeat of a worker that is otherwise well.
                _log.exception(f"{self._name}.bug")
