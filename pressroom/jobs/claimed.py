"""Jobs between the queue and a lease, in the transaction of one dispatch."""

from decimal import Decimal
from typing import NamedTuple
from uuid import UUID


class ClaimedJob(NamedTuple):
    """A job taken from its flow and not yet in a lease. `calls` were made before this one.

    `seconds` is what its share is charged, in seconds of the pool's bottleneck; `pace_seconds` what it takes of the
    pool's rate by the minute, which bounds how far dispatch runs ahead. `urgent` ones are interactive. `place` is where
    its row is until the transaction that locked it ends, or writes it. A tuple, for a turn makes hundreds.
    """

    place: str
    id: UUID
    flow_id: int
    deployment_id: int
    project_id: UUID
    batch_id: UUID | None
    api_key_id: UUID | None
    calls: int
    est_cost_usd: Decimal
    seconds: float
    pace_seconds: float
    urgent: bool = False
