"""`pressroom doctor`: every part looked at, and what to do about those that do not work."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import TYPE_CHECKING

import typer

from cli.context import load_settings, open_system
from cli.exits import ExitCode, explain
from cli.options import Json, examples, program
from cli.terminal import answer, answer_json, answer_table

if TYPE_CHECKING:
    from cli.checks import Finding
    from pressroom.settings import Settings


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        short_help="Check every part, say what to fix.", epilog=examples("pressroom doctor", "pressroom doctor --json")
    )(doctor)


def doctor(ctx: typer.Context, *, as_json: Json = False) -> None:
    """Check every part and say what to fix: Python, wheels, data directory, servers, schema, provider, workers, clock.

    A local stack that exists is started for it. Nothing is changed and nothing costs money. Exits 3 when a part fails,
    has died (it is started again), or jobs wait for a deployment that is paused.
    """
    from cli.checks import here, provider

    settings = load_settings(ctx.obj)
    found = [*here(settings), *_servers(settings), provider(settings)]
    failed = [finding for finding in found if finding.state == "FAILED"]
    if as_json:
        answer_json({"ok": not failed, "findings": [dataclasses.asdict(finding) for finding in found]})
    else:
        answer_table(("PART", "STATE", "FOUND"), [[one.part, one.state, one.detail] for one in found])
        for one in found:
            if one.remedy:
                answer(f"{one.part}: {one.remedy}")
        answer(f"{len(failed)} of {len(found)} checks failed" if failed else "everything works")
    raise typer.Exit(ExitCode.COULD_NOT_RUN if failed else ExitCode.OK)


def _servers(settings: Settings) -> Iterator[Finding]:
    from cli.checks import Finding, of_local_stack, of_system
    from pressroom.local_stack import LocalStack

    local = not (settings.database_url and settings.redis_url and settings.s3_bucket)
    try:
        if local:
            stack = LocalStack(settings.data_dir)
            if not stack.status():
                made = f"`{program()} run` and `{program()} up` make it"
                yield Finding("local stack", "note", "not made yet", made)
                return
            yield from of_local_stack(stack)  # before it is started
        with open_system(settings) as system:
            yield from of_system(system)
    except Exception as error:
        explained = explain(error)
        if explained is None:
            raise
        yield Finding("local stack", "FAILED", explained[0], "Do what the message says, then run this again")
