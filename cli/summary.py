"""What a run ends with: counts, cost by model, where things are, and what to type next."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cli.exits import ExitCode
from cli.options import program
from cli.progress import SANDBOX_BANNER
from cli.terminal import answer, answer_json, answer_table
from cli.wording import count, duration, usd

if TYPE_CHECKING:
    from cli.results import Results
    from pressroom.jobs.queries import BatchRow
    from pressroom.jobs.spending import ModelCost


@dataclass(frozen=True, slots=True)
class Summary:
    """One run. `how` is `new`, `resumed` or `finished` (before: then nothing ran).

    `wall_s` is from the submission to the end of the last job, `elapsed_s` the whole command with its servers;
    `jobs_done` ended in this run.
    """

    batch: BatchRow
    models: Sequence[ModelCost]
    how: str
    wall_s: float
    elapsed_s: float
    jobs_done: int
    input: Path
    command: str
    results: Results
    bucket: str
    bucket_dir: Path | None

    @property
    def jobs_per_s(self) -> float:
        """Over `wall_s`."""
        return self.jobs_done / self.wall_s if self.wall_s > 0 else 0.0

    @property
    def exit_code(self) -> ExitCode:
        """OK only when every job succeeded."""
        return ExitCode.OK if self.batch.succeeded == self.batch.total else ExitCode.SOME_FAILED


def summary_record(summary: Summary) -> dict[str, Any]:
    """For a machine. Amounts are exact decimals in strings."""
    from pressroom.ids import show_id

    batch = summary.batch
    return {
        "batch_id": show_id("batch", batch.id),
        "state": batch.state,
        "run": summary.how,
        "total": batch.total,
        "succeeded": batch.succeeded,
        "failed": batch.failed,
        "cancelled": batch.cancelled,
        "expired": batch.expired,
        "cost_usd": batch.cost_usd,
        "at_risk_usd": batch.at_risk_usd,
        "models": [
            {
                "model": m.model,
                "jobs": m.jobs,
                "succeeded": m.succeeded,
                "cost_usd": m.cost_usd,
                "at_risk_usd": m.at_risk_usd,
            }
            for m in summary.models
        ],
        "wall_s": round(summary.wall_s, 3),
        "jobs_per_s": round(summary.jobs_per_s, 2),
        "elapsed_s": round(summary.elapsed_s, 3),
        "sandbox": batch.is_sandbox,
        "input": str(summary.input),
        "output": str(summary.results.output),
        "artifacts": str(summary.results.artifacts) if summary.results.artifacts else None,
        "images": summary.results.images,
        "contact_sheet": str(summary.results.contact_sheet) if summary.results.contact_sheet else None,
    }


def show_summary(summary: Summary, *, as_json: bool) -> None:
    """Print it."""
    if as_json:
        answer_json(summary_record(summary))
        return
    _show_counts(summary)
    _show_costs(summary)
    _show_places(summary)
    answer("")
    answer("What to type next:")
    for line in next_steps(summary):
        answer(f"  {line}")


def _show_counts(summary: Summary) -> None:
    from pressroom.ids import show_id

    batch = summary.batch
    if batch.is_sandbox:
        answer(SANDBOX_BANNER)
    answer(f"{show_id('batch', batch.id)}  {batch.state}")
    counts = [f"{batch.succeeded:,} of {count(batch.total, 'job')} succeeded"]
    counts += [
        f"{number:,} {name}"
        for name, number in (("failed", batch.failed), ("cancelled", batch.cancelled), ("expired", batch.expired))
        if number or name == "failed"
    ]
    answer(", ".join(counts))
    if summary.wall_s:
        answer(
            f"{count(summary.jobs_done, 'job')} in {duration(summary.wall_s)}: {summary.jobs_per_s:,.1f} jobs/s "
            f"({duration(summary.elapsed_s)} with starting and ending everything)"
        )
    answer("")


def _show_costs(summary: Summary) -> None:
    columns = ("MODEL", "JOBS", "SUCCEEDED", "COST", "AT RISK")
    rows = [[m.model, f"{m.jobs:,}", f"{m.succeeded:,}", usd(m.cost_usd), usd(m.at_risk_usd)] for m in summary.models]
    if len(rows) > 1:
        at_risk = sum((m.at_risk_usd for m in summary.models), Decimal(0))
        jobs = sum(m.jobs for m in summary.models)
        rows.append(["all", f"{jobs:,}", f"{summary.batch.succeeded:,}", usd(summary.batch.cost_usd), usd(at_risk)])
    answer_table(columns, rows, right=columns[1:])
    answer("")


def _show_places(summary: Summary) -> None:
    results = summary.results
    answer(f"output         {results.output} ({count(results.lines, 'line')})")
    if results.artifacts is not None:
        answer(f"images         {results.artifacts} ({count(results.images, 'image')})")
    elif results.images:
        where = f" (on disk: {summary.bucket_dir})" if summary.bucket_dir else ""
        answer(f"images         s3://{summary.bucket}{where}")
    if results.contact_sheet is not None:
        answer(f"contact sheet  {results.contact_sheet}")


def next_steps(summary: Summary) -> list[str]:
    """Commands that make sense now."""
    from pressroom.ids import show_id

    typed, batch = program(), show_id("batch", summary.batch.id)
    steps = []
    if summary.batch.succeeded < summary.batch.total:
        ended = [name for name in ("failed", "cancelled", "expired") if getattr(summary.batch, name)]
        states = " ".join(f"--state {name}" for name in ended)
        steps += [
            f"{typed} jobs list --batch {batch} {states}",
            f"{typed} jobs retry --batch {batch} {states}",
            f"{summary.command}   (runs what was queued again)",
        ]
    steps += [f"{typed} batches show {batch}", f"{typed} costs --by model,day"]
    if summary.batch.at_risk_usd and not summary.batch.is_sandbox:
        steps.append(f"{typed} costs reconcile EXPORT.csv --apply   (settles what is at risk by the provider's export)")
    if summary.results.images and summary.results.artifacts is None:
        output = summary.results.output
        where = f"{shlex.quote(str(output))} --artifacts {shlex.quote(str(output.with_name('images')))}"
        steps.insert(0, f"{typed} batches output {batch} {where}")
    return steps
