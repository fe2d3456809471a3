"""What a batch's row counts: read in several places, written by the transactions that end its jobs."""

from dataclasses import dataclass
from decimal import Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchCounts:
    """The counters of a batch. Money is in USD; `at_risk_usd` is what `unknown` attempts may have cost on top."""

    total: int
    succeeded: int
    failed: int
    cancelled: int
    expired: int
    est_cost_usd: Decimal
    cost_usd: Decimal
    at_risk_usd: Decimal

    @property
    def done(self) -> int:
        """Jobs in a final state."""
        return self.succeeded + self.failed + self.cancelled + self.expired

    @property
    def unfinished(self) -> int:
        """Jobs that have not ended."""
        return self.total - self.done
