"""Take a file in: every line checked and priced, then stored as one batch, or nothing at all."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from itertools import chain
from pathlib import Path
from typing import Protocol
from uuid import UUID

import orjson
from sqlalchemy import Connection, Engine, text

from models import DEFAULT_PROJECT_ID, BudgetScope, PriorityClass
from pressroom.batches.duplicates import duplicates_in_table
from pressroom.batches.find import KnownBatch, find_batches, fingerprint
from pressroom.batches.input_line import InputLine
from pressroom.batches.read_input import InputKind, PromptOptions, kind_of, read_lines
from pressroom.batches.sieve import Refused, Sieve
from pressroom.catalog.load import catalog
from pressroom.errors import InvalidInput, NotFound, Problem
from pressroom.events.outbox import record_batches
from pressroom.ids import new_id
from pressroom.jobs.budgets import BudgetKey, ceiling, set_budget
from pressroom.jobs.check import RequestChecker
from pressroom.jobs.destination import ResolvedAsNeeded
from pressroom.jobs.estimate import InputEstimate, estimate, load_basis
from pressroom.jobs.route import routed_endpoints
from pressroom.jobs.submit import CHUNK, CHUNK_CHARACTERS, Destination, Inserted, NewJob, insert_jobs
from pressroom.limits.pool_limits import PoolLimits
from pressroom.money.budgets import Ceiling
from pressroom.money.price_book import PriceBook, load_price_book, sync_catalog_prices
from pressroom.operations.checks import metadata as metadata_problem

__all__ = [
    "BatchEntry",
    "IngestOptions",
    "IngestedBatch",
    "Input",
    "KnownBatch",
    "find_batches",
    "fingerprint",
    "ingest",
    "take_in",
]

_INSERT_BATCH = text(
    """
    INSERT INTO batches (id, project_id, state, input_name, fingerprint, metadata, total, est_cost_usd, deadline)
    VALUES (:id, :project_id, 'in_progress', :input_name, :fingerprint, CAST(:metadata AS jsonb), 0, 0, :deadline)
    """
)

_COMPLETE_BATCH = text(
    """
    UPDATE batches SET total = :total, est_cost_usd = :est_cost_usd, endpoint = :endpoint, model = :model,
      in_progress_at = clock_timestamp() WHERE id = :id
    """
)


@dataclass(frozen=True, slots=True)
class IngestOptions:
    """Where a batch's jobs go and how they are treated. `base_url` is `Settings.provider`."""

    base_url: str
    project_id: UUID = DEFAULT_PROJECT_ID
    priority_class: PriorityClass = PriorityClass.NORMAL
    max_attempts: int = 5
    metadata: Mapping[str, str] = field(default_factory=dict)
    deadline: datetime | None = None
    priority: int = 0
    budget_usd: Decimal | None = None
    """What the batch may cost at most; its jobs wait when that is used up."""
    limits: Mapping[str, PoolLimits] = field(default_factory=dict)
    """Limits by model that will be in force when the work begins: the review reckons with them."""
    api_key_id: UUID | None = None
    """Who submitted it, whose budget its jobs are under too."""


Review = Callable[[Connection, InputEstimate], None]
"""Sees what a batch would cost before it is on the books, and may take its time. Whatever it raises undoes it all."""


@dataclass(frozen=True, slots=True)
class Input:
    """Lines to take in, and what they are called in problems."""

    name: str
    kind: InputKind
    lines: Iterator[InputLine]


@dataclass(frozen=True, slots=True)
class Figures:
    """What a batch turned out to be. `endpoint` and `model` are None where there are several."""

    total: int
    est_cost_usd: Decimal
    endpoint: str | None
    model: str | None


class BatchEntry(Protocol):
    """How a batch's row comes on the books: made by whoever submits, or there before its lines are read."""

    @property
    def id(self) -> UUID:
        """The batch's."""
        ...

    def begin(self, conn: Connection) -> None:
        """Called first in the transaction that stores the jobs."""
        ...

    def complete(self, conn: Connection, figures: Figures) -> None:
        """Called last, before the jobs can be seen. What it raises undoes it all."""
        ...


@dataclass(frozen=True, slots=True)
class IngestedBatch:
    """A batch that is on the books. `est_cost_usd` is the upper bound, `expected_usd` the likely figure."""

    id: UUID
    total: int
    est_cost_usd: Decimal
    expected_usd: Decimal
    models: dict[str, int]


def ingest(
    engine: Engine,
    path: Path,
    *,
    prompt_options: PromptOptions | None = None,
    options: IngestOptions,
    fingerprint: str | None = None,
    max_problems: int = 20,
    today: date | None = None,
    review: Review | None = None,
) -> IngestedBatch:
    """Store the file's jobs as one batch, in one transaction and in flat memory.

    `fingerprint` saves computing it when the caller already has; the rest is as of `take_in`.
    """
    prompts = prompt_options if prompt_options is not None else PromptOptions()
    _refuse_metadata(options)
    mark = fingerprint if fingerprint is not None else _fingerprint(path, prompts, options.base_url)
    return take_in(
        engine,
        Input(path.name, kind_of(path), read_lines(path, prompts)),
        _NewRow(new_id(), _storable(path.name), mark, options),
        options=options,
        max_problems=max_problems,
        today=today,
        review=review,
    )


_fingerprint = fingerprint


def take_in(
    engine: Engine,
    given: Input,
    entry: BatchEntry,
    *,
    options: IngestOptions,
    max_problems: int = 20,
    today: date | None = None,
    review: Review | None = None,
) -> IngestedBatch:
    """Store the jobs of the lines as the batch of `entry`, in one transaction and in flat memory.

    The first chunk of lines is checked before the database is written to; a bad line after that rolls everything
    back, and the rest is still checked. `today` is the day of the prices (UTC). Raises InvalidInput with at most
    `max_problems` problems, NotFound for an unknown project.
    """
    prices, served_by, most = _prepare(engine, options)
    day = today or datetime.now(UTC).date()
    checker = RequestChecker(prices, catalog(), options.base_url, day, served_by=served_by, ceiling=most)
    sieve = Sieve(checker, given.kind, max_problems=max(1, max_problems), deadline=options.deadline)
    expected_usd = Decimal(0)
    try:
        jobs = sieve.accept(given.lines)
        head = _first_chunk(jobs)
        if not head:
            raise InvalidInput([_nothing_in_it()], source=given.name)
        with engine.begin() as conn:
            entry.begin(conn)

            def complete(inserted: Inserted) -> None:
                nonlocal expected_usd
                if sieve.unseen_ids:
                    sieve.refuse_all(*duplicates_in_table(conn, entry.id, limit=max(1, max_problems)))
                entry.complete(conn, _figures(inserted, sieve))
                routed = (options.project_id, sieve.models)
                basis = load_basis(conn, options.base_url, day, prices, routed=routed, limits=options.limits)
                found = estimate(sieve.tally, basis)
                expected_usd = found.expected_usd
                if review is not None:
                    review(conn, found)

            inserted = _insert(conn, chain(head, jobs), engine, (entry.id, options), complete=complete)
            record_batches(conn, [entry.id])
    except Refused:
        sieve.check_rest(given.lines)
        raise InvalidInput(sieve.problems, source=given.name, more=sieve.more) from None
    return IngestedBatch(entry.id, inserted.total, inserted.est_cost_usd, expected_usd, dict(sieve.models))


@dataclass(frozen=True, slots=True)
class _NewRow:
    """A batch that comes on the books with its jobs."""

    id: UUID
    input_name: str
    fingerprint: str
    options: IngestOptions

    def begin(self, conn: Connection) -> None:
        options = self.options
        row = {
            "id": self.id,
            "project_id": options.project_id,
            "input_name": self.input_name,
            "fingerprint": self.fingerprint,
            "deadline": options.deadline,
        }
        conn.execute(_INSERT_BATCH, row | {"metadata": orjson.dumps(dict(options.metadata)).decode()})
        if options.budget_usd is not None:
            set_budget(conn, BudgetKey(BudgetScope.BATCH, self.id), options.budget_usd)

    def complete(self, conn: Connection, figures: Figures) -> None:
        row = {"total": figures.total, "est_cost_usd": figures.est_cost_usd, "id": self.id}
        conn.execute(_COMPLETE_BATCH, row | {"endpoint": figures.endpoint, "model": figures.model})


def _first_chunk(jobs: Iterator[NewJob]) -> list[NewJob]:
    head: list[NewJob] = []
    room = CHUNK_CHARACTERS
    while room > 0 and len(head) < CHUNK and (job := next(jobs, None)) is not None:
        head.append(job)
        room -= len(job.body)
    return head


def _figures(inserted: Inserted, sieve: Sieve) -> Figures:
    endpoints, names = {group.url for group in sieve.tally.groups}, list(sieve.models)
    return Figures(
        inserted.total,
        inserted.est_cost_usd,
        endpoints.pop() if len(endpoints) == 1 else None,
        names[0] if len(names) == 1 else None,
    )


def _refuse_metadata(options: IngestOptions) -> None:
    problem = metadata_problem("metadata", dict(options.metadata))
    if problem is not None:
        raise InvalidInput([problem])


def _prepare(engine: Engine, options: IngestOptions) -> tuple[PriceBook, dict[str, list[str]], Ceiling | None]:
    """The prices, the endpoints of models with a route, and what a job may cost to be able to start at all.

    Raises NotFound for an unknown project.
    """
    with engine.begin() as conn:
        known = conn.execute(text("SELECT 1 FROM projects WHERE id = :id"), {"id": options.project_id}).scalar()
        if known is None:
            raise NotFound(f"there is no project {options.project_id}")
        sync_catalog_prices(conn)
        most = ceiling(conn, options.project_id, api_key_id=options.api_key_id, batch_usd=options.budget_usd)
        return load_price_book(conn), routed_endpoints(conn, options.project_id), most


def _insert(
    conn: Connection,
    jobs: Iterator[NewJob],
    engine: Engine,
    target: tuple[UUID, IngestOptions],
    *,
    complete: Callable[[Inserted], None],
) -> Inserted:
    batch_id, options = target
    destination = Destination(
        project_id=options.project_id,
        deployments=ResolvedAsNeeded(
            engine, options.base_url, project_id=options.project_id, priority_class=options.priority_class
        ),
        priority_class=options.priority_class,
        batch_id=batch_id,
        max_attempts=options.max_attempts,
        api_key_id=options.api_key_id,
    )
    if options.priority:
        jobs = (job._replace(priority=options.priority) for job in jobs)
    return insert_jobs(conn, jobs, destination, before_waking=complete)


def _storable(name: str) -> str:
    """A file name may hold bytes that are no text; the table may not."""
    return name.encode("utf-8", "replace").decode()


def _nothing_in_it() -> Problem:
    return Problem("file", "has no jobs in it", "Give at least one line", code="empty_file")
