"""`pressroom projects`: who shares the pools, by what weight, and who is paused."""

from typing import Annotated

import typer

from cli.context import load_settings, open_system
from cli.options import Json, examples
from cli.terminal import answer, answer_json, answer_table
from cli.wording import count, moment, quantity

_Name = Annotated[str, typer.Argument(metavar="NAME", help="The project's name.")]
_Weight = Annotated[float, typer.Option("--weight", metavar="NUMBER", help="Its part of every pool: 2 is twice 1.")]

group = typer.Typer(help="Projects: list, create, weigh, pause.", no_args_is_help=True, rich_markup_mode=None)


def add_to(app: typer.Typer) -> None:
    """Add the group to the command."""
    app.add_typer(group, name="projects")


@group.command("list", epilog=examples("pressroom projects list", "pressroom projects list --json"))
def list_(ctx: typer.Context, *, as_json: Json = False) -> None:
    """List all projects with their weights and what they have queued."""
    from pressroom.jobs.weights import list_projects

    with open_system(load_settings(ctx.obj)) as system, system.engine.connect() as conn:
        rows = list_projects(conn)
    if as_json:
        names = ("name", "weight", "queued", "paused_at", "created_at")
        answer_json([{"id": str(row.id), **{name: getattr(row, name) for name in names}} for row in rows])
        return
    cells = [
        [row.name, quantity(row.weight), f"{row.queued:,}", f"since {moment(row.paused_at)}" if row.paused_at else ""]
        for row in rows
    ]
    answer_table(("PROJECT", "WEIGHT", "QUEUED", "PAUSED"), cells, right=("WEIGHT", "QUEUED"))


@group.command(epilog=examples("pressroom projects create prints --weight 2"))
def create(ctx: typer.Context, name: _Name, *, weight: _Weight = 1.0, as_json: Json = False) -> None:
    """Make a project. Its jobs are submitted with --project NAME."""
    from pressroom.jobs.weights import create_project

    with open_system(load_settings(ctx.obj)) as system, system.engine.begin() as conn:
        project_id = create_project(conn, name, weight)
    if as_json:
        answer_json({"id": str(project_id), "name": name, "weight": weight})
        return
    answer(f"project {name} with weight {quantity(weight)}")


@group.command("set", epilog=examples("pressroom projects set prints --weight 4"))
def set_(ctx: typer.Context, name: _Name, *, weight: _Weight, as_json: Json = False) -> None:
    """Change a project's weight, in every pool and at once, whatever is queued."""
    from pressroom.jobs.queries import find_project
    from pressroom.jobs.weights import set_weight

    with open_system(load_settings(ctx.obj)) as system, system.engine.begin() as conn:
        set_weight(conn, find_project(conn, name), weight)
    if as_json:
        answer_json({"name": name, "weight": weight})
        return
    answer(f"project {name} has weight {quantity(weight)} now")


@group.command(epilog=examples("pressroom projects pause prints"))
def pause(ctx: typer.Context, name: _Name, *, as_json: Json = False) -> None:
    """Start no more of a project's jobs. Calls on their way finish; what is submitted waits."""
    from pressroom.jobs.queries import find_project
    from pressroom.jobs.stops import pause_project

    with open_system(load_settings(ctx.obj)) as system:
        with system.engine.connect() as conn:
            project_id = find_project(conn, name)
        returned = pause_project(system.engine, project_id)
    if as_json:
        answer_json({"name": name, "paused": True, "returned": returned})
        return
    answer(f"project {name} is paused; {count(returned, 'job')} about to start went back to the queue")


@group.command(epilog=examples("pressroom projects resume prints"))
def resume(ctx: typer.Context, name: _Name, *, as_json: Json = False) -> None:
    """Let a paused project go on."""
    from pressroom.jobs.queries import find_project
    from pressroom.jobs.stops import resume_project

    with open_system(load_settings(ctx.obj)) as system:
        with system.engine.connect() as conn:
            project_id = find_project(conn, name)
        was_paused = resume_project(system.engine, project_id)
    if as_json:
        answer_json({"name": name, "paused": False, "was_paused": was_paused})
        return
    answer(f"project {name} goes on" if was_paused else f"project {name} was not paused")
