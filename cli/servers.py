"""`pressroom up`, `down`, `worker`, `api`, `migrate` and `sandbox`: the parts that run."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.api_process import ApiProcess
from cli.context import System, load_settings, open_system
from cli.options import Json, Workers, examples
from cli.outages import Outages
from cli.processes import Sandbox, WorkerProcesses, interrupted_by_termination
from cli.progress import SANDBOX_BANNER
from cli.terminal import answer, answer_json, say
from cli.wording import count

if TYPE_CHECKING:
    from pressroom.settings import Settings

_TEND_SECONDS = 0.5


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    app.command(
        short_help="Servers, workers, API, sandbox, until Ctrl-C.",
        epilog=examples("pressroom up", "pressroom up --workers 4 --api-port 9000", "pressroom up --no-api"),
    )(up)
    app.command(short_help="Stop a stack that was left running.", epilog=examples("pressroom down"))(down)
    app.command(
        short_help="One worker process in the foreground.",
        epilog=examples("pressroom worker", "PRESSROOM_WORKER_MAX_IN_FLIGHT=50 pressroom worker"),
    )(worker)
    app.command(
        short_help="The HTTP API in the foreground.",
        epilog=examples("pressroom api", "pressroom api --port 9000 --processes 2"),
        context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
        add_help_option=False,
    )(api)
    app.command(short_help="Bring the database to this version.", epilog=examples("pressroom migrate"))(migrate)
    app.command(
        short_help="The stand-in for the OpenAI API.",
        epilog=examples("pressroom sandbox --port 8399", "pressroom sandbox --config limits.toml"),
        context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
        add_help_option=False,
    )(sandbox)


def up(
    ctx: typer.Context,
    *,
    workers: Workers = 2,
    api: Annotated[bool, typer.Option("--api/--no-api", help="Serve the HTTP API too.")] = True,
    api_port: Annotated[
        int | None,
        typer.Option(
            "--api-port",
            envvar="PRESSROOM_API_PORT",
            min=0,
            max=65535,
            metavar="PORT",
            help="Port of the API; 0 takes a free one. [default: 8400]",
        ),
    ] = None,
) -> None:
    """Run everything in the foreground until Ctrl-C: servers not set, workers, the API, the sandbox without a key.

    Other commands in the same directory then use it; `pressroom submit` hands work in. The first start makes an API key
    with every scope and keeps it in the data directory, readable by you alone.
    """
    settings = load_settings(ctx.obj)
    logs = settings.data_dir / "logs"
    with contextlib.ExitStack() as stack:
        stack.enter_context(interrupted_by_termination())
        system = stack.enter_context(open_system(settings, create=True))
        system.prepare()
        environment = dict(system.environment)
        answering = _sandbox(settings, logs)
        if answering is not None:
            stack.callback(answering.stop)
            system.expect_new_sandbox()
            environment["PRESSROOM_SANDBOX_URL"] = answering.ready()
        running = stack.enter_context(WorkerProcesses(workers, environment, logs, settings=settings))
        serving = None
        if api:
            port = settings.api_port if api_port is None else api_port
            serving = ApiProcess(port, environment, logs, settings=settings)
            stack.callback(serving.stop)
        _show_connections(system, environment.get("PRESSROOM_SANDBOX_URL") or settings.sandbox_url)
        if serving is not None:
            _show_api(system, serving)
        say(f"{count(workers, 'worker')} running, log in {running.log}; Ctrl-C stops everything in order")
        _tend(running, serving, Outages(system))


def _show_api(system: System, serving: ApiProcess) -> None:
    from pressroom.tenants.admin_key import ensure_admin_key

    with system.engine.begin() as conn:
        key = ensure_admin_key(conn, system.settings.data_dir)
    say(f"API         {serving.ready()}")
    say(f"admin key   {'made just now, ' if key.is_new else ''}in {key.path}")


def _sandbox(settings: Settings, logs: Path) -> Sandbox | None:
    if not settings.uses_sandbox:
        return None
    say(SANDBOX_BANNER)
    return None if settings.sandbox_url is not None else Sandbox(logs)


def _tend(running: WorkerProcesses, serving: ApiProcess | None, outages: Outages) -> None:
    """Until interrupted; that is the way this command ends. A server of the local stack that died comes back."""
    try:
        while True:
            outages.look_after()
            running.tend(forgiving=outages.any)
            if serving is not None:
                serving.tend()
            time.sleep(_TEND_SECONDS)
    except KeyboardInterrupt:
        say("stopping: calls on their way finish, the rest stays queued (Ctrl-C again to stop at once)")


def _show_connections(system: System, sandbox_url: str | None) -> None:
    from pressroom.local_stack.urls import masked

    settings = system.settings
    say(f"PostgreSQL  {masked(system.database_url)}")
    say(f"Redis       {masked(system.redis_url)}")
    say(f"S3          {settings.s3_endpoint_url or 'AWS'} bucket {settings.s3_bucket}")
    say(f"provider    {f'SANDBOX {sandbox_url}' if settings.uses_sandbox else settings.provider}")


def down(ctx: typer.Context) -> None:
    """Stop a local stack that was left running, whoever uses it. Its data stays."""
    from pressroom.local_stack import LocalStack

    stack = LocalStack(load_settings(ctx.obj).data_dir)
    running = [server.name for server in stack.status() if server.running]
    stack.stop()
    answer(f"stopped {', '.join(running)}" if running else f"nothing of {stack.data_dir} was running")


def worker(ctx: typer.Context) -> None:
    """Run one worker process in the foreground, on the servers that the environment names.

    SIGTERM finishes the calls on their way, hands the rest back and ends. Any number may run, on any machines.
    """
    if ctx.obj is not None:
        os.environ["PRESSROOM_DATA_DIR"] = str(ctx.obj)
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, "-m", "worker"])  # noqa: S606  (our own program, in this process's place)


def api(
    ctx: typer.Context,
    *,
    show_help: Annotated[bool, typer.Option("--help", "-h", help="Show the API's own options.")] = False,
) -> None:
    """Serve the HTTP API in the foreground, on the servers that the environment names. Options are its own: see --help.

    SIGTERM takes no new requests, finishes those on their way and ends.
    """
    if ctx.obj is not None:
        os.environ["PRESSROOM_DATA_DIR"] = str(ctx.obj)
    arguments = [*ctx.args, *(["--help"] if show_help else [])]
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, "-m", "api", *arguments])  # noqa: S606


def migrate(ctx: typer.Context, *, as_json: Json = False) -> None:
    """Bring the database to this version's schema and prices, and make the bucket. Safe to run again, and anywhere."""
    from migrations.migrate import current_revision

    with open_system(load_settings(ctx.obj), create=True) as system:
        before = current_revision(system.database_url)
        system.prepare()
        after = current_revision(system.database_url)
    if as_json:
        answer_json({"before": before, "after": after})
        return
    answer(f"the database is at revision {after}" + ("" if before == after else f" (was {before or 'empty'})"))


def sandbox(
    ctx: typer.Context,
    *,
    show_help: Annotated[bool, typer.Option("--help", "-h", help="Show the sandbox's own options.")] = False,
) -> None:
    """Run the SANDBOX, the local stand-in for the OpenAI API, in the foreground. Options are its own: see --help."""
    arguments = [*ctx.args, *(["--help"] if show_help else [])]
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, "-m", "sandbox", *arguments])  # noqa: S606
