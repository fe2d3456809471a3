"""`pressroom deployments`: limits and their use, add, set, pause, resume, remove."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Annotated

import typer

from cli import deployment_view
from cli.context import load_settings, open_system
from cli.options import Json, examples
from cli.terminal import answer, answer_json, say
from cli.wording import quantity

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from cli.context import System
    from pressroom.jobs.deployments import DeploymentRow
    from pressroom.jobs.overview import DeploymentView
    from pressroom.limits.pool_limits import PoolLimits

group = typer.Typer(
    help="Deployments: limits in use, add, set, pause, resume, remove.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

_Model = Annotated[
    str,
    typer.Argument(
        metavar="MODEL",
        help="The model at the provider that is configured, or a deployment's name: ACCOUNT@ENDPOINT/MODEL.",
    ),
]


def add_to(app: typer.Typer) -> None:
    """Add the group to the command."""
    app.add_typer(group, name="deployments")


@group.command("list", epilog=examples("pressroom deployments list", "pressroom deployments list --json"))
def list_(ctx: typer.Context, *, as_json: Json = False) -> None:
    """List every deployment: its limits, who uses them, what waits and for how long, and what stops it.

    USED is the share of the tightest limit that was granted lately; OTHERS is the share that others on the account use;
    LEVEL is what is left of the provider's bucket; BURST is how much may be used at once after a quiet spell; 429
    counts calls that found no quota; DRAINS IN is how long what waits will take. `deployments show` tells more of one.
    """
    with open_system(load_settings(ctx.obj)) as system:
        views = _views(system)
    if as_json:
        answer_json([deployment_view.record(view) for view in views])
        return
    deployment_view.show_list(views)


@group.command(
    epilog=examples(
        "pressroom deployments show gpt-4o-mini", "pressroom deployments show team-b@api.openai.com/gpt-4o-mini --json"
    )
)
def show(ctx: typer.Context, model: _Model, *, as_json: Json = False) -> None:
    """Show one deployment with each limit, where it comes from, and how much of it is in use.

    NOW is what was granted lately, in the limit's own terms; OTHERS is what others on the account use; LEVEL is what is
    left of the provider's bucket; USED and DEBT are the limiter's own account; SHARE is how much of the limit is used
    after 429s.
    """
    from pressroom.jobs import deployments

    with open_system(load_settings(ctx.obj)) as system:
        with system.engine.connect() as conn:
            row = deployments.find_deployment(conn, system.settings.provider, model)
        [view] = [view for view in _views(system) if view.deployment.id == row.id]
    if as_json:
        answer_json(deployment_view.record(view))
        return
    deployment_view.show_one(view)


def _views(system: System) -> list[DeploymentView]:
    from pressroom.jobs.overview import overview

    with system.engine.connect() as conn:
        return overview(conn, system.limiter.status)


@group.command(
    epilog=examples(
        "pressroom deployments add gpt-4o-mini --account team-b --api-key-env TEAM_B_API_KEY rpm=500 tpm=200000",
        "pressroom deployments add dall-e-2 --account old --base-url https://images.example/v1 --api-key-env OLD_KEY",
    )
)
def add(
    ctx: typer.Context,
    model: Annotated[str, typer.Argument(metavar="MODEL", help="The model, as jobs ask for it.")],
    limits: Annotated[
        list[str] | None,
        typer.Argument(metavar="NAME=NUMBER...", help="Limits, as `deployments set` takes them."),
    ] = None,
    *,
    account: Annotated[str, typer.Option("--account", metavar="NAME", help="What to call the account.")],
    base_url: Annotated[
        str | None,
        typer.Option("--base-url", metavar="URL", help="The endpoint; the configured provider's if not given."),
    ] = None,
    api_key_env: Annotated[
        str | None,
        typer.Option(
            "--api-key-env",
            metavar="VARIABLE",
            help="The environment variable that holds the account's key in every worker. The key is never stored.",
        ),
    ] = None,
) -> None:
    """Add another account, or endpoint, that serves a model. A route sends jobs there (`pressroom routes set`)."""
    from pressroom.jobs import deployments

    changes = deployments.parse_changes(limits or [])
    with open_system(load_settings(ctx.obj), create=True) as system:
        system.prepare_local()
        place = deployments.Place((base_url or system.settings.provider).rstrip("/"), account, api_key_env)
        with system.engine.begin() as conn:
            row = deployments.add_deployment(conn, place, model)
            if changes:
                _changed(conn, row, changes)
    _warn_if_unknown(row)
    answer(f"{row.name} is added; send jobs there with: pressroom routes set {model} {row.name}")


@group.command(
    "set",
    epilog=examples(
        "pressroom deployments set gpt-4o-mini rpm=600 tpm=60000",
        "pressroom deployments set dall-e-2 ipm=50 rpm=none",
        "pressroom deployments set gpt-4o-mini max_share=0.8",
        "pressroom deployments set gpt-4o-mini-2024-07-18 pool=gpt-4o-mini",
    ),
)
def set_(
    ctx: typer.Context,
    model: _Model,
    limits: Annotated[
        list[str],
        typer.Argument(
            metavar="NAME=NUMBER...",
            help="rpm, tpm, ipm (per minute), rpd, tpd (per day), concurrency, burst_seconds, max_share; none takes "
            "one away. pool=NAME lets it share one account of limits with the others of that name.",
        ),
    ],
) -> None:
    """Set limits of a deployment's pool. They win over what headers and the catalog say, and hold at once."""
    from pressroom.jobs import deployments
    from pressroom.jobs.regroup import regroup

    groups = [pair.partition("=")[2].strip() for pair in limits if pair.partition("=")[0].strip() == "pool"]
    changes = deployments.parse_changes([pair for pair in limits if pair.partition("=")[0].strip() != "pool"])
    with open_system(load_settings(ctx.obj)) as system:
        with system.engine.begin() as conn:
            row = deployments.ensure_deployment(conn, system.settings.provider, model)
            for name in groups:
                regroup(conn, row, name)
                row = deployments.find_deployment(conn, system.settings.provider, row.name)
            holds = _changed(conn, row, changes) if changes else row.limits
        running = system.limiter.set_limits(row.pool, holds)
    _warn_if_unknown(row)
    known = {name: value for name, value in dataclasses.asdict(holds).items() if isinstance(value, int | float)}
    shown = ", ".join(f"{name}={quantity(value) if value >= 1 else f'{value:g}'}" for name, value in known.items())
    answer(f"{row.pool}: {shown}; {'in force now' if running else 'in force from its first call on'}")


def _warn_if_unknown(row: DeploymentRow) -> None:
    """Somebody's own model is as good as the catalog's; a slip of the keyboard should be seen."""
    from pressroom.catalog.load import catalog, close_model

    if catalog().model(row.model) is None:
        near = close_model(row.model, catalog().models)
        guess = f" (did you mean {near}?)" if near else ""
        say(
            f"the catalog knows no model {row.model!r}{guess}; if it is a slip: pressroom deployments remove {row.name}"
        )


def _changed(conn: Connection, row: DeploymentRow, changes: dict[str, float | None]) -> PoolLimits:
    """All limits that now hold. Raises InvalidInput that names the model."""
    from pressroom.errors import InvalidInput
    from pressroom.jobs import deployments

    try:
        return deployments.change_limits(conn, row, changes)
    except InvalidInput as error:
        raise InvalidInput([dataclasses.replace(p, field=f"{row.model} {p.field}") for p in error.problems]) from None


@group.command(epilog=examples("pressroom deployments pause dall-e-2 --reason 'invoice is being checked'"))
def pause(
    ctx: typer.Context,
    model: _Model,
    *,
    reason: Annotated[
        str, typer.Option("--reason", metavar="TEXT", help="Shown wherever somebody wonders.")
    ] = "paused by hand",
) -> None:
    """Start no more jobs of a deployment. They stay queued; calls on their way finish."""
    from pressroom.jobs import deployments
    from pressroom.jobs.stop_deployment import stop_deployment

    with open_system(load_settings(ctx.obj)) as system, system.engine.begin() as conn:
        row = deployments.find_deployment(conn, system.settings.provider, model)
        stopped = stop_deployment(conn, system.limiter, row.id, reason)
    if stopped:
        answer(f"{row.name} is paused: {reason}")
    else:
        answer(f"{row.name} was paused already: {row.pause_reason}")


@group.command(epilog=examples("pressroom deployments resume dall-e-2"))
def resume(ctx: typer.Context, model: _Model) -> None:
    """Start its jobs again, whoever paused it: a person, a billing stop, or a model that was gone."""
    from pressroom.jobs import deployments

    with open_system(load_settings(ctx.obj)) as system:
        with system.engine.begin() as conn:
            row = deployments.find_deployment(conn, system.settings.provider, model)
            was_paused = deployments.resume_deployment(conn, row.id)
        was_paused = system.limiter.resume(row.pool) or was_paused
    answer(f"{row.name} {'runs again' if was_paused else 'was not paused'}; {row.queued:,} jobs queued")


@group.command(epilog=examples("pressroom deployments remove gpt-4o-mini-tpyo"))
def remove(ctx: typer.Context, model: _Model) -> None:
    """Take away a deployment that never had jobs and that no route names, with its limits."""
    from pressroom.jobs import deployments
    from pressroom.jobs.remove_deployment import remove_deployment

    with open_system(load_settings(ctx.obj)) as system, system.engine.begin() as conn:
        row = deployments.find_deployment(conn, system.settings.provider, model)
        remove_deployment(conn, row)
    answer(f"{row.name} is removed")
