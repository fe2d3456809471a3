"""Jobs as a state machine on real PostgreSQL: any order of events leaves the books in order, and every job ends."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TypeVar
from uuid import UUID

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    MultipleResults,
    RuleBasedStateMachine,
    initialize,
    invariant,
    multiple,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import Engine, text

from models import DEFAULT_PROJECT_ID, PriorityClass
from pressroom.jobs import workers
from pressroom.jobs.end_early import cancel, expire
from pressroom.jobs.lease import LeasedJob, hand_back
from pressroom.jobs.outcome import Next, Outcome
from pressroom.jobs.recover import stage
from pressroom.jobs.selection import Selection
from tests.fixtures.desk import Desk, limited, refusal, retry, success, unknown, unsent

Call = tuple[LeasedJob, UUID]
"""A call on its way: the job as its worker knows it, and the attempt."""

T = TypeVar("T")
Several = MultipleResults[T]

FINAL = ("succeeded", "failed", "cancelled", "expired")
KINDS: dict[str, Callable[[LeasedJob, UUID], Outcome]] = {
    "success": success,
    "refusal": refusal,
    "retry at once": lambda job, attempt: retry(job, attempt, None),
    "retry later": lambda job, attempt: retry(job, attempt, 600.0),
    "429": limited,
    "unknown, again": unknown,
    "unknown, for good": lambda job, attempt: unknown(job, attempt, Next.FAIL),
    "not sent": unsent,
    "not sent, cancelled": lambda job, attempt: unsent(job, attempt, Next.CANCEL),
}
_TABLES = "jobs, job_requests, job_results, attempts, leases, batches, workers, daily_costs, flows, stakes"


class JobLife(RuleBasedStateMachine):
    """Workers here forget nothing: they go on with jobs, leases and calls that were taken from them long ago."""

    engine: Engine
    leases: Bundle[UUID] = Bundle("leases")
    jobs: Bundle[LeasedJob] = Bundle("jobs")
    calls: Bundle[Call] = Bundle("calls")

    @initialize(rpm=st.sampled_from([None, 60, 600]))
    def an_empty_system(self, rpm: int | None) -> None:
        self.desk = Desk(self.engine)
        self.desk.execute(f"TRUNCATE {_TABLES} CASCADE")
        self.desk.deployment(limits={"rpm": rpm} if rpm else {})
        self.ended: dict[UUID, str] = {}
        self.workers = [self.desk.worker(), self.desk.worker()]
        self.desk.submit(20)

    @rule(
        count=st.integers(2, 9),
        priority_class=st.sampled_from(PriorityClass),
        deadline=st.sampled_from([None, None, 600, -1]),
        max_attempts=st.sampled_from([5, 2, 1]),
    )
    def submit(self, count: int, priority_class: PriorityClass, deadline: int | None, max_attempts: int) -> None:
        until = datetime.now(UTC) + timedelta(seconds=deadline) if deadline is not None else None
        self.desk.submit(count, priority_class=priority_class, deadline=until, max_attempts=max_attempts)

    @rule(target=leases)
    def dispatch(self) -> Several[UUID]:
        return multiple(*self.desk.dispatch())

    @rule(target=jobs, lease=leases, which=st.integers(0, 1))
    def claim(self, lease: UUID, which: int) -> Several[LeasedJob]:
        claimed = self.desk.claim(lease, self.workers[which])
        return multiple(*(claimed.jobs if claimed is not None else ()))

    @rule(
        target=calls, chosen=st.lists(jobs, min_size=1, max_size=4, unique_by=lambda j: j.id), which=st.integers(0, 1)
    )
    def start(self, chosen: list[LeasedJob], which: int) -> Several[Call]:
        attempts = self.desk.start(chosen, self.workers[which])
        return multiple(*((job, attempts[job.id]) for job in chosen if job.id in attempts))

    @rule(target=calls, which=st.integers(0, 1))
    def work(self, which: int) -> Several[Call]:
        """What happens most: all the steps at once."""
        jobs = self.desk.take(self.workers[which])
        attempts = self.desk.start(jobs, self.workers[which])
        return multiple(*((job, attempts[job.id]) for job in jobs if job.id in attempts))

    @rule(
        done=st.lists(st.tuples(calls, st.sampled_from(sorted(KINDS))), min_size=1, max_size=4),
        twice=st.booleans(),
    )
    def settle(self, done: list[tuple[Call, str]], twice: bool) -> None:
        once = {call[1]: (call, kind) for call, kind in done}
        outcomes = [KINDS[kind](job, attempt) for (job, attempt), kind in once.values()]
        self.desk.settle(*outcomes)
        if twice:
            assert self.desk.settle(*outcomes) == set()

    @rule(chosen=st.lists(jobs, min_size=1, max_size=4, unique_by=lambda j: (j.id, j.lease_id)))
    def hand_back(self, chosen: list[LeasedJob]) -> None:
        with self.engine.begin() as conn:
            hand_back(conn, [(job.id, job.lease_id) for job in chosen])

    @rule(share=st.sampled_from([5, 3, 1]))
    def cancel(self, share: int) -> None:
        with self.engine.begin() as conn:
            ids = list(conn.execute(text("SELECT id FROM jobs ORDER BY id")).scalars())
            cancel(conn, Selection(project_id=DEFAULT_PROJECT_ID, ids=ids[::share] or [DEFAULT_PROJECT_ID]))

    @rule(which=st.integers(0, 1))
    def a_worker_dies(self, which: int) -> None:
        self.desk.lose(self.workers[which])
        self.workers[which] = self.desk.worker()

    @rule(which=st.integers(0, 1))
    def a_worker_signs_off(self, which: int) -> None:
        with self.engine.begin() as conn:
            workers.sign_off(conn, self.workers[which])
        self.workers[which] = self.desk.worker()
        self.desk.sweep()

    @rule()
    def a_claim_is_lost_in_a_crash_of_the_database(self) -> None:
        self.desk.execute(
            "UPDATE leases SET worker_id = NULL WHERE id IN (SELECT id FROM leases WHERE open = waiting"
            " ORDER BY id LIMIT 1)"
        )

    @rule(target=leases)
    def lost_messages_are_sent_again(self) -> Several[UUID]:
        before = len(self.desk.postbox.messages)
        self.desk.execute("UPDATE leases SET published_at = now() - interval '1 hour'")
        self.desk.sweep(resend_seconds=1)
        return multiple(*self.desk.postbox.messages[before:])

    @rule(due=st.booleans())
    def time_passes(self, due: bool) -> None:
        column = "run_at" if due else "deadline"
        self.desk.execute(f"UPDATE jobs SET {column} = now() - interval '1 s' WHERE {column} > now()")
        with self.engine.begin() as conn:
            stage(conn)
        with self.engine.begin() as conn:
            expire(conn)

    @rule()
    def a_stopped_deployment_gets_no_lease(self) -> None:
        self.desk.execute("UPDATE deployments SET paused_at = now()")
        assert self.desk.dispatch() == []
        self.desk.execute("UPDATE deployments SET paused_at = NULL")

    @precondition(lambda self: hasattr(self, "desk"))
    @invariant()
    def the_books_are_in_order(self) -> None:
        assert self.desk.faults() == {}

    @precondition(lambda self: hasattr(self, "desk"))
    @invariant()
    def what_ended_stays_as_it_ended(self) -> None:
        with self.engine.connect() as conn:
            rows = conn.execute(
                text("SELECT id, state::text FROM jobs WHERE state = ANY(CAST(:f AS job_state[]))"), {"f": list(FINAL)}
            ).all()
        now = {row[0]: row[1] for row in rows}
        assert {job: now.get(job) for job in self.ended} == self.ended
        self.ended = now

    def teardown(self) -> None:
        """Everything that was accepted ends, once workers are well again."""
        if not hasattr(self, "desk"):
            return
        desk = self.desk
        for worker in self.workers:
            desk.lose(worker)
        worker = desk.worker()
        for _ in range(60):
            desk.execute("UPDATE jobs SET run_at = now() - interval '1 s' WHERE run_at > now()")
            desk.execute("UPDATE leases SET published_at = now() - interval '1 hour'")
            before = len(desk.postbox.messages)
            desk.sweep(resend_seconds=1)
            resent = [desk.claim(lease, worker) for lease in desk.postbox.messages[before:]]
            jobs = [job for lease in resent if lease is not None for job in lease.jobs] + desk.take(worker)
            attempts = desk.start(jobs, worker)
            desk.settle(*[success(job, attempts[job.id]) for job in jobs if job.id in attempts])
            if set(desk.states()) <= set(FINAL):
                break
        assert set(desk.states()) <= set(FINAL)
        assert desk.scalar("SELECT count(*) FROM leases") == 0
        assert desk.scalar("SELECT count(*) FROM batches WHERE finished_at IS NULL") == 0
        assert desk.faults() == {}


def test_any_life_of_jobs_leaves_the_books_in_order_and_ends(engine: Engine) -> None:
    machine = type("BoundJobLife", (JobLife,), {"engine": engine})
    patient = settings(max_examples=20, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck))
    run_state_machine_as_test(machine, settings=patient)
