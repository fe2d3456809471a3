"""What a process's calls say of their deployments' health, added up until the next look."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal
from uuid import UUID

from models import AttemptOutcome
from pressroom.jobs.outcome import Outcome

Judgement = Literal["well", "failed", "answered"]

_LOST = frozenset({"timeout", "connection_lost", "malformed_reply"})
_NEVER_SENT = "connection_failed"
_MESSAGE_CHARACTERS = 200


def judge(outcome: Outcome) -> Judgement | None:
    """What one call says of its endpoint: nothing where the fault was ours, `answered` for a 429 or a stop.

    A request that is refused for what it asks shows an endpoint that is well.
    """
    status = outcome.status_code
    if outcome.attempt is AttemptOutcome.SUCCEEDED:
        return "well"
    if outcome.attempt is AttemptOutcome.REJECTED or status in (401, 403, 429):
        return "answered"
    if status is not None and (status >= 500 or status == 408):
        return "failed"
    if outcome.error_code in _LOST or (status is None and outcome.error_code == _NEVER_SENT):
        return "failed"
    return "well" if outcome.attempt is AttemptOutcome.FAILED and status is not None else None


@dataclass(slots=True)
class Seen:
    """Calls of one lease since the last look. `last_error` is of the last that failed."""

    deployment_id: int
    lease_id: UUID
    calls: int = 0
    failed: int = 0
    answered: int = 0
    last_error: str = ""


class HealthBook:
    """One per process, filled with every group that is settled. Thread-safe."""

    def __init__(self) -> None:
        self._seen: dict[UUID, Seen] = {}
        self._lock = threading.Lock()

    def add(self, outcomes: Sequence[Outcome]) -> None:
        """Calls that ended."""
        with self._lock:
            for outcome in outcomes:
                judgement = judge(outcome)
                if judgement is None:
                    continue
                seen = self._seen.get(outcome.lease_id)
                if seen is None:
                    seen = self._seen[outcome.lease_id] = Seen(outcome.deployment_id, outcome.lease_id)
                if judgement == "answered":
                    seen.answered += 1
                    continue
                seen.calls += 1
                if judgement == "failed":
                    seen.failed += 1
                    said = (outcome.error_message or "").strip()[:_MESSAGE_CHARACTERS]
                    seen.last_error = f"{outcome.error_code}: {said}" if said else str(outcome.error_code)

    def take(self) -> list[Seen]:
        """All that was seen, by lease, which is then forgotten."""
        with self._lock:
            seen, self._seen = self._seen, {}
        return list(seen.values())
