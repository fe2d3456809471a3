"""Why a job has not started: what the books know of it, in a word and in words, the strongest reason first."""

import enum
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, text

from models.job import PARKED_UNTIL
from pressroom.ids import show_id
from pressroom.jobs import places
from pressroom.jobs.budgets import BudgetRow, budgets_of
from pressroom.jobs.places import Place, find_places
from pressroom.jobs.workers import alive, keys_known
from pressroom.money.budgets import dollars

_PARKED_UNTIL = datetime.fromisoformat(PARKED_UNTIL)

_NEEDED = text(
    """
    SELECT d.job_id, count(*)::int AS n, (array_agg(d.needs_id ORDER BY d.needs_id))[1] AS first
    FROM job_dependencies d WHERE d.waits AND d.job_id = ANY(CAST(:jobs AS uuid[])) GROUP BY 1
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


class Reason(enum.StrEnum):
    """What a job waits for, in a word."""

    DEPENDENCIES = "dependencies"
    RUN_AT = "run_at"
    RETRY = "retry"
    BUDGET = "budget"
    PAUSED = "paused"
    BREAKER = "breaker"
    LIMITS = "limits"
    WORKERS = "workers"
    TURN = "turn"
    ENDING = "ending"


_Why = tuple[Reason, str]
_AT_RUN_AT = (Reason.RUN_AT, Reason.RETRY)


@dataclass(frozen=True, slots=True)
class _Queues:
    """Whether anybody works, the places of jobs that are next in turn, and the budgets that hold some up, by id.

    `keys` are the names of keys that workers have; `needed` counts what blocked jobs wait for, and names one.
    """

    workers: bool = True
    places: Mapping[UUID, Place] = field(default_factory=dict)
    budgets: Mapping[int, BudgetRow] = field(default_factory=dict)
    keys: Collection[str] = ()
    needed: Mapping[UUID, tuple[int, UUID]] = field(default_factory=dict)


def with_reasons(conn: Connection, rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The rows with what they wait for in the place of COLUMNS, all null for jobs that neither wait nor are blocked.

    `waiting_for` is a Reason, `waiting_because` says it in words; `jobs_ahead` and `estimated_start` are null where
    nobody can tell. A few more queries, however many rows. `run_at` is null for a job that waits for money: nobody
    knows when it comes.
    """
    waiting = [row for row in rows if row["state"] in ("blocked", "queued")]
    queues = _read_queues(conn, waiting) if waiting else _Queues()
    return [_told(row, queues) for row in rows]


def _told(row: Mapping[str, Any], queues: _Queues) -> dict[str, Any]:
    shown = {name: value for name, value in row.items() if name not in _TAKEN_OUT}
    reason, words = _why(row, queues)
    place = queues.places.get(row["id"]) if reason is Reason.TURN else None
    starts_at = place.starts_at if place is not None else row["run_at"] if reason in _AT_RUN_AT else None
    shown |= {"waiting_for": reason, "waiting_because": words, "estimated_start": starts_at}
    shown["jobs_ahead"] = place.ahead if place is not None else None
    return shown | {"run_at": None} if _is_parked(row) else shown


def _is_parked(row: Mapping[str, Any]) -> bool:
    return row["waiting_budget_id"] is not None and row["run_at"] == _PARKED_UNTIL


def _budget(row: Mapping[str, Any]) -> int | None:
    """The budget that holds the job up."""
    if _is_parked(row):
        return int(row["waiting_budget_id"])
    found: int | None = row["blocked_by"]
    return found if row["run_at"] is None else None


def _read_queues(conn: Connection, waiting: Sequence[Mapping[str, Any]]) -> _Queues:
    queued = [row for row in waiting if row["state"] == "queued"]
    blocked = [row["id"] for row in waiting if row["state"] == "blocked"]
    needed = {row.job_id: (row.n, row.first) for row in conn.execute(_NEEDED, {"jobs": blocked})} if blocked else {}
    ready = [row for row in queued if row["run_at"] is None]
    flows = sorted({row["flow_id"] for row in ready})
    found = find_places(conn, flows, [row["id"] for row in ready]) if ready else {}
    budgets = {id_: bool(row["is_sandbox"]) for row in queued if (id_ := _budget(row)) is not None}
    known = keys_known(conn) if any(row["api_key_env"] for row in queued) else ()
    return _Queues(bool(alive(conn)), found, {row.id: row for row in budgets_of(conn, budgets)}, known, needed)


def _why(row: Mapping[str, Any], queues: _Queues) -> _Why | tuple[None, None]:
    if row["state"] not in ("blocked", "queued"):
        return None, None
    now: datetime = row["read_at"]
    if row["deadline"] is not None and row["deadline"] <= now:
        return Reason.ENDING, "its deadline has passed: it is about to expire"
    if row["state"] == "blocked":
        return Reason.DEPENDENCIES, _needs(*queues.needed.get(row["id"], (0, None)))
    if row["deployment_paused"]:
        return Reason.BREAKER, _stopped(row, now)
    if row["pool_paused"]:
        said = f"the limit group {row['pool']} is paused: {row['pool_reason'] or 'no reason given'}"
        return Reason.LIMITS, said
    if row["flow_paused"]:
        whose = "project is paused" if row["project_paused"] else "batch is paused" if row["batch_paused"] else None
        return (Reason.PAUSED, f"its {whose}") if whose else (Reason.ENDING, "it is being cancelled")
    budget = queues.budgets.get(_budget(row) or 0)
    if budget is not None:
        return Reason.BUDGET, _without_money(row, budget)
    return _in_time(row, queues, now)


def _in_time(row: Mapping[str, Any], queues: _Queues, now: datetime) -> _Why:
    """Why one that nothing holds up has not started."""
    if row["run_at"] is not None and row["run_at"] > now:
        if row["error_code"]:
            return Reason.RETRY, f"retry after {row['error_code']}"
        return Reason.RUN_AT, "its time has not come"
    if not queues.workers:
        return Reason.WORKERS, "no worker is running"
    if row["api_key_env"] is not None and row["api_key_env"] not in queues.keys:
        return Reason.WORKERS, f"no running worker has {row['api_key_env']} in its environment"
    if row["run_at"] is not None:
        return Reason.TURN, "its time has come"
    place = queues.places.get(row["id"])
    if place is None:
        return Reason.TURN, f"more than {places.COUNTED:,} jobs are before it"
    if place.ahead == 0:
        return Reason.TURN, "next in turn"
    return Reason.TURN, "1 job is before it" if place.ahead == 1 else f"{place.ahead:,} jobs are before it"


def _needs(count: int, first: UUID | None) -> str:
    if first is None:
        return "what it needs has ended: it is about to go on"
    more = "" if count == 1 else " and 1 more job" if count == 2 else f" and {count - 1:,} more jobs"
    return f"waits for {show_id('job', first)}{more}"


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
    return f"waits for money: {budget.name}: {budget.used}; the job may cost {dollars(row['est_cost_usd'])}"
