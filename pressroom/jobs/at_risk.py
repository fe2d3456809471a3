"""Settle what calls of unknown outcome cost: on the attempt, its job and batch, the day it was booked, and budgets."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, text

from pressroom.errors import Conflict, InvalidInput, NotFound, Problem
from pressroom.ids import parse_id, show_id
from pressroom.jobs.books import Books
from pressroom.jobs.budgets import resolve_uncertain

_ZERO = Decimal(0)
_MOST_USD = Decimal(1_000_000)
_PLACES = 10

_AT_RISK = """
    SELECT a.id, a.job_id, a.deployment_id, a.at_risk_usd, coalesce(a.sent_at, a.started_at) AS called_at,
      (a.finished_at AT TIME ZONE 'UTC')::date AS booked_on, d.model
    FROM attempts a JOIN deployments d ON d.id = a.deployment_id WHERE a.at_risk_usd IS NOT NULL
"""

_LOCK_JOBS = text(
    """
    SELECT j.id, j.project_id, j.batch_id FROM jobs j WHERE j.id IN (SELECT job_id FROM attempts WHERE id = ANY(:ids))
    ORDER BY j.id FOR NO KEY UPDATE
    """
)

_ATTEMPTS = text(
    """
    WITH mine AS MATERIALIZED (
      SELECT id, at_risk_usd, finished_at FROM attempts WHERE id = ANY(:ids) AND at_risk_usd IS NOT NULL
      ORDER BY id FOR NO KEY UPDATE
    )
    UPDATE attempts a SET cost_usd = t.usd, at_risk_usd = NULL
    FROM unnest(CAST(:ids AS uuid[]), CAST(:usd AS numeric[])) AS t (id, usd) JOIN mine ON mine.id = t.id
    WHERE a.id = t.id
    RETURNING a.id, a.job_id, a.deployment_id, a.cost_usd, mine.at_risk_usd,
      (mine.finished_at AT TIME ZONE 'UTC')::date AS booked_on
    """
)

_JOBS = text(
    """
    UPDATE jobs j SET cost_usd = coalesce(j.cost_usd, 0) + t.usd
    FROM unnest(CAST(:ids AS uuid[]), CAST(:usd AS numeric[])) AS t (id, usd) WHERE j.id = t.id
    """
)

_SETTLEMENTS = text(
    """
    INSERT INTO settlements (attempt_id, job_id, reconciliation_id, at_risk_usd, cost_usd, note)
    SELECT id, job_id, CAST(:reconciliation AS uuid), at_risk, usd, CAST(:note AS text)
    FROM unnest(CAST(:ids AS uuid[]), CAST(:jobs AS uuid[]), CAST(:at_risk AS numeric[]), CAST(:usd AS numeric[]))
      AS t (id, job_id, at_risk, usd)
    """
)


@dataclass(frozen=True, slots=True)
class AtRisk:
    """A call that may have been billed. `called_at` is when it was sent, `booked_on` the day of its at-risk booking."""

    id: UUID
    job_id: UUID
    deployment_id: int
    at_risk_usd: Decimal
    called_at: datetime
    booked_on: date
    model: str


@dataclass(frozen=True, slots=True)
class Settled:
    """One attempt whose cost is known now."""

    attempt_id: UUID
    job_id: UUID
    at_risk_usd: Decimal
    cost_usd: Decimal


def at_risk_between(conn: Connection, deployments: list[int], first: date, last: date) -> list[AtRisk]:
    """Calls of these deployments booked on days from `first` to `last`, oldest first."""
    query = text(
        f"{_AT_RISK} AND a.deployment_id = ANY(:deployments)"
        " AND (a.finished_at AT TIME ZONE 'UTC')::date BETWEEN :first AND :last ORDER BY called_at, a.id"
    )
    bound = {"deployments": deployments, "first": first, "last": last}
    return [AtRisk(**row._mapping) for row in conn.execute(query, bound)]


def find_at_risk(conn: Connection, shown: str) -> list[AtRisk]:
    """The calls at risk of `job_…`, or the one call `att_…`. Raises InvalidInput, NotFound, Conflict when none is."""
    kind = "att" if shown.startswith("att_") else "job"
    wanted = parse_id(kind, shown)
    column = "a.id" if kind == "att" else "a.job_id"
    found = [
        AtRisk(**row._mapping)
        for row in conn.execute(text(f"{_AT_RISK} AND {column} = :id ORDER BY a.id"), {"id": wanted})
    ]
    if found:
        return found
    table = "attempts" if kind == "att" else "jobs"
    if conn.execute(text(f"SELECT 1 FROM {table} WHERE id = :id"), {"id": wanted}).scalar() is None:  # noqa: S608
        name = "attempt" if kind == "att" else "job"
        raise NotFound(
            f"there is no {name} {show_id(kind, wanted)}: `pressroom jobs show` has the ids of a job's calls"
        )
    raise Conflict(f"nothing of {show_id(kind, wanted)} is at risk: what its calls cost is known")


def settle_by_hand(conn: Connection, shown: str, usd: Decimal, *, note: str | None) -> list[Settled]:
    """Settle a call, or all calls at risk of a job where `usd` is 0 or there is only one; the caller commits.

    Raises InvalidInput, NotFound and Conflict, with what to do.
    """
    if not usd.is_finite() or not 0 <= usd <= _MOST_USD or usd != round(usd, _PLACES):
        remedy = f"Give US dollars with at most {_PLACES} decimal places, as in 0.0125"
        raise InvalidInput([Problem("--usd", "is not an amount", remedy, value=str(usd)[:40])])
    found = find_at_risk(conn, shown)
    if len(found) > 1 and usd:
        calls = ", ".join(show_id("att", one.id) for one in found)
        remedy = f"Settle each by itself: {calls}"
        raise InvalidInput([Problem("--usd", f"is one amount for {len(found)} calls at risk", remedy, value=str(usd))])
    return settle_at_risk(conn, {one.id: usd for one in found}, note=note)


def settle_at_risk(
    conn: Connection,
    usd: Mapping[UUID, Decimal],
    *,
    reconciliation_id: UUID | None = None,
    note: str | None = None,
) -> list[Settled]:
    """Book what these attempts cost (0: not billed) in place of what was at risk, in the caller's transaction.

    Attempts that are not at risk, or no longer, are passed over. Locks jobs, attempts, batches, daily costs and budgets
    in that order.
    """
    ids = sorted(usd)
    jobs = {row.id: row for row in conn.execute(_LOCK_JOBS, {"ids": ids})}
    settled = conn.execute(_ATTEMPTS, {"ids": ids, "usd": [usd[i] for i in ids]}).all()
    if not settled:
        return []
    _book(conn, settled, jobs)
    conn.execute(
        _SETTLEMENTS,
        {
            "reconciliation": reconciliation_id,
            "note": note,
            "ids": [row.id for row in settled],
            "jobs": [row.job_id for row in settled],
            "at_risk": [row.at_risk_usd for row in settled],
            "usd": [row.cost_usd for row in settled],
        },
    )
    resolve_uncertain(conn, {row.id: row.cost_usd for row in settled})
    return [Settled(row.id, row.job_id, row.at_risk_usd, row.cost_usd) for row in settled]


def _book(conn: Connection, settled: list[Row[Any]] | Any, jobs: Mapping[UUID, Row[Any]]) -> None:
    books, by_job = Books(), dict[UUID, Decimal]()
    for row in settled:
        job = jobs[row.job_id]
        by_job[row.job_id] = by_job.get(row.job_id, _ZERO) + row.cost_usd
        day = (job.project_id, row.deployment_id, row.booked_on)
        books.add_money(day, job.batch_id, cost=row.cost_usd, at_risk=-row.at_risk_usd)
    conn.execute(_JOBS, {"ids": list(by_job), "usd": list(by_job.values())})
    books.write(conn)
