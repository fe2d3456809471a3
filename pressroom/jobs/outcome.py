"""What became of one attempt, as a value: the engine reports it, settlement writes it down."""

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any
from uuid import UUID

from models import AttemptOutcome, JobState
from pressroom.operations.base import Usage


class Next(enum.Enum):
    """What happens to the job after this attempt."""

    SUCCEED = JobState.SUCCEEDED
    FAIL = JobState.FAILED
    CANCEL = JobState.CANCELLED
    QUEUE = JobState.QUEUED


@dataclass(frozen=True, slots=True)
class StoredObject:
    """A picture or thumbnail that is in the store already."""

    id: UUID
    kind: str
    position: int
    key: str
    content_type: str
    byte_size: int
    sha256: str
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """One finished attempt.

    `wait_seconds` is the backoff before a queued job may start again, None for at once. `uses_attempt` is false for a
    429 and for a call that was never sent. `cost_usd` is what the call is known to have cost, `at_risk_usd` what an
    `unknown` one may have. `seconds` corrects the flow's account: actual minus estimated seconds of the pool's
    bottleneck. `status_code`, `body` and `error` become the job's result when it is final.
    """

    attempt_id: UUID
    job_id: UUID
    lease_id: UUID
    project_id: UUID
    deployment_id: int
    attempt: AttemptOutcome
    then: Next
    uses_attempt: bool = True
    wait_seconds: float | None = None
    sent: bool = True
    latency_seconds: float = 0.0
    cost_usd: Decimal | None = None
    at_risk_usd: Decimal | None = None
    price_id: int | None = None
    usage: Usage | None = None
    seconds: float = 0.0
    status_code: int | None = None
    request_id: str | None = None
    body: Mapping[str, Any] | None = None
    error: Mapping[str, Any] | None = None
    error_code: str | None = None
    error_message: str | None = None
    stored: Sequence[StoredObject] = field(default_factory=tuple)

    @property
    def is_final(self) -> bool:
        """Whether the job ends here."""
        return self.then is not Next.QUEUE
