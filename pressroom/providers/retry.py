"""What to do after a failure: a pure decision, returned as a value."""

import random
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from pressroom.providers.failures import Dimension, Failure, FailureKind

BASE_SECONDS = 1.0
CAP_SECONDS = 60.0
LONGEST_RETRY_AFTER_SECONDS = 600.0
"""A header that asks for more, which is more likely a mistake than a wish, is heard as this."""


@dataclass(frozen=True, slots=True)
class RetryAt:
    """Try again in so many seconds; `uses_attempt` says whether the failed call counts against `max_attempts`."""

    seconds: float
    uses_attempt: bool = True


@dataclass(frozen=True, slots=True)
class WaitForQuota:
    """A 429: the pool slows down for so many seconds and the job waits its turn. Uses no attempt."""

    seconds: float
    dimension: Dimension | None


@dataclass(frozen=True, slots=True)
class PauseDeployment:
    """Every job of this deployment would fail alike: stop it. Uses no attempt.

    `fails_job` is true where waiting cannot help this job (the model is gone); otherwise it stays queued.
    """

    reason: str
    fails_job: bool


@dataclass(frozen=True, slots=True)
class GiveUp:
    """The job fails with this failure."""

    reason: Literal["refused", "attempts", "deadline"]


Decision = RetryAt | WaitForQuota | PauseDeployment | GiveUp

_PAUSE_REASONS = {
    FailureKind.BILLING_STOP: "the account may not spend any more",
    FailureKind.UNAUTHORISED: "the provider does not accept the key for this model",
    FailureKind.MODEL_REMOVED: "the endpoint no longer has this model",
}


def decide(
    failure: Failure,
    *,
    attempts_used: int,
    max_attempts: int,
    now: datetime,
    deadline: datetime | None,
    rng: random.Random,
) -> Decision:
    """`attempts_used` counts the calls before this one that counted. Nothing is started at or after the deadline."""
    kind = failure.kind
    if kind in _PAUSE_REASONS:
        reason = f"{_PAUSE_REASONS[kind]} ({failure.code}): {failure.message}"
        return PauseDeployment(reason, fails_job=kind is FailureKind.MODEL_REMOVED)
    if kind is FailureKind.REFUSED:
        return GiveUp("refused")
    limited = kind in (FailureKind.RATE_LIMITED, FailureKind.SLOW_DOWN)
    if not limited and attempts_used + 1 >= max_attempts:
        return GiveUp("attempts")
    seconds = backoff_seconds(0 if limited else attempts_used, failure.retry_after_seconds, rng=rng)
    if deadline is not None and (deadline - now).total_seconds() <= seconds:
        return GiveUp("deadline")
    return WaitForQuota(seconds, failure.dimension) if limited else RetryAt(seconds)


def backoff_seconds(attempts_used: int, retry_after: float | None, *, rng: random.Random) -> float:
    """Full jitter: anywhere from 0 to min(60, 2 ** attempts_used) seconds, on top of what the provider asked for."""
    # The exponent is bounded before the power is taken: 2.0 ** 1024 does not exist.
    window = min(CAP_SECONDS, BASE_SECONDS * 2.0 ** min(attempts_used, 10))
    return min(retry_after or 0.0, LONGEST_RETRY_AFTER_SECONDS) + rng.uniform(0.0, window)
