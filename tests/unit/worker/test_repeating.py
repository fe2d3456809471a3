"""A repeating thread outlives what its work raises, and ends when told."""

import logging
import threading

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError
from sqlalchemy.exc import OperationalError

from worker.repeating import Repeating

PATIENCE_SECONDS = 5


class Work:
    """Fails with each of the errors in turn, then works; `worked` is set by then."""

    def __init__(self, *errors: Exception) -> None:
        self._errors = list(errors)
        self.worked = threading.Event()

    def __call__(self) -> None:
        if self._errors:
            raise self._errors.pop(0)
        self.worked.set()


@pytest.mark.parametrize(
    ("error", "level", "event"),
    [
        (OperationalError("SELECT 1", {}, Exception("gone")), "WARNING", "beat.part_down"),
        (RedisConnectionError("gone"), "WARNING", "beat.part_down"),
        (TimeoutError("gone"), "WARNING", "beat.part_down"),
        (KeyError("a bug"), "ERROR", "beat.bug"),
    ],
)
def test_what_work_raises_is_logged_and_the_next_turn_comes(
    caplog: pytest.LogCaptureFixture, error: Exception, level: str, event: str
) -> None:
    work = Work(error)
    repeating = Repeating("beat", work, 0.001)

    with caplog.at_level(logging.WARNING):
        repeating.start()
        assert work.worked.wait(PATIENCE_SECONDS)
        repeating.stop(PATIENCE_SECONDS)

    assert [(record.levelname, record.message) for record in caplog.records] == [(level, event)]


def test_stop_waits_for_the_turn_that_is_on() -> None:
    began, may_end, ended = threading.Event(), threading.Event(), threading.Event()

    def work() -> None:
        began.set()
        may_end.wait(PATIENCE_SECONDS)
        ended.set()

    repeating = Repeating("slow", work, 0.001)
    repeating.start()
    assert began.wait(PATIENCE_SECONDS)

    repeating.stop()
    assert not ended.is_set()
    may_end.set()
    repeating.stop(PATIENCE_SECONDS)

    assert ended.is_set()
