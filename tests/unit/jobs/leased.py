"""A leased job and a failure, without a database."""

from decimal import Decimal
from typing import Any
from uuid import UUID

from pressroom.ids import new_id
from pressroom.jobs.lane import LaneJob
from pressroom.jobs.lease import ClaimedLease, LeasedJob
from pressroom.limits.costs import Cost
from pressroom.providers.failures import Failure, FailureKind

PROJECT = UUID("00000000-0000-7000-8000-000000000001")


def lane_job(**fields: Any) -> LaneJob:
    """A chat job of 600 tokens and an estimate of two cents, with a slot; `fields` are LeasedJob's."""
    lease_id = new_id()
    given: dict[str, Any] = {
        "id": new_id(),
        "lease_id": lease_id,
        "project_id": PROJECT,
        "batch_id": None,
        "flow_id": 1,
        "url": "/v1/chat/completions",
        "body": {"model": "gpt-4o-mini"},
        "attempts_used": 0,
        "max_attempts": 5,
        "deadline": None,
        "est_tokens": 600,
        "est_images": 0,
        "est_cost_usd": Decimal("0.02"),
    }
    job = LeasedJob(**{**given, **fields})
    lease = ClaimedLease(
        id=lease_id,
        pool_id=1,
        pool_name="sandbox/gpt-4o-mini",
        deployment_id=7,
        model=fields.get("body", given["body"])["model"],
        base_url="sandbox:",
        is_sandbox=True,
        limit_layers=({}, {}, {}),
        limiter_epoch=None,
        jobs=[job],
    )
    return LaneJob(job, lease, Cost(1.0, 600.0, 0.0), slot_id="slot")


def failure(kind: FailureKind, **fields: Any) -> Failure:
    """A failure of a kind."""
    given: dict[str, Any] = {"code": kind.value, "type": None, "message": "so it said", "status_code": 500}
    return Failure(kind, **{**given, **fields})
