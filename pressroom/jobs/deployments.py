"""The operator's side of deployments: what is known of them, their limits, and stopping and starting them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import orjson
from sqlalchemy import Connection, text

from pressroom.catalog.load import Catalog, catalog
from pressroom.errors import InvalidInput, NotFound, Problem
from pressroom.jobs.rates import DIMENSIONS, pool_limits
from pressroom.jobs.resolve import resolve_deployments
from pressroom.limits.pool_limits import DEFAULT_BURST_SECONDS, PoolLimits
from pressroom.limits.redis_limiter import LimiterAdmin
from pressroom.settings import OPENAI_BASE_URL, SANDBOX

_LIST = """
    SELECT d.id, d.model, d.base_url, d.is_sandbox, p.name AS pool, p.explicit_limits, p.learned_limits,
      p.catalog_limits, coalesce(d.paused_at, p.paused_at) IS NOT NULL AS paused,
      coalesce(d.pause_reason, p.pause_reason) AS pause_reason,
      coalesce((SELECT sum(f.queued) FROM flows f WHERE f.pool_id = p.id), 0)::bigint AS queued
    FROM deployments d JOIN pools p ON p.id = d.pool_id
"""

_SET = text("UPDATE pools SET explicit_limits = CAST(:limits AS jsonb) WHERE name = :pool")

_REMAINING = text(
    """
    SELECT d.model, p.name AS pool, coalesce(d.paused_at, p.paused_at) IS NOT NULL AS paused,
      coalesce(d.pause_reason, p.pause_reason) AS pause_reason, t.jobs
    FROM (SELECT deployment_id, count(*)::int AS jobs FROM jobs WHERE batch_id = :batch
      AND state IN ('blocked', 'queued', 'leased', 'running') GROUP BY 1) t
    JOIN deployments d ON d.id = t.deployment_id JOIN pools p ON p.id = d.pool_id ORDER BY d.model
    """
)


@dataclass(frozen=True, slots=True)
class DeploymentRow:
    """A deployment with its pool's limits by origin. `queued` jobs are the whole pool's."""

    id: int
    model: str
    base_url: str
    is_sandbox: bool
    pool: str
    explicit_limits: dict[str, Any]
    learned_limits: dict[str, Any]
    catalog_limits: dict[str, Any]
    paused: bool
    pause_reason: str | None
    queued: int

    @property
    def limits(self) -> PoolLimits:
        """What holds: settings first, then what headers said, then the catalog."""
        return pool_limits(self.explicit_limits, self.learned_limits, self.catalog_limits)


@dataclass(frozen=True, slots=True)
class Remaining:
    """Jobs of a batch that have not ended, on one deployment."""

    model: str
    pool: str
    paused: bool
    pause_reason: str | None
    jobs: int


def list_deployments(conn: Connection) -> list[DeploymentRow]:
    """All of them, real ones first."""
    rows = conn.execute(text(f"{_LIST} ORDER BY d.is_sandbox, d.base_url, d.model"))
    return [DeploymentRow(**row._mapping) for row in rows]


def find_deployment(conn: Connection, base_url: str, model: str) -> DeploymentRow:
    """The deployment of a model at a provider. Raises NotFound, naming what there is."""
    query = text(f"{_LIST} WHERE d.base_url = :base_url AND d.model = :model")
    row = conn.execute(query, {"base_url": base_url, "model": model}).one_or_none()
    if row is None:
        known = ", ".join(one.model for one in list_deployments(conn) if one.base_url == base_url) or "none yet"
        where = "the sandbox" if base_url == SANDBOX else base_url
        raise NotFound(
            f"no deployment of {model!r} at {where}; known: {known} "
            "(one is made when its first job is submitted, or its limits are set)"
        )
    return DeploymentRow(**row._mapping)


def ensure_deployment(conn: Connection, base_url: str, model: str, *, known: Catalog | None = None) -> DeploymentRow:
    """The deployment of a model at a provider, made where missing, so that limits can be set before the first job."""
    known = known if known is not None else catalog()
    pool_key = known.pool_of(model)
    official = urlsplit(base_url).hostname == urlsplit(OPENAI_BASE_URL).hostname
    limits = known.limits_for(model) if official else {}
    resolve_deployments(conn, base_url, {model: pool_key}, {pool_key: limits})
    return find_deployment(conn, base_url, model)


def explicit_limits(limits: PoolLimits) -> dict[str, float]:
    """The limits that a person named, as the object that a pool keeps."""
    named = {name: getattr(limits, name) for name in DIMENSIONS if getattr(limits, name) is not None}
    if limits.burst_seconds != DEFAULT_BURST_SECONDS:
        named["burst_seconds"] = limits.burst_seconds
    return named


def parse_changes(pairs: Sequence[str]) -> dict[str, float | None]:
    """`rpm=600`, `tpm=none` → changes to a pool's explicit limits; None takes a setting away. Raises InvalidInput."""
    changes: dict[str, float | None] = {}
    for pair in pairs:
        name, equals, value = (part.strip() for part in pair.partition("="))
        if not equals or name not in (*DIMENSIONS, "burst_seconds"):
            remedy = f"Write NAME=NUMBER or NAME=none, NAME one of {', '.join(DIMENSIONS)}, burst_seconds"
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
        "UPDATE pools SET learned_limits = '{}', limiter_epoch = NULL"
        " WHERE id IN (SELECT pool_id FROM deployments WHERE is_sandbox) RETURNING name"
    )
    for pool in conn.execute(query).scalars():
        limiter.forget(pool)


def resume_deployment(conn: Connection, deployment_id: int) -> bool:
    """Lift every pause that the books keep of the deployment and its pool; False when there was none.

    The limiter's own stop is lifted by `LimiterAdmin.resume`; stopping is `stop_deployment`'s.
    """
    lifted = conn.execute(
        text("UPDATE deployments SET paused_at = NULL, pause_reason = NULL WHERE id = :id AND paused_at IS NOT NULL"),
        {"id": deployment_id},
    ).rowcount
    lifted += conn.execute(
        text(
            "UPDATE pools SET paused_at = NULL, pause_reason = NULL WHERE paused_at IS NOT NULL"
            " AND id = (SELECT pool_id FROM deployments WHERE id = :id)"
        ),
        {"id": deployment_id},
    ).rowcount
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
