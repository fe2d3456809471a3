"""Start times are counted from when the server answered, not from when the answer was read."""

import pytest

from pressroom.jobs.server_clock import ServerClock

AHEAD = 1_000_000.0
"""The server's clock minus ours."""


def answered(clock: ServerClock, at: float, *, sent: float, received: float) -> float:
    return clock.answered_at(server=at + AHEAD, sent=sent, received=received)


def test_an_answer_that_was_read_late_counts_from_when_it_was_written() -> None:
    clock = ServerClock()
    answered(clock, 9.999, sent=9.998, received=10.0)

    assert answered(clock, 20.0, sent=19.999, received=20.8) == pytest.approx(20.001)


def test_the_first_answer_counts_from_when_it_was_read() -> None:
    assert answered(ServerClock(), 10.0, sent=9.5, received=10.5) == 10.5


def test_it_is_never_outside_of_question_and_answer() -> None:
    clock = ServerClock()
    answered(clock, 9.999, sent=9.998, received=10.0)

    # A server clock that stepped back would put it before the question, one that stepped forward after the answer.
    assert answered(clock, 12.0, sent=15.0, received=15.1) == 15.0
    assert answered(clock, 80.0, sent=16.0, received=16.1) == pytest.approx(16.1)


def test_what_the_clocks_were_half_a_minute_ago_is_forgotten() -> None:
    clock = ServerClock()
    answered(clock, 9.999, sent=9.998, received=10.0)
    for at in (26.0, 42.0):
        answered(clock, at, sent=at, received=at + 0.3)

    assert answered(clock, 42.5, sent=42.0, received=43.5) == pytest.approx(42.8)
