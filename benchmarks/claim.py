"""What it takes to claim 100 of millions of queued jobs fairly: `python -m benchmarks claim`.

Two million jobs lie queued in a thousand flows, three quarters of them in one. Measured are, in turns:

* the floor, the plainest queue there is, which is not fair: `ORDER BY id LIMIT 100 FOR UPDATE SKIP LOCKED`, marked,
  committed;
* the claim: choose, lock jobs, write leases, mark jobs, charge, commit;
* a whole turn of dispatch: lock the pool, see what it has room for, claim, commit.

Then the same again behind a transaction that stays open, so that nothing which 200,000 claims leave behind can be
cleaned away; and four claimers at once, whose jobs are counted twice over.
"""

import argparse
import math
import statistics
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import psutil
from sqlalchemy import Connection, Engine, text

from benchmarks.report import print_table, write_json
from benchmarks.rig import BenchmarkFailed, rig
from pressroom.jobs.claim import Claims, Lane, Room
from pressroom.jobs.dispatch import DispatchPolicy, lease_pool, write_leases
from pressroom.jobs.rates import Rates
from pressroom.jobs.resolve import resolve_deployments
from pressroom.settings import SANDBOX

JOBS = 100
"""Of each claim."""

_MODEL = "gpt-4o-mini"
_BUILD = (
    "INSERT INTO projects (id, name) SELECT gen_random_uuid(), 'tenant ' || n FROM generate_series(1, :flows) n",
    """INSERT INTO stakes (pool_id, project_id, priority_class, weight, active)
      SELECT :pool, id, 'normal', 4, true FROM projects WHERE name LIKE 'tenant %'""",
    """INSERT INTO flows (stake_id, pool_id, project_id, deployment_id, active)
      SELECT id, pool_id, project_id, :deployment, true FROM stakes ORDER BY id""",
    """INSERT INTO jobs (id, project_id, flow_id, deployment_id, url, state, est_tokens, est_cost_usd)
      SELECT uuidv7(), f.project_id, f.id, f.deployment_id, '/v1/chat/completions', 'queued', 100, 0.0001
      FROM generate_series(1, :jobs) n JOIN (SELECT *, row_number() OVER (ORDER BY id) - 1 AS place FROM flows) f
        ON f.place = CASE WHEN n % 4 = 0 THEN 1 + (n / 4) % (:flows - 1) ELSE 0 END""",
    """UPDATE flows f SET queued = t.n, jobs_in = t.n, tokens_in = 100 * t.n
      FROM (SELECT flow_id, count(*) AS n FROM jobs GROUP BY 1) t WHERE t.flow_id = f.id""",
)
_NAMES = {"plain": "plain SKIP LOCKED, not fair", "claim": "fair claim", "turn": "whole turn of dispatch"}
_ROUND = 10
# As workers leave them: claimed, started, done.
_STARTED = (
    text("UPDATE leases SET published_at = now()"),
    text("UPDATE leases SET waiting = 0, waiting_seconds = 0"),
    text("DELETE FROM leases"),
)
_ALL_STARTED = text("UPDATE leases SET waiting = 0, waiting_seconds = 0 WHERE waiting > 0")
_READ = text("SELECT pg_stat_get_xact_tuples_returned('ix_jobs_ready'::regclass)")
_FLOOR = text(
    """
    WITH c AS MATERIALIZED (
      SELECT id FROM jobs WHERE flow_id = :flow AND state = 'queued' AND run_at IS NULL
      ORDER BY id LIMIT :jobs FOR NO KEY UPDATE SKIP LOCKED)
    UPDATE jobs SET state = 'leased', lease_id = :lease FROM c WHERE jobs.id = c.id
    """
)


@dataclass(frozen=True, slots=True)
class Taken:
    """Milliseconds of each claim, and of CPU, of the database and of ourselves."""

    milliseconds: list[float]
    cpu: list[float]

    @property
    def cpu_ms(self) -> float:
        """Of one claim, on the mean."""
        return statistics.fmean(self.cpu)

    def at(self, share: float) -> float:
        """A percentile of the times."""
        return sorted(self.milliseconds)[min(len(self.milliseconds) - 1, int(share * len(self.milliseconds)))]


@dataclass(frozen=True, slots=True)
class Backlog:
    """The queue that was built."""

    database: Engine
    pool: int
    deployment: int
    flow: int


def build(database: Engine, *, jobs: int, flows: int) -> Backlog:
    """Millions of queued jobs by SQL. Raises what the database raises."""
    with database.begin() as conn:
        ref = resolve_deployments(conn, SANDBOX, {_MODEL: _MODEL}, {})[_MODEL]
        bound = {"pool": ref.pool_id, "deployment": ref.id, "jobs": jobs, "flows": flows}
        for statement in _BUILD:
            names = {name: value for name, value in bound.items() if f":{name}" in statement}
            conn.execute(text(statement), names)
        first = conn.execute(text("SELECT min(id) FROM flows")).scalar_one()
    with database.connect().execution_options(isolation_level="AUTOCOMMIT") as conn:
        conn.execute(text("VACUUM ANALYZE"))
    return Backlog(database, ref.pool_id, ref.id, first)


def measure(backlog: Backlog, count: int, *, only: str | None = None) -> dict[str, Taken]:
    """So many claims of JOBS jobs of each kind, ten by ten in turns: `plain`, `claim` and `turn`, or one of them."""
    policy = DispatchPolicy(SANDBOX, unlimited_ahead_jobs=JOBS)
    bound = {"flow": backlog.flow, "jobs": JOBS, "lease": "00000000-0000-7000-8000-00000000000f"}

    def fairly(conn: Connection) -> int:
        claims = Claims(backlog.pool, Rates.of({}), [backlog.deployment])
        claims.take(conn, Lane.ALL, Room(math.inf, JOBS))
        return sum(write_leases(conn, backlog.pool, claims.jobs, policy.lease_max_jobs).values())

    kinds: dict[str, Callable[[Connection], int]] = {
        "plain": lambda conn: conn.execute(_FLOOR, bound).rowcount,
        "claim": fairly,
        "turn": lambda conn: sum(lease_pool(conn, backlog.pool, policy).values()),
    }
    taken = {name: Taken([], []) for name in kinds if only in (None, name)}
    with backlog.database.connect() as conn, backlog.database.connect() as others:
        backend = psutil.Process(conn.execute(text("SELECT pg_backend_pid()")).scalar_one())
        for one in (conn, others):
            one.execute(text("SET synchronous_commit = off"))
            one.commit()
        while any(len(each.milliseconds) < count for each in taken.values()):
            for name, each in taken.items():
                _round(conn, others, (kinds[name], backend), each)
    return taken


def _round(
    conn: Connection, others: Connection, claim: tuple[Callable[[Connection], int], psutil.Process], taken: Taken
) -> None:
    """Some claims in a row, since the clock of a process's CPU is coarse."""
    take, backend = claim
    theirs, ours = _cpu(backend), 0.0
    for _ in range(_ROUND):
        began, busy = time.perf_counter(), time.process_time()
        got = take(conn)
        conn.commit()
        taken.milliseconds.append((time.perf_counter() - began) * 1000)
        ours += time.process_time() - busy
        if got != JOBS:
            raise BenchmarkFailed(f"a claim took {got} jobs instead of {JOBS}")
        _start(others)
    taken.cpu.append((_cpu(backend) - theirs + ours) * 1000 / _ROUND)


def _start(conn: Connection) -> None:
    """Workers start and finish what is leased. By another connection: it is not part of a claim."""
    for statement in _STARTED:
        conn.execute(statement)
        conn.commit()


def _cpu(backend: psutil.Process) -> float:
    times = backend.cpu_times()
    return float(times.user + times.system)


def entries_read(backlog: Backlog) -> int:
    """Entries of the index of ready jobs that one turn reads; it is rolled back."""
    policy = DispatchPolicy(SANDBOX, unlimited_ahead_jobs=JOBS)
    with backlog.database.connect() as conn:
        before = conn.execute(_READ).scalar_one()
        lease_pool(conn, backlog.pool, policy)
        read = int(conn.execute(_READ).scalar_one()) - int(before)
        conn.rollback()
    return read


def at_once(backlog: Backlog, claimers: int, count: int) -> tuple[float, int]:
    """Several claimers at once: jobs a second, and how many jobs were handed out more than once."""
    policy = DispatchPolicy(SANDBOX, unlimited_ahead_jobs=JOBS)
    before = _leased(backlog.database)

    def work() -> int:
        got = 0
        for _ in range(count):
            with backlog.database.begin() as conn:
                got += sum(lease_pool(conn, backlog.pool, policy).values())
            with backlog.database.begin() as conn:
                conn.execute(_ALL_STARTED)
        return got

    began = time.perf_counter()
    with ThreadPoolExecutor(claimers) as threads:
        handed = sum(done.result() for done in [threads.submit(work) for _ in range(claimers)])
    took = time.perf_counter() - began
    return handed / took, handed - (_leased(backlog.database) - before)


def spread(database: Engine) -> float:
    """The difference of the most and the least served flow, in jobs; weights are alike."""
    query = text("SELECT (max(vtime) - min(vtime)) * 4 / 0.001 FROM stakes")
    with database.connect() as conn:
        return float(conn.execute(query).scalar_one())


def _leased(database: Engine) -> int:
    with database.connect() as conn:
        return int(conn.execute(text("SELECT count(*) FROM jobs WHERE state = 'leased'")).scalar_one())


def _row(name: str, taken: Taken, read: object) -> Sequence[object]:
    return name, statistics.median(taken.milliseconds), taken.at(0.95), taken.cpu_ms, read


def main() -> None:
    """Build, measure, report. Exits 1 when a bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=2_000_000)
    parser.add_argument("--flows", type=int, default=1_000)
    parser.add_argument("--claims", type=int, default=300)
    parser.add_argument("--behind", type=int, default=200_000, help="jobs claimed behind an open transaction")
    given = parser.parse_args()
    with rig() as running:
        backlog = build(running.database, jobs=given.jobs, flows=given.flows)
        measure(backlog, 20)
        read = entries_read(backlog)
        now = measure(backlog, given.claims)
        rate, twice = at_once(backlog, 4, given.claims // 4)
        with running.database.connect() as held:
            held.execution_options(isolation_level="REPEATABLE READ")
            held.execute(text("SET LOCAL idle_in_transaction_session_timeout = 0"))
            held.execute(text("SELECT count(*) FROM pools"))
            measure(backlog, given.behind // JOBS, only="turn")
            dead_read = entries_read(backlog)
            behind = measure(backlog, 200)
        apart = spread(running.database)
    rows = [
        *(_row(_NAMES[name], taken, read if name == "turn" else "-") for name, taken in now.items()),
        *(_row(f"{_NAMES[name]}, behind", t, dead_read if name == "turn" else "-") for name, t in behind.items()),
    ]
    title = f"{JOBS} jobs of {given.jobs:,} in {given.flows:,} flows, milliseconds"
    print_table(title, ("claim", "p50", "p95", "CPU", "index entries read"), rows)
    print(f"\nbehind: {given.behind:,} jobs claimed while a transaction is open")
    print(f"four claimers at once: {rate:,.0f} jobs/s, {twice} handed out twice")
    print(f"least and most served flow afterwards: {apart:.1f} jobs apart")
    results: dict[str, float] = {}
    for when, taken in (("", now), ("behind_", behind)):
        for name, each in taken.items():
            results |= {
                f"{when}{name}_p50_ms": each.at(0.5),
                f"{when}{name}_p95_ms": each.at(0.95),
                f"{when}{name}_cpu_ms": each.cpu_ms,
            }
    more = {"entries_read": read, "entries_read_behind": dead_read, "at_once_jobs_per_s": rate, "twice": twice}
    write_json("claim", vars(given), results | more | {"spread_jobs": apart})
    missed = [name for name, value, bar in _bars(now["claim"], behind["claim"], twice) if value > bar]
    if missed:
        raise SystemExit(f"missed: {', '.join(missed)}")


def _bars(fair: Taken, behind: Taken, twice: int) -> list[tuple[str, float, float]]:
    return [
        ("a claim at p95 in 10 ms", fair.at(0.95), 10.0),
        ("a claim behind an open transaction at p95 in 30 ms", behind.at(0.95), 30.0),
        ("no job handed out twice", float(twice), 0.0),
    ]


if __name__ == "__main__":
    main()
