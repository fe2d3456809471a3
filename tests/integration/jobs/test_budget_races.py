"""Everybody at once on the same budgets: never over a cap, no deadlock, and nothing left reserved."""

import random
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from decimal import Decimal
from uuid import UUID

import pytest
from sqlalchemy import create_engine
from sqlalchemy.exc import DBAPIError

from models import DEFAULT_PROJECT_ID, BudgetPeriod, BudgetScope
from pressroom.jobs.budgets import BudgetKey, remove_budget, set_budget
from pressroom.jobs.end_early import cancel
from pressroom.jobs.holds import post_overdue
from pressroom.jobs.recover import take_back
from pressroom.jobs.selection import Selection
from tests.fixtures.budget_watch import BudgetWatch
from tests.fixtures.desk import EST_USD, Desk, success
from tests.integration.jobs.test_budgets import DAY, PROJECT, TOTAL, figures, put
from tests.integration.jobs.test_races import Worker

ENDED = "SELECT count(*) FROM jobs WHERE state IN ('succeeded', 'failed', 'cancelled', 'expired')"


def together(*work: Callable[[], object]) -> None:
    """Run all of it at once; whatever any of it raises is raised."""
    ready = threading.Barrier(len(work))

    def one(do: Callable[[], object]) -> None:
        ready.wait(20)
        do()

    with ThreadPoolExecutor(len(work)) as threads:
        for done in [threads.submit(one, do) for do in work]:
            done.result()


def over_and_over(work: Callable[[], object], until: threading.Event) -> Callable[[], None]:
    """Until told to stop."""

    def repeat() -> None:
        while not until.is_set():
            work()

    return repeat


class Honest(Worker):
    """Every call succeeds, at its upper bound or at a part of it."""

    def turn(self) -> None:
        """Dispatch, claim, start, settle."""
        jobs = self.desk.take(self.id)
        attempts = self.desk.start(jobs, self.id)
        for job in jobs:
            if job.id in attempts:
                where = self.desk.row("jobs", job.id).deployment_id
                self.desk.settle(success(job, attempts[job.id], cost_usd=self.cost(), deployment_id=where))

    def cost(self) -> Decimal:
        """All that was held, or a part."""
        return EST_USD * Decimal(self.rng.choice(["1", "0.1", "0.01"]))


# Checked before the call and added after it, 64 calls spent $4.006 of $1.00 (LiteLLM #18730, #34732).
@pytest.mark.parametrize("scope", list(BudgetScope))
def test_concurrent_dispatchers_never_exceed_a_cap(desk: Desk, database_url: str, scope: BudgetScope) -> None:
    desk.engine = create_engine(database_url, pool_size=12)
    desk.policy = replace(desk.policy, unlimited_ahead_jobs=10)
    models = ["gpt-4o-mini", "gpt-4o", "dall-e-2"]
    batches = [desk.submit(60, model=model) for model in models]
    desk.execute("UPDATE jobs SET api_key_id = :id", id=batches[0])
    owner = {PROJECT: DEFAULT_PROJECT_ID, BudgetScope.BATCH: batches[0], BudgetScope.API_KEY: batches[0]}.get(scope)
    watch = BudgetWatch(desk.engine)
    put(desk, "0.25", scope, owner)
    workers = [Honest(desk, number) for number in range(6)]

    def work(worker: Worker) -> Callable[[], None]:
        def turns() -> None:
            for _ in range(15):
                worker.turn()
                desk.sweep()

        return turns

    together(*[work(worker) for worker in workers])

    assert watch.states() > 20
    assert watch.at_cap(EST_USD) > 0
    assert watch.over_cap() == 0
    spent, reserved = figures(desk)
    assert (spent <= Decimal("0.25"), reserved) == (True, 0)
    assert desk.faults() == {}
    desk.engine.dispose()


@pytest.mark.parametrize("seed", [1, 2])
def test_careless_workers_changing_caps_cancels_and_losses_at_once(desk: Desk, database_url: str, seed: int) -> None:
    desk.engine = create_engine(database_url, pool_size=16)
    desk.policy = replace(desk.policy, unlimited_ahead_jobs=120)
    projects = [DEFAULT_PROJECT_ID, desk.project("other")]
    batches = [desk.submit(80, project=project, max_attempts=50) for project in projects for _ in range(2)]
    rng = random.Random(seed)
    stop = threading.Event()
    workers = [Worker(desk, seed * 10 + number) for number in range(3)]
    owners: Sequence[tuple[BudgetScope, UUID | None, BudgetPeriod]] = [
        (BudgetScope.INSTALLATION, None, DAY),
        *[(PROJECT, project, TOTAL) for project in projects],
        *[(BudgetScope.BATCH, batch, TOTAL) for batch in batches],
    ]

    def some_budget_changes() -> None:
        scope, owner, period = rng.choice(owners)
        with desk.engine.begin() as conn:
            if rng.random() < 0.3:
                remove_budget(conn, BudgetKey(scope, owner, period))
            else:
                set_budget(conn, BudgetKey(scope, owner, period), Decimal(rng.randint(0, 120)) / 100)

    def some_cancels() -> None:
        with desk.engine.begin() as conn:
            ids = list(conn.exec_driver_sql("SELECT id FROM jobs ORDER BY random() LIMIT 3").scalars())
            cancel(conn, Selection(project_id=rng.choice(projects), ids=ids))

    def some_worker_dies() -> None:
        desk.silence(rng.choice(workers).id)
        desk.sweep()

    def doubts_are_settled() -> None:
        with desk.engine.begin() as conn:
            post_overdue(conn, after_seconds=0)

    def work(number: int) -> Callable[[], None]:
        def turns() -> None:
            try:
                for turn in range(25):
                    if turn % 4 == 3:
                        workers[number] = Worker(desk, seed * 100 + number + turn)
                    workers[number].turn()
            finally:
                stop.set()

        return turns

    others = (some_budget_changes, some_cancels, some_worker_dies, doubts_are_settled)
    together(*[work(n) for n in range(3)], *[over_and_over(other, stop) for other in others])

    assert desk.faults() == {}
    for scope, owner, period in owners:
        with desk.engine.begin() as conn:
            remove_budget(conn, BudgetKey(scope, owner, period))
    with desk.engine.begin() as conn:
        take_back(conn, list(conn.exec_driver_sql("SELECT id FROM leases").scalars()))
    assert desk.scalar("SELECT count(*) FROM flows WHERE blocked_by IS NOT NULL") == 0
    assert desk.scalar("SELECT count(*) FROM holds WHERE state = 'held'") == 0
    assert desk.faults() == {}
    desk.engine.dispose()


# LiteLLM #34732, #40095: the first requests of a new budget went unreserved.
def test_the_first_use_of_a_new_period_by_many_opens_one_window(desk: Desk, database_url: str) -> None:
    desk.engine = create_engine(database_url, pool_size=12)
    for model in ("gpt-4o-mini", "gpt-4o", "dall-e-2", "gpt-4o-mini-2024-07-18"):
        desk.submit(5, model=model)
    put(desk, "0.07", period=DAY)
    put(desk, "0.07", BudgetScope.INSTALLATION, None, period=DAY)
    desk.execute("UPDATE budget_windows SET starts_at = starts_at - interval '1 day'")

    together(*[desk.dispatch] * 8)

    assert desk.scalar("SELECT count(*) FROM budget_windows WHERE starts_at = date_trunc('day', now(), 'UTC')") == 2
    assert desk.states()["leased"] == 3
    assert desk.faults() == {}
    desk.engine.dispose()


def test_a_budget_made_while_jobs_are_dispatched_misses_none_of_them(desk: Desk, database_url: str) -> None:
    desk.engine = create_engine(database_url, pool_size=12)
    desk.policy = replace(desk.policy, unlimited_ahead_jobs=20)
    for _ in range(4):
        desk.submit(40)
    worker = desk.worker()

    def dispatch_and_start() -> None:
        for _ in range(10):
            desk.start(desk.take(worker), worker)

    together(dispatch_and_start, dispatch_and_start, lambda: put(desk, "0.50"), lambda: put(desk, "0.50", period=DAY))

    assert desk.faults() == {}
    spent, reserved = figures(desk, desk.scalar("SELECT min(id) FROM budgets"))
    out = desk.scalar("SELECT count(*) FROM jobs WHERE lease_id IS NOT NULL")
    assert (spent, reserved) == (0, out * EST_USD)
    desk.engine.dispose()


def test_the_database_itself_refuses_a_reservation_above_the_cap(desk: Desk) -> None:
    put(desk, "0.05")

    with pytest.raises(DBAPIError, match="exceed the cap"):
        desk.execute("UPDATE budget_windows SET reserved_usd = 0.0500000001")
    desk.execute("UPDATE budget_windows SET reserved_usd = 0.05")
    desk.execute("UPDATE budget_windows SET spent_usd = 1, reserved_usd = 0.04")
    with pytest.raises(DBAPIError, match="not_negative"):
        desk.execute("UPDATE budget_windows SET reserved_usd = -0.01")
