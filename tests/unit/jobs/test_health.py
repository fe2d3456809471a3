"""Which outcomes say that an endpoint is ill."""

import pytest

from models import AttemptOutcome
from pressroom.ids import new_id
from pressroom.jobs.health import HealthBook, judge
from pressroom.jobs.outcome import Next, Outcome

LEASE = new_id()


def outcome(attempt: AttemptOutcome, status: int | None = None, code: str | None = None) -> Outcome:
    """One call's."""
    return Outcome(
        attempt_id=new_id(),
        job_id=new_id(),
        lease_id=LEASE,
        project_id=new_id(),
        deployment_id=7,
        attempt=attempt,
        then=Next.QUEUE,
        status_code=status,
        error_code=code,
        error_message="so it said" if code else None,
    )


@pytest.mark.parametrize(
    ("attempt", "status", "code", "judgement"),
    [
        (AttemptOutcome.SUCCEEDED, 200, None, "well"),
        (AttemptOutcome.FAILED, 400, "invalid_value", "well"),
        (AttemptOutcome.FAILED, 500, "server_error", "failed"),
        (AttemptOutcome.FAILED, 503, "server_is_overloaded", "failed"),
        (AttemptOutcome.UNKNOWN, 504, "http_504", "failed"),
        (AttemptOutcome.UNKNOWN, None, "timeout", "failed"),
        (AttemptOutcome.UNKNOWN, None, "connection_lost", "failed"),
        (AttemptOutcome.UNKNOWN, 200, "malformed_reply", "failed"),
        (AttemptOutcome.FAILED, None, "connection_failed", "failed"),
        (AttemptOutcome.REJECTED, 429, "rate_limit_exceeded", "answered"),
        (AttemptOutcome.FAILED, 429, "insufficient_quota", "answered"),
        (AttemptOutcome.FAILED, 401, "invalid_api_key", "answered"),
        (AttemptOutcome.FAILED, None, "unsupported_url", None),
        (AttemptOutcome.UNKNOWN, None, "internal_error", None),
        (AttemptOutcome.UNKNOWN, None, "image_fetch_failed", None),
        (AttemptOutcome.RELEASED, None, None, None),
    ],
)
def test_a_call_is_judged_by_what_it_says_of_its_endpoint(
    attempt: AttemptOutcome, status: int | None, code: str | None, judgement: str | None
) -> None:
    assert judge(outcome(attempt, status, code)) == judgement


def test_calls_are_added_up_by_lease_and_told_once() -> None:
    book = HealthBook()
    book.add([outcome(AttemptOutcome.SUCCEEDED, 200), outcome(AttemptOutcome.FAILED, 500, "server_error")])
    book.add([outcome(AttemptOutcome.REJECTED, 429, "rate_limit_exceeded"), outcome(AttemptOutcome.RELEASED)])

    [seen] = book.take()

    assert (seen.deployment_id, seen.lease_id) == (7, LEASE)
    assert (seen.calls, seen.failed, seen.answered) == (2, 1, 1)
    assert seen.last_error == "server_error: so it said"
    assert book.take() == []
