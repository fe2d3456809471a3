"""Deployments as people and programs see them."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from cli.terminal import answer, answer_table
from cli.wording import compact, duration, moment, quantity, shortened

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pressroom.jobs.overview import DeploymentView, Limit

_COLUMNS = ("DEPLOYMENT", "LIMITS", "USED", "OTHERS", "LEVEL", "BURST", "429", "WAITING", "DRAINS IN", "STATE")
_RIGHT = ("USED", "OTHERS", "LEVEL", "BURST", "429", "WAITING", "DRAINS IN")
_SPARE = ("BURST", "OTHERS", "LEVEL", "429", "USED", "DRAINS IN", "LIMITS")
_LIMIT_COLUMNS = ("LIMIT", "FROM", "NOW", "OTHERS", "LEVEL", "USED", "DEBT", "SHARE")
_REASON_CHARACTERS = 200
_SHOWN_LIMITS = 3


def record(view: DeploymentView) -> dict[str, Any]:
    """A deployment for a machine."""
    row = view.deployment
    return {
        **dataclasses.asdict(row),
        "name": row.name,
        "sandbox": row.is_sandbox,
        "breaker": dataclasses.asdict(view.breaker),
        "limits": [dataclasses.asdict(one) for one in view.limits],
        "waiting": view.waiting,
        "drain_seconds": view.drain_seconds,
        "bottleneck": view.bottleneck,
        "limiter": dataclasses.asdict(view.limiter),
    }


def show_list(views: Sequence[DeploymentView]) -> None:
    """A line each, and below the table what stops those that stand still."""
    if any(view.deployment.is_sandbox for view in views):
        answer("SANDBOX deployments answer with made-up texts and pictures, and bill nothing.")
    answer_table(_COLUMNS, [_cells(view) for view in views], right=_RIGHT, spare=_SPARE)
    for view in views:
        for line in stopped_because(view):
            answer(f"{view.deployment.name}: {line}")


def show_one(view: DeploymentView) -> None:
    """All that is known of one."""
    row, limiter = view.deployment, view.limiter
    where = "SANDBOX" if row.is_sandbox else row.base_url
    answer(f"{row.name}  {_state(view)}")
    answer(f"model {row.model} at {where}, account {row.account or '(our own)'}, key from {_key(view)}")
    answer(f"limit group {row.pool}; {limiter.in_flight:,} calls in flight, {limiter.granted:,} granted so far")
    answer(f"{view.waiting:,} jobs wait{_drains(view)}; {limiter.rejected:,} calls were answered 429")
    holds = row.limits
    if holds.max_share < 1:
        answer(f"{holds.max_share:.0%} of the limits are used, the rest is left to others on the account")
    if limiter.started:
        answer(f"burst {limiter.burst_seconds:.3g} s of the rate at once{_credit(view)}")
    for line in stopped_because(view):
        answer(line)
    if view.limits:
        answer("")
        answer_table(_LIMIT_COLUMNS, [_limit_cells(one) for one in view.limits], right=_LIMIT_COLUMNS[2:])
    else:
        answer("no limit is known: the first answer's headers may tell, or `pressroom deployments set`")


def stopped_because(view: DeploymentView) -> Iterator[str]:
    """What stops it, in words."""
    breaker, limiter = view.breaker, view.limiter
    if breaker.state != "closed":
        what = "paused" if breaker.state == "paused" else f"breaker {breaker.state}"
        tries = ""
        if breaker.retry_at is not None and breaker.state == "open":
            tries = f"; a few calls are tried from {moment(breaker.retry_at)}"
        reason = shortened(breaker.reason or "no reason given", _REASON_CHARACTERS)
        yield f"{what} since {moment(breaker.since)}: {reason}{tries}"
    elif limiter.stopped_reason is not None:
        yield f"its limit group is paused: {shortened(limiter.stopped_reason, _REASON_CHARACTERS)}"


def _cells(view: DeploymentView) -> list[str]:
    limiter = view.limiter
    return [
        view.deployment.name,
        _limits(view.limits),
        _most([(one.use, one.name) for one in view.limits]),
        _percent(max((one.foreign / one.limit for one in view.limits if one.foreign), default=None)),
        _percent(
            min((one.level / (one.capacity or one.limit) for one in view.limits if one.level is not None), default=None)
        ),
        f"{limiter.burst_seconds:.2g} s" if limiter.started else "-",
        f"{limiter.rejected:,}",
        f"{view.waiting:,}",
        "-" if view.drain_seconds is None else duration(view.drain_seconds) if view.waiting else "-",
        _state(view),
    ]


def _limits(limits: Sequence[Limit]) -> str:
    if not limits:
        return "none known"
    shown = [f"{compact(one.limit)} {'calls' if one.name == 'concurrency' else one.name}" for one in limits]
    more = f" +{len(shown) - _SHOWN_LIMITS}" if len(shown) > _SHOWN_LIMITS else ""
    return ", ".join(shown[:_SHOWN_LIMITS]) + more


def _limit_cells(one: Limit) -> list[str]:
    limit = quantity(one.limit, measured=one.source == "headers")
    name = "calls in flight" if one.name == "concurrency" else one.name
    return [
        f"{limit} {name}",
        one.source,
        quantity(one.rate),
        quantity(one.foreign),
        quantity(one.level),
        quantity(one.used),
        quantity(one.debt),
        "-" if one.factor is None else f"{one.factor:.0%}",
    ]


def _most(uses: Sequence[tuple[float | None, str]]) -> str:
    known = [(use, name) for use, name in uses if use is not None]
    if not known:
        return "-"
    use, name = max(known)
    return f"{use:.0%} {name}" if name != "concurrency" else f"{use:.0%} calls"


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share:.0%}"


def _state(view: DeploymentView) -> str:
    if view.breaker.state != "closed":
        return view.breaker.state
    if view.limiter.stopped_reason is not None:
        return "paused"
    return f"waits {duration(view.limiter.paused_seconds)}" if view.limiter.paused_seconds > 0 else "ok"


def _drains(view: DeploymentView) -> str:
    if view.drain_seconds is None or not view.waiting:
        return ""
    return f", about {duration(view.drain_seconds)} of {view.bottleneck}"


def _credit(view: DeploymentView) -> str:
    spent = [f"{quantity(units)} {name}" for name, units in view.limiter.credit.items() if units > 0]
    return f"; stored quota being spent: {', '.join(spent)}" if spent else ""


def _key(view: DeploymentView) -> str:
    if view.deployment.is_sandbox:
        return "nowhere: the sandbox takes none"
    return view.deployment.api_key_env or "OPENAI_API_KEY"
