"""`pressroom deployments`: limits and their use, set, pause, resume."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.context import load_settings, open_system
from cli.options import Json, examples
from cli.terminal import answer, answer_json, answer_table
from cli.wording import duration, quantity, shortened

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from pressroom.jobs.deployments import DeploymentRow
    from pressroom.limits.messages import PoolStatus
    from pressroom.limits.pool_limits import PoolLimits

group = typer.Typer(
    help="Deployments: limits in use, pause, resume.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

_Model = Annotated[str, typer.Argument(metavar="MODEL", help="The model, at the provider that is configured.")]

_COLUMNS = (
    "MODEL",
    "PROVIDER",
    "LIMIT",
    "FROM",
    "NOW",
    "USED",
    "SHARE",
    "IN FLIGHT",
    "WAITING",
    "429",
    "QUEUED",
    "STATE",
)
_RIGHT = ("LIMIT", "NOW", "USED", "SHARE", "IN FLIGHT", "WAITING", "429", "QUEUED")


def add_to(app: typer.Typer) -> None:
    """Add the group to the command."""
    app.add_typer(group, name="deployments")


@group.command("list", epilog=examples("pressroom deployments list", "pressroom deployments list --json"))
def list_(ctx: typer.Context, *, as_json: Json = False) -> None:
    """List every deployment with each limit, where it comes from, and how much of it is in use.

    NOW is what was granted lately, in the limit's own terms; USED is the level of the limiter's account; SHARE is how
    much of the limit is used after 429s.
    """
    from pressroom.jobs import deployments

    with open_system(load_settings(ctx.obj)) as system:
        with system.engine.connect() as conn:
            rows = deployments.list_deployments(conn)
        seen = [(row, system.limiter.status(row.pool)) for row in rows]
    if as_json:
        answer_json([_record(row, status) for row, status in seen])
        return
    answer_table(_COLUMNS, [cells for row, status in seen for cells in _cells(row, status)], right=_RIGHT)


@group.command(
    "set",
    epilog=examples(
        "pressroom deployments set gpt-4o-mini rpm=600 tpm=60000", "pressroom deployments set dall-e-2 ipm=50 rpm=none"
    ),
)
def set_(
    ctx: typer.Context,
    model: _Model,
    limits: Annotated[
        list[str],
        typer.Argument(
            metavar="NAME=NUMBER...",
            help="rpm, tpm, ipm (per minute), rpd, tpd (per day), concurrency, burst_seconds; none takes one away.",
        ),
    ],
) -> None:
    """Set limits of a deployment's pool. They win over what headers and the catalog say, and hold at once."""
    from pressroom.jobs import deployments

    changes = deployments.parse_changes(limits)
    with open_system(load_settings(ctx.obj)) as system:
        with system.engine.begin() as conn:
            row = deployments.ensure_deployment(conn, system.settings.provider, model)
            holds = _changed(conn, row, changes)
        running = system.limiter.set_limits(row.pool, holds)
    known = {name: value for name, value in dataclasses.asdict(holds).items() if value is not None}
    shown = ", ".join(f"{name}={quantity(value)}" for name, value in known.items() if name != "defaults")
    answer(f"{row.pool}: {shown}; {'in force now' if running else 'in force from its first call on'}")


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
        stop_deployment(conn, system.limiter, row.id, reason)
    answer(f"{row.pool} is paused: {reason}")


@group.command(epilog=examples("pressroom deployments resume dall-e-2"))
def resume(ctx: typer.Context, model: _Model) -> None:
    """Start its jobs again, whoever paused it: a person, a billing stop, or a model that was gone."""
    from pressroom.jobs import deployments

    with open_system(load_settings(ctx.obj)) as system:
        with system.engine.begin() as conn:
            row = deployments.find_deployment(conn, system.settings.provider, model)
            was_paused = deployments.resume_deployment(conn, row.id)
        was_paused = system.limiter.resume(row.pool) or was_paused
    answer(f"{row.pool} {'runs again' if was_paused else 'was not paused'}; {row.queued:,} jobs queued")


def _record(row: DeploymentRow, status: PoolStatus) -> dict[str, Any]:
    return {**dataclasses.asdict(row), "sandbox": row.is_sandbox, "limiter": dataclasses.asdict(status)}


def _cells(row: DeploymentRow, status: PoolStatus) -> Iterator[list[str]]:
    """A line per limit; what belongs to the deployment as a whole is on its first."""
    provider = "SANDBOX" if row.is_sandbox else row.base_url
    whole = [
        f"{status.in_flight:,}",
        f"{status.waiting:,}",
        f"{status.rejected:,}",
        f"{row.queued:,}",
        _state(row, status),
    ]
    lines = list(_limits(row, status)) or [["no limit known", "-", "-", "-", "-"]]
    for number, line in enumerate(lines):
        yield [row.model, provider, *line, *whole] if number == 0 else ["", "", *line, *[""] * len(whole)]


def _limits(row: DeploymentRow, status: PoolStatus) -> Iterator[list[str]]:
    for name, one in status.dimensions.items():
        share = f"{one.factor:.0%}"
        limit = quantity(one.limit, measured=one.source == "headers")
        yield [f"{limit} {name}", one.source, quantity(one.rate), quantity(one.used), share]
    if not status.started:
        origin = {"setting": row.explicit_limits, "headers": row.learned_limits, "catalog": row.catalog_limits}
        for name, value in dataclasses.asdict(row.limits).items():
            if isinstance(value, int | float) and name not in ("burst_seconds", "concurrency"):
                source = next((known for known, layer in origin.items() if name in layer), "-")
                limit = quantity(value, measured=source == "headers")
                yield [f"{limit} {name}", source, "-", "-", "-"]
    if row.limits.concurrency is not None:
        yield [f"{row.limits.concurrency:,} in flight", "setting", "-", "-", "-"]


def _state(row: DeploymentRow, status: PoolStatus) -> str:
    if row.paused:
        return f"paused: {shortened(row.pause_reason or 'no reason given')}"
    if status.stopped_reason is not None:
        return f"paused: {shortened(status.stopped_reason)}"
    if status.paused_seconds > 0:
        return f"waits {duration(status.paused_seconds)} after a 429"
    return "ok"
