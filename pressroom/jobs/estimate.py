"""What many requests would cost, and how long they would take under the limits, added up by model.

Cost has three figures for each model:
    low        the likely input tokens and one token of output a request; for pictures billed by token a sixteenth of
               the output (the cheapest quality takes about that). Pictures sold by the piece cost what they cost.
    expected   the tokens that calls of the same kind turned out to take (pressroom.limits.calibration), once there
               were `ENOUGH_CALLS` of them; before that the catalog's typical output
    upper      what budgets reserve: every byte of input a token, every output token that the requests allow

Time is that of the pool's narrowest limit, and of the slowest pool where a route deals the jobs out to several. It is
reckoned from an empty account: stored credit and other work are left out, and a limit a day counts only for what
exceeds one day of it.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Any, NamedTuple
from urllib.parse import urlsplit
from uuid import UUID

from sqlalchemy import Connection

from pressroom.catalog.load import Catalog, catalog
from pressroom.jobs.deployments import DeploymentRow, list_deployments
from pressroom.jobs.rates import pool_limits
from pressroom.jobs.resolve import pool_name
from pressroom.jobs.route import find_share
from pressroom.limits.calibration import Calibration, Key, clamped, expected_ratios, job_kind
from pressroom.limits.pool_limits import DIMENSIONS, PoolLimits
from pressroom.money.cost import per_million
from pressroom.money.price_book import PriceBook
from pressroom.money.prices import PriceRow
from pressroom.operations.base import Estimate
from pressroom.settings import OPENAI_BASE_URL, SANDBOX

ENOUGH_CALLS = 10
"""Calls of a kind after which what they took is believed more than the catalog."""

_LEAST_PICTURE_SHARE = 16
_DAY_SECONDS = 86400.0
_ZERO = Decimal(0)


class Group(NamedTuple):
    """Requests that are alike in price and in what they take."""

    model: str
    url: str
    tier: str | None
    kind: str


@dataclass(slots=True)
class Totals:
    """What requests of one group take, added up; `tokens` is what a limit of tokens counts."""

    requests: int = 0
    tokens: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    images: int = 0
    expected_usd: Decimal = _ZERO
    upper_usd: Decimal = _ZERO


@dataclass(slots=True)
class Tally:
    """Adds requests up as they pass by: the memory of a million is that of one."""

    groups: dict[Group, Totals] = field(default_factory=dict)

    def add(self, url: str, model: str, body: Mapping[str, Any], estimate: Estimate) -> None:
        """One request."""
        tier = body.get("service_tier")
        key = Group(model, url, tier, job_kind(body))
        totals = self.groups.get(key)
        if totals is None:
            totals = self.groups[key] = Totals()
        totals.requests += 1
        totals.tokens += estimate.tokens
        totals.input_tokens += estimate.input_tokens
        totals.output_tokens += estimate.output_tokens
        totals.images += estimate.images
        totals.expected_usd += estimate.expected_usd
        totals.upper_usd += estimate.cost_usd


@dataclass(frozen=True, slots=True)
class ModelEstimate:
    """One model's part. `seconds` is its whole pool's, the slowest one's where it has several, None where no limit is
    known; `by` is the limit that takes it.

    `is_calibrated` says whether the expected figures rest on calls that were made.
    """

    model: str
    requests: int
    input_tokens: int
    output_tokens: int
    images: int
    low_usd: Decimal
    expected_usd: Decimal
    upper_usd: Decimal
    pool: str
    seconds: float | None
    by: str | None
    is_calibrated: bool


@dataclass(frozen=True, slots=True)
class InputEstimate:
    """All models of an input. Pools work side by side, so the slowest takes the time of all."""

    models: Sequence[ModelEstimate]
    is_sandbox: bool

    def _sum(self, name: str) -> Any:
        return sum((getattr(model, name) for model in self.models), _ZERO if name.endswith("_usd") else 0)

    @property
    def requests(self) -> int:
        """Of all models."""
        return int(self._sum("requests"))

    @property
    def low_usd(self) -> Decimal:
        """Of all models."""
        return Decimal(self._sum("low_usd"))

    @property
    def expected_usd(self) -> Decimal:
        """Of all models."""
        return Decimal(self._sum("expected_usd"))

    @property
    def upper_usd(self) -> Decimal:
        """Of all models."""
        return Decimal(self._sum("upper_usd"))

    @property
    def seconds(self) -> float | None:
        """Of the slowest pool; None where no limit is known."""
        return max((model.seconds for model in self.models if model.seconds is not None), default=None)


@dataclass(frozen=True, slots=True)
class Basis:
    """What estimates rest on: prices of a day, what calls took, and the limits of the provider's pools."""

    base_url: str
    on: date
    prices: PriceBook
    calibrations: Mapping[Key, Calibration]
    deployments: Mapping[str, DeploymentRow]
    limits: Mapping[str, PoolLimits] = field(default_factory=dict)
    """By model, over those in the books: what somebody means to set."""
    routes: Mapping[str, Sequence[tuple[DeploymentRow, float]]] = field(default_factory=dict)
    """By model with a route: the deployments that take its jobs now, each with its part of them."""


def load_basis(
    conn: Connection,
    base_url: str,
    on: date,
    prices: PriceBook,
    *,
    routed: tuple[UUID, Collection[str]],
    limits: Mapping[str, PoolLimits] | None = None,
) -> Basis:
    """What the database knows, which may be nothing yet. `routed`: a project, and models to look up routes for."""
    rows = list_deployments(conn)
    own = {row.model: row for row in rows if row.base_url == base_url and not row.account}
    by_id = {row.id: row for row in rows}
    shares = {model: find_share(conn, routed[0], model) for model in sorted(routed[1])}
    routes = {m: [(by_id[ref.id], part) for ref, part in share.parts] for m, share in shares.items() if share}
    return Basis(base_url, on, prices, expected_ratios(conn), own, limits or {}, routes)


def estimate(tally: Tally, basis: Basis, known: Catalog | None = None) -> InputEstimate:
    """The figures by model, in the order of their names. Pure."""
    known = known if known is not None else catalog()
    parts: dict[str, list[_Part]] = {}
    for group, totals in tally.groups.items():
        parts.setdefault(group.model, []).append(_part(group, totals, basis))
    places = {model: _places(model, basis, known) for model in sorted(parts)}
    demands: dict[str, dict[str, float]] = {}
    limits: dict[str, PoolLimits] = {}
    # What somebody means to set is set for the configured provider's pool.
    meant = {_pool(model, basis, known): basis.limits[model] for model in reversed(places) if model in basis.limits}
    for model, at in places.items():
        for place in at:
            demand = demands.setdefault(place.pool, dict.fromkeys(DIMENSIONS, 0.0))
            for name, units in _demand(parts[model]).items():
                demand[name] += units * place.part
            limits.setdefault(place.pool, meant.get(place.pool, PoolLimits()).over(place.limits))
    times = {pool: _Time(pool, *_time(demands[pool], limits[pool])) for pool in demands}
    models = [_model(model, parts[model], _slowest([times[p.pool] for p in at])) for model, at in places.items()]
    return InputEstimate(models, basis.base_url == SANDBOX)


class _Place(NamedTuple):
    """A pool that takes this part of a model's jobs, and what is known of its limits."""

    pool: str
    part: float
    limits: PoolLimits


class _Time(NamedTuple):
    pool: str
    seconds: float | None
    by: str | None


def _slowest(times: Sequence[_Time]) -> _Time:
    """Pools of which no limit is known are left out, unless there are no others."""
    return max(times, key=lambda time: -1.0 if time.seconds is None else time.seconds)


def _places(model: str, basis: Basis, known: Catalog) -> list[_Place]:
    if model in basis.routes:
        return [_Place(row.pool, part, row.limits) for row, part in basis.routes[model]]
    return [_Place(_pool(model, basis, known), 1.0, _known_limits(model, basis, known))]


class _Part(NamedTuple):
    totals: Totals
    input_tokens: int
    output_tokens: int
    tokens: float
    low_usd: Decimal
    expected_usd: Decimal
    is_calibrated: bool


def _part(group: Group, totals: Totals, basis: Basis) -> _Part:
    price = basis.prices.price_for(group.model, group.tier, basis.on)
    low = _low(totals, price)
    seen = _seen(group, basis)
    if seen.samples < ENOUGH_CALLS or totals.tokens == 0:
        expected = max(low, min(totals.expected_usd, totals.upper_usd))
        return _Part(totals, totals.input_tokens, totals.output_tokens, totals.tokens, low, expected, False)
    tokens = clamped(seen.ratio) * totals.tokens
    output = min(tokens, totals.requests * seen.output_tokens_mean)
    tokens_in, tokens_out = round(tokens - output), round(output)
    expected = max(low, min(_usd(tokens_in, tokens_out, price, totals), totals.upper_usd))
    return _Part(totals, tokens_in, tokens_out, tokens, low, expected, True)


def _seen(group: Group, basis: Basis) -> Calibration:
    """What such calls took; where a route deals the jobs out, each deployment's calls by its part of them."""
    row = basis.deployments.get(group.model)
    places = basis.routes.get(group.model) or ([(row, 1.0)] if row is not None else [])
    known = [(found, part) for at, part in places if (found := basis.calibrations.get((at.id, group.url, group.kind)))]
    parts = sum(part for _, part in known)
    if parts <= 0:
        return Calibration()
    return Calibration(
        ratio=sum(found.ratio * part for found, part in known) / parts,
        samples=sum(found.samples for found, _ in known),
        output_tokens_mean=sum(found.output_tokens_mean * part for found, part in known) / parts,
    )


def _low(totals: Totals, price: PriceRow) -> Decimal:
    if totals.images and price.per_image:
        return totals.expected_usd
    least_out = totals.output_tokens // _LEAST_PICTURE_SHARE if totals.images else totals.requests
    return min(_usd(totals.input_tokens, least_out, price, totals), totals.upper_usd)


def _usd(tokens_in: int, tokens_out: int, price: PriceRow, totals: Totals) -> Decimal:
    if totals.images and price.per_image:
        return totals.expected_usd
    output_usd = price.image_output_usd if totals.images else price.output_usd
    return per_million(tokens_in, price.input_usd or _ZERO) + per_million(tokens_out, output_usd or _ZERO)


def _demand(parts: Sequence[_Part]) -> dict[str, float]:
    requests = sum(part.totals.requests for part in parts)
    tokens = sum(part.tokens for part in parts)
    images = sum(part.totals.images for part in parts)
    return {"rpm": requests, "tpm": tokens, "ipm": images, "rpd": requests, "tpd": tokens}


def _time(demand: Mapping[str, float], limits: PoolLimits) -> tuple[float | None, str | None]:
    needed = {
        name: _seconds(units, period, getattr(limits, name))
        for name, period in DIMENSIONS.items()
        if getattr(limits, name) is not None and (units := demand[name]) > 0
    }
    if not needed:
        return None, None
    by = max(needed, key=lambda name: needed[name])
    return needed[by], by


def _seconds(units: float, period: float, limit: float) -> float:
    if period == _DAY_SECONDS:
        return max(0.0, units / limit - 1) * period
    return units / limit * period


def _pool(model: str, basis: Basis, known: Catalog) -> str:
    row = basis.deployments.get(model)
    return row.pool if row is not None else pool_name(basis.base_url, known.pool_of(model))


def _known_limits(model: str, basis: Basis, known: Catalog) -> PoolLimits:
    row = basis.deployments.get(model)
    if row is not None:
        return row.limits
    official = urlsplit(basis.base_url).hostname == urlsplit(OPENAI_BASE_URL).hostname
    return pool_limits({}, known.limits_for(model) if official else {})


def _model(model: str, parts: Sequence[_Part], time: _Time) -> ModelEstimate:
    pool, seconds, by = time
    return ModelEstimate(
        model=model,
        requests=sum(part.totals.requests for part in parts),
        input_tokens=sum(part.input_tokens for part in parts),
        output_tokens=sum(part.output_tokens for part in parts),
        images=sum(part.totals.images for part in parts),
        low_usd=sum((part.low_usd for part in parts), _ZERO),
        expected_usd=sum((part.expected_usd for part in parts), _ZERO),
        upper_usd=sum((part.totals.upper_usd for part in parts), _ZERO),
        pool=pool,
        seconds=seconds,
        by=by,
        is_calibrated=all(part.is_calibrated for part in parts),
    )
