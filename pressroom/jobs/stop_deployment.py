"""Stop a deployment that would fail every job alike: in the books, and in the limiter for all workers at once."""

from dataclasses import dataclass

from sqlalchemy import Connection, text

from models import StopKind
from pressroom.events.deployments import record_deployment
from pressroom.jobs.alerts import raise_alert
from pressroom.jobs.resolve import pool_name
from pressroom.limits.redis_limiter import LimiterAdmin

LONGEST_RETRY_SECONDS = 600.0
_REMEMBERED = "10 minutes"
"""A breaker that opens again this soon after it closed waits twice as long as before."""

RETRIED = frozenset({StopKind.UNAUTHORISED, StopKind.FAILURES})
"""What may get well by itself, so that a few calls are worth trying."""

# The weakest first: a reason is only replaced by a stronger one, so that none that a person must see to is lost.
_STRENGTH = [
    StopKind.FAILURES,
    StopKind.UNAUTHORISED,
    StopKind.BILLING,
    StopKind.MODEL_REMOVED,
    StopKind.BY_HAND,
]

# An open breaker stays as it is, unless it is just trying: then it opens again.
_STOP = text(
    f"""
    WITH d AS (
      SELECT *, CASE WHEN paused_at IS NOT NULL OR closed_at > now() - interval '{_REMEMBERED}' THEN trips + 1
        ELSE 1 END AS next_trips
      FROM deployments WHERE id = :id FOR NO KEY UPDATE
    )
    UPDATE deployments SET paused_at = coalesce(d.paused_at, now()), pause_reason = :reason,
      stop_kind = CAST(:kind AS stop_kind),
      trips = CASE WHEN :retried THEN least(d.next_trips, 1000) ELSE d.trips END,
      retry_at = CASE WHEN :retried THEN now() + make_interval(
        secs => least(:longest, CAST(:first AS float8) * 2 ^ least(d.next_trips - 1, 20))) END,
      probe_leases = '{{}}'
    FROM d WHERE deployments.id = d.id AND (d.paused_at IS NULL
      OR array_position(CAST(:strength AS text[]), CAST(:kind AS stop_kind)::text)
        > array_position(CAST(:strength AS text[]), coalesce(d.stop_kind::text, 'by_hand'))
      OR (d.stop_kind = CAST(:kind AS stop_kind) AND d.probe_leases <> '{{}}'))
    RETURNING deployments.base_url, deployments.account, deployments.model, d.paused_at IS NOT NULL AS was_stopped
    """  # noqa: S608
)

_SHARED = text(
    """
    SELECT p.name, (SELECT count(*) FROM deployments o WHERE o.pool_id = p.id AND o.paused_at IS NULL) AS others
    FROM deployments d JOIN pools p ON p.id = d.pool_id WHERE d.id = :id
    """
)


@dataclass(frozen=True, slots=True)
class Stop:
    """Why to stop. `retry_seconds` is the first wait of a breaker that tries again by itself."""

    kind: StopKind
    reason: str
    retry_seconds: float = 15.0


def stop_deployment(conn: Connection, limiter: LimiterAdmin, deployment_id: int, why: Stop | str) -> bool:
    """Lease no more of its jobs, and grant no more start times unless others still use its pool.

    A text is a pause by hand. False when it is stopped already, for this or a stronger reason. An alert is raised
    unless a person did it. `pressroom deployments resume` lifts all of it; `breaker.py` what gets well by itself.
    """
    stop = why if isinstance(why, Stop) else Stop(StopKind.BY_HAND, why)
    bound = {
        "id": deployment_id,
        "kind": stop.kind.value,
        "reason": stop.reason,
        "retried": stop.kind in RETRIED,
        "first": stop.retry_seconds,
        "longest": LONGEST_RETRY_SECONDS,
        "strength": [kind.value for kind in _STRENGTH],
    }
    stopped = conn.execute(_STOP, bound).one_or_none()
    if stopped is not None and stop.kind is not StopKind.BY_HAND:
        subject = pool_name(stopped.base_url, stopped.model, stopped.account)
        raise_alert(conn, f"deployment_{stop.kind}", subject, stop.reason)
    pool = conn.execute(_SHARED, {"id": deployment_id}).one()
    if pool.others == 0:
        limiter.pause(pool.name, None, stop.reason)
    if stopped is not None and not stopped.was_stopped:
        record_deployment(conn, deployment_id, "deployment.stopped")
    return stopped is not None
