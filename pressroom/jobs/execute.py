"""From an answer or a failure to an outcome: what is booked, what the job becomes. Pure; the clock is handed in."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from models import AttemptOutcome
from pressroom.jobs.lane import LaneJob
from pressroom.jobs.outcome import Next, Outcome, StoredObject
from pressroom.jobs.rates import Rates
from pressroom.limits.costs import Cost
from pressroom.limits.headers import parse_headers
from pressroom.limits.messages import Rejected, Settled
from pressroom.limits.rate_limit_text import parse_rate_limit_text
from pressroom.money.cost import UnpricedUsage
from pressroom.money.price_book import PriceBook
from pressroom.money.prices import UnknownPrice
from pressroom.operations.base import Reply, Usage
from pressroom.providers.client import Answer
from pressroom.providers.failures import Failure, FailureKind
from pressroom.providers.retry import GiveUp, PauseDeployment, RetryAt, WaitForQuota, decide

_LEAST_RETRY_AFTER_SECONDS = 1.0
_DENSE_SECONDS = 0.5
_QUOTA_FREE = (FailureKind.RATE_LIMITED, FailureKind.SLOW_DOWN, FailureKind.BILLING_STOP)


@dataclass(frozen=True, slots=True)
class Failed:
    """A failed call's outcome, and the reason to stop its whole deployment, if there is one."""

    outcome: Outcome
    pause_reason: str | None = None


@dataclass(frozen=True, slots=True)
class Ledger:
    """What outcomes are priced and charged by."""

    prices: PriceBook
    rates: Rates
    now: datetime


def succeeded(
    job: LaneJob, answer: Answer, reply: Reply, *, stored: Sequence[StoredObject], latency: float, ledger: Ledger
) -> Outcome:
    """The call did what it was for, and its pictures are in the store."""
    cost, price_id = _bill(job, reply.usage, ledger)
    return Outcome(
        **_identity(job),
        attempt=AttemptOutcome.SUCCEEDED,
        then=Next.SUCCEED,
        latency_seconds=latency,
        cost_usd=cost,
        at_risk_usd=None if cost is not None else job.job.est_cost_usd,
        price_id=price_id,
        usage=reply.usage,
        seconds=_charge(ledger.rates, reply.usage) - estimated_seconds(ledger.rates, job),
        status_code=answer.status_code,
        request_id=answer.request_id,
        body=reply.body,
        stored=stored,
    )


def failed(job: LaneJob, failure: Failure, *, latency: float, ledger: Ledger, rng: random.Random) -> Failed:
    """The call failed: wait for quota, try again, stop the deployment, or give the job up."""
    decision = decide(
        failure,
        attempts_used=job.job.attempts_used,
        max_attempts=job.job.max_attempts,
        now=ledger.now,
        deadline=job.job.deadline,
        rng=rng,
    )
    then, uses_attempt, wait, pause_reason = Next.QUEUE, True, None, None
    match decision:
        case GiveUp():
            then = Next.FAIL
        case RetryAt():
            uses_attempt, wait = decision.uses_attempt, decision.seconds
        case WaitForQuota():
            uses_attempt = False
        case PauseDeployment():
            then = Next.FAIL if decision.fails_job and not job.lease.routed else Next.QUEUE
            uses_attempt, pause_reason = False, decision.reason
    outcome = Outcome(
        **_identity(job),
        attempt=_attempt_outcome(failure),
        then=then,
        uses_attempt=uses_attempt,
        wait_seconds=wait,
        latency_seconds=latency,
        at_risk_usd=job.job.est_cost_usd if failure.possibly_billed else None,
        seconds=-estimated_seconds(ledger.rates, job) if then is Next.QUEUE else 0.0,
        status_code=failure.status_code,
        request_id=failure.request_id,
        body=failure.body if isinstance(failure.body, Mapping) and failure.status_code != 200 else None,
        error={"code": failure.code, "message": failure.message, "type": failure.type, "param": failure.param},
        error_code=failure.code,
        error_message=failure.message,
    )
    return Failed(outcome, pause_reason)


def unsent(job: LaneJob, rates: Rates, *, cancelled: bool) -> Outcome:
    """The attempt was booked and its call never made: cancelled, or its start time was missed."""
    return Outcome(
        **_identity(job),
        attempt=AttemptOutcome.RELEASED,
        then=Next.CANCEL if cancelled else Next.QUEUE,
        uses_attempt=False,
        sent=False,
        seconds=-estimated_seconds(rates, job),
        error_code="cancelled" if cancelled else None,
        error={"code": "cancelled", "message": "The job was cancelled before its call was made."}
        if cancelled
        else None,
    )


def limiter_success(job: LaneJob, usage: Usage, headers: Mapping[str, str]) -> Settled:
    """What the call really took of the pool."""
    actual = Cost(1.0, float(usage.input_tokens + usage.output_tokens), float(usage.images))
    return Settled(job.slot_id, job.cost, actual, parse_headers(headers))


def limiter_failure(job: LaneJob, failure: Failure) -> Settled | Rejected:
    """What a failed call took: nothing for a 429, the estimate where nobody can know, a request otherwise."""
    headers = parse_headers(failure.headers)
    if failure.kind in _QUOTA_FREE:
        wait = max(_LEAST_RETRY_AFTER_SECONDS, failure.retry_after_seconds or 0.0)
        return Rejected(
            job.slot_id,
            job.cost,
            wait,
            failure.dimension,
            headers,
            slow_down=failure.kind is FailureKind.SLOW_DOWN,
            stated=parse_rate_limit_text(failure.message) if failure.kind is FailureKind.RATE_LIMITED else None,
        )
    if failure.kind is FailureKind.UNKNOWN_OUTCOME:
        return Settled(job.slot_id, job.cost, job.cost, headers)
    return Settled(job.slot_id, job.cost, Cost(1.0, 0.0, 0.0), headers)


def limiter_unsent(job: LaneJob, *, spacing: float, missed: bool) -> Settled | Rejected:
    """What a start time that was not used took of the pool: nothing, if it is known in time.

    One that was missed is gone where calls are dense: the provider's bucket is full again at the latest after a moment,
    and calls to make up for those that were not made would find nothing in it.
    """
    if missed and spacing < _DENSE_SECONDS:
        return Settled(job.slot_id, job.cost, job.cost)
    return Rejected(job.slot_id, job.cost, 0.0)


def estimated_seconds(rates: Rates, job: LaneJob) -> float:
    """Seconds of the pool that dispatch charged the job's flow for it."""
    return rates.charge(job.lease.token_ratio * job.job.est_tokens, job.job.est_images)


def _identity(job: LaneJob) -> dict[str, Any]:
    return {
        "attempt_id": job.attempt_id,
        "job_id": job.job.id,
        "lease_id": job.lease.id,
        "project_id": job.job.project_id,
        "deployment_id": job.lease.deployment_id,
    }


def _attempt_outcome(failure: Failure) -> AttemptOutcome:
    if failure.kind in (FailureKind.RATE_LIMITED, FailureKind.SLOW_DOWN):
        return AttemptOutcome.REJECTED
    return AttemptOutcome.UNKNOWN if failure.possibly_billed else AttemptOutcome.FAILED


def _bill(job: LaneJob, usage: Usage, ledger: Ledger) -> tuple[Decimal | None, int | None]:
    """Exact cost and price row; (None, None) for a usage or tier without a price, which is then booked as at risk."""
    try:
        bill = ledger.prices.bill(job.lease.model, usage, ledger.now.date())
    except (UnknownPrice, UnpricedUsage):
        return None, None
    return bill.cost_usd, bill.price.id


def _charge(rates: Rates, usage: Usage) -> float:
    return rates.charge(usage.input_tokens + usage.output_tokens, usage.images)
