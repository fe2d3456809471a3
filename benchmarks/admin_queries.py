"""How long what people ask takes on the books of a big installation: every query behind the command line's lists.

    python -m benchmarks admin_queries [--jobs 1000000] [--repeat 30] [--only list_jobs]

The books are written straight into the tables (admin_books.py): a minute per million jobs, on a local stack of the
benchmark's own. Each query is the function that the commands call, with its arguments, twice to warm up and then
`--repeat` times, with other arguments each time where it has any; p95 of at most 100 ms is the bar at 5 million jobs.
Whatever takes longer than 20 s is cut short and counts as 20.
"""

import argparse
import math
import random
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import islice
from uuid import UUID

from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import OperationalError

from benchmarks import admin_books
from benchmarks.report import print_table, write_json
from migrations.migrate import upgrade
from models import DEFAULT_PROJECT_ID, FINAL_STATES, BatchState, JobState
from pressroom.batches import find, pages
from pressroom.database import connect
from pressroom.jobs import alerts, at_risk, budgets, deployments, job_lists, overview, queries, spending
from pressroom.jobs.selection import UNSUCCESSFUL, Selection
from pressroom.limits.messages import PoolStatus
from pressroom.local_stack import LocalStack

_BAR_MS = 100.0
_CAP_SECONDS = 20.0
_ENOUGH_SECONDS = 12.0
_UNFINISHED = set(JobState) - FINAL_STATES

Ask = Callable[[Connection, "Known"], object]


@dataclass(frozen=True, slots=True)
class Known:
    """Arguments of one round, of things that are on the books."""

    project: UUID
    tiny: UUID
    big_batch: UUID
    busy_batch: UUID
    batch: UUID
    fingerprint: str
    job: UUID
    page: UUID
    day: datetime


@dataclass(frozen=True, slots=True)
class Timing:
    """Milliseconds of one query."""

    name: str
    rounds: int
    p50_ms: float
    p95_ms: float

    @property
    def holds(self) -> bool:
        """Whether it is within the bar."""
        return self.p95_ms <= _BAR_MS


def main() -> None:
    """Fill, ask, report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=1_000_000)
    parser.add_argument("--repeat", type=int, default=30)
    parser.add_argument("--only", default="", help="queries whose names contain this")
    options = parser.parse_args()
    stack = LocalStack(tempfile.mkdtemp(prefix="pressroom-bench-"))
    try:
        urls = stack.acquire()
        upgrade(urls.database_url)
        engine = connect(urls.database_url, application="benchmark")
        began = time.monotonic()
        for done in admin_books.fill(engine, options.jobs, base_ms=time.time_ns() // 1_000_000):
            print(f"{time.monotonic() - began:6.1f} s: {done}", flush=True)
        asked = {name: ask for name, ask in _asked().items() if options.only in name}
        timings = [_time(engine, name, ask, options) for name, ask in asked.items()]
        engine.dispose()
    finally:
        stack.wipe()
    rows = [(t.name, t.p50_ms, t.p95_ms, "" if t.holds else "over") for t in timings]
    print_table(f"{options.jobs:,} jobs", ("query", "p50 ms", "p95 ms", f"bar {_BAR_MS:.0f} ms"), rows)
    write_json("admin_queries", vars(options), [asdict(t) for t in timings])


def _time(engine: Engine, name: str, ask: Ask, options: argparse.Namespace) -> Timing:
    """Rounds until there are enough, or enough time has gone by."""
    rounds = random.Random(name)
    seconds: list[float] = []
    with engine.connect() as conn:
        for number in range(options.repeat + 2):
            known = _known(conn, rounds)
            conn.exec_driver_sql(f"SET LOCAL statement_timeout = '{_CAP_SECONDS:.0f}s'")
            began = time.monotonic()
            try:
                ask(conn, known)
                took = time.monotonic() - began
            except OperationalError:
                took = _CAP_SECONDS
            conn.rollback()
            if number >= 2:
                seconds.append(took)
            if sum(seconds) > _ENOUGH_SECONDS or took >= _CAP_SECONDS:
                seconds = seconds or [took]
                break
    seconds.sort()
    middle, late = (seconds[min(len(seconds) - 1, math.floor(share * len(seconds)))] for share in (0.5, 0.95))
    timing = Timing(name, len(seconds), 1000 * middle, 1000 * late)
    print(f"{name}: {timing.p50_ms:.1f} / {timing.p95_ms:.1f} ms", flush=True)
    return timing


def _known(conn: Connection, rounds: random.Random) -> Known:
    """Other things each time. Not a part of what is timed."""
    made = {row.no: row for row in conn.execute(text("SELECT no, id, first, last, project_id FROM made_batches"))}
    ours = [row for row in made.values() if row.project_id == DEFAULT_PROJECT_ID]
    batch, newest = rounds.choice(ours), max(made)
    number = rounds.randint(batch.first, batch.last)
    made_id = text("SELECT made_id(1, :n)")
    return Known(
        project=DEFAULT_PROJECT_ID,
        tiny=made[admin_books.TINY_BATCH].project_id,
        big_batch=made[1].id,
        busy_batch=made[newest - newest % 3 - 2].id,
        batch=batch.id,
        fingerprint=conn.execute(text("SELECT md5(:no)"), {"no": str(batch.no)}).scalar_one(),
        job=conn.execute(made_id, {"n": number}).scalar_one(),
        page=conn.execute(made_id, {"n": rounds.randint(1, made[newest].last)}).scalar_one(),
        day=datetime.now(UTC) - timedelta(days=rounds.randint(1, 360)),
    )


def _asked() -> dict[str, Ask]:
    """By name, in the order of the modules."""
    return _of_batches() | _of_jobs() | _of_money() | _of_deployments() | _of_files()


def _of_batches() -> dict[str, Ask]:
    return {
        "find_project": lambda conn, _: queries.find_project(conn, admin_books.TINY),
        "find_batch": lambda conn, k: queries.find_batch(conn, k.project, k.batch),
        "list_batches": lambda conn, k: queries.list_batches(conn, k.project),
        "list_batches, tiny project": lambda conn, k: queries.list_batches(conn, k.tiny),
        "list_batches, cancelled": lambda conn, k: queries.list_batches(
            conn, k.project, states=[BatchState.CANCELLED], limit=20
        ),
        "list_batches, a late page": lambda conn, k: queries.list_batches(conn, k.project, before=k.batch),
        "batch_progress, the one in work": lambda conn, k: queries.batch_progress(conn, k.project, k.busy_batch),
        "batch_progress, any": lambda conn, k: queries.batch_progress(conn, k.project, k.batch),
    }


def _of_jobs() -> dict[str, Ask]:
    """The lists and the counts of the same selections."""
    one_day = timedelta(days=1)
    which: dict[str, Callable[[Known], Selection]] = {
        "all": lambda k: Selection(k.project),
        "tiny project": lambda k: Selection(k.tiny),
        "queued": lambda k: Selection(k.project, states=[JobState.QUEUED]),
        "running": lambda k: Selection(k.project, states=[JobState.RUNNING]),
        "failed": lambda k: Selection(k.project, states=[JobState.FAILED]),
        "failed, tiny project": lambda k: Selection(k.tiny, states=[JobState.FAILED]),
        "succeeded": lambda k: Selection(k.project, states=[JobState.SUCCEEDED]),
        "of a batch": lambda k: Selection(k.project, batch_id=k.batch),
        "of the largest batch": lambda k: Selection(k.project, batch_id=k.big_batch),
        "failed, of the largest batch": lambda k: Selection(k.project, batch_id=k.big_batch, states=[JobState.FAILED]),
        "of a common model": lambda k: Selection(k.project, model="gpt-4o-mini"),
        "of a rare model": lambda k: Selection(k.project, model="gpt-5.4-nano"),
        "with a common error": lambda k: Selection(k.project, error_code=admin_books.COMMON_ERROR),
        "with a rare error": lambda k: Selection(k.project, error_code=admin_books.RARE_ERROR),
        "with no such error": lambda k: Selection(k.project, error_code=admin_books.NO_ERROR),
        "of one day": lambda k: Selection(k.project, created_from=k.day, created_until=k.day + one_day),
    }
    lists = {f"list_jobs, {name}": _listing(chosen) for name, chosen in which.items()}
    counts = {f"before a cancel, {name}": _counting(chosen, _UNFINISHED) for name, chosen in which.items()}
    counts |= {f"before a retry, {name}": _counting(chosen, UNSUCCESSFUL) for name, chosen in which.items()}
    late: dict[str, Ask] = {
        "list_jobs, a late page": lambda conn, k: queries.list_jobs(conn, Selection(k.project), before=k.page),
        "find_job": lambda conn, k: queries.find_job(conn, k.project, k.job),
    }
    return lists | late | counts


def _listing(chosen: Callable[[Known], Selection]) -> Ask:
    return lambda conn, known: queries.list_jobs(conn, chosen(known))


def _counting(chosen: Callable[[Known], Selection], states: Iterable[JobState]) -> Ask:
    return lambda conn, known: job_lists.count_jobs(conn, chosen(known), states)


def _of_money() -> dict[str, Ask]:
    by = spending.CostsBy

    def month(conn: Connection, k: Known) -> object:
        first: date = k.day.date()
        return spending.costs(conn, [by.DAY], project_id=k.project, since=first, until=first + timedelta(days=30))

    def month_at_risk(conn: Connection, k: Known) -> object:
        first: date = k.day.date()
        return at_risk.at_risk_between(conn, [1, 2, 3, 4], first, first + timedelta(days=30))

    return {
        "costs by model": lambda conn, _: spending.costs(conn, [by.MODEL]),
        "costs by day and model": lambda conn, _: spending.costs(conn, [by.DAY, by.MODEL]),
        "costs by project": lambda conn, _: spending.costs(conn, [by.PROJECT]),
        "costs by batch": lambda conn, k: spending.costs(conn, [by.BATCH], project_id=k.project),
        "costs of a month by day": month,
        "batch_costs": lambda conn, k: spending.batch_costs(conn, k.busy_batch),
        "batch_costs, the largest": lambda conn, k: spending.batch_costs(conn, k.big_batch),
        "calls at risk of a month": month_at_risk,
        "list_budgets": lambda conn, _: budgets.list_budgets(conn),
        "budgets_of_batch": lambda conn, k: budgets.budgets_of_batch(conn, k.busy_batch, is_sandbox=False),
        "waiting_for, budgets": lambda conn, k: budgets.waiting_for(conn, k.busy_batch),
    }


def _of_deployments() -> dict[str, Ask]:
    def waiting(conn: Connection, _: Known) -> object:
        return deployments.waiting_jobs(conn, deployments.list_deployments(conn)[0])

    return {
        "list_deployments": lambda conn, _: deployments.list_deployments(conn),
        "waiting_jobs": waiting,
        "remaining": lambda conn, k: deployments.remaining(conn, k.busy_batch),
        "remaining, the largest": lambda conn, k: deployments.remaining(conn, k.big_batch),
        "overview": lambda conn, _: overview.overview(conn, lambda pool: PoolStatus(pool, False)),
        "list_alerts": lambda conn, _: alerts.list_alerts(conn),
    }


def _of_files() -> dict[str, Ask]:
    return {
        "find_batches, by input": lambda conn, k: find.find_batches(conn, k.project, k.fingerprint),
        "batch_facts, the largest": lambda conn, k: pages.batch_facts(conn.engine, k.big_batch),
        "job_pages, the first page": lambda conn, k: list(islice(pages.job_pages(conn.engine, k.batch), 1)),
        "pictures_of, a page": lambda conn, k: list(islice(pages.pictures_of(conn.engine, k.big_batch), pages.PAGE)),
    }


if __name__ == "__main__":
    main()
