"""The claim on real PostgreSQL: whatever the weights, sizes and backlogs, nobody starves and nobody runs ahead."""

import math
from decimal import Decimal

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, text

from pressroom.jobs.claim import Claims, Lane, Room
from pressroom.jobs.dispatch import lease_pool
from pressroom.jobs.rates import Rates, effective_limits
from pressroom.jobs.submit import Destination, NewJob, insert_jobs
from pressroom.operations.base import Estimate
from tests.fixtures.desk import Desk

TPM = 60_000
"""So a token is a millisecond of the pool."""

_TABLES = "jobs, job_requests, leases, batches, flows, stakes"

backlogs = st.lists(
    st.tuples(
        st.sampled_from([0.5, 1.0, 3.0]),
        st.lists(st.sampled_from([10, 100, 700]), min_size=6, max_size=20),
    ),
    min_size=2,
    max_size=5,
)
patient = settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck))


def fill(desk: Desk, stakes: list[tuple[float, list[int]]]) -> None:
    """A stake each, of a project of that weight with jobs of these many tokens."""
    desk.execute(f"TRUNCATE {_TABLES} CASCADE")
    ref = desk.deployment(limits={"tpm": TPM})
    cost = Decimal("0.01")
    for weight, sizes in stakes:
        project = desk.project(f"p{desk.scalar('SELECT count(*) FROM projects')}", weight=weight)
        with desk.engine.begin() as conn:
            jobs = [NewJob("/v1/chat/completions", ref.model, "{}", Estimate(n, 0, cost, cost)) for n in sizes]
            insert_jobs(conn, jobs, Destination(project, {ref.model: ref}))


def vtimes(desk: Desk) -> list[float]:
    """Of stakes that still have something to start."""
    with desk.engine.connect() as conn:
        query = text("SELECT vtime FROM stakes s WHERE (SELECT sum(queued) FROM flows WHERE stake_id = s.id) > 0")
        return [float(v) for v in conn.execute(query).scalars()]


@given(backlogs)
# The second stake shows all it has in the first look, and the last of it is due only after the look: it comes again.
@example([(0.5, [10, 10, 700, 700, 700, 10]), (3.0, [10, 10, 10, 10, 700, 10])])
@patient
def test_stakes_with_a_backlog_stay_within_a_claim_of_each_other_and_all_jobs_are_served(
    engine: Engine, stakes: list[tuple[float, list[int]]]
) -> None:
    desk = Desk(engine)
    fill(desk, stakes)
    largest = 0.7 / (4 * min(weight for weight, _ in stakes))
    total = sum(len(sizes) for _, sizes in stakes)
    for _ in range(200):
        desk.dispatch()
        waiting = vtimes(desk)
        if waiting:
            # A turn that serves a stake alone could bring it as far ahead as the turn is long; virtual time forbids it.
            assert max(waiting) - min(waiting) <= 2 * largest + 1e-6
        desk.execute("UPDATE leases SET waiting = 0, waiting_seconds = 0")
        if not waiting:
            break
    assert desk.states() == {"leased": total}


@given(backlogs, st.integers(1, 60))
@patient
def test_a_look_takes_the_room_and_reads_little_more(
    engine: Engine, stakes: list[tuple[float, list[int]]], jobs: int
) -> None:
    desk = Desk(engine)
    fill(desk, stakes)
    total = sum(len(sizes) for _, sizes in stakes)
    with engine.connect() as conn:
        pool, limits = conn.execute(text("SELECT id, explicit_limits FROM pools")).one()
        open_ = list(conn.execute(text("SELECT id FROM deployments")).scalars())
        claims = Claims(pool, Rates.of(effective_limits(limits)), open_)
        claims.take(conn, Lane.ALL, Room(math.inf, jobs))
        conn.rollback()

    assert len(claims.jobs) == len({job.id for job in claims.jobs}) == min(jobs, total)
    assert claims.looked_at <= 4 * jobs + 2 * len(stakes)


@given(backlogs)
@patient
def test_a_claim_that_is_rolled_back_and_made_again_is_the_same(
    engine: Engine, stakes: list[tuple[float, list[int]]]
) -> None:
    desk = Desk(engine)
    fill(desk, stakes)
    pool = desk.scalar("SELECT id FROM pools")
    taken = []
    for _ in range(2):
        with engine.connect() as conn:
            lease_pool(conn, pool, desk.policy)
            query = text("SELECT id FROM jobs WHERE state = 'leased' ORDER BY id")
            taken.append(list(conn.execute(query).scalars()))
            conn.rollback()

    assert taken[0] == taken[1]
