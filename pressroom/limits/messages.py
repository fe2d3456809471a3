"""What workers tell the limiter and what it answers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from pressroom.limits.costs import Cost
from pressroom.limits.headers import QuotaHeaders
from pressroom.limits.pool_limits import Source
from pressroom.limits.rate_limit_text import StatedLimit

Dimension = Literal["requests", "tokens", "images"]


@dataclass(frozen=True, slots=True)
class Settled:
    """A call that the provider took on. `actual` is its true usage; the estimate again when nobody can know it."""

    slot_id: str
    estimate: Cost
    actual: Cost
    headers: QuotaHeaders | None = None


@dataclass(frozen=True, slots=True)
class Rejected:
    """A call answered 429, or a slot that was not used.

    `retry_after` is in seconds. Zero says the slot was not used: everything it took is given back and nobody is
    penalised. For a 429 give what the provider said, or at least a second when it said nothing; `dimension` is the
    limit it named, None when it named none. Report a 429 at once: until then the other workers keep sending.
    `slow_down` is the provider's code of that name: traffic grew too fast, though within the limits. `stated` is the
    limit that the message put in numbers (rate_limit_text.py); it is believed at once. Give the headers of the 429
    too: the quota they show to be left tells an empty bucket from a hidden, shorter one.
    """

    slot_id: str
    estimate: Cost
    retry_after: float
    dimension: Dimension | None = None
    headers: QuotaHeaders | None = None
    slow_down: bool = False
    stated: StatedLimit | None = None


@dataclass(frozen=True, slots=True)
class Grant:
    """The answer to one tick.

    `slots[i]` is when the i-th call asked for may start, in seconds from the moment the answer was received (use a
    monotonic clock), `slot_ids[i]` its name for settling. Calls beyond `len(slots)` were not charged: ask for them
    again after `poll_after` seconds (0 when all were granted). `paused_for` is how long the pool still stands
    still after a 429 or by an operator; slots not yet started should then be given back.
    """

    slots: list[float]
    slot_ids: list[str]
    poll_after: float
    paused_for: float
    epoch: str
    server_seconds: float = 0.0
    """The server's clock when it answered."""
    generation: int = 0
    """Grows when a limit fell. Start times of an earlier generation that are still to come are void: give them back
    (`retry_after` 0) and ask again."""

    @property
    def paused(self) -> bool:
        """Whether the whole pool stands still now."""
        return self.paused_for > 0


@dataclass(frozen=True, slots=True)
class DimensionStatus:
    """One rate limit of a pool: units per its own minute or day."""

    limit: float
    """Of the account; a pool's `max_share` of it is ours."""
    source: Source
    rate: float
    """Units granted lately, in the limit's own terms (per minute or day), over about ten seconds."""
    used: float
    """Units of the bucket in use now: what would have to refill before it is full."""
    debt: float
    """Units used beyond estimates and not yet worked off (negative: estimates were too high)."""
    factor: float
    """Share of the limit used after 429s: 1 when there were none lately."""
    foreign: float = 0.0
    """Units that others on the account are using, as measured from headers, in the limit's own terms."""
    level: float | None = None
    """Units left by the last header and what was granted since; None while no header told."""
    capacity: float | None = None
    """Units that this bucket holds, as headers announce it: a setting may be above or below."""


@dataclass(frozen=True, slots=True)
class PoolStatus:
    """A pool as the limiter sees it now. `started` is False when it has no state, and then all the rest is empty."""

    pool: str
    started: bool
    epoch: str = ""
    dimensions: dict[str, DimensionStatus] = field(default_factory=dict)
    learned: dict[str, float] = field(default_factory=dict)
    """Limits read from headers and refusals, by dimension, whether or not a setting overrules them; and
    `burst_seconds` once a refusal showed how much may be used at once. Store them, and give them back as guesses."""
    stated: dict[str, tuple[float, float]] = field(default_factory=dict)
    """Limits that a refusal's words set, by dimension: the limit, and when it was last said (unix seconds)."""
    concurrency: int | None = None
    in_flight: int = 0
    waiting: int = 0
    """Calls that workers asked for at their last tick and did not get: a lower bound on those that wait."""
    workers: dict[str, int] = field(default_factory=dict)
    granted: int = 0
    rejected: int = 0
    burst_seconds: float = 0.0
    """How much of a per-minute rate may be used at once after a quiet spell."""
    credit: dict[str, float] = field(default_factory=dict)
    """Units of stored quota, by dimension, that are being spent or may be, beyond the rate."""
    paused_seconds: float = 0.0
    """How long the provider's Retry-After still holds."""
    stopped_reason: str | None = None
    """Why an operator (or a billing stop) paused the pool; None when nobody did."""
    stopped_seconds: float | None = None
