"""`pressroom routes`: which deployments serve a model's jobs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.context import load_settings, open_system
from cli.options import Json, examples
from cli.terminal import answer, answer_json, answer_table

if TYPE_CHECKING:
    from collections.abc import Iterator
    from uuid import UUID

    from sqlalchemy import Connection

    from pressroom.jobs.route import RouteRow, Target

group = typer.Typer(help="Routes: list, set, remove.", no_args_is_help=True, rich_markup_mode=None)

_Model = Annotated[str, typer.Argument(metavar="MODEL", help="The model that jobs ask for.")]
_Project = Annotated[
    str | None,
    typer.Option(
        "--project", metavar="NAME", help="Of this project alone, in the place of the installation's; else of all."
    ),
]

_COLUMNS = ("MODEL", "FOR", "TARGET", "SHARE", "WAITING", "STATE")
_RIGHT = ("SHARE", "WAITING")


def add_to(app: typer.Typer) -> None:
    """Add the group to the command."""
    app.add_typer(group, name="routes")


@group.command("list", epilog=examples("pressroom routes list", "pressroom routes list --json"))
def list_(ctx: typer.Context, *, as_json: Json = False) -> None:
    """List routes with their targets: the share of new jobs that each gets, and how many wait there."""
    from pressroom.jobs import route

    with open_system(load_settings(ctx.obj)) as system, system.engine.connect() as conn:
        rows = route.list_routes(conn)
    if as_json:
        answer_json([_record(row) for row in rows])
        return
    answer_table(_COLUMNS, [cells for row in rows for cells in _cells(row)], right=_RIGHT)


@group.command(
    "set",
    epilog=examples(
        "pressroom routes set gpt-4o-mini api.openai.com=3 team-b@api.openai.com=1",
        "pressroom routes set gpt-4o-mini api.openai.com --fallback team-b",
        "pressroom routes set dall-e-2 old@images.example --project archive",
    ),
)
def set_(
    ctx: typer.Context,
    model: _Model,
    targets: Annotated[
        list[str],
        typer.Argument(
            metavar="TARGET[=WEIGHT]...",
            help="Deployments of the model: ACCOUNT@ENDPOINT/MODEL, ACCOUNT@ENDPOINT, ENDPOINT, or ACCOUNT alone.",
        ),
    ],
    *,
    fallback: Annotated[
        list[str] | None,
        typer.Option(
            "--fallback", metavar="TARGET", help="Steps in when no target can take jobs; repeat it for a second one."
        ),
    ] = None,
    project: _Project = None,
) -> None:
    """Let several deployments serve a model. Holds for jobs submitted from now on; replaces the route there was."""
    from pressroom.jobs import deployments, route
    from pressroom.jobs.resolve import pool_name

    weights = route.parse_weights(targets)
    with open_system(load_settings(ctx.obj), create=True) as system:
        system.prepare_local()
        with system.engine.begin() as conn:
            own = pool_name(system.settings.provider, model)
            if {own, own.removesuffix(f"/{model}")} & {*weights, *(fallback or [])}:
                deployments.ensure_deployment(conn, system.settings.provider, model)
            made = route.set_route(conn, model, weights, fallback or [], project_id=_project_id(conn, project))
    shares = [f"{target.deployment.name} ({_share(made, target)})" for target in made.targets]
    answer(f"{model}: {', '.join(shares)}")


@group.command(epilog=examples("pressroom routes remove gpt-4o-mini"))
def remove(ctx: typer.Context, model: _Model, *, project: _Project = None) -> None:
    """Remove a route: jobs submitted from now on go to the configured provider. Queued ones stay where they are."""
    from pressroom.jobs import route

    with open_system(load_settings(ctx.obj)) as system, system.engine.begin() as conn:
        route.remove_route(conn, model, project_id=_project_id(conn, project))
    answer(f"{model} has no route {'of its own ' if project else ''}any more")


def _project_id(conn: Connection, name: str | None) -> UUID | None:
    from pressroom.jobs.queries import find_project

    return None if name is None else find_project(conn, name)


def _record(row: RouteRow) -> dict[str, Any]:
    return {
        "model": row.model,
        "project": row.project,
        "targets": [
            {
                "deployment": target.deployment.name,
                "weight": target.weight,
                "fallback": target.fallback,
                "queued": target.deployment.queued,
                "paused": target.deployment.paused,
                "pause_reason": target.deployment.pause_reason,
            }
            for target in row.targets
        ],
    }


def _cells(row: RouteRow) -> Iterator[list[str]]:
    for number, target in enumerate(row.targets):
        first = [row.model, row.project or "everybody"] if number == 0 else ["", ""]
        one = target.deployment
        state = "ok" if not one.paused else "paused" if one.stop_kind in (None, "by_hand") else "open"
        yield [*first, one.name, _share(row, target), f"{one.queued:,}", state]


def _share(row: RouteRow, target: Target) -> str:
    if target.weight is None:
        return f"fallback {target.fallback}"
    return f"{target.weight / sum(other.weight or 0 for other in row.targets):.0%}"
