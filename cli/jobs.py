"""`pressroom jobs`: find jobs, look into one, cancel or retry many."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from cli import records
from cli.context import System, load_settings, open_system
from cli.input_options import UrgencyOptions
from cli.job_detail import show_detail
from cli.option_groups import grouped
from cli.options import Before, Json, Limit, Project, Since, Until, Yes, examples, program
from cli.terminal import answer, answer_json, answer_table, confirmed, not_agreed, say
from cli.wording import count, parse_time

if TYPE_CHECKING:
    from pressroom.jobs.selection import Selection

group = typer.Typer(help="Jobs: list, show, cancel, retry, reprioritise.", no_args_is_help=True, rich_markup_mode=None)

_Ids = Annotated[list[str] | None, typer.Argument(metavar="JOB...", help="Job ids; none means all that match.")]


def add_to(app: typer.Typer) -> None:
    """Add the group to the command."""
    app.add_typer(group, name="jobs")


@dataclass(frozen=True)
class JobFilter:
    """Which jobs; all that is given must hold."""

    state: Annotated[
        list[str] | None,
        typer.Option(
            "--state",
            metavar="STATE",
            help="blocked, queued, leased, running, succeeded, failed, cancelled or expired; may be repeated.",
        ),
    ] = None
    model: Annotated[str | None, typer.Option("--model", metavar="MODEL", help="The model asked for.")] = None
    batch: Annotated[str | None, typer.Option("--batch", metavar="BATCH", help="Of this batch.")] = None
    error_code: Annotated[str | None, typer.Option("--error-code", metavar="CODE", help="Ended with this error.")] = (
        None
    )
    tag: Annotated[str | None, typer.Option("--tag", metavar="TAG", help="With this tag.")] = None
    url: Annotated[str | None, typer.Option("--url", metavar="URL", help="Of this endpoint.")] = None
    custom_id: Annotated[
        str | None,
        typer.Option("--custom-id", metavar="NAME", help="So called, outside batches or in the one that is given."),
    ] = None
    since: Since = None
    until: Until = None
    project: Project = None

    @property
    def narrows(self) -> bool:
        """Whether anything but the project was given."""
        given = (self.state, self.model, self.batch, self.error_code, self.tag, self.url, self.custom_id)
        return any((*given, self.since, self.until))

    def selection(self, system: System, ids: list[str] | None = None) -> Selection:
        """As the system understands it. Raises InvalidInput, NotFound."""
        from pressroom.ids import parse_id
        from pressroom.jobs import queries
        from pressroom.jobs.selection import Selection

        now = datetime.now(UTC)
        with system.engine.connect() as conn:
            owner = queries.find_project(conn, self.project)
        return Selection(
            project_id=owner,
            ids=[parse_id("job", one) for one in ids or []],
            states=queries.parse_states(self.state or []),
            batch_id=parse_id("batch", self.batch) if self.batch else None,
            model=self.model,
            error_code=self.error_code,
            tag=self.tag,
            url=self.url,
            custom_id=self.custom_id,
            created_from=parse_time("--since", self.since, now=now),
            created_until=parse_time("--until", self.until, now=now),
        )


@group.command(
    "list",
    epilog=examples(
        "pressroom jobs list --state failed --since 2h",
        "pressroom jobs list --batch batch_01993f2c… --model dall-e-2 --json",
        "pressroom jobs list --tag catalogue --state queued",
    ),
)
@grouped
def list_(
    ctx: typer.Context, *, which: JobFilter, limit: Limit = 50, before: Before = None, as_json: Json = False
) -> None:
    """List jobs, newest first."""
    from pressroom.ids import parse_id
    from pressroom.jobs import queries

    after = parse_id("job", before) if before else None
    with open_system(load_settings(ctx.obj)) as system:
        chosen = which.selection(system)
        with system.engine.connect() as conn:
            rows = queries.list_jobs(conn, chosen, limit=limit, before=after)
    if as_json:
        answer_json([records.job_record(row) for row in rows])
        return
    answer_table(records.JOB_COLUMNS, [records.job_cells(row) for row in rows], right=records.NUMBERS)
    if len(rows) == limit:
        say(f"more: add --before {records.job_cells(rows[-1])[0]}")


@group.command(epilog=examples("pressroom jobs show job_01993f2c…", "pressroom jobs show job_01993f2c… --json"))
def show(
    ctx: typer.Context,
    job: Annotated[str, typer.Argument(metavar="JOB", help="The job's id.")],
    *,
    project: Project = None,
    as_json: Json = False,
) -> None:
    """Show one job: request, answer, every call made for it, and its images."""
    from pressroom.ids import parse_id
    from pressroom.jobs import queries

    with open_system(load_settings(ctx.obj)) as system, system.engine.connect() as conn:
        found = queries.find_job(conn, queries.find_project(conn, project), parse_id("job", job))
        bucket = system.settings.s3_bucket
    if as_json:
        answer_json(records.detail_record(found))
        return
    show_detail(found, bucket=bucket or "")


@group.command(
    epilog=examples(
        "pressroom jobs cancel job_01993f2c…", "pressroom jobs cancel --model dall-e-2 --state queued --yes"
    )
)
@grouped
def cancel(ctx: typer.Context, *, jobs: _Ids = None, which: JobFilter, yes: Yes = False, as_json: Json = False) -> None:
    """Cancel jobs that have not ended. Those being called end with their call; a paid result is kept."""
    from pressroom.jobs.end_early import cancel_selected

    with open_system(load_settings(ctx.obj)) as system:
        chosen = _chosen(system, which, jobs)
        unfinished = ("blocked", "queued", "leased", "running")
        _agree(system, chosen, unfinished, verb="Cancel", asked=bool(jobs), yes=yes)
        done = cancel_selected(system.engine, chosen)
    if as_json:
        answer_json({"cancelled": done.cancelled, "running": done.asked})
        return
    answer(f"{count(done.cancelled, 'job')} cancelled; {done.asked:,} running will end with their call")


@group.command(
    epilog=examples(
        "pressroom jobs retry --batch batch_01993f2c… --state failed",
        "pressroom jobs retry --error-code worker_lost --since 1d --yes",
    )
)
@grouped
def retry(ctx: typer.Context, *, jobs: _Ids = None, which: JobFilter, yes: Yes = False, as_json: Json = False) -> None:
    """Queue failed, cancelled or expired jobs once more, as new jobs for the same lines. What they cost is new cost."""
    from pressroom.jobs.retry import retry_selected

    with open_system(load_settings(ctx.obj)) as system:
        chosen = _chosen(system, which, jobs)
        _agree(system, chosen, ("failed", "cancelled", "expired"), verb="Retry", asked=bool(jobs), yes=yes)
        queued = retry_selected(system.engine, chosen)
    if as_json:
        answer_json({"queued": queued})
        return
    answer(f"{count(queued, 'job')} queued again")
    if queued:
        say(f"they start when workers run: `{program()} up`, or `{program()} run` with the same input")


@group.command(
    epilog=examples(
        "pressroom jobs reprioritise --batch batch_01993f2c… --class bulk",
        "pressroom jobs reprioritise job_01993f2c… --priority -10",
    )
)
@grouped
def reprioritise(
    ctx: typer.Context,
    *,
    jobs: _Ids = None,
    which: JobFilter,
    to: UrgencyOptions,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Give queued jobs another class, priority, or both. Jobs that have started keep theirs."""
    from pressroom.jobs.reprioritise import reprioritise as reprioritise_jobs

    urgency = to.urgency()
    with open_system(load_settings(ctx.obj)) as system:
        chosen = _chosen(system, which, jobs)
        _agree(system, chosen, ("blocked", "queued", "leased"), verb="Reprioritise", asked=bool(jobs), yes=yes)
        changed = reprioritise_jobs(system.engine, chosen, urgency)
    if as_json:
        answer_json({"changed": changed})
        return
    answer(f"{count(changed, 'job')} changed")


def _chosen(system: System, which: JobFilter, ids: list[str] | None) -> Selection:
    """What a bulk command is about. Everything at once must be asked for, not left over."""
    if not ids and not which.narrows:
        from pressroom.errors import InvalidInput, Problem

        remedy = "Give job ids, or a filter such as --batch, --state or --since"
        raise InvalidInput([Problem("jobs", "nothing says which jobs", remedy)])
    return which.selection(system, ids)


def _agree(system: System, chosen: Selection, states: tuple[str, ...], *, verb: str, asked: bool, yes: bool) -> None:
    """Show how many are meant and ask, unless they were named one by one. Exits when the answer is no."""
    from models import JobState
    from pressroom.jobs import job_lists

    with system.engine.connect() as conn:
        counts = job_lists.count_jobs(conn, chosen, [JobState(state) for state in states])
    if asked or not counts.total:
        return
    listed = ", ".join(f"{number:,} {state}" for state, number in sorted(counts.by_state.items()))
    say(
        f"{count(counts.total, 'job')} selected: {listed}"
        if counts.exact
        else f"{counts.total:,} jobs or more selected"
    )
    if not confirmed(f"{verb} them?", yes=yes):
        raise not_agreed("nothing was done")
