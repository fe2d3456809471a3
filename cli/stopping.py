"""What a run says when it ends before its batch does: why, how far it got, what is at risk, and how to go on."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING
from uuid import UUID

import typer

from cli.exits import ExitCode, explain
from cli.options import program
from cli.terminal import answer_json, complain, say
from cli.wording import count, usd

if TYPE_CHECKING:
    from cli.context import System
    from cli.results import Results
    from pressroom.jobs.budgets import BudgetRow
    from pressroom.jobs.cut_calls import OpenCalls
    from pressroom.jobs.queries import BatchProgress, BatchRow


@contextlib.contextmanager
def resumable(
    system: System,
    batch: tuple[UUID, UUID],
    command: str,
    *,
    last_seen: Callable[[], BatchProgress | None],
    as_json: bool = False,
) -> Iterator[None]:
    """Whatever ends the work inside for a foreseen reason is told with how to go on from there."""
    try:
        yield
    except (Exception, KeyboardInterrupt) as error:
        explained = None if isinstance(error, typer.Exit) else explain(error)
        if explained is None:
            raise
        message, code = explained
        if code is not ExitCode.INTERRUPTED:
            complain(message)
        row = show_unfinished(system, batch, command, last_seen())
        if as_json and row is not None:
            _answer_stopped(row, None, [message])
        raise typer.Exit(int(code)) from None


def show_unfinished(
    system: System, batch: tuple[UUID, UUID], command: str, last_seen: BatchProgress | None = None
) -> BatchRow | None:
    """How far the batch is, what became of its calls, and how to go on. No worker of ours runs any more.

    Returns the batch, as it was last seen where PostgreSQL does not answer; None where it never was.
    """
    from pressroom.ids import show_id
    from pressroom.jobs.cut_calls import open_calls
    from pressroom.jobs.queries import find_batch

    shown = show_id("batch", batch[1])
    row = None if last_seen is None else last_seen.batch
    try:
        with system.engine.connect() as conn:
            row, cut = find_batch(conn, *batch), open_calls(conn, batch[1])
    except Exception as error:
        if explain(error) is None:
            raise
        say(_last_known(shown, last_seen))
    else:
        for line in _facts(shown, row, cut):
            say(line)
        if row.unfinished:
            say(f"or give up:   {program()} batches cancel {shown}")
    say(f"resume with:  {command}")
    return row


def _facts(shown: str, row: BatchRow, cut: OpenCalls) -> Iterator[str]:
    yield _so_far(shown, row)
    if cut.calls:
        yield (
            f"{count(cut.calls, 'call')} without an answer on the books, cut off unless other workers make them: "
            f"{usd(cut.est_cost_usd)} at most may be billed for nothing; these jobs will be called again"
        )
    elif row.unfinished:
        yield "no call was cut off; what is not done is queued"


def _last_known(shown: str, seen: BatchProgress | None) -> str:
    """What can be said while PostgreSQL does not answer."""
    if seen is None:
        return f"{shown} is on the books; how far it is cannot be told while PostgreSQL does not answer"
    row = seen.batch
    return (
        f"{_so_far(shown, row, when='when last seen, ')} and {count(seen.running, 'call')} on the way, which may be "
        "billed for nothing"
    )


def _so_far(shown: str, row: BatchRow, when: str = "") -> str:
    risk = f", {usd(row.at_risk_usd)} at risk" if row.at_risk_usd else ""
    label = " SANDBOX" if row.is_sandbox else ""
    return f"{shown}: {when}{row.done:,} of {count(row.total, 'job')} done, {usd(row.cost_usd)}{label} spent{risk}"


def show_out_of_money(
    system: System,
    batch: tuple[UUID, UUID],
    budgets: Sequence[BudgetRow],
    *,
    results: Results,
    command: str,
    as_json: bool = False,
) -> None:
    """Which budgets all that is left waits for, what is done, and what to type."""
    from pressroom.ids import show_id
    from pressroom.jobs.queries import find_batch

    with system.engine.connect() as conn:
        row = find_batch(conn, *batch)
    say(_so_far(show_id("batch", row.id), row))
    say(f"{count(row.unfinished, 'job')} {'waits' if row.unfinished == 1 else 'wait'} for money, and stay queued:")
    for budget in budgets:
        say(f"  {budget.name}: {budget.used}")
        if budget.left_usd > 0:
            say(f"  of it {usd(budget.left_usd)} is left, less than the next job may cost at most")
    say(f"output so far: {results.output} ({count(results.lines, 'line')})")
    say("raise the budget, or wait for its next period; then go on, nothing that is done is paid for again:")
    for budget in budgets:
        say(f"  {program()} {budget.command}")
    say(f"  {command}")
    if as_json:
        _answer_stopped(row, results, [f"{budget.name}: {budget.used}" for budget in budgets])


def show_paused(
    system: System,
    batch: tuple[UUID, UUID],
    reasons: Mapping[str, str],
    *,
    results: Results,
    command: str,
    as_json: bool = False,
) -> None:
    """Why nothing moves, what is done, and what to type, in order."""
    from pressroom.ids import show_id
    from pressroom.jobs.queries import find_batch

    with system.engine.connect() as conn:
        row = find_batch(conn, *batch)
    shown, typed = show_id("batch", row.id), program()
    say(_so_far(shown, row))
    say(f"{count(row.unfinished, 'job')} cannot run now, and stay queued:")
    for model, reason in reasons.items():
        say(f"  {model} is paused: {reason}")
    say(f"output so far: {results.output} ({count(results.lines, 'line')})")
    say("put the cause right, then type, in this order:")
    for model in reasons:
        say(f"  {typed} deployments resume {model}")
    if row.failed:
        say(f"  {typed} jobs retry --batch {shown} --state failed")
    say(f"  {command}")
    if as_json:
        _answer_stopped(row, results, [f"{model} is paused: {reason}" for model, reason in reasons.items()])


def _answer_stopped(row: BatchRow, results: Results | None, waits_for: Sequence[str]) -> None:
    """The one object of `--json`, with the names of a finished run's where it has the same to say."""
    from pressroom.ids import show_id

    counts = {name: getattr(row, name) for name in ("total", "succeeded", "failed", "cancelled", "expired")}
    answer_json(
        {
            "batch_id": show_id("batch", row.id),
            "state": row.state,
            **counts,
            "unfinished": row.unfinished,
            "waits_for": list(waits_for),
            "cost_usd": row.cost_usd,
            "at_risk_usd": row.at_risk_usd,
            "sandbox": row.is_sandbox,
            "output": None if results is None else str(results.output),
        }
    )
