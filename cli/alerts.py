"""`pressroom alerts`: what somebody must see to."""

from __future__ import annotations

import dataclasses
from typing import Annotated

import typer

from cli.context import load_settings, open_system
from cli.options import Json, examples, program
from cli.terminal import answer, answer_json
from cli.wording import moment

group = typer.Typer(help="Alerts: list, acknowledge.", no_args_is_help=True, rich_markup_mode=None)

_MOST = 1000


def add_to(app: typer.Typer) -> None:
    """Add the group to the command."""
    app.add_typer(group, name="alerts")


@group.command("list", epilog=examples("pressroom alerts list", "pressroom alerts list --all --json"))
def list_(
    ctx: typer.Context,
    *,
    everything: Annotated[bool, typer.Option("--all", help="Also those that were acknowledged.")] = False,
    as_json: Json = False,
) -> None:
    """List what somebody must see to, newest first. What keeps happening is told once until it is acknowledged."""
    from pressroom.jobs.alerts import list_alerts

    with open_system(load_settings(ctx.obj)) as system, system.engine.connect() as conn:
        rows = list_alerts(conn, everything=everything, limit=_MOST)
    if as_json:
        answer_json([dataclasses.asdict(row) for row in rows])
        return
    for row in rows:
        seen = "" if row.acknowledged_at is None else f", acknowledged {moment(row.acknowledged_at)}"
        answer(f"{row.id}  {moment(row.at)}  {row.kind}  {row.subject}{seen}")
        answer(f"    {row.message}")
    if not rows:
        answer("no alerts")
    elif not everything:
        answer(f"acknowledge with: {program()} alerts ack ID... (or --all)")


@group.command(epilog=examples("pressroom alerts ack 12 13", "pressroom alerts ack --all"))
def ack(
    ctx: typer.Context,
    ids: Annotated[list[int] | None, typer.Argument(metavar="ID...", help="Numbers that `alerts list` shows.")] = None,
    *,
    everything: Annotated[bool, typer.Option("--all", help="All that are open.")] = False,
) -> None:
    """Acknowledge alerts: the same thing, when it happens again, is told again."""
    from pressroom.errors import InvalidInput, NotFound, Problem
    from pressroom.jobs.alerts import acknowledge, list_alerts

    if bool(ids) == everything:
        raise InvalidInput([Problem("ID", "is missing or given with --all", "Give numbers of alerts, or --all")])
    with open_system(load_settings(ctx.obj)) as system, system.engine.begin() as conn:
        wanted = ids or [row.id for row in list_alerts(conn, limit=_MOST)]
        unknown = [str(one) for one in wanted if not acknowledge(conn, one)]
        if unknown:
            raise NotFound(f"no open alert has the number {', '.join(unknown)}: `pressroom alerts list` shows all")
    answer(f"{len(wanted)} acknowledged")
