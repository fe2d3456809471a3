"""What of a pool's limits a project may count on: what calls are told in `x-ratelimit-*`. Kept for a second.

A share is the project's interactive weight among the weights of everybody who has work in the pool now. Alone, a
project has the whole pool.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Engine, text

from models import CLASS_WEIGHTS, PriorityClass
from pressroom.limits.messages import DimensionStatus
from pressroom.limits.redis_limiter import LimiterAdmin

KEPT_SECONDS = 1.0
_REMEMBERED = 1000
_NAMES = {"rpm": "requests", "tpm": "tokens", "ipm": "images"}

_SHARE = text(
    """
    SELECT p.name, coalesce((SELECT sum(s.weight) FROM stakes s WHERE s.pool_id = p.id AND s.active
        AND NOT (s.project_id = :project AND s.priority_class = 'interactive')), 0) AS others,
      (SELECT weight FROM projects WHERE id = :project) AS own
    FROM pools p WHERE p.id = :pool
    """
)


@dataclass(frozen=True, slots=True)
class Quota:
    """One limit as the project sees it: units a minute, what is left of them, and when all are there again."""

    name: str
    limit: int
    remaining: int
    reset_seconds: float


class QuotaShares:
    """Asks SQL and the limiter. Thread-safe: two threads at worst ask the same."""

    def __init__(self, database: Engine, limiter: LimiterAdmin, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._database = database
        self._limiter = limiter
        self._clock = clock
        self._kept: dict[tuple[UUID, int], tuple[float, list[Quota]]] = {}

    def known(self, project_id: UUID, pool_id: int) -> list[Quota] | None:
        """What was found within the last second; asks nobody."""
        found = self._kept.get((project_id, pool_id))
        return found[1] if found is not None and self._clock() < found[0] else None

    def of(self, project_id: UUID, pool_id: int) -> list[Quota]:
        """The project's part of every limit by the minute that is known. Raises what servers that are away raise."""
        known = self.known(project_id, pool_id)
        if known is not None:
            return known
        with self._database.connect() as conn:
            row = conn.execute(_SHARE, {"project": project_id, "pool": pool_id}).one_or_none()
        quotas: list[Quota] = []
        if row is not None and row.own is not None:
            own = row.own * CLASS_WEIGHTS[PriorityClass.INTERACTIVE]
            quotas = shares(self._limiter.status(row.name).dimensions, own / (own + row.others))
        if len(self._kept) >= _REMEMBERED:
            self._kept.clear()
        self._kept[project_id, pool_id] = self._clock() + KEPT_SECONDS, quotas
        return quotas


def shares(dimensions: Mapping[str, DimensionStatus], share: float) -> list[Quota]:
    """Each limit by the minute, cut down to `share`; what is used is used by all, and shared alike."""
    found = []
    for dimension, name in _NAMES.items():
        status = dimensions.get(dimension)
        if status is None or status.limit <= 0:
            continue
        used = min(max(status.used, 0.0), status.limit)
        limit = max(1, int(status.limit * share))
        remaining = min(limit, max(0, int((status.limit - used) * share)))
        found.append(Quota(name, limit, remaining, 60.0 * used / status.limit))
    return found


def quota_headers(quotas: list[Quota]) -> dict[str, str]:
    """As the provider writes them."""
    headers: dict[str, str] = {}
    for quota in quotas:
        headers[f"x-ratelimit-limit-{quota.name}"] = str(quota.limit)
        headers[f"x-ratelimit-remaining-{quota.name}"] = str(quota.remaining)
        headers[f"x-ratelimit-reset-{quota.name}"] = duration(quota.reset_seconds)
    return headers


def duration(seconds: float) -> str:
    """Go's way of writing it: `41ms`, `1s`, `6m0s`."""
    milliseconds = round(seconds * 1000)
    if milliseconds < 1000:
        return f"{milliseconds}ms"
    minutes, rest = divmod(milliseconds, 60_000)
    text_of_seconds = f"{rest / 1000:.3f}".rstrip("0").rstrip(".") + "s"
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}h{minutes}m{text_of_seconds}"
    return f"{minutes}m{text_of_seconds}" if minutes else text_of_seconds
