"""`pressroom estimate`: what an input would cost and how long it would take, without spending a cent."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.context import load_settings, open_system
from cli.input_options import InputOptions
from cli.option_groups import grouped
from cli.options import InputFile, Json, Project, examples
from cli.progress import SANDBOX_BANNER
from cli.terminal import answer, answer_json, answer_table
from cli.wording import count, duration, usd

if TYPE_CHECKING:
    from pressroom.jobs.estimate import InputEstimate, ModelEstimate

_COLUMNS = ("MODEL", "REQUESTS", "INPUT TOKENS", "OUTPUT TOKENS", "IMAGES", "LOW", "EXPECTED", "AT MOST", "TIME", "")

Limits = Annotated[
    list[str] | None,
    typer.Option(
        "--limit",
        metavar="MODEL:LIMITS",
        help="Reckon with these limits, which are not kept: gpt-4o-mini:rpm=600,tpm=60000. May be repeated.",
    ),
]


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        short_help="What an input would cost, and how long it would take.",
        epilog=examples(
            "pressroom estimate batch.jsonl",
            "pressroom estimate prompts.txt --model dall-e-2 --size 256x256 --json",
            "pressroom estimate batch.jsonl --limit gpt-4o-mini:rpm=5000,tpm=2000000",
        ),
    )(estimate)


@grouped
def estimate(
    ctx: typer.Context,
    *,
    input_: InputFile,
    inputs: InputOptions,
    limit: Limits = None,
    project: Project = None,
    as_json: Json = False,
) -> None:
    """Show by model what an input would cost and how long it would take. Nothing is submitted, nothing is spent.

    LOW counts the input and hardly any output. EXPECTED is what calls of the same kind took so far, or else what is
    usual for the model. AT MOST is every token that the requests allow: what budgets reserve.
    """
    from cli.limits import read_limits
    from pressroom.batches.survey import survey
    from pressroom.jobs.queries import find_project
    from pressroom.money.price_book import sync_catalog_prices

    prompts, limits = inputs.prompt_options(), read_limits(limit or [])
    with open_system(load_settings(ctx.obj), create=True) as system:
        system.prepare_local()
        with system.engine.connect() as conn:
            sync_catalog_prices(conn)  # for this look alone: it is not committed
            found = survey(
                conn,
                input_,
                prompts,
                base_url=system.settings.provider,
                project_id=find_project(conn, project),
                limits=limits,
            )
            conn.rollback()
    if as_json:
        answer_json(estimate_record(found))
        return
    _show(found)


def estimate_record(found: InputEstimate) -> dict[str, Any]:
    """For a machine. Amounts are exact decimals in strings."""
    return {
        "requests": found.requests,
        "low_usd": found.low_usd,
        "expected_usd": found.expected_usd,
        "upper_usd": found.upper_usd,
        "seconds": None if found.seconds is None else round(found.seconds, 1),
        "sandbox": found.is_sandbox,
        "models": [
            {
                "model": one.model,
                "requests": one.requests,
                "input_tokens": one.input_tokens,
                "output_tokens": one.output_tokens,
                "images": one.images,
                "low_usd": one.low_usd,
                "expected_usd": one.expected_usd,
                "upper_usd": one.upper_usd,
                "seconds": None if one.seconds is None else round(one.seconds, 1),
                "limited_by": one.by,
                "pool": one.pool,
                "calibrated": one.is_calibrated,
            }
            for one in found.models
        ],
    }


def in_short(found: InputEstimate) -> Iterator[str]:
    """A line for each model, as `run` and `submit` show them first."""
    for one in found.models:
        units = count(one.images, "image") if one.images else f"about {one.input_tokens:,} input tokens"
        bounds = "" if one.low_usd == one.upper_usd else f" ({usd(one.low_usd)} to {usd(one.upper_usd)})"
        label = " SANDBOX, not billed" if found.is_sandbox else ""
        yield (
            f"{one.model}: {count(one.requests, 'request')}, {units}, about {usd(one.expected_usd)}{bounds}{label}, "
            f"{_time(one)}"
        )


def _time(one: ModelEstimate) -> str:
    if one.seconds is None:
        return "no limit known"
    return f"{duration(one.seconds)} at its {one.by}"


def _show(found: InputEstimate) -> None:
    if found.is_sandbox:
        answer(SANDBOX_BANNER)
    rows = [_cells(one) for one in found.models]
    if len(rows) > 1:
        money = [usd(amount) for amount in (found.low_usd, found.expected_usd, found.upper_usd)]
        took = "-" if found.seconds is None else duration(found.seconds)
        rows.append(["all", f"{found.requests:,}", "", "", "", *money, took, ""])
    answer_table(_COLUMNS, rows, right=_COLUMNS[1:-1])
    if any(one.seconds is not None for one in found.models):
        answer("time: under the limits alone, from an empty account and without other work in the same pool")
    if not all(one.is_calibrated or one.images for one in found.models):
        answer("expected: as is usual for the model, until calls of the same kind have been made here")


def _cells(one: ModelEstimate) -> list[str]:
    return [
        one.model,
        f"{one.requests:,}",
        f"{one.input_tokens:,}",
        f"{one.output_tokens:,}",
        f"{one.images:,}",
        usd(one.low_usd),
        usd(one.expected_usd),
        usd(one.upper_usd),
        "-" if one.seconds is None else duration(one.seconds),
        "no limit known" if one.by is None else f"by {one.by}",
    ]
