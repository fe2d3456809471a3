"""Run queued jobs the way a worker does, with answers made up by the test."""

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Engine, text

from models import AttemptOutcome
from pressroom.ids import new_id
from pressroom.jobs.dispatch import DispatchPolicy, lease_pool
from pressroom.jobs.lease import ClaimedLease, LeasedJob, Start, claim_lease, start_jobs
from pressroom.jobs.outcome import Next, Outcome, StoredObject
from pressroom.jobs.settle import settle
from pressroom.jobs.workers import register
from pressroom.settings import SANDBOX

Answer = Callable[[LeasedJob], dict[str, Any]]
"""The fields of the outcome, beyond who it is about."""


def succeed(body: dict[str, Any], stored: list[StoredObject] | None = None) -> dict[str, Any]:
    """A 200."""
    return {
        "attempt": AttemptOutcome.SUCCEEDED,
        "then": Next.SUCCEED,
        "status_code": 200,
        "request_id": "req_1",
        "body": body,
        "cost_usd": Decimal("0.001"),
        "stored": stored or [],
    }


def fail(status_code: int | None, code: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    """A failure for good."""
    return {
        "attempt": AttemptOutcome.FAILED,
        "then": Next.FAIL,
        "status_code": status_code,
        "request_id": "req_2" if status_code is not None else None,
        "body": body,
        "error": {"code": code, "message": f"it was {code}", "type": "some_error", "param": None},
        "error_code": code,
        "error_message": f"it was {code}",
    }


def run_all(engine: Engine, answer: Answer) -> int:
    """Lease, start and settle everything that is queued. Returns the number of jobs."""
    with engine.begin() as conn:
        worker = register(conn, host="test", pid=1)
        claimed = [lease for lease_id in _lease_all(conn) if (lease := claim_lease(conn, lease_id, worker)) is not None]
    done = 0
    for lease in claimed:
        starts = [Start(job.id, lease.id, new_id()) for job in lease.jobs]
        with engine.begin() as conn:
            start_jobs(conn, worker, starts)
            outcomes = [
                _outcome(lease, job, start.attempt_id, answer(job))
                for job, start in zip(lease.jobs, starts, strict=True)
            ]
            done += len(settle(conn, outcomes).jobs)
    return done


def _lease_all(conn: Connection) -> list[UUID]:
    policy = DispatchPolicy(SANDBOX, ahead_seconds=1e9, unlimited_ahead_jobs=100_000)
    pools = conn.execute(text("SELECT id FROM pools")).scalars().all()
    return [lease for pool in pools for lease in lease_pool(conn, pool, policy)]


def _outcome(lease: ClaimedLease, job: LeasedJob, attempt_id: UUID, fields: dict[str, Any]) -> Outcome:
    return Outcome(
        attempt_id=attempt_id,
        job_id=job.id,
        lease_id=lease.id,
        project_id=job.project_id,
        deployment_id=lease.deployment_id,
        **fields,
    )


@dataclass(frozen=True)
class Counters:
    """A batch's row."""

    state: str
    total: int
    succeeded: int
    failed: int
    cancelled: int
    expired: int
    finished: bool


def counters(engine: Engine, batch_id: UUID) -> Counters:
    """What the batch says of itself."""
    query = text(
        "SELECT state, total, succeeded, failed, cancelled, expired, finished_at IS NOT NULL AS finished"
        " FROM batches WHERE id = :id"
    )
    with engine.connect() as conn:
        return Counters(*conn.execute(query, {"id": batch_id}).one())
