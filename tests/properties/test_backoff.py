"""Backoff stays in its bounds, and every outcome of a call has a kind and a decision."""

import random
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from pressroom.limits.headers import parse_duration
from pressroom.providers.failures import Failure, FailureKind, classify
from pressroom.providers.retry import (
    CAP_SECONDS,
    LONGEST_RETRY_AFTER_SECONDS,
    GiveUp,
    PauseDeployment,
    RetryAt,
    WaitForQuota,
    backoff_seconds,
    decide,
)

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
seeds = st.integers(0, 2**32)
waits = st.none() | st.floats(0, 10**6)

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=8,
)
texts = st.none() | st.sampled_from(
    [
        "rate_limit_exceeded",
        "slow_down",
        "insufficient_quota",
        "model_not_found",
        "moderation_blocked",
        "The model 'm' does not exist.",
        "Please try again in 12s",
        "",
    ]
)
error_bodies = st.fixed_dictionaries(
    {
        "error": st.fixed_dictionaries(
            {}, optional={"code": texts, "type": texts, "message": texts, "param": json_values}
        )
    }
)
headers = st.dictionaries(
    st.sampled_from(["retry-after", "retry-after-ms", "date", "x-request-id"]),
    st.text(max_size=12) | st.floats().map(str) | st.just("Sun, 22 Nov 2026 12:00:00 GMT"),
)


@given(st.integers(0, 10**6), waits, seeds)
def test_backoff_is_between_what_was_asked_for_and_a_minute_more(used: int, asked: float | None, seed: int) -> None:
    seconds = backoff_seconds(used, asked, rng=random.Random(seed))

    window = min(CAP_SECONDS, 2.0 ** min(used, 50))
    heard = min(asked or 0.0, LONGEST_RETRY_AFTER_SECONDS)
    assert heard <= seconds <= heard + window


@given(st.integers(0, 6))
def test_full_jitter_uses_the_whole_window(used: int) -> None:
    rng = random.Random(used)
    drawn = [backoff_seconds(used, None, rng=rng) for _ in range(400)]

    window = min(CAP_SECONDS, 2.0**used)
    assert min(drawn) < 0.1 * window
    assert max(drawn) > 0.9 * window


@given(
    st.sampled_from(FailureKind),
    st.integers(0, 20),
    st.integers(1, 20),
    waits,
    st.none() | st.floats(-(10**6), 10**6),
    seeds,
)
def test_every_failure_has_a_decision_and_none_goes_on_for_ever(
    kind: FailureKind, used: int, most: int, asked: float | None, deadline_in: float | None, seed: int
) -> None:
    deadline = None if deadline_in is None else NOW + timedelta(seconds=deadline_in)
    failure = Failure(kind, "c", None, "m", retry_after_seconds=asked)

    decision = decide(
        failure, attempts_used=used, max_attempts=most, now=NOW, deadline=deadline, rng=random.Random(seed)
    )

    match decision:
        case RetryAt():
            assert decision.uses_attempt
            assert used + 1 < most
            assert decision.seconds >= min(asked or 0.0, LONGEST_RETRY_AFTER_SECONDS)
        case WaitForQuota():
            assert kind in (FailureKind.RATE_LIMITED, FailureKind.SLOW_DOWN)
            assert decision.seconds >= min(asked or 0.0, LONGEST_RETRY_AFTER_SECONDS)
        case PauseDeployment():
            assert decision.reason
        case GiveUp():
            assert kind is FailureKind.REFUSED or used + 1 >= most or deadline is not None
    if isinstance(decision, RetryAt | WaitForQuota) and deadline is not None:
        assert NOW + timedelta(seconds=decision.seconds) < deadline


@given(st.integers(100, 999), json_values | error_bodies, headers)
def test_every_answer_has_a_kind(status: int, body: Any, sent: dict[str, str]) -> None:
    failure = classify(status, body, sent)

    assert failure.kind in FailureKind
    assert failure.code
    assert failure.message
    assert failure.retry_after_seconds is None or failure.retry_after_seconds >= 0
    if failure.possibly_billed:
        assert failure.kind not in (FailureKind.RATE_LIMITED, FailureKind.UNAUTHORISED, FailureKind.BILLING_STOP)


@given(st.integers(0, 99), st.integers(0, 59), st.integers(0, 59), st.integers(0, 999))
def test_durations_read_back(hours: int, minutes: int, seconds: int, milliseconds: int) -> None:
    read = parse_duration(f"{hours}h{minutes}m{seconds}s{milliseconds}ms")

    assert read is not None
    assert round(read * 1000) == ((hours * 60 + minutes) * 60 + seconds) * 1000 + milliseconds
