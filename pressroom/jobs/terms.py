"""What single requests are checked, priced and placed by: per project and key, and kept for two seconds.

Prices, routes and budgets that somebody changes hold from the next two seconds on. Not thread-safe.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from uuid import UUID

from sqlalchemy import Connection, Engine

from models import PriorityClass
from pressroom.catalog.load import catalog
from pressroom.jobs.budgets import ceiling
from pressroom.jobs.check import RequestChecker
from pressroom.jobs.destination import ResolvedAsNeeded
from pressroom.jobs.express import ExpressLane
from pressroom.jobs.route import routed_endpoints
from pressroom.money.price_book import PriceBook, load_price_book, sync_catalog_prices

KEPT_SECONDS = 2.0
_REMEMBERED = 1000


@dataclass(frozen=True, slots=True)
class TermsKey:
    """Whose requests, and how urgent."""

    project_id: UUID
    api_key_id: UUID | None
    priority_class: PriorityClass


@dataclass(frozen=True, slots=True)
class Terms:
    """A checker with today's prices, and where the jobs of each model go."""

    checker: RequestChecker
    deployments: ResolvedAsNeeded
    lanes: dict[int, ExpressLane] = field(default_factory=dict)
    """By deployment, as they are found."""


def utc_today() -> date:
    """The day of the prices."""
    return datetime.now(UTC).date()


class TermsBook:
    """Makes terms and keeps them. For one thread."""

    def __init__(
        self,
        database: Engine,
        base_url: str,
        *,
        clock: Callable[[], float] = time.monotonic,
        today: Callable[[], date] = utc_today,
    ) -> None:
        """`base_url` is `Settings.provider`."""
        self._database = database
        self._base_url = base_url
        self._clock, self._today = clock, today
        self._prices: PriceBook | None = None
        self._kept: dict[TermsKey, tuple[float, Terms]] = {}

    def of(self, key: TermsKey) -> Terms:
        """The terms in force. Raises what an unreachable database raises."""
        now = self._clock()
        kept = self._kept.get(key)
        if kept is not None and now < kept[0]:
            return kept[1]
        if len(self._kept) >= _REMEMBERED:
            self._kept.clear()
        terms = self._make(key)
        self._kept[key] = now + KEPT_SECONDS, terms
        return terms

    def _make(self, key: TermsKey) -> Terms:
        with self._database.begin() as conn:
            prices = self._renewed(conn)
            served_by = routed_endpoints(conn, key.project_id)
            most = ceiling(conn, key.project_id, api_key_id=key.api_key_id)
        checker = RequestChecker(prices, catalog(), self._base_url, self._today(), served_by=served_by, ceiling=most)
        deployments = ResolvedAsNeeded(
            self._database, self._base_url, project_id=key.project_id, priority_class=key.priority_class
        )
        return Terms(checker, deployments)

    def _renewed(self, conn: Connection) -> PriceBook:
        if self._prices is None:
            sync_catalog_prices(conn)
            self._prices = load_price_book(conn)
        else:
            self._prices.renew(conn)
        return self._prices
