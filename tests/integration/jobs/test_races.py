"""Everybody at once on the same few jobs: no deadlock, nothing lost, nothing counted twice."""

import random
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from uuid import UUID

import pytest
from sqlalchemy import create_engine

from models import DEFAULT_PROJECT_ID
from pressroom.jobs.end_early import cancel
from pressroom.jobs.lease import LeasedJob, hand_back
from pressroom.jobs.outcome import Outcome
from pressroom.jobs.recover import stage
from pressroom.jobs.selection import Selection
from tests.fixtures.desk import Desk, Kind, limited, refusal, retry, success, unknown, unsent

_KINDS: tuple[Kind, ...] = (success, success, refusal, retry, limited, unknown, unsent)


class Worker:
    """A careless worker: starts some, hands some back, settles in groups of other orders, some of it twice."""

    def __init__(self, desk: Desk, seed: int) -> None:
        self.desk, self.rng, self.id = desk, random.Random(seed), desk.worker()

    def turn(self) -> None:
        """Dispatch, claim, start, settle."""
        jobs = self.desk.take(self.id)
        self.rng.shuffle(jobs)
        kept = len(jobs) // 8
        self.hand_back(jobs[:kept])
        attempts = self.desk.start(jobs[kept:], self.id)
        outcomes = [self.outcome(job, attempts) for job in jobs[kept:] if job.id in attempts]
        self.rng.shuffle(outcomes)
        self.desk.settle(*outcomes)
        self.desk.settle(*outcomes[: len(outcomes) // 2])

    def outcome(self, job: LeasedJob, attempts: dict[UUID, UUID]) -> Outcome:
        """Mostly the end; retries wait no time, so that they come again."""
        kind = self.rng.choice(_KINDS)
        made = kind(job, attempts[job.id])
        return replace(made, wait_seconds=0.0) if made.wait_seconds is not None else made

    def hand_back(self, jobs: list[LeasedJob]) -> None:
        """What a worker does that ends."""
        with self.desk.engine.begin() as conn:
            hand_back(conn, [(job.id, job.lease_id) for job in jobs])


@pytest.mark.parametrize("seed", [1, 2])
def test_workers_cancels_and_sweeps_at_once(desk: Desk, database_url: str, seed: int) -> None:
    desk.engine = create_engine(database_url, pool_size=12)
    desk.policy = replace(desk.policy, unlimited_ahead_jobs=120)
    for number in range(4):
        desk.submit(100, project=desk.project(f"p{number}") if number else DEFAULT_PROJECT_ID, max_attempts=50)
    stop = threading.Event()
    rng = random.Random(seed)

    def until_stopped(work: Callable[[], object]) -> None:
        while not stop.is_set():
            work()

    def some_cancels() -> None:
        with desk.engine.begin() as conn:
            ids = [row for row in all_ids if rng.random() < 0.2]
            rng.shuffle(ids)
            cancel(conn, Selection(project_id=DEFAULT_PROJECT_ID, ids=ids[:15]))

    def some_worker_dies() -> None:
        desk.silence(rng.choice(workers).id)
        desk.sweep()

    def some_jobs_become_ready() -> None:
        with desk.engine.begin() as conn:
            stage(conn)

    def work(number: int) -> None:
        for turn in range(12):
            if turn % 4 == 3:
                workers[number] = Worker(desk, seed * 100 + number + turn)
            workers[number].turn()

    with desk.engine.connect() as conn:
        query = "SELECT id FROM jobs WHERE project_id = '00000000-0000-7000-8000-000000000001'"
        all_ids = list(conn.exec_driver_sql(query).scalars())
    workers = [Worker(desk, seed * 10 + number) for number in range(4)]
    others = (some_cancels, some_worker_dies, some_jobs_become_ready, some_jobs_become_ready)
    with ThreadPoolExecutor(8) as threads:
        disturbing = [threads.submit(until_stopped, other) for other in others]
        try:
            for done in [threads.submit(work, number) for number in range(4)]:
                done.result()
        finally:
            stop.set()
        for done in disturbing:
            done.result()

    assert desk.faults() == {}
    desk.engine.dispose()
