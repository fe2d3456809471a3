"""Why a queued job has not started: what the books know of it, in words, the strongest reason first."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, text

from models.job import PARKED_UNTIL
from pressroom.jobs.budgets import BudgetRow, budgets_of
from pressroom.jobs.workers import alive, keys_known
from pressroom.money.budgets import dollars

_PARKED_UNTIL = datetime.fromisoformat(PARKED_UNTIL)

COUNTED = 10_000
"""Places in a queue are told up to here: telling the millionth would read a million rows."""

# The order in which a stake is served (dispatch): whole flows before this one by their counters, jobs before it in its
# own flow by the index, and nothing else of the table is read.
_PLACES = text(
    """
    SELECT x.id, x.place + coalesce((
        SELECT sum(o.queued) FROM flows o JOIN flows f ON f.id = x.flow_id
        WHERE o.stake_id = f.stake_id AND o.active AND NOT o.paused AND o.blocked_by IS NULL
          AND (o.priority, coalesce(o.deadline, 'infinity'), o.id)
            < (f.priority, coalesce(f.deadline, 'infinity'), f.id)
      ), 0) AS place
    FROM unnest(CAST(:flows AS bigint[])) AS w (flow_id) CROSS JOIN LATERAL (
      SELECT w.flow_id, r.id, row_number() OVER (ORDER BY r.id) AS place FROM (
        SELECT j.id FROM jobs j
        WHERE j.flow_id BETWEEN w.flow_id AND w.flow_id AND j.state = 'queued' AND j.run_at IS NULL
          AND (j.deadline IS NULL OR j.deadline > now())
        ORDER BY j.flow_id, j.id LIMIT :counted) r) x
    WHERE x.id = ANY(CAST(:jobs AS uuid[]))
    """
)

COLUMNS = """
    j.flow_id, d.account, d.api_key_env, d.paused_at IS NOT NULL AS deployment_paused,
    d.pause_reason AS deployment_reason, d.retry_at AS deployment_retry_at,
    p.paused_at IS NOT NULL AS pool_paused, p.pause_reason AS pool_reason, p.name AS pool, f.paused AS flow_paused,
    (SELECT o.paused_at IS NOT NULL FROM projects o WHERE o.id = j.project_id) AS project_paused,
    (SELECT b.paused_at IS NOT NULL FROM batches b WHERE b.id = j.batch_id) AS batch_paused,
    f.blocked_by, j.waiting_budget_id,
    clock_timestamp() AS read_at
"""
JOINS = "JOIN pools p ON p.id = d.pool_id JOIN flows f ON f.id = j.flow_id"
"""What the reasons are read from, beside `jobs j` and `deployments d`."""

_TAKEN_OUT = (
    "flow_id",
    "account",
    "api_key_env",
    "deployment_paused",
    "deployment_reason",
    "deployment_retry_at",
    "pool_paused",
    "pool_reason",
    "pool",
    "flow_paused",
    "project_paused",
    "batch_paused",
    "blocked_by",
    "waiting_budget_id",
    "read_at",
)


@dataclass(frozen=True, slots=True)
class _Queues:
    """Whether anybody works, the places of jobs that are next in turn, and the budgets that hold some up, by id.

    `keys` are the names of keys that workers have.
    """

    workers: bool
    places: Mapping[UUID, int]
    budgets: Mapping[int, BudgetRow]
    keys: Collection[str] = ()


def with_reasons(conn: Connection, rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The rows with `waiting_because` in the place of COLUMNS; null for jobs that are not queued. Two more queries.

    `run_at` is null for a job that waits for money: nobody knows when it comes.
    """
    queued = [row for row in rows if row["state"] == "queued"]
    queues = _read_queues(conn, queued) if queued else _Queues(True, {}, {})
    return [_told(row, _why(row, queues)) for row in rows]


def _told(row: Mapping[str, Any], why: str | None) -> dict[str, Any]:
    shown = {name: value for name, value in row.items() if name not in _TAKEN_OUT} | {"waiting_because": why}
    return shown | {"run_at": None} if _is_parked(row) else shown


def _is_parked(row: Mapping[str, Any]) -> bool:
    return row["waiting_budget_id"] is not None and row["run_at"] == _PARKED_UNTIL


def _budget(row: Mapping[str, Any]) -> int | None:
    """The budget that holds the job up."""
    if _is_parked(row):
        return int(row["waiting_budget_id"])
    found: int | None = row["blocked_by"]
    return found if row["run_at"] is None else None


def _read_queues(conn: Connection, queued: Sequence[Mapping[str, Any]]) -> _Queues:
    ready = [row for row in queued if row["run_at"] is None]
    flows = sorted({row["flow_id"] for row in ready})
    bound = {"flows": flows, "jobs": [row["id"] for row in ready], "counted": COUNTED}
    places = {row.id: row.place for row in conn.execute(_PLACES, bound)} if ready else {}
    budgets = {id_: bool(row["is_sandbox"]) for row in queued if (id_ := _budget(row)) is not None}
    known = keys_known(conn) if any(row["api_key_env"] for row in queued) else ()
    return _Queues(bool(alive(conn)), places, {row.id: row for row in budgets_of(conn, budgets)}, known)


def _why(row: Mapping[str, Any], queues: _Queues) -> str | None:
    if row["state"] != "queued":
        return None
    now: datetime = row["read_at"]
    if row["deadline"] is not None and row["deadline"] <= now:
        return "its deadline has passed: it is about to expire"
    if row["deployment_paused"]:
        return _stopped(row, now)
    if row["pool_paused"]:
        return f"the limit group {row['pool']} is paused: {row['pool_reason'] or 'no reason given'}"
    if row["flow_paused"]:
        whose = "project is paused" if row["project_paused"] else "batch is paused" if row["batch_paused"] else None
        return f"its {whose}" if whose else "it is being cancelled"
    budget = queues.budgets.get(_budget(row) or 0)
    if budget is not None:
        return _without_money(row, budget)
    if row["run_at"] is not None and row["run_at"] > now:
        return f"retry after {row['error_code']}" if row["error_code"] else "its time has not come"
    if not queues.workers:
        return "no worker is running"
    if row["api_key_env"] is not None and row["api_key_env"] not in queues.keys:
        return f"no running worker has {row['api_key_env']} in its environment"
    if row["run_at"] is not None:
        return "its time has come"
    place = queues.places.get(row["id"])
    if place is None:
        return f"more than {COUNTED:,} jobs are before it"
    return "next in turn" if place == 1 else "1 job is before it" if place == 2 else f"{place - 1:,} jobs are before it"


def _stopped(row: Mapping[str, Any], now: datetime) -> str:
    where = f" ({row['account']})" if row["account"] else ""
    said = f"{row['model']}{where} is paused: {row['deployment_reason'] or 'no reason given'}"
    if row["deployment_retry_at"] is None:
        return said
    seconds = (row["deployment_retry_at"] - now).total_seconds()
    return f"{said}; tried again {f'in {seconds:.0f} s' if seconds >= 1 else 'now'}"


def _without_money(row: Mapping[str, Any], budget: BudgetRow) -> str:
    if row["est_cost_usd"] > budget.cap_usd:
        return (
            f"it may cost {dollars(row['est_cost_usd'])}, more than the whole {budget.name} "
            f"({dollars(budget.cap_usd)}): it starts when that is raised"
        )
    return f"waits for money: {budget.name}: {budget.used}"
