"""`pressroom run`: everything in one go."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from cli.context import load_settings
from cli.input_options import BatchOptions, InputOptions
from cli.option_groups import grouped
from cli.options import InputFile, Json, Workers, Yes, examples, typed_again

LIMITS_HELP = (
    "Limits of a model, any of rpm, tpm, ipm, rpd, tpd, concurrency, burst_seconds, max_share: "
    "gpt-4o-mini:rpm=600,tpm=60000. They are kept until changed (`pressroom deployments set`); may be repeated."
)

Limits = Annotated[list[str] | None, typer.Option("--limit", metavar="MODEL:LIMITS", help=LIMITS_HELP)]


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        short_help="Submit an input, work, write the output.",
        epilog=examples(
            "pressroom run batch.jsonl --output answers.jsonl --limit gpt-4o-mini:rpm=600,tpm=60000 --budget 5.00",
            "pressroom run prompts.txt --model dall-e-2 --size 256x256 --artifacts pictures/ --contact-sheet all.jpg",
            "pressroom run products.csv --model gpt-4o-mini --column text --system 'Translate to French.' --json",
        ),
    )(run)


@grouped
def run(  # noqa: PLR0913  (one parameter an option)
    ctx: typer.Context,
    *,
    input_: InputFile,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", dir_okay=False, metavar="OUT.jsonl", help="[default: INPUT.output.jsonl]"),
    ] = None,
    artifacts: Annotated[
        Path | None,
        typer.Option("--artifacts", file_okay=False, metavar="DIR", help="Download the images here, and link to them."),
    ] = None,
    contact_sheet: Annotated[
        Path | None,
        typer.Option("--contact-sheet", dir_okay=False, metavar="OUT.jpg", help="One picture of all thumbnails."),
    ] = None,
    limit: Limits = None,
    workers: Workers = 2,
    again: Annotated[
        bool | None,
        typer.Option("--again/--resume", help="A known input: submit and pay anew, or take it up without a question."),
    ] = None,
    inputs: InputOptions,
    batch: BatchOptions,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Run a whole input: submit it, work, show progress, write the output in the OpenAI Batch format.

    The local stack is started unless PRESSROOM_DATABASE_URL, PRESSROOM_REDIS_URL and PRESSROOM_S3_BUCKET are set, and
    the sandbox answers unless OPENAI_API_KEY is set. Ctrl-C leaves the batch resumable; the same input again resumes
    it instead of paying twice. What it would cost is shown first, and asked about above PRESSROOM_CONFIRM_ABOVE_USD.
    """
    from cli.limits import read_limits
    from cli.results import Places
    from cli.run_batch import RunRequest, run_batch
    from cli.summary import show_summary

    request = RunRequest(
        input=input_,
        places=Places(
            output if output is not None else input_.with_name(f"{input_.stem}.output.jsonl"), artifacts, contact_sheet
        ),
        inputs=inputs,
        batch=batch,
        limits=read_limits(limit or []),
        workers=workers,
        command=typed_again(sys.argv),
        again=False if again is None and yes else again,
        yes=yes,
        as_json=as_json,
    )
    summary = run_batch(load_settings(ctx.obj), request)
    show_summary(summary, as_json=as_json)
    raise typer.Exit(summary.exit_code)
