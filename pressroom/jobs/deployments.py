"""The operator's side of deployments: what is known of them, their limits, and stopping and starting them."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import orjson
from sqlalchemy import Connection, text

from pressroom.catalog.load import Catalog, catalog
from pressroom.errors import InvalidInput, NotFound, Problem
from pressroom.events.deployments import record_deployment
from pressroom.jobs.rates import DIMENSIONS, pool_limits
from pressroom.jobs.resolve import pool_name, resolve_deployments
from pressroom.limits.pool_limits import DEFAULT_BURST_SECONDS, SETTINGS, PoolLimits
from pressroom.limits.redis_limiter import LimiterAdmin
from pressroom.settings import OPENAI_BASE_URL, SANDBOX

_LIST = """
    SELECT d.id, d.model, d.base_url, d.account, d.api_key_env, d.is_sandbox, p.id AS pool_id, p.name AS pool,
      p.explicit_limits, p.learned_limits, p.catalog_limits, d.stop_kind, d.retry_at,
      coalesce(d.paused_at, p.paused_at) IS NOT NULL AS paused,
      coalesce(d.pause_reason, p.pause_reason) AS pause_reason,
      coalesce((SELECT sum(f.queued) FROM flows f WHERE f.pool_id = p.id), 0)::bigint AS queued
    FROM deployments d JOIN pools p ON p.id = d.pool_id
"""

_SET = text("UPDATE pools SET explicit_limits = CAST(:limits AS jsonb), stated_limits = '{}' WHERE name = :pool")

_REMAINING = text(
    """
    SELECT d.model, d.base_url, d.account, p.name AS pool, d.stop_kind IS NOT DISTINCT FROM 'failures' AS recovers,
      coalesce(d.paused_at, p.paused_at) IS NOT NULL AS paused,
      coalesce(d.pause_reason, p.pause_reason) AS pause_reason, t.jobs
    FROM (
      SELECT deployment_id, sum(jobs)::int AS jobs FROM (
        SELECT deployment_id, queued AS jobs FROM flows WHERE batch_id = :batch
        UNION ALL SELECT deployment_id, 1 FROM jobs WHERE batch_id = :batch AND lease_id IS NOT NULL
        UNION ALL SELECT deployment_id, 1 FROM jobs WHERE batch_id = :batch AND state = 'blocked') u
      GROUP BY 1 HAVING sum(jobs) > 0) t
    JOIN deployments d ON d.id = t.deployment_id JOIN pools p ON p.id = d.pool_id ORDER BY d.model
    """
)


_ACCOUNT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a further deployment is, and which environment variable holds the key; None for the sandbox."""

    base_url: str
    account: str
    api_key_env: str | None = None


@dataclass(frozen=True, slots=True)
class DeploymentRow:
    """A deployment with its pool's limits by origin. `queued` jobs are the whole pool's.

    `account` is empty for the installation's own; `stop_kind` and `retry_at` are its breaker's, see `breaker.py`.
    """

    id: int
    model: str
    base_url: str
    account: str
    api_key_env: str | None
    is_sandbox: bool
    pool_id: int
    pool: str
    explicit_limits: dict[str, Any]
    learned_limits: dict[str, Any]
    catalog_limits: dict[str, Any]
    stop_kind: str | None
    retry_at: datetime | None
    paused: bool
    pause_reason: str | None
    queued: int

    @property
    def name(self) -> str:
        """`ACCOUNT@ENDPOINT/MODEL`: unique, and what commands take."""
        return pool_name(self.base_url, self.model, self.account)

    @property
    def label(self) -> str:
        """The model alone where the account is our own, else the whole name."""
        return self.name if self.account else self.model

    @property
    def limits(self) -> PoolLimits:
        """What holds: settings first, then what headers said, then the catalog."""
        return pool_limits(self.explicit_limits, self.learned_limits, self.catalog_limits)


@dataclass(frozen=True, slots=True)
class Remaining:
    """Jobs of a batch that have not ended, on one deployment. One that `recovers` needs nobody to resume it."""

    model: str
    base_url: str
    account: str
    pool: str
    paused: bool
    recovers: bool
    pause_reason: str | None
    jobs: int

    @property
    def label(self) -> str:
        """What commands take: the model alone where it is our own account's."""
        return pool_name(self.base_url, self.model, self.account) if self.account else self.model


def list_deployments(conn: Connection) -> list[DeploymentRow]:
    """All of them, real ones first."""
    rows = conn.execute(text(f"{_LIST} ORDER BY d.is_sandbox, d.base_url, d.model, d.account"))
    return [DeploymentRow(**row._mapping) for row in rows]


def find_deployment(conn: Connection, base_url: str, which: str) -> DeploymentRow:
    """By its name, or by its model: then our own account's at `base_url`. Raises NotFound, naming what there is."""
    rows = list_deployments(conn)
    for row in rows:
        if row.name == which or (row.model == which and row.base_url == base_url and not row.account):
            return row
    known = ", ".join(row.name if row.account else row.model for row in rows if row.base_url == base_url) or "none yet"
    where = "the sandbox" if base_url == SANDBOX else base_url
    raise NotFound(
        f"no deployment of {which!r} at {where}; known: {known} "
        "(one is made when its first job is submitted, its limits are set, or by `pressroom deployments add`)"
    )


def ensure_deployment(conn: Connection, base_url: str, model: str, *, known: Catalog | None = None) -> DeploymentRow:
    """The deployment of a model at a provider, made where missing, so that limits can be set before the first job.

    A name with an account or an endpoint in it must be known.
    """
    if "@" in model or model in {row.name for row in list_deployments(conn)}:
        return find_deployment(conn, base_url, model)
    known = known if known is not None else catalog()
    pool_key = known.pool_of(model)
    official = urlsplit(base_url).hostname == urlsplit(OPENAI_BASE_URL).hostname
    limits = known.limits_for(model) if official else {}
    resolve_deployments(conn, base_url, {model: pool_key}, {pool_key: limits})
    return find_deployment(conn, base_url, model)


def add_deployment(conn: Connection, place: Place, model: str) -> DeploymentRow:
    """Another deployment of a model, in a pool of its own account. Raises InvalidInput if it exists or cannot be."""
    if problems := list(_place_problems(place)):
        raise InvalidInput(problems)
    pool_key = catalog().pool_of(model)
    official = urlsplit(place.base_url).hostname == urlsplit(OPENAI_BASE_URL).hostname
    limits = {pool_key: catalog().limits_for(model)} if official else {}
    if any(row.name == pool_name(place.base_url, model, place.account) for row in list_deployments(conn)):
        remedy = "Give another --account or --base-url, or change it with `pressroom deployments set`"
        name = pool_name(place.base_url, model, place.account)
        raise InvalidInput([Problem("deployment", "exists already", remedy, value=name)])
    resolve_deployments(
        conn, place.base_url, {model: pool_key}, limits, account=place.account, api_key_env=place.api_key_env
    )
    return find_deployment(conn, place.base_url, pool_name(place.base_url, model, place.account))


def _place_problems(place: Place) -> Iterator[Problem]:
    if place.account and not _ACCOUNT.fullmatch(place.account):
        yield Problem("--account", "is not a name", "Use letters, digits, dots, - and _", value=place.account)
    if place.api_key_env is not None and not _VARIABLE.fullmatch(place.api_key_env):
        # Not echoed: whoever gives something else here may have given the key itself.
        yield Problem("--api-key-env", "is not the name of an environment variable", "Write it as in TEAM_B_API_KEY")
    if place.base_url == SANDBOX:
        if place.api_key_env is not None:
            yield Problem("--api-key-env", "is not for the sandbox", "Leave it out: no real key must ever go there")
    else:
        address = urlsplit(place.base_url)
        if address.scheme not in ("http", "https") or not address.hostname or address.username or address.query:
            remedy = "Write it as in https://api.openai.com/v1, without a key in it"
            yield Problem("--base-url", "is not the address of an endpoint", remedy)
        if place.api_key_env is None:
            remedy = "Name the environment variable that holds its key"
            yield Problem("--api-key-env", "is missing for another account", remedy)


def explicit_limits(limits: PoolLimits) -> dict[str, float]:
    """The limits that a person named, as the object that a pool keeps."""
    named = {name: getattr(limits, name) for name in DIMENSIONS if getattr(limits, name) is not None}
    if limits.burst_seconds != DEFAULT_BURST_SECONDS:
        named["burst_seconds"] = limits.burst_seconds
    if limits.max_share != 1:
        named["max_share"] = limits.max_share
    return named


def parse_changes(pairs: Sequence[str]) -> dict[str, float | None]:
    """`rpm=600`, `tpm=none` → changes to a pool's explicit limits; None takes a setting away. Raises InvalidInput."""
    changes: dict[str, float | None] = {}
    for pair in pairs:
        name, equals, value = (part.strip() for part in pair.partition("="))
        if not equals or name not in (*DIMENSIONS, *SETTINGS):
            remedy = f"Write NAME=NUMBER or NAME=none, NAME one of {', '.join((*DIMENSIONS, *SETTINGS))}"
            raise InvalidInput([Problem("limit", "is not NAME=NUMBER", remedy, value=pair)])
        changes[name] = None if value.lower() == "none" else _number(name, value)
    return changes


def change_limits(conn: Connection, deployment: DeploymentRow, changes: Mapping[str, float | None]) -> PoolLimits:
    """Change explicit limits of the deployment's pool; returns all that now hold. Raises InvalidInput."""
    merged = {**deployment.explicit_limits, **changes}
    return replace_limits(conn, deployment, {name: value for name, value in merged.items() if value is not None})


def replace_limits(conn: Connection, deployment: DeploymentRow, explicit: Mapping[str, float]) -> PoolLimits:
    """Make these the pool's explicit limits; returns all that now hold. Raises InvalidInput for impossible ones."""
    holds = pool_limits(explicit, deployment.learned_limits, deployment.catalog_limits)
    conn.execute(_SET, {"limits": orjson.dumps(dict(explicit)).decode(), "pool": deployment.pool})
    return holds


def forget_sandbox_limits(conn: Connection, limiter: LimiterAdmin) -> None:
    """Drop what headers taught of the sandbox's limits: one that starts anew is another account.

    Only while no worker lives, for the limiter's account of what is in flight goes too.
    """
    query = text(
        "UPDATE pools SET learned_limits = '{}', stated_limits = '{}', limiter_epoch = NULL"
        " WHERE id IN (SELECT pool_id FROM deployments WHERE is_sandbox) RETURNING name"
    )
    for pool in conn.execute(query).scalars():
        limiter.forget(pool)


def resume_deployment(conn: Connection, deployment_id: int) -> bool:
    """Lift every pause that the books keep of the deployment and its pool, an open breaker too; False for none.

    The limiter's own stop is lifted by `LimiterAdmin.resume`; stopping is `stop_deployment`'s.
    """
    lifted = conn.execute(
        text(
            "UPDATE deployments SET paused_at = NULL, pause_reason = NULL, stop_kind = NULL, retry_at = NULL,"
            " probe_leases = '{}', trips = 0, closed_at = now() WHERE id = :id AND paused_at IS NOT NULL"
        ),
        {"id": deployment_id},
    ).rowcount
    lifted += conn.execute(
        text(
            "UPDATE pools SET paused_at = NULL, pause_reason = NULL WHERE paused_at IS NOT NULL"
            " AND id = (SELECT pool_id FROM deployments WHERE id = :id)"
        ),
        {"id": deployment_id},
    ).rowcount
    if lifted:
        record_deployment(conn, deployment_id, "deployment.started")
    return lifted > 0


def waiting_jobs(conn: Connection, deployment: DeploymentRow) -> int:
    """Jobs that would start if the deployment could: queued in its pool, or leased and not yet called."""
    query = text("SELECT coalesce(sum(waiting), 0)::bigint FROM leases WHERE deployment_id = :id AND waiting > 0")
    leased: int = conn.execute(query, {"id": deployment.id}).scalar_one()
    return deployment.queued + leased


def remaining(conn: Connection, batch_id: UUID) -> list[Remaining]:
    """Where a batch's unfinished jobs are to run. Reads every job of the batch: ask when it stands still."""
    return [Remaining(**row._mapping) for row in conn.execute(_REMAINING, {"batch": batch_id})]


def _number(name: str, value: str) -> float:
    try:
        number = float(value.replace("_", ""))
    except ValueError:
        remedy = f"Write {name}=NUMBER, or {name}=none to go back to what headers or the catalog say"
        raise InvalidInput([Problem(name, "is not a number", remedy, value=value)]) from None
    if name == "concurrency" and not number.is_integer():
        raise InvalidInput([Problem(name, "is not a number of calls", "Give a whole number", value=value)])
    return number
