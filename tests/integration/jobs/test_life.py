"""A worker's life in this process, without Celery: the test carries the messages. Real engine, limiter and servers."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID

import pytest
import redis
from sqlalchemy import text

from models import DEFAULT_PROJECT_ID
from pressroom.ids import new_id
from pressroom.jobs.dispatch import DispatchPolicy, lease_pool
from pressroom.jobs.end_early import cancel_batch
from pressroom.jobs.lease import Start, claim_lease, start_jobs
from pressroom.jobs.publish import QUEUE
from pressroom.limits.redis_limiter import LimiterAdmin
from pressroom.settings import SANDBOX, Settings
from tests.fixtures.books_check import faults
from tests.fixtures.system import System
from worker.assembly import connect_servers
from worker.dispatching import LEARN_SECONDS
from worker.life import WorkerLife

SOON_SECONDS = 20
_CUT_CLAIMS = """
    SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
    WHERE wait_event_type = 'Lock' AND query LIKE '%UPDATE leases l SET worker_id%'
"""


class Life:
    """A WorkerLife and four threads that carry it every lease nobody has claimed."""

    def __init__(self, system: System) -> None:
        self.system = system
        self._servers = connect_servers(Settings(dispatch_interval_seconds=0.05))
        self.worker = WorkerLife(self._servers)
        self._stop = threading.Event()
        self._threads = ThreadPoolExecutor(5)
        self._threads.submit(self._carry)
        self._running = True

    def _carry(self) -> None:
        carried: set[UUID] = set()
        while not self._stop.wait(0.02):
            with self.system.engine.connect() as conn:
                waiting = set(conn.execute(text("SELECT id FROM leases WHERE worker_id IS NULL ORDER BY id")).scalars())
            for lease in sorted(waiting - carried):
                self._threads.submit(self.worker.run_lease, lease)
            carried |= waiting

    def end(self) -> bool:
        """In order; whether every call was finished."""
        self._stop.set()
        self._running = False
        finished = self.worker.end()
        self._threads.shutdown(wait=True)
        self._servers.redis.delete(f"{self._servers.settings.redis_prefix}{QUEUE}")  # no Celery worker took these
        self._servers.close()
        return finished

    def close(self) -> None:
        """After the test."""
        if self._running:
            self.end()


@pytest.fixture
def start(system: System, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], Life]]:
    """Begins lives, which end with the test."""
    for name, value in system.base_environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("PRESSROOM_PARENT_PID")
    lives: list[Life] = []

    def begin() -> Life:
        lives.append(Life(system))
        return lives[-1]

    yield begin
    for life in lives:
        life.close()


def in_order(system: System) -> bool:
    """Whether the books are."""
    with system.engine.connect() as conn:
        return faults(conn) == {}


def test_it_runs_what_it_is_given_and_ends_in_order(system: System, start: Callable[[], Life]) -> None:
    batch_id = system.submit(texts=20, pictures=5)
    life = start()

    system.wait_for_batch(batch_id, SOON_SECONDS)

    assert life.end()
    assert system.counts("jobs", "state") == {"succeeded": 25}
    assert in_order(system)


def test_a_pool_that_waits_for_quota_leaves_the_threads_to_others(system: System, start: Callable[[], Life]) -> None:
    """Two slow pools of many leases, and four threads: the third pool's jobs run all the same."""
    system.submit(texts=40, pictures=0, limits={"rpm": 60, "burst_seconds": 1})
    system.sandbox.configure(latency={"chat": {"kind": "fixed", "seconds": 0.01}})
    life = start()
    leased = "SELECT count(*) > 0 FROM leases WHERE worker_id IS NOT NULL"
    system.wait_until("the slow pool's jobs wait in the worker", lambda: bool(system.scalar(leased)), SOON_SECONDS)

    batch_id = system.submit(pictures=8)
    system.wait_for_batch(batch_id, SOON_SECONDS)

    assert life.end()
    assert in_order(system)


def test_jobs_of_a_deployment_that_is_stopped_go_back_to_the_queue(system: System, start: Callable[[], Life]) -> None:
    system.submit(texts=30, limits={"rpm": 30, "burst_seconds": 1})
    life = start()
    out = "SELECT count(*) FROM jobs WHERE state = 'leased'"
    system.wait_until("jobs wait in the worker", lambda: system.scalar(out) > 0, SOON_SECONDS)

    with system.engine.begin() as conn:
        conn.execute(text("UPDATE deployments SET paused_at = now(), pause_reason = 'by hand'"))

    system.wait_until("none is out", lambda: system.scalar(out) == 0, SOON_SECONDS)
    assert life.end()
    assert in_order(system)


def test_an_end_in_the_midst_hands_back_and_leaves_nothing_in_doubt(system: System, start: Callable[[], Life]) -> None:
    system.sandbox.configure(latency={"chat": {"kind": "fixed", "seconds": 0.3}})
    system.submit(texts=300, limits={"rpm": 3_000, "burst_seconds": 1})
    life = start()
    running = "SELECT count(*) FROM jobs WHERE state = 'running'"
    system.wait_until("calls are on their way", lambda: system.scalar(running) > 0, SOON_SECONDS)

    began = time.monotonic()
    assert life.end()

    assert time.monotonic() - began < 8
    assert system.scalar("SELECT count(*) FROM leases WHERE worker_id IS NOT NULL") == 0
    assert set(system.counts("attempts", "outcome")) <= {"succeeded", "released"}
    assert in_order(system)


def test_given_up_by_mistake_it_goes_on_under_a_new_name(system: System, start: Callable[[], Life]) -> None:
    system.sandbox.configure(latency={"chat": {"kind": "fixed", "seconds": 1.0}})
    batch_id = system.submit(texts=20, limits={"concurrency": 20})
    life = start()
    running = "SELECT count(*) = 20 FROM jobs WHERE state = 'running'"
    system.wait_until("all calls are on their way", lambda: bool(system.scalar(running)), SOON_SECONDS)

    with system.engine.begin() as conn:
        conn.execute(text("UPDATE workers SET gave_up_at = now()"))

    system.wait_for_batch(batch_id, SOON_SECONDS)
    assert life.end()
    assert system.counts("jobs", "state") == {"succeeded": 20}
    assert system.scalar("SELECT count(*) FROM workers") == 2
    assert in_order(system)


def test_connections_that_are_cut_all_the_time_cost_time_alone(system: System, start: Callable[[], Life]) -> None:
    batch_id = system.submit(texts=300)
    start()
    cut = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = 'pressroom-worker'"
    for _ in range(15):
        system.scalar(cut)
        time.sleep(0.1)

    system.wait_for_batch(batch_id, SOON_SECONDS)

    assert system.counts("jobs", "state") == {"succeeded": 300}
    assert system.counts("attempts", "outcome")["succeeded"] == 300
    assert in_order(system)


def test_a_cancel_reaches_jobs_that_have_a_start_time(system: System, start: Callable[[], Life]) -> None:
    batch_id = system.submit(texts=200, limits={"rpm": 600, "burst_seconds": 1})
    life = start()
    system.wait_until("some are done", lambda: system.finished() >= 5, SOON_SECONDS)

    cancel_batch(system.engine, DEFAULT_PROJECT_ID, batch_id)

    system.wait_for_batch(batch_id, SOON_SECONDS)
    assert system.scalar("SELECT state::text FROM batches") == "cancelled"
    assert system.counts("jobs", "state")["cancelled"] > 100
    assert life.end()
    assert in_order(system)


def test_a_database_that_is_slow_to_commit_delays_calls_and_drops_none(
    system: System, start: Callable[[], Life]
) -> None:
    """Starts take longer than a start time is valid for: the jobs get others, under the attempts they have."""
    with system.engine.begin() as conn:
        conn.execute(
            text(
                "CREATE FUNCTION dawdle() RETURNS trigger LANGUAGE plpgsql AS"
                " $$ BEGIN PERFORM pg_sleep(1.6); RETURN NULL; END $$;"
                " CREATE TRIGGER slow AFTER INSERT ON attempts FOR EACH STATEMENT EXECUTE FUNCTION dawdle()"
            )
        )
    batch_id = system.submit(texts=12, pictures=0, limits={"rpm": 600})
    life = start()

    system.wait_for_batch(batch_id, SOON_SECONDS)

    assert life.end()
    assert system.counts("attempts", "outcome") == {"succeeded": 12}
    assert in_order(system)


def test_learned_limits_outlive_a_flush(system: System, start: Callable[[], Life]) -> None:
    learned = "SELECT learned_limits FROM pools WHERE learned_limits <> '{}'"
    system.sandbox.configure(limits={"gpt-4o-mini": {"rpm": 3000, "tpm": 600_000}})
    batch_id = system.submit(texts=60, pictures=0)
    life = start()
    system.wait_for_batch(batch_id, SOON_SECONDS)
    system.wait_until("limits are learned and stored", lambda: system.scalar(learned) is not None, SOON_SECONDS)
    stored = system.scalar(learned)

    with redis.Redis.from_url(system.base_environment["PRESSROOM_REDIS_URL"]) as client:
        client.flushdb()
    again = system.submit(texts=1, pictures=0)
    system.wait_for_batch(again, SOON_SECONDS)
    time.sleep(2 * LEARN_SECONDS)  # two looks at what the limiter has learned

    assert system.scalar(learned) == stored
    assert life.end()


def test_a_job_that_the_engine_does_not_know_of_runs_again(
    system: System, start: Callable[[], Life], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after a failover that lost a commit: the books say that this worker is calling, and it is not."""
    monkeypatch.setattr("worker.heartbeat._COMPARE_SECONDS", 0.2)
    life = start()
    stop, go = "UPDATE deployments SET paused_at = now()", "UPDATE deployments SET paused_at = NULL"
    system.wait_for_batch(system.submit(texts=1, pictures=0), SOON_SECONDS)
    with system.engine.begin() as conn:
        conn.execute(text(stop))
    batch_id = system.submit(texts=1, pictures=0)
    with system.engine.begin() as conn:
        conn.execute(text(go))
        pool, worker_id = conn.execute(text("SELECT pool_id, (SELECT id FROM workers) FROM deployments")).one()
        [lease_id] = lease_pool(conn, pool, DispatchPolicy(base_url=SANDBOX))
        lease = claim_lease(conn, lease_id, worker_id)
        assert lease is not None
        assert len(start_jobs(conn, worker_id, [Start(lease.jobs[0].id, lease_id, new_id())])) == 1

    system.wait_for_batch(batch_id, SOON_SECONDS)

    assert system.counts("attempts", "outcome") == {"succeeded": 2, "unknown": 1}
    assert life.end()
    assert in_order(system)


def test_a_lease_of_which_two_messages_came_during_an_outage_is_worked_on_once(
    system: System, start: Callable[[], Life], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second's claim fails without an answer: it may have been made, so it is granted when it asks again."""
    monkeypatch.setattr("worker.heartbeat._COMPARE_SECONDS", 0.2)
    system.sandbox.configure(latency={"chat": {"kind": "fixed", "seconds": 1.5}})
    with redis.Redis.from_url(system.base_environment["PRESSROOM_REDIS_URL"]) as client:
        LimiterAdmin(client).pause("sandbox/gpt-4o-mini", None, "until both messages' claims are made")
    life = start()
    batch_id = system.submit(texts=6)
    claimed = "SELECT id FROM leases WHERE worker_id IS NOT NULL ORDER BY id"
    system.wait_until("the first message's claim is made", lambda: system.scalar(claimed) is not None, SOON_SECONDS)
    lease_id: UUID = system.scalar(claimed)

    second = threading.Thread(target=life.worker.run_lease, args=[lease_id])
    with system.engine.connect() as conn:
        conn.execute(text("LOCK TABLE leases IN ACCESS EXCLUSIVE MODE"))
        second.start()
        system.wait_until("the second is cut", lambda: system.scalar(_CUT_CLAIMS) == 1, SOON_SECONDS)
    second.join(SOON_SECONDS)
    system.resume()

    system.wait_for_batch(batch_id, SOON_SECONDS)
    assert not second.is_alive()
    assert life.end()
    assert system.counts("attempts", "outcome") == {"succeeded": 6}
    assert system.sandbox.stats()["totals"]["calls"] == 6
    assert in_order(system)
