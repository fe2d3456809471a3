"""Write down what became of attempts: many jobs of many leases in one transaction, and the same one twice harmlessly.

Counters move only by what the guarded updates return, so a settlement that is repeated after a cut connection, or
arrives after its lease was taken back, adds nothing twice. A late answer still corrects the books of its attempt.
"""

import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, NamedTuple
from uuid import UUID

import orjson
from sqlalchemy import Connection, Row, text

from pressroom.events.outbox import record_jobs
from pressroom.jobs.array import array
from pressroom.jobs.books import Books
from pressroom.jobs.dependencies import WHO_NEEDS
from pressroom.jobs.flows import FlowChange, change_flows
from pressroom.jobs.holds import Known, resolve_holds
from pressroom.jobs.lease import close_in_leases
from pressroom.jobs.outcome import Next, Outcome
from pressroom.jobs.over_budget import wake

# `unknown` is settled too: an answer that comes after the sweep gave the worker up tells what the call really cost.
# Not what was reconciled already (no longer at risk): that cost is the provider's own word. `finished_at` stays, for
# the days' costs are kept by it.
_ATTEMPTS = text(
    """
    WITH t AS (
      SELECT * FROM json_to_recordset(CAST(:rows AS json)) AS t (id uuid, outcome attempt_outcome, latency float8,
        sent bool, status_code int, error_code text, error_message text, request_id text, usage jsonb,
        service_tier text, cost_usd numeric, at_risk_usd numeric, price_id bigint)
    ), old AS (
      SELECT a.id, a.outcome, a.at_risk_usd, a.finished_at FROM attempts a JOIN t ON t.id = a.id
      WHERE a.outcome IN ('started', 'unknown') ORDER BY a.id FOR UPDATE OF a
    )
    UPDATE attempts a SET outcome = t.outcome, finished_at = coalesce(old.finished_at, now()),
      sent_at = CASE WHEN t.sent THEN now() - make_interval(secs => t.latency) END,
      status_code = t.status_code, error_code = t.error_code, error_message = t.error_message,
      request_id = t.request_id, usage = t.usage, service_tier = t.service_tier,
      cost_usd = t.cost_usd, at_risk_usd = t.at_risk_usd, price_id = t.price_id
    FROM t JOIN old ON old.id = t.id
    WHERE a.id = t.id AND (old.outcome = 'started' OR (t.outcome <> 'unknown' AND old.at_risk_usd IS NOT NULL))
    RETURNING a.id, old.outcome = 'unknown' AS was_unknown, coalesce(old.at_risk_usd, 0) AS was_at_risk,
      (old.finished_at AT TIME ZONE 'UTC')::date AS booked_on, a.number,
      EXISTS (SELECT 1 FROM holds h WHERE h.job_id = a.job_id AND h.number = a.number
        AND (h.state IN ('held', 'uncertain') OR h.is_estimate)) AS has_hold
    """
)

# A job whose cancel was asked for while it ran does not run again; a result that was paid for is kept.
# `mine` locks in id order, late answers' jobs included, so that settlement, cancel and recovery cannot deadlock.
# By lease and by attempt, of which a running job has one: whatever a group holds of a job, one of it ends the job.
_JOBS = text(
    """
    WITH t AS (
      SELECT * FROM json_to_recordset(CAST(:rows AS json)) AS t (id uuid, attempt_id uuid, lease_id uuid,
        state job_state, wait float8, uses_attempt int, error_code text, cost_usd numeric)
    ), mine AS MATERIALIZED (
      SELECT j.id FROM jobs j JOIN t ON t.id = j.id ORDER BY j.id FOR NO KEY UPDATE OF j
    )
    UPDATE jobs j SET lease_id = NULL, attempts_used = j.attempts_used + t.uses_attempt,
      state = CASE WHEN t.state = 'queued' AND j.cancel_requested THEN 'cancelled' ELSE t.state END,
      run_at = CASE WHEN t.state = 'queued' AND NOT j.cancel_requested THEN now() + make_interval(secs => t.wait) END,
      finished_at = CASE WHEN t.state <> 'queued' OR j.cancel_requested THEN now() END,
      error_code = t.error_code, cost_usd = coalesce(j.cost_usd + t.cost_usd, j.cost_usd, t.cost_usd)
    FROM t JOIN mine ON mine.id = t.id
      JOIN attempts a ON a.id = t.attempt_id AND a.job_id = t.id AND a.outcome = 'started'
    WHERE j.id = t.id AND j.lease_id = t.lease_id AND j.state = 'running'
    RETURNING j.id, t.attempt_id, j.batch_id, j.flow_id, j.state, j.run_at IS NULL AS ready
    """
)

_LATE_COST = text(
    """
    UPDATE jobs j SET cost_usd = coalesce(j.cost_usd, 0) + t.cost_usd
    FROM unnest(CAST(:ids AS uuid[]), CAST(:costs AS numeric[])) AS t (id, cost_usd) WHERE j.id = t.id
    RETURNING j.id, j.batch_id
    """
)

# And who needs the jobs that ended: after they were locked, and without a round trip of its own.
_RESULTS = text(
    f"""
    WITH added AS (
      INSERT INTO job_results (job_id, status_code, request_id, body, error)
      SELECT * FROM json_to_recordset(CAST(:rows AS json))
        AS t (job_id uuid, status_code int, request_id text, body json, error json)
      ON CONFLICT (job_id) DO NOTHING
    ) {WHO_NEEDS}
    """  # noqa: S608  (a constant)
)

_ARTIFACTS = text(
    """
    INSERT INTO artifacts (id, project_id, job_id, kind, position, key, content_type, byte_size, sha256, width, height)
    SELECT id, project_id, job_id, CAST(kind AS artifact_kind), position, key, content_type, byte_size, sha256, width,
      height
    FROM unnest(CAST(:id AS uuid[]), CAST(:project_id AS uuid[]), CAST(:job_id AS uuid[]), CAST(:kind AS text[]),
      CAST(:position AS int[]), CAST(:key AS text[]), CAST(:content_type AS text[]), CAST(:byte_size AS bigint[]),
      CAST(:sha256 AS text[]), CAST(:width AS int[]), CAST(:height AS int[]))
    AS t (id, project_id, job_id, kind, position, key, content_type, byte_size, sha256, width, height)
    ON CONFLICT (id) DO NOTHING
    """
)


# Backslashes before it in pairs are text; an odd one makes it the escape of NUL.
_NUL = re.compile(r"(?<!\\)((?:\\\\)*)\\u0000")


class Settled(NamedTuple):
    """What a settlement did: the jobs that ended or went back, and the blocked ones to `release` after the commit."""

    jobs: set[UUID]
    dependants: Sequence[UUID]


def settle(conn: Connection, outcomes: Sequence[Outcome]) -> Settled:
    """Settle `outcomes` in the caller's transaction.

    The order of locks is jobs, attempts, leases, batches, costs, budget windows, flows, each in id order.
    """
    ordered = sorted({o.attempt_id: o for o in outcomes}.values(), key=lambda o: o.job_id)
    # By attempt, not by job: a group may hold a job's late answer beside the one that ends it.
    jobs = {row.attempt_id: row for row in _update_jobs(conn, ordered)}
    current = [(o, jobs[o.attempt_id]) for o in ordered if o.attempt_id in jobs]
    booked = _update_attempts(conn, ordered)
    dependants = _insert_results(conn, [o for o, row in current if row.state != "queued"])
    _insert_artifacts(conn, [o for o, _ in current if o.stored])
    late = _book_late_costs(conn, [o for o in ordered if o.attempt_id not in jobs and o.attempt_id in booked])
    closed: dict[UUID, int] = {}
    books = Books()
    flows: dict[int, FlowChange] = {}
    for outcome in ordered:
        row = jobs.get(outcome.attempt_id)
        batch_id = row.batch_id if row is not None else late.get(outcome.job_id)
        if outcome.attempt_id in booked:
            was = booked[outcome.attempt_id]
            books.add_attempt(
                outcome, batch_id, was_unknown=was.was_unknown, was_at_risk=was.was_at_risk, booked_on=was.booked_on
            )
        if row is None:
            continue
        closed[outcome.lease_id] = closed.get(outcome.lease_id, 0) + 1
        books.add_end(row.batch_id, row.state)
        _charge_flow(flows, row, outcome)
    close_in_leases(conn, closed, unstarted={})
    books.write(conn)
    held = [(o, booked[o.attempt_id]) for o in ordered if o.attempt_id in booked and booked[o.attempt_id].has_hold]
    moved = resolve_holds(conn, [Known(o.job_id, was.number, o.cost_usd, o.at_risk_usd) for o, was in held])
    change_flows(conn, flows)
    wake(conn, moved.waited_for, eager=False)
    record_jobs(conn, [row.id for row in jobs.values() if row.state != "queued" and books.tells_of(row.batch_id)])
    books.tell(conn)
    return Settled({row.id for row in jobs.values()}, dependants)


def _charge_flow(flows: dict[int, FlowChange], row: Row[Any], outcome: Outcome) -> None:
    change = flows.setdefault(row.flow_id, FlowChange())
    change.seconds += outcome.seconds
    if row.state == "queued":
        change.queued += 1
        change.ready = change.ready or row.ready


def _update_jobs(conn: Connection, outcomes: Sequence[Outcome]) -> Sequence[Row[Any]]:
    rows = [
        {
            "id": o.job_id,
            "attempt_id": o.attempt_id,
            "lease_id": o.lease_id,
            "state": o.then.value,
            "wait": o.wait_seconds,
            "uses_attempt": int(o.uses_attempt),
            "error_code": o.error_code if o.then is not Next.SUCCEED else None,
            "cost_usd": o.cost_usd,
        }
        for o in outcomes
    ]
    return conn.execute(_JOBS, {"rows": _json(rows)}).all()


def _update_attempts(conn: Connection, outcomes: Sequence[Outcome]) -> dict[UUID, Row[Any]]:
    rows = [
        {
            "id": o.attempt_id,
            "outcome": o.attempt,
            "latency": o.latency_seconds,
            "sent": o.sent,
            "status_code": o.status_code,
            "error_code": o.error_code,
            "error_message": o.error_message,
            "request_id": o.request_id,
            "usage": (o.usage.raw or None) if o.usage is not None else None,
            "service_tier": o.usage.service_tier if o.usage is not None else None,
            "cost_usd": o.cost_usd,
            "at_risk_usd": o.at_risk_usd,
            "price_id": o.price_id,
        }
        for o in outcomes
    ]
    return {row.id: row for row in conn.execute(_ATTEMPTS, {"rows": _json(rows)})}


def _book_late_costs(conn: Connection, outcomes: Sequence[Outcome]) -> dict[UUID, UUID | None]:
    """Answers whose job is no longer this lease's: their cost still belongs to the job and its batch."""
    if not outcomes:
        return {}
    totals: dict[UUID, Decimal] = {}
    for outcome in outcomes:
        totals[outcome.job_id] = totals.get(outcome.job_id, Decimal(0)) + (outcome.cost_usd or Decimal(0))
    rows = conn.execute(_LATE_COST, {"ids": list(totals), "costs": list(totals.values())})
    return {row.id: row.batch_id for row in rows}


def _insert_results(conn: Connection, outcomes: Sequence[Outcome]) -> Sequence[UUID]:
    """Returns the blocked jobs that need those that ended."""
    rows = [
        {
            "job_id": o.job_id,
            "status_code": o.status_code,
            "request_id": o.request_id,
            "body": o.body,
            "error": o.error,
        }
        for o in outcomes
    ]
    if not rows:
        return ()
    ended = array(o.job_id for o in outcomes)
    return conn.execute(_RESULTS, {"rows": _json(rows), "ended": ended}).scalars().all()


def _insert_artifacts(conn: Connection, outcomes: Sequence[Outcome]) -> None:
    stored = [(o, s) for o in outcomes for s in o.stored]
    if stored:
        conn.execute(
            _ARTIFACTS,
            {
                "project_id": [o.project_id for o, _ in stored],
                "job_id": [o.job_id for o, _ in stored],
                **{
                    name: [getattr(s, name) for _, s in stored]
                    for name in ("id", "kind", "position", "key", "content_type", "byte_size", "sha256")
                },
                "width": [s.width for _, s in stored],
                "height": [s.height for _, s in stored],
            },
        )


def _json(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows as one JSON text. As an array for each column, a row of results took psycopg 60 us to write instead of 1.

    PostgreSQL cannot hold NUL, which models do emit: it is replaced, and an escaped backslash before `u0000` is not.
    """
    encoded = orjson.dumps(rows, default=_exact).decode()
    return _NUL.sub(r"\1\\ufffd", encoded) if "\\u0000" in encoded else encoded


def _exact(value: Any) -> str:
    if isinstance(value, Decimal):
        return str(value)
    raise TypeError(f"{type(value).__name__} in an outcome: JSON has no such thing")
