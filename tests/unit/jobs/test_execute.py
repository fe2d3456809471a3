"""From every kind of answer and failure to what is booked, what the limiter hears, and what becomes of the job."""

import random
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from models import AttemptOutcome
from pressroom.jobs import execute
from pressroom.jobs.outcome import Next
from pressroom.jobs.rates import Rates
from pressroom.limits.costs import Cost
from pressroom.limits.messages import Rejected, Settled
from pressroom.money.price_book import catalog_price_book
from pressroom.operations.base import Reply, Usage
from pressroom.providers.client import Answer
from pressroom.providers.failures import FailureKind
from tests.unit.jobs.leased import failure, lane_job

NOW = datetime(2026, 1, 5, tzinfo=UTC)
BOOK = catalog_price_book()
LEDGER = execute.Ledger(BOOK, Rates.of({"rpm": 600, "tpm": 60_000}), NOW)
HEADERS = {"x-ratelimit-limit-requests": "600", "x-ratelimit-remaining-requests": "599"}
EST = Decimal("0.02")
USAGE = Usage(input_tokens=100, output_tokens=50, raw={"total_tokens": 150})

ENDS = {
    FailureKind.RATE_LIMITED: (AttemptOutcome.REJECTED, Next.QUEUE, False),
    FailureKind.SLOW_DOWN: (AttemptOutcome.REJECTED, Next.QUEUE, False),
    FailureKind.TRANSIENT: (AttemptOutcome.FAILED, Next.QUEUE, True),
    FailureKind.UNKNOWN_OUTCOME: (AttemptOutcome.UNKNOWN, Next.QUEUE, True),
    FailureKind.BILLING_STOP: (AttemptOutcome.FAILED, Next.QUEUE, False),
    FailureKind.UNAUTHORISED: (AttemptOutcome.FAILED, Next.QUEUE, False),
    FailureKind.MODEL_REMOVED: (AttemptOutcome.FAILED, Next.FAIL, False),
    FailureKind.REFUSED: (AttemptOutcome.FAILED, Next.FAIL, True),
}
STOPS = {FailureKind.BILLING_STOP, FailureKind.UNAUTHORISED, FailureKind.MODEL_REMOVED}


def fail(kind: FailureKind, **fields: object) -> execute.Failed:
    """A failure of a job's first call."""
    billed = kind is FailureKind.UNKNOWN_OUTCOME
    job = lane_job(**fields)
    return execute.failed(job, failure(kind, possibly_billed=billed), latency=0.5, ledger=LEDGER, rng=random.Random(1))


def test_every_kind_of_failure_is_here() -> None:
    assert set(ENDS) == set(FailureKind)


@pytest.mark.parametrize("kind", list(FailureKind))
def test_a_failure_is_booked_and_answered_by_its_kind(kind: FailureKind) -> None:
    failed = fail(kind)

    outcome = failed.outcome
    assert (outcome.attempt, outcome.then, outcome.uses_attempt) == ENDS[kind]
    assert (failed.pause_reason is not None) == (kind in STOPS)
    assert outcome.at_risk_usd == (EST if kind is FailureKind.UNKNOWN_OUTCOME else None)
    assert outcome.cost_usd is None
    assert outcome.error is not None
    assert (outcome.error["code"], outcome.error_message) == (kind.value, "so it said")


@pytest.mark.parametrize("kind", [FailureKind.TRANSIENT, FailureKind.UNKNOWN_OUTCOME])
def test_the_last_attempt_fails_the_job(kind: FailureKind) -> None:
    assert fail(kind, attempts_used=4).outcome.then is Next.FAIL
    assert fail(kind, attempts_used=3).outcome.then is Next.QUEUE


@pytest.mark.parametrize("kind", [FailureKind.RATE_LIMITED, FailureKind.SLOW_DOWN])
def test_no_number_of_429s_fails_a_job(kind: FailureKind) -> None:
    assert fail(kind, attempts_used=4, max_attempts=5).outcome.then is Next.QUEUE


@pytest.mark.parametrize("kind", [FailureKind.RATE_LIMITED, FailureKind.TRANSIENT])
def test_a_deadline_that_a_retry_would_miss_fails_the_job(kind: FailureKind) -> None:
    assert fail(kind, deadline=NOW).outcome.then is Next.FAIL
    assert fail(kind, deadline=NOW + timedelta(hours=1)).outcome.then is Next.QUEUE


def test_a_retry_waits_and_a_refused_call_waits_for_quota_alone() -> None:
    assert 0 <= (fail(FailureKind.TRANSIENT).outcome.wait_seconds or -1) <= 1
    assert fail(FailureKind.RATE_LIMITED).outcome.wait_seconds is None


def test_a_job_that_goes_back_gives_its_flow_the_service_back() -> None:
    assert fail(FailureKind.TRANSIENT).outcome.seconds == pytest.approx(-0.6)
    assert fail(FailureKind.REFUSED).outcome.seconds == 0.0


def test_the_providers_own_body_is_kept_unless_it_is_a_spoilt_answer() -> None:
    job = lane_job()
    said = failure(FailureKind.REFUSED, body={"error": {"code": "bad"}}, status_code=400)
    spoilt = failure(FailureKind.UNKNOWN_OUTCOME, body={"half": 1}, status_code=200)

    kept = [execute.failed(job, f, latency=0, ledger=LEDGER, rng=random.Random(1)).outcome.body for f in (said, spoilt)]
    assert kept == [{"error": {"code": "bad"}}, None]


def test_an_answer_is_billed_exactly_and_corrects_the_flows_account() -> None:
    outcome = execute.succeeded(
        lane_job(), Answer(200, "req_1", {}, {}), Reply({"id": "x"}, (), USAGE), stored=(), latency=1.0, ledger=LEDGER
    )

    assert outcome.cost_usd == BOOK.bill("gpt-4o-mini", USAGE, NOW.date()).cost_usd
    assert (outcome.attempt, outcome.then, outcome.at_risk_usd) == (AttemptOutcome.SUCCEEDED, Next.SUCCEED, None)
    assert outcome.seconds == pytest.approx(0.15 - 0.6)
    assert (outcome.request_id, outcome.body, outcome.usage) == ("req_1", {"id": "x"}, USAGE)


@pytest.mark.parametrize(
    "usage", [Usage(output_tokens=1, service_tier="of-the-future"), Usage(images=1, image_key="9x9")]
)
def test_an_answer_without_a_price_is_at_risk_at_its_estimate(usage: Usage) -> None:
    outcome = execute.succeeded(
        lane_job(), Answer(200, None, {}, {}), Reply({}, (), usage), stored=(), latency=1.0, ledger=LEDGER
    )

    assert (outcome.then, outcome.cost_usd, outcome.at_risk_usd) == (Next.SUCCEED, None, EST)


@pytest.mark.parametrize("cancelled", [True, False])
def test_a_call_that_was_not_made_uses_nothing(cancelled: bool) -> None:
    outcome = execute.unsent(lane_job(), LEDGER.rates, cancelled=cancelled)

    assert outcome.attempt is AttemptOutcome.RELEASED
    assert outcome.then is (Next.CANCEL if cancelled else Next.QUEUE)
    assert (outcome.uses_attempt, outcome.sent, outcome.cost_usd, outcome.at_risk_usd) == (False, False, None, None)


def test_the_limiter_hears_what_a_call_really_took() -> None:
    job = lane_job()

    told = execute.limiter_success(job, USAGE, HEADERS)

    assert (told.slot_id, told.estimate, told.actual) == ("slot", job.cost, Cost(1.0, 150.0, 0.0))
    assert told.headers is not None


@pytest.mark.parametrize("kind", list(FailureKind))
def test_the_limiter_hears_what_a_failure_took(kind: FailureKind) -> None:
    job = lane_job()

    told = execute.limiter_failure(job, failure(kind))

    if kind in (FailureKind.RATE_LIMITED, FailureKind.SLOW_DOWN, FailureKind.BILLING_STOP):
        assert isinstance(told, Rejected)
        assert told.retry_after == 1.0
    else:
        assert isinstance(told, Settled)
        assert told.actual == (job.cost if kind is FailureKind.UNKNOWN_OUTCOME else Cost(1.0, 0.0, 0.0))


def test_the_limiter_waits_as_long_as_the_provider_asked() -> None:
    told = execute.limiter_failure(lane_job(), failure(FailureKind.RATE_LIMITED, retry_after_seconds=7.5))

    assert isinstance(told, Rejected)
    assert told.retry_after == 7.5
