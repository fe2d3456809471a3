"""What an input would cost and how long it would take: read as a submission reads it, and nothing of it stored."""

from collections import deque
from collections.abc import Mapping
from datetime import UTC, date, datetime
from pathlib import Path
from uuid import UUID

from sqlalchemy import Connection

from models import DEFAULT_PROJECT_ID
from pressroom.batches.read_input import PromptOptions, kind_of, read_lines
from pressroom.batches.sieve import Refused, Sieve
from pressroom.catalog.load import catalog
from pressroom.errors import InvalidInput, Problem
from pressroom.jobs.budgets import ceiling
from pressroom.jobs.check import RequestChecker
from pressroom.jobs.estimate import InputEstimate, estimate, load_basis
from pressroom.jobs.route import routed_endpoints
from pressroom.limits.pool_limits import PoolLimits
from pressroom.money.price_book import load_price_book


def survey(
    conn: Connection,
    path: Path,
    prompts: PromptOptions,
    *,
    base_url: str,
    project_id: UUID = DEFAULT_PROJECT_ID,
    limits: Mapping[str, PoolLimits] | None = None,
    max_problems: int = 20,
    today: date | None = None,
) -> InputEstimate:
    """Read the whole file in flat memory; the price table must hold the catalog's.

    Ids are compared only as far as they fit in memory: a submission finds the rest. Raises InvalidInput as one would.
    """
    day = today or datetime.now(UTC).date()
    prices = load_price_book(conn)
    served_by = routed_endpoints(conn, project_id)
    most = ceiling(conn, project_id)
    checker = RequestChecker(prices, catalog(), base_url, day, served_by=served_by, ceiling=most)
    sieve = Sieve(checker, kind_of(path), max_problems=max(1, max_problems))
    lines = read_lines(path, prompts)
    try:
        deque(sieve.accept(lines), maxlen=0)
    except Refused:
        sieve.check_rest(lines)
        raise InvalidInput(sieve.problems, source=path.name, more=sieve.more) from None
    if not sieve.models:
        problem = Problem("file", "has no jobs in it", "Give at least one line", code="empty_file")
        raise InvalidInput([problem], source=path.name)
    return estimate(
        sieve.tally, load_basis(conn, base_url, day, prices, routed=(project_id, sieve.models), limits=limits)
    )
