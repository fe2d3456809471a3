"""Deadlines: which flows need more than their part of a pool to make theirs, told by the flow and never by the row."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection, text

from pressroom.jobs.rates import Rates, effective_limits

_REVIEW_KEY = 0x6C617465
_DAY = 86_400

# What a flow has before it in its stake, itself included, by counters and mean sizes alone; `part` is what its stake
# gets of the pool while all that are active now stay so.
_NEEDS = """
    SELECT f.id, f.deadline, f.late, f.batch_id, f.queued,
      sum(f.queued * greatest(CAST(:request_seconds AS float8),
        :token_seconds * d.token_ratio * f.tokens_in / greatest(f.jobs_in, 1),
        :image_seconds * f.images_in / greatest(f.jobs_in, 1))) OVER in_turn AS seconds,
      s.weight / sum_of.weight AS part, extract(epoch FROM f.deadline - now())::float8 AS left_seconds
    FROM flows f JOIN stakes s ON s.id = f.stake_id JOIN deployments d ON d.id = f.deployment_id
      CROSS JOIN (SELECT sum(weight) AS weight FROM stakes WHERE pool_id = :pool AND active) sum_of
    WHERE f.pool_id = :pool AND s.active AND f.active AND NOT f.paused AND f.blocked_by IS NULL
    WINDOW in_turn AS (PARTITION BY f.stake_id ORDER BY f.priority, f.deadline, f.id)
"""

_POOLS = text(
    """
    SELECT p.id, p.name, p.explicit_limits, p.learned_limits, p.catalog_limits FROM pools p
    WHERE EXISTS (SELECT 1 FROM flows f WHERE f.pool_id = p.id AND f.active AND f.deadline IS NOT NULL
      AND (CAST(:batch AS uuid) IS NULL OR f.batch_id = :batch))
      AND (NOT :review OR pg_try_advisory_xact_lock(:key)) ORDER BY p.id
    """
)

_MARK = text(
    f"""
    WITH needs AS ({_NEEDS}), changed AS (
      SELECT id, coalesce(seconds > part * left_seconds, false) AS late FROM needs WHERE deadline IS NOT NULL
    ), held AS MATERIALIZED (
      SELECT f.id, c.late FROM flows f JOIN changed c ON c.id = f.id AND f.late <> c.late
      ORDER BY f.id FOR NO KEY UPDATE OF f SKIP LOCKED
    )
    UPDATE flows f SET late = held.late FROM held WHERE f.id = held.id
    """  # noqa: S608  (no values)
)

_OF_BATCH = text(
    f"""
    SELECT * FROM ({_NEEDS}) n WHERE batch_id = :batch AND deadline IS NOT NULL ORDER BY deadline
    """  # noqa: S608
)


@dataclass(frozen=True, slots=True)
class _Figures:
    """A pool's pace, as the queries take it."""

    request_seconds: float
    token_seconds: float
    image_seconds: float

    def bound(self, pool: int) -> dict[str, float | int]:
        return {
            "pool": pool,
            "request_seconds": self.request_seconds,
            "token_seconds": self.token_seconds,
            "image_seconds": self.image_seconds,
        }


def mark_late(conn: Connection) -> int:
    """Mark flows that cannot make their deadline at their part of the pool, and unmark those that can by now.

    Marked ones may have some of the pool out of turn (`dispatch`). Call it every ten seconds or so, in any number of
    processes: one does it. Returns how many flows changed.
    """
    changed = 0
    for pool in conn.execute(_POOLS, {"batch": None, "review": True, "key": _REVIEW_KEY}).all():
        figures = _figures(Rates.of(effective_limits(pool.explicit_limits, pool.learned_limits, pool.catalog_limits)))
        if figures is not None:
            changed += conn.execute(_MARK, figures.bound(pool.id)).rowcount
    return changed


def deadline_warning(conn: Connection, batch_id: UUID) -> str | None:
    """Why a batch just put on the books cannot make its deadline, with the figures; None when it can, or none is known.

    Reckoned with the stakes that are active now: whoever submits later only makes it worse.
    """
    worst: tuple[float, str] | None = None
    for pool in conn.execute(_POOLS, {"batch": batch_id, "review": False, "key": _REVIEW_KEY}).all():
        figures = _figures(Rates.of(effective_limits(pool.explicit_limits, pool.learned_limits, pool.catalog_limits)))
        if figures is None:
            continue
        for need in conn.execute(_OF_BATCH, {**figures.bound(pool.id), "batch": batch_id}):
            makes = need.left_seconds * need.part / need.seconds if need.seconds else 1.0
            if makes < 1.0 and (worst is None or makes < worst[0]):
                worst = (
                    makes,
                    _said(pool.name, need.seconds, need.part, deadline=need.deadline, left_seconds=need.left_seconds),
                )
    return worst[1] if worst is not None else None


def _figures(rates: Rates) -> _Figures | None:
    """None for a pool without limits by the minute: how fast it is, nobody knows."""
    if rates.unlimited:
        return None
    return _Figures(rates.request_seconds, rates.token_seconds, rates.image_seconds)


def _said(pool: str, seconds: float, part: float, *, deadline: datetime, left_seconds: float) -> str:
    whole = deadline.astimezone().strftime("%Y-%m-%d %H:%M")
    return (
        f"the deadline ({whole}) cannot be made: it leaves {_time(left_seconds)}, and what is queued up to these jobs "
        f"needs {_time(seconds / part)}: {_time(seconds)} of {pool}, of which this project's class gets {part:.0%}. "
        "Jobs that are not done by then expire. Give more time, a higher --class, or the pool higher limits"
    )


def _time(seconds: float) -> str:
    if seconds < 120:
        return f"{max(0, round(seconds))} s"
    if seconds < 2 * 3600:
        return f"{round(seconds / 60)} min"
    if seconds < 2 * _DAY:
        return f"{seconds / 3600:.1f} h"
    return f"{seconds / _DAY:.1f} days"
