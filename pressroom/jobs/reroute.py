"""Where several deployments serve a model: jobs leave those that are stopped, and idle ones take over from busy ones.

Every dispatcher calls it about once a second; one at a time does it, and without routes it is one small query.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Engine, Row, text

from pressroom.jobs.breaker import PROBES
from pressroom.jobs.dispatch import DispatchPolicy
from pressroom.jobs.move import Scope, move_jobs
from pressroom.jobs.rates import Rates, effective_limits

MOST_MOVED = 5_000
"""Jobs moved away from one deployment at a time: a million must not be one transaction."""

_WORTH_SECONDS = 5.0
"""A deployment with less than this to do is left alone, and an idle one takes no more than this at a time."""

_TOKENS, _IMAGES = attrgetter("tokens"), attrgetter("images")
_LOCK_KEY = 0x726F757465
_LAX_COMMIT = text("SET LOCAL synchronous_commit = off")

_TARGETS = text(
    """
    SELECT r.project_id, r.model, r.weight, r.fallback, d.id, d.pool_id, d.base_url, d.api_key_env,
      d.paused_at IS NULL AND p.paused_at IS NULL AS runs,
      d.paused_at IS NOT NULL AND d.retry_at IS NOT NULL AND (d.retry_at <= now() OR d.probe_leases <> '{}') AS tries,
      p.explicit_limits, p.learned_limits, p.catalog_limits
    FROM routes r JOIN deployments d ON d.id = r.deployment_id JOIN pools p ON p.id = d.pool_id
    WHERE pg_try_advisory_xact_lock(:key)
    ORDER BY r.model, r.project_id NULLS FIRST, r.fallback NULLS FIRST, r.id
    """
)

_QUEUED = text(
    """
    SELECT f.deployment_id, f.project_id, sum(f.queued)::bigint AS n,
      (sum(f.queued * d.token_ratio * f.tokens_in / greatest(f.jobs_in, 1)) / sum(f.queued))::float8 AS tokens,
      (sum(f.queued * f.images_in::float8 / greatest(f.jobs_in, 1)) / sum(f.queued))::float8 AS images
    FROM flows f JOIN deployments d ON d.id = f.deployment_id
    WHERE f.deployment_id = ANY(:deployments) AND f.queued > 0 AND f.active AND NOT f.paused AND f.blocked_by IS NULL
    GROUP BY 1, 2
    """
)

# Of any model that shares it.
_BUSY = text("SELECT DISTINCT pool_id FROM flows WHERE pool_id = ANY(:pools) AND active AND queued > 0 AND NOT paused")


@dataclass(slots=True)
class _Place:
    """A target of a route, how many of the route's jobs are queued there, and the mean of them."""

    row: Row[Any]
    queued: int
    pool_idle: bool
    tokens: float = 0.0
    images: float = 0.0

    @property
    def rates(self) -> Rates:
        return Rates.of(effective_limits(self.row.explicit_limits, self.row.learned_limits, self.row.catalog_limits))


@dataclass(frozen=True, slots=True)
class _Route:
    scope: Scope
    places: Sequence[_Place]


def reroute(engine: Engine, policy: DispatchPolicy) -> int:
    """One round over all routes. Returns how many jobs were moved."""
    moved = 0
    with engine.begin() as conn:
        for route in _read(conn):
            moved += _leave_stopped(engine, route, policy)
            moved += _fetch_for_trials(engine, route)
            moved += _fill_idle(engine, route, policy)
    return moved


def _move(engine: Engine, places: tuple[_Place, _Place], limit: int, scope: Scope) -> int:
    """In a transaction of its own: two moves in one would lock flows out of order, and settlement meets them there."""
    source, target = places
    with engine.begin() as conn:
        conn.execute(_LAX_COMMIT)
        return move_jobs(conn, source.row.id, target.row.id, limit, scope=scope)


def _read(conn: Connection) -> Iterator[_Route]:
    rows = conn.execute(_TARGETS, {"key": _LOCK_KEY}).all()
    if not rows:
        return
    busy = set(conn.execute(_BUSY, {"pools": list({row.pool_id for row in rows})}).scalars())
    queued: dict[int, list[Row[Any]]] = {}
    for row in conn.execute(_QUEUED, {"deployments": list({row.id for row in rows})}):
        queued.setdefault(row.deployment_id, []).append(row)
    routes: dict[tuple[str, UUID | None], list[Row[Any]]] = {}
    for row in rows:
        routes.setdefault((row.model, row.project_id), []).append(row)
    for (model, project_id), targets in routes.items():
        own = {project for name, project in routes if name == model and project is not None}
        scope = Scope(project_id, own if project_id is None else ())
        places = [_place(row, queued.get(row.id, []), scope, idle=row.pool_id not in busy) for row in targets]
        yield _Route(scope, places)


def _place(row: Row[Any], queued: Sequence[Row[Any]], scope: Scope, *, idle: bool) -> _Place:
    ours = [q for q in queued if scope.only in (None, q.project_id) and q.project_id not in scope.without]
    n = sum(q.n for q in ours)
    tokens, images = (sum(q.n * mean(q) for q in ours) / max(n, 1) for mean in (_TOKENS, _IMAGES))
    return _Place(row, n, idle, tokens, images)


def _takers(route: _Route, policy: DispatchPolicy) -> list[_Place]:
    """Who may get jobs now: all with a weight that run, or else the first fallback that does."""
    able = [p for p in route.places if p.row.runs and policy.serves(p.row.base_url, p.row.api_key_env)]
    return [p for p in able if p.row.weight is not None] or able[:1]


def _leave_stopped(engine: Engine, route: _Route, policy: DispatchPolicy) -> int:
    takers = _takers(route, policy)
    if not takers:
        return 0
    moved = 0
    total = sum(taker.row.weight or 1 for taker in takers)
    for place in route.places:
        # What it is tried with stays.
        leaving = min(MOST_MOVED, place.queued - (PROBES if place.row.tries else 0))
        if place.row.runs or leaving <= 0:
            continue
        for taker in takers:
            want = -(-leaving * (taker.row.weight or 1) // total)
            n = _move(engine, (place, taker), want, route.scope)
            taker.queued += n
            taker.pool_idle = taker.pool_idle and not n
            place.queued -= n
            moved += n
    return moved


def _fetch_for_trials(engine: Engine, route: _Route) -> int:
    """A stopped deployment whose jobs have all left gets a few back, or nothing would show that it is well again."""
    moved = 0
    for place in route.places:
        if place.row.tries and place.queued == 0:
            busiest = max(route.places, key=lambda other: other.queued)
            n = _move(engine, (busiest, place), PROBES, route.scope) if busiest.queued else 0
            place.queued += n
            busiest.queued -= n
            moved += n
    return moved


def _fill_idle(engine: Engine, route: _Route, policy: DispatchPolicy) -> int:
    """What a running target with a weight could do soon, it takes over from whoever has the longest way to go."""
    moved = 0
    for place in _takers(route, policy):
        busy = [other for other in route.places if other is not place and other.row.runs and other.queued]
        if not place.pool_idle or place.row.weight is None or not busy:
            continue
        donor = max(busy, key=lambda other: other.queued)
        theirs, ours = (p.rates.seconds(donor.tokens, donor.images) for p in (donor, place))
        want = fair_part(donor.queued, theirs, ours)
        n = _move(engine, (donor, place), want, route.scope) if want else 0
        donor.queued -= n
        place.pool_idle = place.pool_idle and not n
        moved += n
    return moved


def fair_part(queued: int, theirs: float, ours: float) -> int:
    """How many of `queued` jobs an idle deployment takes that needs `ours` seconds for one; the busy one `theirs`.

    So many that both would be done at the same time, bounded by a few seconds' work; none where little is queued.
    """
    if queued * theirs <= _WORTH_SECONDS:
        return 0
    part = int(queued * theirs / (theirs + ours))
    return min(part, int(_WORTH_SECONDS / ours) if ours else MOST_MOVED, MOST_MOVED)
