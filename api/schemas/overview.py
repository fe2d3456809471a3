"""`/v1/overview` and `/v1/deployments` on the wire. Own numbers for everybody, the installation's for its operators."""

from collections.abc import Mapping
from typing import Literal

from pydantic import BaseModel, Field

from api.schemas.values import Moment, Usd
from pressroom.jobs.overview import DeploymentView
from pressroom.jobs.overview import Limit as LimitRow
from pressroom.jobs.own_work import OwnWork


class Breaker(BaseModel):
    """What stops a deployment."""

    state: str = Field(examples=["closed"], description="closed, open, trying or paused.")
    kind: str | None = Field(examples=["billing"])
    reason: str | None = Field(description="Only for admin keys of the project default.")
    since: Moment | None
    retry_at: Moment | None


class Limit(BaseModel):
    """One limit of a pool, per minute or per day as its name says. Null is not known, or not for this key."""

    name: str = Field(examples=["rpm"])
    limit: float
    source: str = Field(examples=["headers"], description="setting, headers or catalog.")
    used_per_period: float | None = Field(description="Granted lately, by all projects.")
    foreign_per_period: float | None = Field(description="What others on the account use.")
    level: float | None = Field(description="What is left of the provider's bucket.")
    capacity: float | None


class Pool(BaseModel):
    """The limiter's account, shared by all projects. Only for admin keys of the project default."""

    name: str
    account: str = Field(description="Empty for the installation's own.")
    endpoint: str
    in_flight: int
    granted: int = Field(description="Calls, since the limiter started.")
    answered_429: int
    burst_seconds: float | None = Field(description="How much of the rate may be used at once after a quiet spell.")
    paused_seconds: float = Field(description="How long a Retry-After of the provider still holds.")
    stopped_reason: str | None
    waiting_jobs: int = Field(description="Of all projects.")
    drain_seconds: float | None = Field(description="How long these will take; null where no limit tells.")
    bottleneck: str | None = Field(examples=["tpm"])


class Deployment(BaseModel):
    """A model at one endpoint under one account."""

    object: Literal["deployment"] = "deployment"
    id: str = Field(examples=["7"])
    model: str = Field(examples=["gpt-4o-mini"])
    sandbox: bool
    breaker: Breaker
    limits: list[Limit]
    own_waiting_jobs: int = Field(description="Of the caller's project.")
    pool: Pool | None = Field(description="Null but for admin keys of the project default.")


class DeploymentList(BaseModel):
    """All deployments at work."""

    object: Literal["list"] = "list"
    data: list[Deployment]
    has_more: Literal[False] = False


class Today(BaseModel):
    """Since midnight UTC."""

    sandbox: bool = Field(description="Play money: never add it to real money.")
    calls: int
    cost_usd: Usd
    at_risk_usd: Usd


class Project(BaseModel):
    """The caller's project."""

    name: str
    weight: float = Field(description="Its part of every pool: 2 is twice 1.")
    paused_at: Moment | None


class Overview(BaseModel):
    """How the project stands: what waits and runs, what was spent today, and where it runs."""

    object: Literal["overview"] = "overview"
    project: Project
    queued_jobs: int
    queued_by_class: dict[str, int]
    running_jobs: int
    today: list[Today]
    deployments: list[Deployment] = Field(
        description="Those where the project has jobs; all, for admin keys of project default."
    )


def show_deployment(view: DeploymentView, own_waiting: Mapping[int, int], *, whole: bool) -> Deployment:
    """`whole` adds what tells of other projects and of the accounts."""
    row, breaker = view.deployment, view.breaker
    return Deployment(
        id=str(row.id),
        model=row.model,
        sandbox=row.is_sandbox,
        breaker=Breaker(
            state=breaker.state,
            kind=breaker.kind,
            reason=breaker.reason if whole else None,
            since=breaker.since,
            retry_at=breaker.retry_at,
        ),
        limits=[_limit(one, whole=whole) for one in view.limits],
        own_waiting_jobs=own_waiting.get(row.id, 0),
        pool=_pool(view) if whole else None,
    )


def show_overview(work: OwnWork, views: list[DeploymentView], *, whole: bool) -> Overview:
    """Deployments where the project has nothing are left out, unless all are to be seen."""
    own = work.waiting_by_deployment
    return Overview(
        project=Project(name=work.name, weight=work.weight, paused_at=work.paused_at),
        queued_jobs=work.queued,
        queued_by_class=dict(work.queued_by_class),
        running_jobs=work.running,
        today=[
            Today(sandbox=one.is_sandbox, calls=one.calls, cost_usd=one.cost_usd, at_risk_usd=one.at_risk_usd)
            for one in work.today
        ],
        deployments=[show_deployment(view, own, whole=whole) for view in views if whole or own.get(view.deployment.id)],
    )


def _limit(one: LimitRow, *, whole: bool) -> Limit:
    return Limit(
        name=one.name,
        limit=one.limit,
        source=one.source,
        used_per_period=one.rate if whole else None,
        foreign_per_period=one.foreign if whole else None,
        level=one.level if whole else None,
        capacity=one.capacity if whole else None,
    )


def _pool(view: DeploymentView) -> Pool:
    row, limiter = view.deployment, view.limiter
    return Pool(
        name=row.pool,
        account=row.account,
        endpoint=row.base_url,
        in_flight=limiter.in_flight,
        granted=limiter.granted,
        answered_429=limiter.rejected,
        burst_seconds=limiter.burst_seconds if limiter.started else None,
        paused_seconds=max(0.0, limiter.paused_seconds),
        stopped_reason=limiter.stopped_reason,
        waiting_jobs=view.waiting,
        drain_seconds=view.drain_seconds if view.waiting else None,
        bottleneck=view.bottleneck if view.waiting else None,
    )
