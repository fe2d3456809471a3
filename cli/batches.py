"""`pressroom batches`: look at batches, cancel one, write its output again."""

import dataclasses
from pathlib import Path
from typing import Annotated

import typer

from cli import records
from cli.context import load_settings, open_system
from cli.input_options import UrgencyOptions
from cli.option_groups import grouped
from cli.options import Before, Json, Limit, Project, Yes, examples, program
from cli.terminal import answer, answer_json, answer_table, confirmed, not_agreed, say
from cli.wording import count, duration, moment, usd

_Id = Annotated[str, typer.Argument(metavar="BATCH", help="The batch's id, as the lists show it.")]

group = typer.Typer(help="Batches: list, show, pause, cancel, output.", no_args_is_help=True, rich_markup_mode=None)


def add_to(app: typer.Typer) -> None:
    """Add the group to the command."""
    app.add_typer(group, name="batches")


@group.command("list", epilog=examples("pressroom batches list", "pressroom batches list --state in_progress --json"))
def list_(
    ctx: typer.Context,
    *,
    state: Annotated[
        list[str] | None,
        typer.Option(
            "--state",
            metavar="STATE",
            help="validating, failed, in_progress, cancelling, completed or cancelled; may be repeated.",
        ),
    ] = None,
    project: Project = None,
    limit: Limit = 20,
    before: Before = None,
    as_json: Json = False,
) -> None:
    """List batches, newest first."""
    from pressroom.ids import parse_id
    from pressroom.jobs import queries

    after = parse_id("batch", before) if before else None
    with open_system(load_settings(ctx.obj)) as system, system.engine.connect() as conn:
        states = queries.parse_batch_states(state or [])
        owner = queries.find_project(conn, project)
        rows = queries.list_batches(conn, owner, states=states, limit=limit, before=after)
    if as_json:
        answer_json([records.batch_record(row) for row in rows])
        return
    answer_table(records.BATCH_COLUMNS, [records.batch_cells(row) for row in rows], right=records.NUMBERS)
    if len(rows) == limit:
        say(f"more: {program()} batches list --before {records.batch_cells(rows[-1])[0]}")


@group.command(
    epilog=examples("pressroom batches show batch_01993f2c…", "pressroom batches show batch_01993f2c… --json")
)
def show(ctx: typer.Context, batch: _Id, *, project: Project = None, as_json: Json = False) -> None:
    """Show one batch: progress, and cost by model."""
    from pressroom.ids import parse_id
    from pressroom.jobs import queries, spending

    with open_system(load_settings(ctx.obj)) as system, system.engine.connect() as conn:
        owner = queries.find_project(conn, project)
        seen = queries.batch_progress(conn, owner, parse_id("batch", batch))
        costs = spending.batch_costs(conn, seen.batch.id)
    if as_json:
        answer_json({**records.progress_record(seen), "models": [dataclasses.asdict(cost) for cost in costs]})
        return
    row = seen.batch
    if row.is_sandbox:
        answer("SANDBOX: answers are made up and nothing was billed")
    answer(f"{records.batch_cells(row)[0]}  {row.state}  {row.input_name}")
    answer(
        f"{row.done:,} of {count(row.total, 'job')} done: {row.succeeded:,} succeeded, {row.failed:,} failed, "
        f"{row.cancelled:,} cancelled, {row.expired:,} expired; {seen.running:,} running, "
        f"{seen.queued + seen.leased:,} queued, {seen.waiting:,} waiting for another attempt"
    )
    ended = row.finished_at
    took = f" ({duration((ended - row.created_at).total_seconds())})" if ended else ""
    answer(f"created {moment(row.created_at)}, finished {moment(ended)}{took}")
    answer(f"cost {usd(row.cost_usd)}, at risk {usd(row.at_risk_usd)}, estimated {usd(row.est_cost_usd)} at most")
    if row.paused_at is not None and row.finished_at is None:
        answer(f"paused since {moment(row.paused_at)}; go on with: {program()} batches resume {batch}")
    for budget in seen.budgets:
        answer(f"{'waits for money: ' if budget.waiting_jobs else ''}{budget.name}: {budget.used}")
    table = [[c.model, f"{c.jobs:,}", f"{c.succeeded:,}", usd(c.cost_usd), usd(c.at_risk_usd)] for c in costs]
    columns = ("MODEL", "JOBS", "SUCCEEDED", "COST", "AT RISK")
    answer_table(columns, table, right=columns[1:])


@group.command(epilog=examples("pressroom batches cancel batch_01993f2c… --yes"))
def cancel(ctx: typer.Context, batch: _Id, *, project: Project = None, yes: Yes = False, as_json: Json = False) -> None:
    """Cancel what has not ended. Calls on their way finish, and a result that was paid for is kept."""
    from pressroom.ids import parse_id
    from pressroom.jobs import queries
    from pressroom.jobs.end_early import cancel_batch

    with open_system(load_settings(ctx.obj)) as system:
        with system.engine.connect() as conn:
            owner = queries.find_project(conn, project)
            row = queries.find_batch(conn, owner, parse_id("batch", batch))
        if row.unfinished and not confirmed(f"Cancel {count(row.unfinished, 'job')} of {row.input_name}?", yes=yes):
            raise not_agreed("nothing was cancelled")
        done = cancel_batch(system.engine, owner, row.id)
    if as_json:
        answer_json({"id": batch, "cancelled": done.cancelled, "running": done.asked})
        return
    answer(f"{count(done.cancelled, 'job')} cancelled; {done.asked:,} running will end with their call")


@group.command(epilog=examples("pressroom batches pause batch_01993f2c…"))
def pause(ctx: typer.Context, batch: _Id, *, project: Project = None, as_json: Json = False) -> None:
    """Start no more of a batch's jobs. Calls on their way finish."""
    from pressroom.ids import parse_id
    from pressroom.jobs import queries
    from pressroom.jobs.stops import pause_batch

    with open_system(load_settings(ctx.obj)) as system:
        with system.engine.connect() as conn:
            owner = queries.find_project(conn, project)
        returned = pause_batch(system.engine, owner, parse_id("batch", batch))
    if as_json:
        answer_json({"id": batch, "paused": True, "returned": returned})
        return
    answer(f"{batch} is paused; {count(returned, 'job')} about to start went back to the queue")


@group.command(epilog=examples("pressroom batches resume batch_01993f2c…"))
def resume(ctx: typer.Context, batch: _Id, *, project: Project = None, as_json: Json = False) -> None:
    """Let a paused batch go on."""
    from pressroom.ids import parse_id
    from pressroom.jobs import queries
    from pressroom.jobs.stops import resume_batch

    with open_system(load_settings(ctx.obj)) as system:
        with system.engine.connect() as conn:
            owner = queries.find_project(conn, project)
        was_paused = resume_batch(system.engine, owner, parse_id("batch", batch))
    if as_json:
        answer_json({"id": batch, "paused": False, "was_paused": was_paused})
        return
    answer(f"{batch} goes on" if was_paused else f"{batch} was not paused")


@group.command(epilog=examples("pressroom batches reprioritise batch_01993f2c… --class interactive"))
@grouped
def reprioritise(
    ctx: typer.Context, *, batch: _Id, to: UrgencyOptions, project: Project = None, as_json: Json = False
) -> None:
    """Give what is queued of a batch another class, priority, or both."""
    from pressroom.ids import parse_id
    from pressroom.jobs import queries
    from pressroom.jobs.reprioritise import reprioritise as reprioritise_jobs
    from pressroom.jobs.selection import Selection

    urgency = to.urgency()
    with open_system(load_settings(ctx.obj)) as system:
        with system.engine.connect() as conn:
            owner = queries.find_project(conn, project)
            row = queries.find_batch(conn, owner, parse_id("batch", batch))
        changed = reprioritise_jobs(system.engine, Selection(project_id=owner, batch_id=row.id), urgency)
    if as_json:
        answer_json({"id": batch, "changed": changed})
        return
    answer(f"{count(changed, 'job')} changed")


@group.command(epilog=examples("pressroom batches output batch_01993f2c… answers.jsonl --artifacts pictures/"))
def output(
    ctx: typer.Context,
    batch: _Id,
    file: Annotated[Path, typer.Argument(metavar="OUT.jsonl", dir_okay=False, help="Where to write.")],
    *,
    artifacts: Annotated[
        Path | None,
        typer.Option("--artifacts", file_okay=False, metavar="DIR", help="Download the images here, and link to them."),
    ] = None,
    project: Project = None,
) -> None:
    """Write a batch's output file again, from the books. Costs nothing; unfinished jobs are left out."""
    from cli.results import Places, check_places, refuse_input_as_output, write_results
    from pressroom.ids import parse_id
    from pressroom.jobs import queries
    from pressroom.jobs.batch_input import input_digest

    places = Places(file, artifacts)
    with open_system(load_settings(ctx.obj)) as system:
        with system.engine.connect() as conn:
            owner = queries.find_project(conn, project)
            row = queries.find_batch(conn, owner, parse_id("batch", batch))
            refuse_input_as_output(file, input_digest(conn, row.id))
        check_places(places, output_option="OUT.jsonl")
        written = write_results(system, row.id, places)
    say(f"{count(written.lines, 'line')} in {file}")
