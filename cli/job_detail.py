"""One job on a page: what was asked, what came back, and every call in between."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from cli.options import program
from cli.terminal import answer, answer_table
from cli.wording import moment, usd

if TYPE_CHECKING:
    from pressroom.jobs.queries import JobDetail

_SHOWN_CHARACTERS = 2000


def show_detail(found: JobDetail, *, bucket: str) -> None:
    """Print it."""
    from pressroom.ids import show_id

    job = found.job
    if job.is_sandbox:
        answer("SANDBOX: the answer is made up and nothing was billed")
    answer(f"{show_id('job', job.id)}  {job.state}  {job.model}  {job.url}")
    if job.batch_id is not None:
        answer(f"{show_id('batch', job.batch_id)}, line {job.line_no}, custom_id {job.custom_id}")
    answer(f"created {moment(job.created_at)}, started {moment(job.started_at)}, finished {moment(job.finished_at)}")
    if job.tags:
        answer(f"tags: {', '.join(job.tags)}")
    for name, value in job.metadata.items():
        answer(f"{name}={value}")
    for need in found.needs:
        rest = ", and runs however that ends" if need.run_on_failure else ""
        answer(f"needs {show_id('job', need.id)} ({need.state}){rest}")
    if job.waiting_because is not None:
        soon = f"; starts at about {moment(job.estimated_start)}" if job.estimated_start is not None else ""
        answer(f"waits: {job.waiting_because}{soon}")
    if job.run_at is not None:
        answer(f"starts no sooner than {moment(job.run_at)}")
    if job.superseded_by is not None:
        answer(f"retried as {show_id('job', job.superseded_by)}")
    answer(
        f"{job.attempts_used} of {job.max_attempts} attempts used in {job.calls} calls; "
        f"cost {usd(job.cost_usd)}, at risk {usd(job.at_risk_usd)}, estimated {usd(job.est_cost_usd)} at most"
    )
    if job.at_risk_usd and not job.is_sandbox:
        answer(
            f"settle what is at risk with: {program()} costs settle {show_id('job', job.id)} --usd USD | --not-billed"
        )
    _document("request", found.body)
    _document("answer", found.answer)
    _document("error", found.error)
    if found.attempts:
        answer("")
        _attempts(found)
    for artifact in found.artifacts:
        size = f" {artifact.width}x{artifact.height}" if artifact.width else ""
        answer(f"{artifact.kind}{size} {artifact.byte_size:,} bytes: s3://{bucket}/{artifact.key}")


def _attempts(found: JobDetail) -> None:
    from pressroom.ids import show_id

    columns = ("CALL", "OUTCOME", "STATUS", "STARTED", "ERROR", "COST", "AT RISK", "REQUEST ID")
    rows = [
        [
            str(a.number),
            a.outcome,
            "-" if a.status_code is None else str(a.status_code),
            moment(a.started_at),
            a.error_code or "-",
            usd(a.cost_usd),
            usd(a.at_risk_usd),
            a.request_id or "-",
        ]
        for a in found.attempts
    ]
    answer_table(columns, rows, right=("CALL", "STATUS", "COST", "AT RISK"))
    for a in found.attempts:
        if a.at_risk_usd:
            answer(f"call {a.number} is at risk: {show_id('att', a.id)}")


def _document(name: str, value: dict[str, Any] | None) -> None:
    if value is None:
        return
    shown = json.dumps(value, ensure_ascii=False, indent=2)
    if len(shown) > _SHOWN_CHARACTERS:
        shown = f"{shown[:_SHOWN_CHARACTERS]}… ({len(shown):,} characters: --json has them all)"
    answer(f"\n{name}: {shown}")
