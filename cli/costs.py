"""`pressroom costs`: where the money went."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated

import typer

from cli import reconcile, records
from cli.context import load_settings, open_system
from cli.options import Json, Since, Until, examples
from cli.terminal import answer, answer_json, answer_table
from cli.wording import parse_time, usd

if TYPE_CHECKING:
    from pressroom.jobs.spending import CostRow


group = typer.Typer(help="What was spent, and what is at risk.", rich_markup_mode=None)


def add_to(app: typer.Typer) -> None:
    """Add the group to the command."""
    reconcile.add_to(group)
    app.add_typer(group, name="costs")


@group.callback(
    invoke_without_command=True,
    epilog=examples(
        "pressroom costs",
        "pressroom costs --by model,day --since 7d",
        "pressroom costs --by batch --json",
        "pressroom costs reconcile costs.csv",
        "pressroom costs settle job_0193… --not-billed",
    ),
)
def costs(
    ctx: typer.Context,
    *,
    by: Annotated[str, typer.Option("--by", metavar="WHAT", help="Any of model, day and project; or batch.")] = "model",
    project: Annotated[
        str | None,
        typer.Option("--project", envvar="PRESSROOM_PROJECT", metavar="NAME", help="Of one project; all if not given."),
    ] = None,
    since: Since = None,
    until: Until = None,
    as_json: Json = False,
) -> None:
    """Show what was spent, and what is at risk: calls without an answer that may have been billed. Days are UTC.

    The sandbox's amounts are marked and never added to real money.
    """
    if ctx.invoked_subcommand is not None:
        return
    from pressroom.jobs import queries, spending

    dimensions = spending.parse_dimensions(by)
    now = datetime.now(UTC)
    first, end = parse_time("--since", since, now=now), parse_time("--until", until, now=now)
    with open_system(load_settings(ctx.obj)) as system, system.engine.connect() as conn:
        rows = spending.costs(
            conn,
            dimensions,
            project_id=queries.find_project(conn, project) if project else None,
            since=first.astimezone(UTC).date() if first else None,
            until=end.astimezone(UTC).date() if end else None,
        )
    names = [dimension.value for dimension in dimensions]
    if as_json:
        answer_json([records.cost_record(names, row) for row in rows])
        return
    show_costs(names, rows)


def show_costs(names: list[str], rows: list[CostRow]) -> None:
    """Print the table and its totals."""
    # Batches keep their cost alone: calls and units are counted by day, model and project.
    units = [] if names == ["batch"] else ["CALLS", "INPUT TOKENS", "OUTPUT TOKENS", "IMAGES"]
    columns = [*(name.upper() for name in names), *units, "COST", "AT RISK", ""]
    table = [
        [
            *row.key,
            *(_counts(row) if units else []),
            usd(row.cost_usd),
            usd(row.at_risk_usd),
            "SANDBOX" if row.is_sandbox else "",
        ]
        for row in rows
    ]
    answer_table(columns, table, right=("CALLS", *records.NUMBERS))
    for is_sandbox, label in ((False, "total"), (True, "SANDBOX total (not billed)")):
        part = [row for row in rows if row.is_sandbox is is_sandbox]
        if part or not is_sandbox:
            spent, risk = (sum((getattr(r, n) for r in part), Decimal(0)) for n in ("cost_usd", "at_risk_usd"))
            answer(f"{label}: {usd(spent)}, at risk {usd(risk)}")


def _counts(row: CostRow) -> list[str]:
    counts = (row.calls, row.input_tokens, row.output_tokens, row.images)
    return ["-" if value is None else f"{value:,}" for value in counts]
