"""Which models a project may ask for: priced, of a known kind, and served by an endpoint that still has them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from uuid import UUID

from sqlalchemy import Connection

from pressroom.catalog.load import Alive, Catalog, catalog
from pressroom.errors import NotFound
from pressroom.jobs.deployments import list_deployments
from pressroom.jobs.route import routed_endpoints
from pressroom.money.price_book import PriceBook, catalog_price_book, load_price_book
from pressroom.money.prices import UnknownPrice
from pressroom.operations.checks import shortened
from pressroom.operations.registry import SUPPORTED_URLS

_OFFICIAL_OWNER, _OTHER_OWNER = "openai", "pressroom"


@dataclass(frozen=True, slots=True)
class OfferedModel:
    """`since` is the day of its oldest price; `shutdown` the last announced end of those that may serve it."""

    name: str
    since: date
    owned_by: str
    shutdown: date | None


def offered_models(
    conn: Connection, project_id: UUID, *, base_url: str, on: date, known: Catalog | None = None
) -> list[OfferedModel]:
    """By name."""
    known = known if known is not None else catalog()
    prices = load_price_book(conn)
    if not prices.models():
        prices = catalog_price_book(known)  # nothing was submitted yet
    routed = routed_endpoints(conn, project_id)
    names = {*known.models, *prices.models(), *routed, *(row.model for row in list_deployments(conn))}
    found = [_offer(name, routed.get(name, [base_url]), prices, on=on, known=known) for name in sorted(names)]
    return [model for model in found if model is not None]


def offered_model(conn: Connection, project_id: UUID, name: str, *, base_url: str, on: date) -> OfferedModel:
    """One of them. Raises NotFound."""
    for model in offered_models(conn, project_id, base_url=base_url, on=on):
        if model.name == name:
            return model
    raise NotFound(f"the model {shortened(name)!r} is not offered here: GET /v1/models lists all that are")


def _offer(name: str, base_urls: Sequence[str], prices: PriceBook, *, on: date, known: Catalog) -> OfferedModel | None:
    try:
        prices.price_for(name, None, on)
    except UnknownPrice:
        return None
    entry = known.model(name)
    if entry is not None and not set(entry.endpoints) & set(SUPPORTED_URLS):
        return None
    lives = [life for url in base_urls if isinstance(life := known.lifecycle(name, url, on=on), Alive)]
    if not lives:
        return None
    ends = [life.shutdown for life in lives]
    shutdown = max((end for end in ends if end is not None), default=None) if all(ends) else None
    owner = _OFFICIAL_OWNER if entry is not None else _OTHER_OWNER
    return OfferedModel(name, prices.since(name), owner, shutdown)
