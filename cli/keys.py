"""`pressroom keys`: who may call the API, for which project, how often and until when."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.context import load_settings, open_system
from cli.options import Json, Project, Yes, examples, program
from cli.terminal import answer, answer_json, answer_table, confirmed, not_agreed, say
from cli.wording import duration, moment, parse_deadline, parse_seconds

if TYPE_CHECKING:
    from pressroom.tenants.keys import KeyRow, NewKey

group = typer.Typer(help="API keys: create, list, revoke, rotate.", no_args_is_help=True, rich_markup_mode=None)

_Id = Annotated[str, typer.Argument(metavar="ID", help="The key's id, as `keys list` shows it.")]
_COLUMNS = ("KEY", "NAME", "BEGINS", "SCOPES", "A MINUTE", "LAST USED", "STATE")


def add_to(app: typer.Typer) -> None:
    """Add the group to the command."""
    app.add_typer(group, name="keys")


@group.command(
    epilog=examples(
        "pressroom keys create shop",
        "pressroom keys create nightly --project prints --scope submit --expires 90d --requests-per-minute 600",
        "pressroom keys create operator --scope read --scope admin",
    )
)
def create(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="What the key is for.")],
    *,
    project: Project = None,
    scope: Annotated[
        list[str] | None,
        typer.Option("--scope", metavar="SCOPE", help="submit, read or admin; repeat it. [default: submit, read]"),
    ] = None,
    expires: Annotated[
        str | None, typer.Option("--expires", metavar="TIME", help="Until then: 2027-01-31, or how long: 12h, 90d.")
    ] = None,
    requests_per_minute: Annotated[
        int | None,
        typer.Option("--requests-per-minute", metavar="N", help="How often it may call; no bound if not given."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Make a key of a project. It is shown once and kept nowhere: only its hash is stored.

    submit hands work in and cancels it, read sees the project's work and money, admin manages the project's keys,
    webhooks and budgets. No scope holds another. In the project default, which is the installation's own, admin with
    read sees the jobs and costs of all projects.
    """
    from pressroom.jobs.queries import find_project
    from pressroom.tenants.keys import DEFAULT_SCOPES, create_key, parse_scopes

    until = parse_deadline(expires, now=datetime.now(UTC), option="--expires")
    scopes = parse_scopes(scope) if scope else DEFAULT_SCOPES
    with open_system(load_settings(ctx.obj), create=True) as system:
        system.prepare_local()
        with system.engine.begin() as conn:
            made = create_key(
                conn,
                find_project(conn, project),
                name,
                scopes=scopes,
                requests_per_minute=requests_per_minute,
                expires_at=until,
            )
    _show_new(made, as_json=as_json)


@group.command("list", epilog=examples("pressroom keys list", "pressroom keys list --project prints --json"))
def list_(
    ctx: typer.Context,
    *,
    project: Project = None,
    everything: Annotated[bool, typer.Option("--all", help="Revoked and expired ones too.")] = False,
    as_json: Json = False,
) -> None:
    """List a project's keys. Secrets are not among what is kept; BEGINS tells keys apart."""
    from pressroom.jobs.queries import database_time, find_project
    from pressroom.tenants.keys import list_keys

    with open_system(load_settings(ctx.obj)) as system, system.engine.connect() as conn:
        now = database_time(conn)
        rows = [row for row in list_keys(conn, find_project(conn, project)) if everything or _is_valid(row, now)]
    if as_json:
        answer_json([_record(row) for row in rows])
        return
    answer_table(_COLUMNS, [_cells(row, now) for row in rows], right=("A MINUTE",))
    if not rows:
        say(f"no keys: `{program()} keys create NAME` makes one")


@group.command(epilog=examples("pressroom keys revoke key_0193…"))
def revoke(
    ctx: typer.Context, key_id: _Id, *, project: Project = None, yes: Yes = False, as_json: Json = False
) -> None:
    """End a key, within 5 seconds in every process. What was submitted with it goes on."""
    from pressroom.ids import parse_id
    from pressroom.jobs.queries import find_project
    from pressroom.tenants.keys import revoke_key

    wanted = parse_id("key", key_id)
    if not confirmed(f"Revoke {key_id}? Whoever uses it is refused from then on", yes=yes):
        raise not_agreed("nothing was revoked")
    with open_system(load_settings(ctx.obj)) as system, system.engine.begin() as conn:
        row = revoke_key(conn, find_project(conn, project), wanted)
    if as_json:
        answer_json(_record(row))
        return
    answer(f"{row.name} is revoked")


@group.command(epilog=examples("pressroom keys rotate key_0193…", "pressroom keys rotate key_0193… --grace 0s"))
def rotate(
    ctx: typer.Context,
    key_id: _Id,
    *,
    project: Project = None,
    grace: Annotated[
        str, typer.Option("--grace", metavar="TIME", help="How long the old secret stays valid: 0s, 90m, 24h, 7d.")
    ] = "24h",
    as_json: Json = False,
) -> None:
    """Give a key a new secret, shown once. The old one works for the time of grace; scopes and budgets stay."""
    from pressroom.ids import parse_id
    from pressroom.jobs.queries import find_project
    from pressroom.tenants.keys import rotate_key

    wanted, seconds = parse_id("key", key_id), parse_seconds("--grace", grace)
    with open_system(load_settings(ctx.obj)) as system, system.engine.begin() as conn:
        made = rotate_key(conn, find_project(conn, project), wanted, grace_seconds=seconds)
    _show_new(made, as_json=as_json)
    if not as_json:
        say(f"the secret before works for {duration(seconds)} more" if seconds else "the secret before works no more")


def _show_new(made: NewKey, *, as_json: bool) -> None:
    if as_json:
        answer_json({**_record(made.row), "key": made.text})
        return
    from models import DEFAULT_PROJECT_ID, Scope

    answer(made.text)
    row = made.row
    say(f"{row.name}, scopes {', '.join(row.scopes)}: keep it now, it is not shown again")
    if row.project_id == DEFAULT_PROJECT_ID and {Scope.ADMIN, Scope.READ} <= set(row.scopes):
        say("it is an operator's, and sees the jobs and costs of all projects: a tenant's belong in --project NAME")


def _record(row: KeyRow) -> dict[str, Any]:
    from pressroom.ids import show_id

    return {**dataclasses.asdict(row), "id": show_id("key", row.id), "scopes": [scope.value for scope in row.scopes]}


def _is_valid(row: KeyRow, now: datetime) -> bool:
    return row.revoked_at is None and (row.expires_at is None or row.expires_at > now)


def _cells(row: KeyRow, now: datetime) -> list[str]:
    from pressroom.ids import show_id

    return [
        show_id("key", row.id),
        row.name,
        f"pr_{row.prefix}…",
        ", ".join(row.scopes),
        "-" if row.requests_per_minute is None else f"{row.requests_per_minute:,}",
        moment(row.last_used_at),
        _state(row, now),
    ]


def _state(row: KeyRow, now: datetime) -> str:
    if row.revoked_at is not None:
        return f"revoked {moment(row.revoked_at)}"
    if row.expires_at is not None:
        return f"{'expires' if row.expires_at > now else 'expired'} {moment(row.expires_at)}"
    return "valid" if row.previous_until is None else f"valid; old secret until {moment(row.previous_until)}"
