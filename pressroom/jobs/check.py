"""Whether a request can be accepted, and what it will take: what every door asks before it stores a job."""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any, NamedTuple

from pressroom.catalog.load import Catalog, other_models
from pressroom.errors import Problem
from pressroom.money.budgets import Ceiling, dollars
from pressroom.money.cost import UnpricedUsage
from pressroom.money.price_book import PriceBook
from pressroom.money.prices import PriceRow, UnknownPrice, price_command
from pressroom.operations import chat, checks
from pressroom.operations.base import Estimate
from pressroom.operations.registry import SUPPORTED_URLS, operation_for

MAX_TOKENS = 2_147_483_647
"""What `jobs.est_tokens` holds."""

_MAX_NAME_CHARACTERS = 200
_REMEMBERED = 1000
"""Refusals kept: looking for the nearest name takes longer than a whole good line."""

_BATCH_TIER = "batch"
"""Has prices, but belongs to the provider's own batches: no request may ask for it."""

_KINDS = {chat.URL: ("input_usd", "output_usd")}
"""What a price must have at an endpoint; all others make pictures."""


class NewJobDraft(NamedTuple):
    """A request that can be accepted, with its estimate. A tuple: one is made for every line of a batch."""

    url: str
    model: str
    estimate: Estimate


class RequestChecker:
    """Checks and prices requests for one provider on one day. Keeps what it learns of each model; not thread-safe."""

    def __init__(
        self,
        price_book: PriceBook,
        catalog: Catalog,
        base_url: str,
        on: date,
        *,
        served_by: Mapping[str, Sequence[str]] | None = None,
        ceiling: Ceiling | None = None,
    ) -> None:
        """`served_by`: the base URLs of models that have a route; all others are asked of `base_url`.

        `ceiling`: the lowest budget that the jobs come under.
        """
        self._price_book = price_book
        self._catalog = catalog
        self._base_url = base_url
        self._served_by = served_by or {}
        self._ceiling = ceiling
        self._on = on
        self._prices: dict[tuple[str, str | None], PriceRow] = {}
        self._refused: dict[tuple[str, str, str | None], list[Problem]] = {}

    def check(self, url: str, body: Mapping[str, Any]) -> NewJobDraft | list[Problem]:
        """The priced request, or everything that is wrong with it; the fields of `body` are named from its root."""
        operation = operation_for(url)
        if operation is None:
            remedy = f"Give one of: {', '.join(SUPPORTED_URLS)}"
            return [Problem("url", "is not supported", remedy, value=checks.shown(url), code="invalid_url")]
        problems = operation.problems(body)
        model, tier = body.get("model"), body.get("service_tier")
        if type(tier) is not str:
            tier = None
        if problems:
            # The price is looked up all the same, so that everything wrong shows at once.
            price = self._price(url, model, None) if type(model) is str and model else None
            return problems + price if type(price) is list else problems
        found = self._prices.get((model, tier)) or self._price(url, model, tier)  # type: ignore[arg-type]
        if isinstance(found, list):
            return found
        try:
            estimate = operation.estimate(body, found)
        except UnpricedUsage as error:
            remedy = "Or ask for something that has a price"
            return [Problem("model", str(error), remedy, value=checks.shown(model), code="unknown_price")]
        if estimate.tokens > MAX_TOKENS:
            return [_too_many_tokens(body, estimate)]
        if self._ceiling is not None and estimate.cost_usd > self._ceiling.cap_usd:
            return [_never_affordable(body, estimate, self._ceiling)]
        return NewJobDraft(url, model, estimate)  # type: ignore[arg-type]

    def _price(self, url: str, model: str, tier: str | None) -> PriceRow | list[Problem]:
        for name, value in (("model", model), ("service_tier", tier or "")):
            if len(value) > _MAX_NAME_CHARACTERS:
                reason = f"is longer than {_MAX_NAME_CHARACTERS} characters"
                return [Problem(name, reason, "Give the provider's name for it", value=checks.shown(value))]
        dead = [
            self._catalog.dead_model_problem(model, base_url, on=self._on)
            for base_url in self._served_by.get(model, [self._base_url])
        ]
        if dead[0] is not None and all(dead):
            return [dead[0]]
        try:
            price = self._price_book.price_for(model, tier, self._on)
        except UnknownPrice:
            key = (url, model, tier)
            if key not in self._refused:
                if len(self._refused) >= _REMEMBERED:
                    self._refused.clear()
                self._refused[key] = [self._unpriced(*key)]
            return self._refused[key]
        self._prices[model, tier] = price
        return price

    def _unpriced(self, url: str, model: str, tier: str | None) -> Problem:
        """Said to whoever asked for the model, who most often mistyped it, with what an operator would type."""
        command = price_command(checks.shortened(model), *_KINDS.get(url, ("per_image",)), tier=tier or "default")
        add = f"Or add its price: {command}"
        tiers = [name for name in self._price_book.tiers(model, self._on) if name != _BATCH_TIER]
        if tiers and tier is not None:
            remedy = f"Leave it out, or give one of: {', '.join(tiers)}. {add}"
            reason = f"has no known price for {checks.shortened(model)}"
            return Problem("service_tier", reason, remedy, value=checks.shown(tier), code="unknown_price")
        if model in self._price_book.models() or self._catalog.model(model) is not None:
            remedy = f"Ask for one of: {', '.join(self._offered(url))}. {add}"
            reason = f"has no known price on {self._on.isoformat()}"
            return Problem("model", reason, remedy, value=checks.shown(model), code="unknown_price")
        remedy = f"{other_models(model, self._offered(url))}. {add}"
        return Problem("model", "is not a known model", remedy, value=checks.shown(model), code="model_not_found")

    def _offered(self, url: str) -> list[str]:
        """What can be asked for at this endpoint: the catalog's models, and those that only an operator has priced."""
        own = sorted(name for name in self._price_book.models() if self._catalog.model(name) is None)
        return own + [
            name
            for name in self._catalog.priced(url)
            if self._catalog.dead_model_problem(name, self._base_url, on=self._on) is None
        ]


def _too_many_tokens(body: Mapping[str, Any], estimate: Estimate) -> Problem:
    field = "max_completion_tokens" if body.get("max_completion_tokens") is not None else "max_tokens"
    reason = f"makes the request {estimate.tokens} tokens large, more than the {MAX_TOKENS} that a job may take"
    return Problem(field, reason, "Ask for fewer", value=checks.shown(body.get(field)))


def _never_affordable(body: Mapping[str, Any], estimate: Estimate, ceiling: Ceiling) -> Problem:
    """No budget could ever hold its upper bound; one that only has too little left now is waited for."""
    names = ("max_completion_tokens", "max_tokens") if "messages" in body else ("n", "size")
    field = next((name for name in names if body.get(name) is not None), names[-1])
    reason = (
        f"lets the request cost up to {dollars(estimate.cost_usd)}, more than the whole {ceiling.name} "
        f"({dollars(ceiling.cap_usd)})"
    )
    if body.get(field) is None:
        reason, less = f"is not set, and {reason}", "Set it, as low as will do,"
        return Problem(field, reason, f"{less} or {ceiling.remedy}", code="over_budget")
    remedy = f"Ask for less, or {ceiling.remedy}"
    return Problem(field, reason, remedy, value=checks.shown(body[field]), code="over_budget")
