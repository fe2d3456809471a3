"""Put right what a fault left behind: silent workers, lost messages, jobs whose waiting time is over.

Every step may run in any number of processes at once and does nothing twice.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from uuid import UUID

from sqlalchemy import Connection, Engine, text

from pressroom.events.outbox import record_jobs
from pressroom.jobs.books import Books
from pressroom.jobs.budget_news import tell_exhausted
from pressroom.jobs.dependencies import release_missed
from pressroom.jobs.end_early import expire
from pressroom.jobs.flows import FlowChange, change_flows
from pressroom.jobs.holds import forget_resolved, post_overdue, release_held
from pressroom.jobs.lease import close_in_leases
from pressroom.jobs.over_budget import wake, wake_all
from pressroom.jobs.publish import Publisher
from pressroom.jobs.sleep import wake_stakes

UNCERTAIN_SECONDS = 86_400.0
"""How long money stays reserved for a call of which nobody learns what it cost."""

HOLD_SECONDS = 7 * 86_400.0
"""How long resolved holds are kept, to be looked at."""

_STAGE_LIMIT = 2000

_GIVE_UP = text(
    """
    UPDATE workers SET gave_up_at = now() WHERE id IN (
      SELECT id FROM workers WHERE gave_up_at IS NULL AND stopped_at IS NULL
        AND heartbeat_at < now() - make_interval(secs => :dead_after) FOR UPDATE SKIP LOCKED)
    """
)

_ORPHANED = text(
    """
    SELECT l.id FROM leases l JOIN workers w ON w.id = l.worker_id
    WHERE (w.gave_up_at IS NOT NULL OR w.stopped_at IS NOT NULL) AND pg_try_advisory_xact_lock(:key)
    """
)
_SWEEP_KEY = 0x73776565

# A job that has used up its attempts killing workers ends here; any other goes back to the head of its flow.
_TAKE_BACK = text(
    """
    WITH mine AS (
      SELECT id FROM jobs WHERE lease_id = ANY(:leases) AND state IN ('leased', 'running')
        AND (CAST(:only AS uuid[]) IS NULL OR id = ANY(CAST(:only AS uuid[]))) ORDER BY id FOR NO KEY UPDATE
    )
    UPDATE jobs j SET lease_id = NULL, run_at = NULL,
      attempts_used = j.attempts_used + CASE WHEN j.state = 'running' THEN 1 ELSE 0 END,
      state = CASE WHEN j.cancel_requested THEN 'cancelled'
        WHEN j.state = 'running' AND j.attempts_used + 1 >= j.max_attempts THEN 'failed'
        ELSE 'queued' END::job_state,
      finished_at = CASE WHEN j.cancel_requested
        OR (j.state = 'running' AND j.attempts_used + 1 >= j.max_attempts) THEN now() END,
      error_code = CASE WHEN j.state = 'running' THEN 'worker_lost' ELSE j.error_code END
    FROM mine WHERE j.id = mine.id
    RETURNING j.id, j.project_id, j.batch_id, j.flow_id, j.deployment_id, j.state, old.state AS was, old.lease_id,
      (SELECT l.job_seconds FROM leases l WHERE l.id = old.lease_id) AS seconds
    """
)

_DOUBT = text(
    """
    UPDATE attempts SET outcome = 'unknown', finished_at = now(), at_risk_usd = est_cost_usd,
      error_code = 'worker_lost', error_message = 'The worker stopped while the call was on its way.'
    WHERE job_id = ANY(:jobs) AND outcome = 'started' RETURNING job_id, at_risk_usd
    """
)

_LOST_RESULTS = text(
    """
    INSERT INTO job_results (job_id, error) SELECT unnest(CAST(:jobs AS uuid[])), json_build_object(
      'code', 'worker_lost', 'message', 'Every attempt ended with the loss of its worker.')
    ON CONFLICT (job_id) DO NOTHING
    """
)

_STAGE = text(
    """
    WITH due AS (
      SELECT id FROM jobs WHERE state = 'queued' AND run_at <= now() ORDER BY run_at
      LIMIT :limit FOR NO KEY UPDATE SKIP LOCKED
    ), staged AS (
      UPDATE jobs j SET run_at = NULL FROM due WHERE j.id = due.id RETURNING j.flow_id
    )
    SELECT flow_id, count(*) AS n FROM staged GROUP BY 1
    """
)

_RESEND = text(
    """
    UPDATE leases SET published_at = now(), publish_count = least(publish_count + 1, 30000) WHERE id IN (
      SELECT id FROM leases WHERE worker_id IS NULL
        AND published_at < now() - make_interval(secs => :after * least(publish_count, 6))
      ORDER BY created_at LIMIT 1000 FOR UPDATE SKIP LOCKED)
    RETURNING id
    """
)


@dataclass(frozen=True, slots=True)
class _Taken:
    """A job that was taken back: where it belongs, what it was and is, and what its call may have cost."""

    id: UUID
    project_id: UUID
    batch_id: UUID | None
    flow_id: int
    deployment_id: int
    state: str
    was: str
    lease_id: UUID
    seconds: float
    at_risk_usd: Decimal | None


# What is known of a worker beyond its life is on its attempts.
_FORGET = text(
    """
    DELETE FROM workers w WHERE coalesce(w.stopped_at, w.gave_up_at) < now() - interval '7 days'
      AND NOT EXISTS (SELECT 1 FROM leases l WHERE l.worker_id = w.id)
    """
)


def sweep(
    engine: Engine,
    publisher: Publisher,
    *,
    dead_after_seconds: float | None,
    resend_seconds: float,
    uncertain_seconds: float = UNCERTAIN_SECONDS,
) -> int:
    """One round of everything below. Returns the number of jobs taken back from lost workers.

    Money that calls without an answer may have cost is posted as spent after `uncertain_seconds`.

    With `dead_after_seconds` silent workers are given up. Only a process whose own heartbeats have come through for
    that long may ask for it: after an outage of the database every heartbeat is old, and nobody is dead.
    """
    with engine.begin() as conn:
        if dead_after_seconds is not None:
            conn.execute(_GIVE_UP, {"dead_after": dead_after_seconds})
        conn.execute(_FORGET)
    with engine.begin() as conn:
        orphaned = list(conn.execute(_ORPHANED, {"key": _SWEEP_KEY}).scalars())
        taken = take_back(conn, orphaned)
    # Not in one transaction: it would hold flows while it waits for jobs, and everybody else waits the other way.
    with engine.begin() as conn:
        stage(conn)
    with engine.begin() as conn:
        expired = expire(conn)
    if taken or expired:
        release_missed(engine)
    with engine.begin() as conn:
        post_overdue(conn, after_seconds=uncertain_seconds)
        wake_all(conn)
        wake_stakes(conn)
    # By itself: windows come before flows in the order of locks, and flows were written just now.
    with engine.begin() as conn:
        tell_exhausted(conn)
    with engine.begin() as conn:
        forget_resolved(conn, after_seconds=HOLD_SECONDS)
    with engine.begin() as conn:
        lost = list(conn.execute(_RESEND, {"after": resend_seconds}).scalars())
    publisher.publish(lost)
    return taken


def stage(conn: Connection) -> int:
    """Make jobs ready whose `run_at` has come."""
    rows = conn.execute(_STAGE, {"limit": _STAGE_LIMIT}).all()
    change_flows(conn, {row.flow_id: FlowChange(ready=True) for row in rows})
    return sum(row.n for row in rows)


def take_back(conn: Connection, leases: Sequence[UUID]) -> int:
    """Return the jobs of these leases to their flows; attempts on their way become `unknown`, at their estimate."""
    if not leases:
        return 0
    rows = _take_back(conn, leases, None)
    conn.execute(text("DELETE FROM leases WHERE id = ANY(:ids)"), {"ids": list(leases)})
    _book(conn, rows)
    return len(rows)


def take_back_jobs(conn: Connection, jobs: Sequence[tuple[UUID, UUID]]) -> int:
    """The same for single jobs, as (job id, lease id), of leases that go on. Returns how many were taken back."""
    if not jobs:
        return 0
    rows = _take_back(conn, sorted({lease for _, lease in jobs}), [job for job, _ in jobs])
    closed, unstarted = Counter(row.lease_id for row in rows), Counter(r.lease_id for r in rows if r.was == "leased")
    close_in_leases(conn, closed, unstarted=unstarted)
    _book(conn, rows)
    return len(rows)


def _take_back(conn: Connection, leases: Sequence[UUID], only: Sequence[UUID] | None) -> list[_Taken]:
    rows = conn.execute(_TAKE_BACK, {"leases": list(leases), "only": None if only is None else list(only)}).all()
    running = [row.id for row in rows if row.was == "running"]
    doubts = {row.job_id: row.at_risk_usd for row in conn.execute(_DOUBT, {"jobs": running})} if running else {}
    failed = [row.id for row in rows if row.state == "failed"]
    if failed:
        conn.execute(_LOST_RESULTS, {"jobs": failed})
    return [_Taken(**row._asdict(), at_risk_usd=doubts.get(row.id)) for row in rows]


def _book(conn: Connection, taken: Sequence[_Taken]) -> None:
    books, flows = Books(), dict[int, FlowChange]()
    for job in taken:
        if job.at_risk_usd is not None:
            books.add_doubt((job.project_id, job.deployment_id), job.batch_id, at_risk=job.at_risk_usd)
        books.add_end(job.batch_id, job.state)
        if job.state == "queued":
            change = flows.setdefault(job.flow_id, FlowChange(ready=True))
            change.queued += 1
            if job.was == "leased":
                change.seconds -= job.seconds
    books.write(conn)
    moved = release_held(conn, [(job.id, job.was == "running") for job in taken])
    change_flows(conn, flows)
    wake(conn, moved.waited_for, eager=False)
    record_jobs(conn, [job.id for job in taken if job.state != "queued" and books.tells_of(job.batch_id)])
    books.tell(conn)
