"""Reserve the money of jobs about to be leased, in the dispatch transaction; what no budget has room for waits."""

from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import Connection, Row, text

from pressroom.jobs.claimed import ClaimedJob
from pressroom.jobs.over_budget import STARTS_AT, Lacking, put_aside
from pressroom.money.budgets import Purse, Room

_APPLYING = text(
    f"""
    SELECT b.id, b.scope::text AS scope, b.scope_id, d.is_sandbox, w.id AS window_id
    FROM (
      SELECT * FROM budgets WHERE scope = 'installation'
      UNION ALL SELECT * FROM budgets WHERE scope = 'project' AND scope_id = ANY(CAST(:projects AS uuid[]))
      UNION ALL SELECT * FROM budgets WHERE scope = 'batch' AND scope_id = ANY(CAST(:batches AS uuid[]))
      UNION ALL SELECT * FROM budgets WHERE scope = 'api_key' AND scope_id = ANY(CAST(:keys AS uuid[]))
    ) b JOIN deployments d ON d.id = :deployment
      LEFT JOIN budget_windows w ON w.budget_id = b.id AND w.is_sandbox = d.is_sandbox AND w.starts_at = {STARTS_AT}
    ORDER BY b.id
    """  # noqa: S608
)

_OPEN = text(
    f"""
    INSERT INTO budget_windows (budget_id, starts_at, is_sandbox, cap_usd)
    SELECT b.id, {STARTS_AT}, :is_sandbox, b.cap_usd FROM budgets b WHERE b.id = ANY(:ids) ORDER BY b.id
    ON CONFLICT (budget_id, starts_at, is_sandbox) DO NOTHING
    """  # noqa: S608
)

_LOCK = text(
    f"""
    SELECT w.id, w.budget_id, w.cap_usd, w.cap_usd - w.spent_usd - w.reserved_usd AS left_usd
    FROM budget_windows w JOIN budgets b ON b.id = w.budget_id
    WHERE b.id = ANY(:ids) AND w.is_sandbox = :is_sandbox AND w.starts_at = {STARTS_AT}
    ORDER BY w.id FOR NO KEY UPDATE OF w
    """  # noqa: S608
)

_TAKE = text(
    """
    UPDATE budget_windows w SET reserved_usd = w.reserved_usd + t.amount
    FROM unnest(CAST(:ids AS bigint[]), CAST(:amounts AS numeric[])) AS t (id, amount) WHERE w.id = t.id
    """
)

# Only a hold that was voided before its call may have this number already: every call that was made has counted it up.
_HOLD = text(
    """
    INSERT INTO holds (job_id, number, amount_usd, windows)
    SELECT id, number, amount, CAST(windows AS bigint[])
    FROM json_to_recordset(CAST(:rows AS json)) AS t (id uuid, number int, amount numeric, windows text)
    ON CONFLICT (job_id, number) DO UPDATE SET state = 'held', amount_usd = excluded.amount_usd,
      windows = excluded.windows, actual_usd = NULL, created_at = now(), resolved_at = NULL WHERE holds.state = 'void'
    """
)


def reserve(conn: Connection, claimed: Sequence[ClaimedJob]) -> list[ClaimedJob]:
    """The jobs whose upper bound is now held against every budget that applies, in order; all, where none does.

    The others are dealt with here: their flow is held up, or they are parked. Call it between the claim and the lease,
    once in a transaction, for windows are locked in id order; only what it grants is to be charged.
    """
    applying = _applying(conn, claimed)
    if not applying:
        return list(claimed)
    under = _Under(applying, _lock(conn, applying))
    purse, granted, lacking = Purse(), list[ClaimedJob](), list[Lacking]()
    for job in claimed:
        refused = purse.take(job.est_cost_usd, under.rooms(job), flow=job.flow_id)
        if refused is None:
            granted.append(job)
        else:
            lacking.append(Lacking(job, refused, under.scope_id(refused.room.budget)))
    _hold(conn, [(job, [room.window for room in under.rooms(job)]) for job in granted])
    put_aside(conn, lacking, [job.id for job in granted], flows={job.flow_id for job in claimed})
    return granted


def _applying(conn: Connection, claimed: Sequence[ClaimedJob]) -> Sequence[Row[Any]]:
    if not claimed:
        return []
    bound = {
        "deployment": claimed[0].deployment_id,
        "projects": list({job.project_id for job in claimed}),
        "batches": list({job.batch_id for job in claimed if job.batch_id is not None}),
        "keys": list({job.api_key_id for job in claimed if job.api_key_id is not None}),
    }
    return conn.execute(_APPLYING, bound).all()


def _lock(conn: Connection, applying: Sequence[Row[Any]]) -> dict[int, Room]:
    """The open windows by budget, locked; those that their period has not had yet are opened."""
    is_sandbox = applying[0].is_sandbox
    unopened = [row.id for row in applying if row.window_id is None]
    if unopened:
        # Before any is locked: another dispatcher that opens the same one is waited for.
        conn.execute(_OPEN, {"ids": unopened, "is_sandbox": is_sandbox})
    rows = conn.execute(_LOCK, {"ids": [row.id for row in applying], "is_sandbox": is_sandbox})
    shared = {row.id: row.scope != "api_key" for row in applying}
    return {
        row.budget_id: Room(row.id, row.budget_id, row.cap_usd, row.left_usd, shared[row.budget_id]) for row in rows
    }


def _hold(conn: Connection, granted: Sequence[tuple[ClaimedJob, Sequence[int]]]) -> None:
    holds = [(job, windows) for job, windows in granted if windows]
    if not holds:
        return
    sums: dict[int, Decimal] = {}
    for job, windows in holds:
        for window in windows:
            sums[window] = sums.get(window, Decimal(0)) + job.est_cost_usd
    conn.execute(_TAKE, {"ids": list(sums), "amounts": list(sums.values())})
    rows = [
        {
            "id": job.id,
            "number": job.calls + 1,
            "amount": str(job.est_cost_usd),
            "windows": f"{{{','.join(map(str, windows))}}}",
        }
        for job, windows in holds
    ]
    written = conn.execute(_HOLD, {"rows": orjson.dumps(rows).decode()}).rowcount
    if written != len(holds):
        raise RuntimeError(f"{len(holds) - written} of {len(holds)} jobs have a hold for a call not made yet")


class _Under:
    """Which budgets a job is under."""

    def __init__(self, applying: Iterable[Row[Any]], rooms: dict[int, Room]) -> None:
        self._by_scope: dict[tuple[str, UUID | None], list[int]] = {}
        self._scope_ids: dict[int, UUID | None] = {}
        self._rooms = rooms
        self._of: dict[tuple[UUID, UUID | None, UUID | None], list[int]] = {}
        for row in applying:
            self._by_scope.setdefault((row.scope, row.scope_id), []).append(row.id)
            self._scope_ids[row.id] = row.scope_id

    def scope_id(self, budget: int) -> UUID | None:
        """Whose budget it is."""
        return self._scope_ids[budget]

    def rooms(self, job: ClaimedJob) -> list[Room]:
        """The windows that the job counts against, in id order."""
        return [self._rooms[budget] for budget in self._budgets(job)]

    def _budgets(self, job: ClaimedJob) -> list[int]:
        key = (job.project_id, job.batch_id, job.api_key_id)
        found = self._of.get(key)
        if found is None:
            scopes = [("installation", None), ("project", job.project_id)]
            scopes += [("batch", job.batch_id)] if job.batch_id is not None else []
            scopes += [("api_key", job.api_key_id)] if job.api_key_id is not None else []
            found = self._of[key] = [budget for scope in scopes for budget in self._by_scope.get(scope, ())]
        return found
