"""One input through the whole system: servers, submission or resumption, workers, progress, results."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

import typer

from cli.consent import consent
from cli.context import System, open_system
from cli.exits import ExitCode
from cli.input_options import BatchOptions, InputOptions
from cli.limits import check_models, limits_in_force
from cli.options import program
from cli.outages import POSTGRESQL, STORE, Outages
from cli.processes import Sandbox, WorkerProcesses, interrupted_by_termination
from cli.progress import SANDBOX_BANNER, progress_view
from cli.results import Places, Results, check_places, write_results
from cli.stopping import resumable, show_out_of_money, show_paused
from cli.summary import Summary
from cli.terminal import confirmed, is_interactive, is_terminal_error, not_agreed, say
from cli.watch import Stopped, Watch
from cli.wording import count, usd

if TYPE_CHECKING:
    from datetime import datetime

    from pressroom.batches.find import KnownBatch
    from pressroom.batches.ingest import IngestOptions
    from pressroom.limits.pool_limits import PoolLimits
    from pressroom.settings import Settings


@dataclass(frozen=True)
class RunRequest:
    """What to run and where the results go.

    `again` is True to pay for a known input anew, False to take up the newest batch of it without a question, None to
    ask where somebody can answer and else to take it up. With `renew`, one that is finished is submitted anew all the
    same. `keep_limits` is False where limits are this run's alone. `yes` answers for whoever would be asked.
    """

    input: Path
    places: Places
    inputs: InputOptions = field(default_factory=InputOptions)
    batch: BatchOptions = field(default_factory=BatchOptions)
    limits: Mapping[str, PoolLimits] = field(default_factory=dict)
    workers: int = 2
    again: bool | None = None
    renew: bool = False
    keep_limits: bool = True
    sandbox_config: Path | None = None
    yes: bool = False
    as_json: bool = False
    command: str = "pressroom run INPUT"
    """What to type to take this input up again."""


@dataclass(frozen=True)
class _Taken:
    """The batch that this run is about, and how it came to be: new, resumed, or finished before."""

    project_id: UUID
    id: UUID
    how: str
    done_before: int

    @property
    def batch(self) -> tuple[UUID, UUID]:
        """Project id and batch id, as questions about it take them."""
        return self.project_id, self.id


def run_batch(settings: Settings, request: RunRequest) -> Summary:
    """Run it to the end. Raises InvalidInput before anything is stored; exits as the summary or a stop says."""
    from pressroom.batches.ingest import fingerprint
    from pressroom.jobs.queries import database_time

    began = time.monotonic()
    prompts = request.inputs.prompt_options()
    check_places(request.places, input_file=request.input)
    mark = fingerprint(request.input, prompts, settings.provider)
    check_models(request.limits, request.input, prompts)
    if not (settings.database_url and settings.redis_url and settings.s3_bucket):
        say(f"starting the local stack in {settings.data_dir} …")
    with interrupted_by_termination(), open_system(settings, create=True) as system:
        system.prepare()
        options = replace(request.batch.ingest_options(system.engine, system.settings), limits=request.limits)
        with system.engine.connect() as conn:
            work_began = database_time(conn)
        taken = _take(system, request, options, mark)
        outages = Outages(system)
        watch = Watch(system, taken.batch, outages)
        with resumable(system, taken.batch, request.command, last_seen=lambda: watch.seen, as_json=request.as_json):
            results = _work_and_write(system, request, taken, (watch, outages))
            return outages.insist(
                lambda: _summary(system, request, taken, results, began=began, work_began=work_began), POSTGRESQL
            )


def _work_and_write(system: System, request: RunRequest, taken: _Taken, eyes: tuple[Watch, Outages]) -> Results:
    """Everything after the batch is on the books: limits, workers, results."""
    outages = eyes[1]
    if taken.how != "finished":
        outages.insist(lambda: _keep_input(system, request, taken), POSTGRESQL, STORE)
        with limits_in_force(system, request.limits, keep=request.keep_limits):
            _work(system, request, taken, eyes)
    return outages.insist(lambda: write_results(system, taken.id, request.places), POSTGRESQL, STORE)


def _keep_input(system: System, request: RunRequest, taken: _Taken) -> str:
    """Put the input beside its results, unless it is there."""
    from pressroom.batches.originals import store_input
    from pressroom.jobs.batch_input import input_digest

    with system.engine.connect() as conn:
        known = input_digest(conn, taken.id)
    return known if known is not None else store_input(system.engine, system.store, request.input, taken.id)


def _take(system: System, request: RunRequest, options: IngestOptions, mark: str) -> _Taken:
    """Find the batch of this input, or submit it. Exits when somebody who was asked declines."""
    from pressroom.batches.ingest import find_batches, ingest
    from pressroom.ids import show_id
    from pressroom.jobs.deadlines import deadline_warning

    project = options.project_id
    if not request.again:
        with system.engine.connect() as conn:
            known = find_batches(conn, project, mark)
        if known and (known[0].unfinished or not request.renew):
            newest = known[0]
            _take_up(newest, ask=request.again is None)
            if options.budget_usd is not None and newest.unfinished:
                _raise_budget(system, newest.id, options.budget_usd)
            done = newest.total - newest.unfinished
            return _Taken(project, newest.id, "resumed" if newest.unfinished else "finished", done)
    new = ingest(
        system.engine,
        request.input,
        prompt_options=request.inputs.prompt_options(),
        options=options,
        fingerprint=mark,
        review=consent(system.settings, yes=request.yes, budget_usd=options.budget_usd),
    )
    stops = "" if options.budget_usd is None else f", {usd(options.budget_usd)} at most (--budget)"
    say(f"{show_id('batch', new.id)}: {count(new.total, 'job')}, about {usd(new.expected_usd)}{stops}")
    if options.deadline is not None:
        with system.engine.connect() as conn:
            late = deadline_warning(conn, new.id)
        if late is not None:
            say(late)
    return _Taken(project, new.id, "new", 0)


def _raise_budget(system: System, batch_id: UUID, cap_usd: Decimal) -> None:
    """Give the batch this budget unless it has a larger one: the command that began it can be typed again as it was."""
    from models import BudgetScope
    from pressroom.jobs.budgets import BudgetKey, budgets_of_batch, set_budget

    with system.engine.begin() as conn:
        budgets = budgets_of_batch(conn, batch_id, is_sandbox=system.settings.uses_sandbox)
        now = next((budget for budget in budgets if budget.scope is BudgetScope.BATCH), None)
        if now is None or now.cap_usd < cap_usd:
            set_budget(conn, BudgetKey(BudgetScope.BATCH, batch_id), cap_usd)
            say(f"its budget is {usd(cap_usd)} from now on")
        elif now.cap_usd > cap_usd:
            say(f"its budget stays {usd(now.cap_usd)}; to lower it: {program()} {now.command}")


def _take_up(batch: KnownBatch, *, ask: bool) -> None:
    """Say what is known of this input, and ask whether to go on with it."""
    from pressroom.ids import show_id

    shown = show_id("batch", batch.id)
    done = batch.total - batch.unfinished
    spent = f"{usd(batch.cost_usd)} spent" + (f", {usd(batch.at_risk_usd)} at risk" if batch.at_risk_usd else "")
    if batch.unfinished:
        say(f"this input is known: {shown}, {done:,} of {count(batch.total, 'job')} done, {spent}")
        question, note = "Resume it?", "resuming it; nothing that is done is paid for again (--again submits it anew)"
    else:
        say(f"this input was run before: {shown}, {count(batch.total, 'job')} done, {spent}")
        question = "Write its output again, without paying again?"
        note = "writing its output again, without paying again (--again submits it anew)"
    if ask and is_interactive():
        if not confirmed(question, yes=False, default=True):
            raise not_agreed("nothing was done (--again submits it anew)")
    else:
        say(note)


def _work(system: System, request: RunRequest, taken: _Taken, eyes: tuple[Watch, Outages]) -> None:
    """Run workers until every job ended. Exits when interrupted, or when nothing can move."""
    watch, outages = eyes
    logs = system.settings.data_dir / "logs"
    with contextlib.ExitStack() as stack:
        environment = dict(system.environment)
        if system.settings.uses_sandbox:
            say(SANDBOX_BANNER)
            if system.settings.sandbox_url is None:
                sandbox = Sandbox(logs, config=request.sandbox_config)
                stack.callback(sandbox.stop)
                system.expect_new_sandbox()
                environment["PRESSROOM_SANDBOX_URL"] = sandbox.ready()
        workers = stack.enter_context(WorkerProcesses(request.workers, environment, logs, settings=system.settings))
        view = progress_view(on_terminal=is_terminal_error())
        try:
            end = watch.follow(workers, view)
        except KeyboardInterrupt:
            _stop(workers)
            raise
        if isinstance(end, Stopped):
            workers.stop()
            results = outages.insist(lambda: write_results(system, taken.id, request.places), POSTGRESQL, STORE)
            if end.budgets:
                show_out_of_money(
                    system,
                    taken.batch,
                    end.budgets,
                    results=results,
                    command=request.command,
                    as_json=request.as_json,
                )
                raise typer.Exit(ExitCode.SOME_FAILED)
            show_paused(
                system, taken.batch, end.reasons, results=results, command=request.command, as_json=request.as_json
            )
            raise typer.Exit(ExitCode.COULD_NOT_RUN)
        workers.ask_to_stop()


def _stop(workers: WorkerProcesses) -> None:
    """In order, unless somebody cannot wait for that."""
    say("stopping: calls on their way finish, the rest goes back to the queue (Ctrl-C again to cut them off)")
    try:
        workers.stop()
    except KeyboardInterrupt:
        say("stopping at once")
        workers.kill()


def _summary(
    system: System, request: RunRequest, taken: _Taken, results: Results, *, began: float, work_began: datetime
) -> Summary:
    from pressroom.jobs import queries, spending

    with system.engine.connect() as conn:
        batch = queries.find_batch(conn, taken.project_id, taken.id)
        models = spending.batch_costs(conn, taken.id)
    worked = taken.how != "finished" and batch.finished_at is not None
    wall = (batch.finished_at - work_began).total_seconds() if worked and batch.finished_at else 0.0
    return Summary(
        batch=batch,
        models=models,
        how=taken.how,
        wall_s=max(0.0, wall),
        elapsed_s=time.monotonic() - began,
        jobs_done=batch.done - taken.done_before,
        input=request.input,
        results=results,
        command=request.command,
        bucket=system.settings.s3_bucket or "",
        bucket_dir=local_bucket(system),
    )


def local_bucket(system: System) -> Path | None:
    """Where the local stack keeps the bucket's objects on disk."""
    found = system.settings.data_dir / "s3" / "buckets" / (system.settings.s3_bucket or "")
    return found if system.is_local and found.is_dir() else None
