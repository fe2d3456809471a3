"""Rows as JSON objects and as cells of a table: the same names everywhere, ids as people see them."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from cli.wording import moment, shortened, usd

if TYPE_CHECKING:
    from pressroom.jobs.budgets import BudgetRow
    from pressroom.jobs.queries import BatchProgress, BatchRow, JobDetail, JobRow
    from pressroom.jobs.spending import CostRow

_SANDBOX = "SANDBOX"

BATCH_COLUMNS = ("BATCH", "STATE", "DONE", "TOTAL", "FAILED", "COST", "AT RISK", "CREATED", "INPUT", "")
JOB_COLUMNS = ("JOB", "STATE", "MODEL", "LINE", "CUSTOM ID", "CALLS", "COST", "AT RISK", "ERROR", "CREATED", "WAITS")
NUMBERS = ("DONE", "TOTAL", "FAILED", "COST", "AT RISK", "CALLS", "LINE", "INPUT TOKENS", "OUTPUT TOKENS", "IMAGES")


def batch_record(batch: BatchRow) -> dict[str, Any]:
    """A batch for a machine."""
    from pressroom.ids import show_id

    return {"id": show_id("batch", batch.id), **_rest(batch, "id"), "done": batch.done, "sandbox": batch.is_sandbox}


def progress_record(seen: BatchProgress) -> dict[str, Any]:
    """A batch in motion for a machine."""
    moving = {"running": seen.running, "leased": seen.leased, "waiting": seen.waiting, "queued": seen.queued}
    return {**batch_record(seen.batch), **moving, "budgets": [budget_record(budget) for budget in seen.budgets]}


def budget_record(budget: BudgetRow) -> dict[str, Any]:
    """A budget and its open window for a machine."""
    from pressroom.ids import show_id

    shown = {"batch": "batch", "api_key": "key"}.get(budget.scope)
    owner = show_id(shown, budget.scope_id) if shown and budget.scope_id else budget.scope_id
    figures = {**_rest(budget, "scope_id"), "scope_id": owner, "left_usd": budget.left_usd}
    return {**figures, "sandbox": budget.is_sandbox}


def batch_cells(batch: BatchRow) -> list[str]:
    """A batch as a row of BATCH_COLUMNS."""
    from pressroom.ids import show_id

    return [
        show_id("batch", batch.id),
        "paused" if batch.paused_at is not None and batch.state == "in_progress" else batch.state,
        f"{batch.done:,}",
        f"{batch.total:,}",
        f"{batch.failed:,}",
        usd(batch.cost_usd),
        usd(batch.at_risk_usd),
        moment(batch.created_at),
        batch.input_name,
        _SANDBOX if batch.is_sandbox else "",
    ]


def job_record(job: JobRow) -> dict[str, Any]:
    """A job for a machine."""
    from pressroom.ids import show_id

    return {
        "id": show_id("job", job.id),
        **_rest(job, "id"),
        "batch_id": show_id("batch", job.batch_id) if job.batch_id else None,
        "superseded_by": show_id("job", job.superseded_by) if job.superseded_by else None,
        "sandbox": job.is_sandbox,
    }


def job_cells(job: JobRow) -> list[str]:
    """A job as a row of JOB_COLUMNS."""
    from pressroom.ids import show_id

    return [
        show_id("job", job.id),
        job.state,
        f"{job.model} ({_SANDBOX})" if job.is_sandbox else job.model,
        "-" if job.line_no is None else str(job.line_no),
        job.custom_id or "-",
        str(job.calls),
        usd(job.cost_usd),
        usd(job.at_risk_usd),
        job.error_code or "-",
        moment(job.created_at),
        shortened(job.waiting_because or ""),
    ]


def detail_record(detail: JobDetail) -> dict[str, Any]:
    """Everything about a job for a machine."""
    from pressroom.ids import show_id

    return {
        **job_record(detail.job),
        "body": detail.body,
        "status_code": detail.status_code,
        "answer": detail.answer,
        "error": detail.error,
        "attempts": [{"id": show_id("att", a.id), **_rest(a, "id")} for a in detail.attempts],
        "artifacts": [{"id": show_id("art", a.id), **_rest(a, "id")} for a in detail.artifacts],
        "needs": [{"id": show_id("job", need.id), **_rest(need, "id")} for need in detail.needs],
    }


def cost_record(by: list[str], row: CostRow) -> dict[str, Any]:
    """A line of costs for a machine."""
    return {**dict(zip(by, row.key, strict=True)), **_rest(row, "key", "is_sandbox"), "sandbox": row.is_sandbox}


def _rest(row: Any, *left_out: str) -> dict[str, Any]:
    names = [field.name for field in dataclasses.fields(row) if field.name not in (*left_out, "is_sandbox")]
    return {name: getattr(row, name) for name in names}
