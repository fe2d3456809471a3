"""`pressroom webhooks`: addresses that hear of events."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.context import System, load_settings, open_system
from cli.options import Json, Limit, Project, Yes, examples, program
from cli.terminal import answer, answer_json, answer_table, confirmed, not_agreed, say
from cli.wording import count, moment, parse_seconds, parse_time

if TYPE_CHECKING:
    from uuid import UUID

    from sqlalchemy import Connection

    from pressroom.webhooks.endpoints import Endpoint

group = typer.Typer(
    help="Webhooks: list, create, test, replay, rotate, disable.", no_args_is_help=True, rich_markup_mode=None
)

_Id = Annotated[str, typer.Argument(metavar="ID", help="The endpoint's id, as `webhooks list` shows it.")]
Installation = Annotated[
    bool, typer.Option("--installation", help="The installation's own endpoints, which hear of every project.")
]
_COLUMNS = ("WEBHOOK", "URL", "EVENTS", "STATE", "SINCE")
_DELIVERIES = ("EVENT", "TYPE", "STATE", "TRIES", "LAST", "NEXT OR DONE")


def add_to(app: typer.Typer) -> None:
    """Add the group to the command."""
    app.add_typer(group, name="webhooks")


@dataclasses.dataclass(frozen=True, slots=True)
class _Owner:
    """Whose endpoints a command is about; no id for the installation's."""

    system: System
    conn: Connection
    project_id: UUID | None


@contextmanager
def _owner(ctx: typer.Context, project: str | None, *, installation: bool) -> Iterator[_Owner]:
    """A transaction on the books, and whose endpoints are meant."""
    from pressroom.errors import InvalidInput, Problem
    from pressroom.jobs.queries import find_project

    if installation and project is not None:
        raise InvalidInput([Problem("--installation", "is given with --project", "Give one of them")])
    with open_system(load_settings(ctx.obj)) as system, system.engine.begin() as conn:
        yield _Owner(system, conn, None if installation else find_project(conn, project))


@group.command("list", epilog=examples("pressroom webhooks list", "pressroom webhooks list --installation --json"))
def list_(
    ctx: typer.Context, *, project: Project = None, installation: Installation = False, as_json: Json = False
) -> None:
    """List endpoints, newest first, and since when those that fail have failed."""
    from pressroom.webhooks.endpoints import list_endpoints

    with _owner(ctx, project, installation=installation) as owner:
        rows = list_endpoints(owner.conn, owner.project_id)
    if as_json:
        answer_json([_record(row) for row in rows])
        return
    cells = [
        [row.name, row.url, ",".join(row.events), row.status, moment(row.disabled_at or row.failing_since)]
        for row in rows
    ]
    answer_table(_COLUMNS, cells)
    if not rows:
        say(f"no webhooks: `{program()} webhooks create URL` makes one")


@group.command(
    epilog=examples(
        "pressroom webhooks create https://example.com/hooks --event 'batch.*' --event job.failed",
        "pressroom webhooks create https://ops.example.com/hooks --installation --event 'deployment.*'",
    )
)
def create(
    ctx: typer.Context,
    url: Annotated[str, typer.Argument(metavar="URL", help="https, and open to the internet.")],
    *,
    event: Annotated[
        list[str] | None, typer.Option("--event", metavar="TYPE", help="As job.* or *; repeat it. [default: *]")
    ] = None,
    description: Annotated[str, typer.Option("--description", metavar="TEXT", help="For people.")] = "",
    batch_jobs: Annotated[bool, typer.Option("--batch-jobs", help="job.* of jobs in batches too: a lot.")] = False,
    project: Project = None,
    installation: Installation = False,
    as_json: Json = False,
) -> None:
    """Make an endpoint. The secret that its deliveries are signed with is shown once."""
    from pressroom.net.guard import NetPolicy, admit
    from pressroom.webhooks.endpoints import NewEndpoint, create_endpoint

    settings = load_settings(ctx.obj)
    asyncio.run(admit(url, NetPolicy(settings.webhook_networks, settings.webhook_port_numbers)))
    new = NewEndpoint(url, tuple(event) if event else ("*",), description, batch_jobs)
    with _owner(ctx, project, installation=installation) as owner:
        made, secret = create_endpoint(owner.conn, owner.project_id, new)
    _show_secret(made, secret, as_json=as_json)


@group.command(epilog=examples("pressroom webhooks rotate we_0193…", "pressroom webhooks rotate we_0193… --grace 0s"))
def rotate(
    ctx: typer.Context,
    webhook_id: _Id,
    *,
    grace: Annotated[
        str, typer.Option("--grace", metavar="TIME", help="How long the old secret signs too: 0s, 90m, 24h, 7d.")
    ] = "24h",
    project: Project = None,
    installation: Installation = False,
    as_json: Json = False,
) -> None:
    """Give an endpoint a new secret, shown once. Deliveries are signed with both for the time of grace."""
    from pressroom.ids import parse_id
    from pressroom.webhooks.endpoints import rotate_secret

    key, seconds = parse_id("we", webhook_id), parse_seconds("--grace", grace)
    with _owner(ctx, project, installation=installation) as owner:
        made, secret = rotate_secret(owner.conn, owner.project_id, key, overlap_seconds=seconds)
    _show_secret(made, secret, as_json=as_json)


@group.command(
    epilog=examples(
        "pressroom webhooks replay we_0193… --since 2h", "pressroom webhooks replay we_0193… --event-id evt_512"
    )
)
def replay(
    ctx: typer.Context,
    webhook_id: _Id,
    *,
    since: Annotated[
        str | None, typer.Option("--since", metavar="TIME", help="All since then: 2026-11-24, or 90m, 2h, 7d ago.")
    ] = None,
    event_id: Annotated[str | None, typer.Option("--event-id", metavar="ID", help="This one, as evt_512.")] = None,
    project: Project = None,
    installation: Installation = False,
    as_json: Json = False,
) -> None:
    """Deliver again what is still kept, with the ids it had: receivers that know them can tell."""
    from pressroom.errors import InvalidInput, Problem
    from pressroom.ids import parse_id
    from pressroom.webhooks.replay import replay_event, replay_since
    from pressroom.webhooks.signing import parse_message_id

    key = parse_id("we", webhook_id)
    when = parse_time("--since", since, now=datetime.now(UTC))
    if (when is None) == (event_id is None):
        raise InvalidInput([Problem("--since", "or --event-id is needed", "Give one of them")])
    with _owner(ctx, project, installation=installation) as owner:
        if event_id is not None:
            made = replay_event(owner.conn, owner.project_id, key, parse_message_id(event_id))
        elif when is not None:
            made = replay_since(owner.conn, owner.project_id, key, when)
        owner.conn.commit()
        owner.system.publisher.hint_deliveries()
    if as_json:
        answer_json({"deliveries": made})
        return
    answer(f"{count(made, 'delivery') if made == 1 else f'{made:,} deliveries'} to be made again")


@group.command("test", epilog=examples("pressroom webhooks test we_0193…"))
def send_test_event(
    ctx: typer.Context,
    webhook_id: _Id,
    *,
    project: Project = None,
    installation: Installation = False,
    as_json: Json = False,
) -> None:
    """Send a `webhook.test` event to an endpoint, whatever types it asks for. Workers deliver it."""
    from pressroom.ids import parse_id
    from pressroom.webhooks.replay import send_test
    from pressroom.webhooks.signing import message_id

    key = parse_id("we", webhook_id)
    with _owner(ctx, project, installation=installation) as owner:
        made = message_id(send_test(owner.conn, owner.project_id, key))
        owner.conn.commit()
        owner.system.publisher.hint_deliveries()
    if as_json:
        answer_json({"event_id": made})
        return
    answer(f"{made} is on its way: `{program()} webhooks deliveries {webhook_id}` shows what became of it")


@group.command(epilog=examples("pressroom webhooks deliveries we_0193…"))
def deliveries(
    ctx: typer.Context,
    webhook_id: _Id,
    *,
    limit: Limit = 20,
    project: Project = None,
    installation: Installation = False,
    as_json: Json = False,
) -> None:
    """List what went to an endpoint or is on its way, newest event first."""
    from pressroom.ids import parse_id
    from pressroom.webhooks.replay import list_deliveries

    key = parse_id("we", webhook_id)
    with _owner(ctx, project, installation=installation) as owner:
        rows = list_deliveries(owner.conn, owner.project_id, key, limit=limit)
    if as_json:
        answer_json([{"id": row.name, "state": row.state, **dataclasses.asdict(row)} for row in rows])
        return
    cells = [
        [
            row.name,
            row.type,
            row.state,
            str(row.attempts),
            row.last_error or (str(row.last_status) if row.last_status else "-"),
            moment(row.delivered_at or row.next_at),
        ]
        for row in rows
    ]
    answer_table(_DELIVERIES, cells, right=("TRIES",))


@group.command(epilog=examples("pressroom webhooks disable we_0193…"))
def disable(
    ctx: typer.Context,
    webhook_id: _Id,
    *,
    project: Project = None,
    installation: Installation = False,
    as_json: Json = False,
) -> None:
    """Send nothing more to an endpoint until it is enabled. Events of meanwhile can be replayed."""
    _switch(ctx, webhook_id, project, installation=installation, as_json=as_json, enabled=False)


@group.command(epilog=examples("pressroom webhooks enable we_0193…"))
def enable(
    ctx: typer.Context,
    webhook_id: _Id,
    *,
    project: Project = None,
    installation: Installation = False,
    as_json: Json = False,
) -> None:
    """Send to an endpoint again, what waited too, as if it had never failed."""
    _switch(ctx, webhook_id, project, installation=installation, as_json=as_json, enabled=True)


@group.command(epilog=examples("pressroom webhooks delete we_0193…"))
def delete(
    ctx: typer.Context,
    webhook_id: _Id,
    *,
    yes: Yes = False,
    project: Project = None,
    installation: Installation = False,
    as_json: Json = False,
) -> None:
    """Remove an endpoint, and drop what was still to be delivered to it."""
    from pressroom.ids import parse_id
    from pressroom.webhooks.endpoints import delete_endpoint

    key = parse_id("we", webhook_id)
    if not confirmed(f"Delete {webhook_id}, and what is still to be delivered to it?", yes=yes):
        raise not_agreed("nothing was deleted")
    with _owner(ctx, project, installation=installation) as owner:
        delete_endpoint(owner.conn, owner.project_id, key)
    if as_json:
        answer_json({"id": webhook_id, "deleted": True})
        return
    answer(f"{webhook_id} is deleted")


def _switch(
    ctx: typer.Context, webhook_id: str, project: str | None, *, installation: bool, as_json: bool, enabled: bool
) -> None:
    from pressroom.ids import parse_id
    from pressroom.webhooks.endpoints import update_endpoint

    key = parse_id("we", webhook_id)
    with _owner(ctx, project, installation=installation) as owner:
        row = update_endpoint(owner.conn, owner.project_id, key, {"enabled": enabled})
    if as_json:
        answer_json(_record(row))
        return
    answer(f"{row.name} is {row.status}")


def _record(row: Endpoint) -> dict[str, Any]:
    fields = dataclasses.asdict(row) | {"id": row.name, "status": row.status}
    return {name: value for name, value in fields.items() if name != "project_id"}


def _show_secret(made: Endpoint, secret: str, *, as_json: bool) -> None:
    if as_json:
        answer_json(_record(made) | {"secret": secret})
        return
    say(f"{made.name} hears of {', '.join(made.events)}. Its secret, shown this once:")
    answer(secret)
