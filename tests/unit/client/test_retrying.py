"""When the client sends a request again: never where that could do something twice."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pressroom.client.retrying import RetryPolicy
from pressroom.client.steps import Answer, Request, Silence

POLICY = RetryPolicy(max_retries=3, first_seconds=1.0, most_seconds=4.0)
READ = Request("GET", "/v1/jobs", is_repeatable=True)
ONCE = Request("POST", "/v1/batches")
NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)


def wait(request: Request, outcome: Answer | Silence, retry: int = 0, *, jitter: float = 0.5) -> float | None:
    return POLICY.wait_seconds(request, outcome, retry, jitter=lambda: jitter, now=NOW)


def answer(status: int, **headers: str) -> Answer:
    return Answer(status, {name.replace("_", "-"): value for name, value in headers.items()}, b"")


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_what_may_pass_is_repeated_where_that_changes_nothing(status: int) -> None:
    assert wait(READ, answer(status)) is not None


@pytest.mark.parametrize(("status", "again"), [(429, True), (503, True), (500, False), (502, False), (408, False)])
def test_what_counts_twice_is_repeated_only_when_nothing_was_done(status: int, again: bool) -> None:
    assert (wait(ONCE, answer(status)) is not None) is again


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 413, 415, 422])
def test_what_will_not_pass_is_not_repeated(status: int) -> None:
    assert wait(READ, answer(status)) is None


def test_a_key_that_is_in_use_just_now_is_waited_for() -> None:
    assert wait(READ, answer(409, retry_after="2"), jitter=0.0) == 2.0
    assert wait(ONCE, answer(409, retry_after="2")) is None


def test_a_request_that_was_never_sent_is_repeated_and_one_that_broke_off_only_where_it_may_be() -> None:
    assert wait(ONCE, Silence("refused", was_sent=False)) is not None
    assert wait(ONCE, Silence("reset", was_sent=True)) is None
    assert wait(READ, Silence("reset", was_sent=True)) is not None


def test_the_server_may_say_whether_to_try_again() -> None:
    assert wait(READ, answer(503, x_should_retry="false")) is None
    assert wait(READ, answer(400, x_should_retry="true")) is not None
    assert wait(ONCE, answer(500, x_should_retry="true")) is None


def test_retry_after_is_a_minimum_in_seconds_or_as_a_date() -> None:
    assert wait(READ, answer(429, retry_after="7"), jitter=0.0) == 7.0
    assert wait(READ, answer(503, retry_after="Tue, 24 Nov 2026 12:00:09 GMT"), jitter=0.0) == 9.0
    assert wait(READ, answer(503, retry_after="Tue, 24 Nov 2026 11:00:00 GMT"), jitter=0.0) == 0.0
    assert wait(READ, answer(503, retry_after="soon"), jitter=0.25) == 0.25


def test_a_server_that_wants_rest_for_too_long_is_reported() -> None:
    assert wait(READ, answer(429, retry_after="121")) is None


def test_it_ends() -> None:
    assert wait(READ, answer(503), retry=2) is not None
    assert wait(READ, answer(503), retry=3) is None


@given(retry=st.integers(0, 2), jitter=st.floats(0, 1, exclude_max=True))
def test_without_a_word_the_wait_is_drawn_below_a_bound_that_doubles(retry: int, jitter: float) -> None:
    waited = wait(READ, answer(500), retry, jitter=jitter)

    assert waited is not None
    assert 0 <= waited <= min(4.0, 2.0**retry)
