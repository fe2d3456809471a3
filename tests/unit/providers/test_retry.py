import random
from datetime import UTC, datetime, timedelta

import pytest

from pressroom.providers.failures import Failure, FailureKind
from pressroom.providers.retry import Decision, GiveUp, PauseDeployment, RetryAt, WaitForQuota, decide

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


def _decide(
    kind: FailureKind,
    *,
    attempts_used: int = 0,
    retry_after: float | None = None,
    deadline_in: float | None = None,
    draw: float = 1.0,
) -> Decision:
    class Rng(random.Random):
        def random(self) -> float:
            return draw

    return decide(
        Failure(kind, "code", None, "message", retry_after_seconds=retry_after, dimension="tokens"),
        attempts_used=attempts_used,
        max_attempts=5,
        now=NOW,
        deadline=None if deadline_in is None else NOW + timedelta(seconds=deadline_in),
        rng=Rng(),
    )


@pytest.mark.parametrize("kind", [FailureKind.TRANSIENT, FailureKind.UNKNOWN_OUTCOME])
def test_faults_are_retried_with_a_window_that_doubles(kind: FailureKind) -> None:
    assert [_decide(kind, attempts_used=used) for used in range(4)] == [
        RetryAt(1.0),
        RetryAt(2.0),
        RetryAt(4.0),
        RetryAt(8.0),
    ]


def test_the_last_attempt_is_the_last() -> None:
    assert _decide(FailureKind.TRANSIENT, attempts_used=4) == GiveUp("attempts")


@pytest.mark.parametrize("kind", [FailureKind.RATE_LIMITED, FailureKind.SLOW_DOWN])
def test_a_429_uses_no_attempt_and_waits_at_least_as_long_as_asked(kind: FailureKind) -> None:
    assert _decide(kind, attempts_used=99, retry_after=12.0, draw=0.0) == WaitForQuota(12.0, "tokens")
    assert _decide(kind, attempts_used=99, retry_after=12.0, draw=1.0) == WaitForQuota(13.0, "tokens")
    assert _decide(kind, draw=0.5) == WaitForQuota(0.5, "tokens")


@pytest.mark.parametrize(
    ("kind", "fails_job"),
    [
        (FailureKind.BILLING_STOP, False),
        (FailureKind.UNAUTHORISED, False),
        (FailureKind.MODEL_REMOVED, True),
    ],
)
def test_what_every_job_would_meet_stops_the_deployment(kind: FailureKind, fails_job: bool) -> None:
    decision = _decide(kind, attempts_used=4)

    assert isinstance(decision, PauseDeployment)
    assert decision.fails_job is fails_job
    assert "(code): message" in decision.reason


def test_a_refusal_is_final() -> None:
    assert _decide(FailureKind.REFUSED) == GiveUp("refused")


@pytest.mark.parametrize("kind", [FailureKind.TRANSIENT, FailureKind.RATE_LIMITED])
@pytest.mark.parametrize(("deadline_in", "gives_up"), [(-1.0, True), (1.0, True), (1.001, False)])
def test_nothing_is_started_at_or_after_the_deadline(kind: FailureKind, deadline_in: float, gives_up: bool) -> None:
    assert (_decide(kind, deadline_in=deadline_in) == GiveUp("deadline")) is gives_up
