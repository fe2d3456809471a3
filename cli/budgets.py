"""`pressroom budgets`: what may be spent, by whom, in which period."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from cli import records
from cli.context import load_settings, open_system
from cli.options import Json, Yes, examples, program
from cli.terminal import answer, answer_json, answer_table, confirmed, not_agreed, say
from cli.wording import count, parse_usd

if TYPE_CHECKING:
    from uuid import UUID

    from sqlalchemy import Connection

    from models import BudgetPeriod, BudgetScope
    from pressroom.errors import InvalidInput
    from pressroom.jobs.budgets import BudgetRow

group = typer.Typer(
    help="Budgets: hard bounds on what is spent, by project, batch, API key or in all.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

_Project = Annotated[
    str | None, typer.Option("--project", metavar="NAME", help="Of one project.", envvar="PRESSROOM_PROJECT")
]
_Batch = Annotated[str | None, typer.Option("--batch", metavar="ID", help="Of one batch.")]
_ApiKey = Annotated[str | None, typer.Option("--api-key", "--key", metavar="ID", help="Of one API key.")]
_Installation = Annotated[bool, typer.Option("--installation", help="Of everything that runs here.")]
_Period = Annotated[
    str, typer.Option("--period", metavar="PERIOD", help="day or month (UTC), when it starts anew; or total.")
]

_COLUMNS = ("BUDGET", "PERIOD", "CAP", "SPENT", "RESERVED", "UNCERTAIN", "LEFT", "WAITING JOBS", "STARTS ANEW", "")
_RIGHT = ("CAP", "SPENT", "RESERVED", "UNCERTAIN", "LEFT", "WAITING JOBS")


def add_to(app: typer.Typer) -> None:
    """Add the group to the command."""
    app.add_typer(group, name="budgets")


@group.command("list", epilog=examples("pressroom budgets list", "pressroom budgets list --json"))
def list_(ctx: typer.Context, *, as_json: Json = False) -> None:
    """List every budget: its cap, what is spent and reserved in the open period, and how many jobs wait for it.

    RESERVED is held for calls on their way, at the most that they may cost. UNCERTAIN is the part of it that calls
    without an answer may have cost. The sandbox's money is counted apart and marked.
    """
    from pressroom.jobs.budgets import list_budgets

    settings = load_settings(ctx.obj)
    with open_system(settings) as system, system.engine.connect() as conn:
        rows = list_budgets(conn)
    used = {row.id for row in rows if _is_used(row)}
    rows = [row for row in rows if _is_used(row) or (row.id not in used and row.is_sandbox is settings.uses_sandbox)]
    if as_json:
        answer_json([records.budget_record(row) for row in rows])
        return
    answer_table(_COLUMNS, [_cells(row) for row in rows], right=_RIGHT)
    if not rows:
        say(f"no budgets: `{program()} budgets set 5.00 --installation --period day` makes one")


@group.command(
    "set",
    epilog=examples(
        "pressroom budgets set 5.00 --project acme --period day",
        "pressroom budgets set 100 --installation --period month",
        "pressroom budgets set 12.50 --batch batch_01993f2c…",
        "pressroom budgets set 20 --api-key key_01993f2c… --period month",
    ),
)
def set_(
    ctx: typer.Context,
    cap: Annotated[str, typer.Argument(metavar="USD", help="The most that may be spent, in dollars.")],
    *,
    project: _Project = None,
    batch: _Batch = None,
    api_key: _ApiKey = None,
    installation: _Installation = False,
    period: _Period = "total",
    as_json: Json = False,
) -> None:
    """Make a budget or change its cap. It holds at once, and counts what its period has spent before.

    No call starts without its upper bound reserved, so what is spent never exceeds the cap. Jobs that wait start by
    themselves as soon as there is money.
    """
    from pressroom.jobs.budgets import BudgetKey, budgets_of, set_budget

    settings = load_settings(ctx.obj)
    kind, amount = parse_period(period), parse_usd("USD", cap)
    _check_one_owner(ctx, batch, api_key, installation or None)
    with open_system(settings, create=True) as system:
        system.prepare_local()
        with system.engine.begin() as conn:
            scope, scope_id = _find_scope(conn, project, batch, api_key, installation=installation)
            made = set_budget(conn, BudgetKey(scope, scope_id, kind), amount)
            [row] = budgets_of(conn, {made: settings.uses_sandbox})
    if as_json:
        answer_json(records.budget_record(row))
        return
    answer(f"{row.name}: {row.used}")


@group.command(epilog=examples("pressroom budgets remove --project acme --period day"))
def remove(
    ctx: typer.Context,
    *,
    project: _Project = None,
    batch: _Batch = None,
    api_key: _ApiKey = None,
    installation: _Installation = False,
    period: _Period = "total",
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Remove a budget: jobs that wait for it start, and nothing bounds them any more."""
    from pressroom.errors import NotFound
    from pressroom.jobs.budgets import BudgetKey, list_budgets, remove_budget

    kind = parse_period(period)
    _check_one_owner(ctx, batch, api_key, installation or None)
    with open_system(load_settings(ctx.obj)) as system:
        with system.engine.connect() as conn:
            scope, scope_id = _find_scope(conn, project, batch, api_key, installation=installation)
            found = [b for b in list_budgets(conn) if (b.scope, b.scope_id, b.period) == (scope, scope_id, kind)]
        if not found:
            raise NotFound(f"there is no such budget: `{program()} budgets list` shows all there are")
        waiting = sum(row.waiting_jobs for row in found)
        asked = f"Remove the {found[0].name}? {count(waiting, 'job')} wait for it"
        if not confirmed(asked, yes=yes):
            raise not_agreed("nothing was removed")
        with system.engine.begin() as conn:
            removed = remove_budget(conn, BudgetKey(scope, scope_id, kind))
    if as_json:
        answer_json({"removed": removed, "waiting_jobs": waiting})
        return
    answer(f"removed the {found[0].name}; {count(waiting, 'job')} may start")


def parse_period(given: str) -> BudgetPeriod:
    """Raises InvalidInput."""
    from models import BudgetPeriod
    from pressroom.errors import InvalidInput, Problem

    known = [period.value for period in BudgetPeriod]
    if given not in known:
        remedy = f"Give one of {', '.join(known)}"
        raise InvalidInput([Problem("--period", "is not a period", remedy, value=given)])
    return BudgetPeriod(given)


def _check_one_owner(ctx: typer.Context, *others: str | bool | None) -> None:
    """Refuse two owners. A project of the environment gives way to what was typed; one that was typed does not."""
    source = ctx.get_parameter_source("project")
    typed = source is not None and source.name == "COMMANDLINE"
    if sum(given is not None for given in others) + typed > 1:
        raise _not_of_one_owner()


def _not_of_one_owner() -> InvalidInput:
    from pressroom.errors import InvalidInput, Problem

    remedy = "Give one of --project NAME, --batch ID, --api-key ID and --installation"
    return InvalidInput([Problem("budget", "must be of one thing", remedy)])


def _find_scope(
    conn: Connection, project: str | None, batch: str | None, api_key: str | None, *, installation: bool
) -> tuple[BudgetScope, UUID | None]:
    from models import BudgetScope
    from pressroom.ids import parse_id
    from pressroom.jobs.queries import find_project
    from pressroom.tenants.keys import require_key

    if installation:
        return BudgetScope.INSTALLATION, None
    if batch is not None:
        return BudgetScope.BATCH, parse_id("batch", batch)
    if api_key is not None:
        key_id = parse_id("key", api_key)
        require_key(conn, key_id)
        return BudgetScope.API_KEY, key_id
    if not project:
        raise _not_of_one_owner()
    return BudgetScope.PROJECT, find_project(conn, project)


def _is_used(row: BudgetRow) -> bool:
    return bool(row.spent_usd or row.reserved_usd or row.waiting_jobs)


def _cells(row: BudgetRow) -> list[str]:
    from pressroom.money.budgets import dollars

    anew = f"{row.resets_at:%Y-%m-%d %H:%M} UTC" if row.resets_at else "-"
    owner = row.scope.value if row.scope_name is None else f"{row.scope.value.replace('_', ' ')} {row.scope_name}"
    amounts = (row.cap_usd, row.spent_usd, row.reserved_usd, row.uncertain_usd, row.left_usd)
    money = [dollars(amount) for amount in amounts]
    return [owner, row.period.value, *money, f"{row.waiting_jobs:,}", anew, "SANDBOX" if row.is_sandbox else ""]
