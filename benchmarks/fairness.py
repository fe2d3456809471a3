"""Who gets how much of a pool, and how soon: `python -m benchmarks fairness`. Real workers against the sandbox.

1. One project with ten times the jobs of nine others: how alike they are served (Jain's index, 1 is exactly).
2. Three projects of weights 1, 2 and 4: what part each gets.
3. An interactive job behind a million bulk jobs: from its submission to its start.
4. A million queued jobs: how long it takes to pause, resume, reprioritise, weigh and cancel them.
"""

import argparse
import statistics
import time
from collections.abc import Callable, Sequence
from uuid import UUID

import orjson
from sqlalchemy import Engine, text

from benchmarks.report import print_table, write_json
from benchmarks.rig import BenchmarkFailed, Rig, rig, wait_for
from models import DEFAULT_PROJECT_ID, PriorityClass
from pressroom.ids import new_id
from pressroom.jobs.dispatch import DispatchPolicy, dispatch
from pressroom.jobs.end_early import cancel_batch
from pressroom.jobs.publish import CeleryPublisher
from pressroom.jobs.reprioritise import Urgency, reprioritise
from pressroom.jobs.resolve import resolve_deployments
from pressroom.jobs.selection import Selection
from pressroom.jobs.stops import pause_batch, resume_batch
from pressroom.jobs.submit import Destination, NewJob, insert_jobs
from pressroom.jobs.weights import create_project, set_weight
from pressroom.money.price_book import load_price_book, sync_catalog_prices
from pressroom.operations.registry import operation_for
from pressroom.settings import SANDBOX

MODEL = "gpt-4o-mini"
URL = "/v1/chat/completions"
CALM = {"latency": {"chat": {"kind": "fixed", "seconds": 0.05}}}
_BODY = {"model": MODEL, "messages": [{"role": "user", "content": "Say it in one line."}], "max_tokens": 20}
_STARTED = text(
    """
    SELECT p.name, count(*)::int AS n FROM attempts a JOIN jobs j ON j.id = a.job_id
      JOIN projects p ON p.id = j.project_id
    WHERE a.outcome <> 'released' AND a.started_at > CAST(:since AS timestamptz) GROUP BY 1 ORDER BY 1
    """
)
# As `insert_jobs` does it, without a client to write a million rows.
_MILLION = (
    """INSERT INTO jobs (id, project_id, batch_id, flow_id, deployment_id, url, state, est_tokens, est_cost_usd)
      SELECT uuidv7(), f.project_id, f.batch_id, f.id, f.deployment_id, :url, 'queued', 40, 0.0001
      FROM flows f, generate_series(1, :jobs) WHERE f.id = :flow""",
    "INSERT INTO job_requests (job_id, body) SELECT id, CAST(:body AS jsonb) FROM jobs WHERE flow_id = :flow"
    " ON CONFLICT DO NOTHING",
    "UPDATE flows SET queued = queued + :jobs, jobs_in = jobs_in + :jobs, tokens_in = tokens_in + 40 * :jobs,"
    " active = true WHERE id = :flow",
    "UPDATE batches SET total = total + :jobs WHERE id = (SELECT batch_id FROM flows WHERE id = :flow)",
)


def submit(
    database: Engine, count: int, *, project: UUID = DEFAULT_PROJECT_ID, kind: PriorityClass = PriorityClass.NORMAL
) -> UUID:
    """A batch of like jobs; returns its id."""
    operation = operation_for(URL)
    if operation is None:
        raise LookupError(URL)
    batch = new_id()
    with database.begin() as conn:
        sync_catalog_prices(conn)
        price = load_price_book(conn).price_for(MODEL, None, conn.execute(text("SELECT current_date")).scalar_one())
        places = resolve_deployments(conn, SANDBOX, {MODEL: MODEL}, {})
        conn.execute(
            text(
                "INSERT INTO batches (id, project_id, state, input_name, fingerprint, total, est_cost_usd)"
                " VALUES (:id, :project, 'in_progress', 'benchmark', :fingerprint, :total, 0)"
            ),
            {"id": batch, "project": project, "fingerprint": batch.hex, "total": count},
        )
        job = NewJob(URL, MODEL, orjson.dumps(_BODY).decode(), operation.estimate(_BODY, price))
        insert_jobs(conn, [job] * count, Destination(project, places, kind, batch))
    return batch


def add_by_sql(database: Engine, batch: UUID, jobs: int) -> None:
    """Put so many more jobs like its first into a batch."""
    with database.begin() as conn:
        flow = conn.execute(text("SELECT id FROM flows WHERE batch_id = :batch"), {"batch": batch}).scalar_one()
        bound = {"url": URL, "jobs": jobs, "flow": flow, "body": orjson.dumps(_BODY).decode()}
        for statement in _MILLION:
            conn.execute(text(statement), {name: v for name, v in bound.items() if f":{name}" in statement})
    with database.connect().execution_options(isolation_level="AUTOCOMMIT") as conn:
        conn.execute(text("ANALYZE jobs"))


def limit(database: Engine, rpm: float) -> None:
    """Explicit limits of the pool."""
    with database.begin() as conn:
        conn.execute(
            text("UPDATE pools SET explicit_limits = jsonb_build_object('rpm', CAST(:rpm AS float8))"), {"rpm": rpm}
        )


def served(running: Rig, weights: Sequence[float], jobs: Sequence[int], *, rpm: float, seconds: float) -> list[int]:
    """Calls of each project within the time, from when all have jobs and calls are under way."""
    running.clean(CALM)
    with running.database.begin() as conn:
        conn.execute(text("DELETE FROM projects WHERE name LIKE 'tenant %'"))
        projects = [create_project(conn, f"tenant {n:02}", weight) for n, weight in enumerate(weights)]
    for project, count in zip(projects, jobs, strict=True):
        submit(running.database, count, project=project)
    limit(running.database, rpm)
    with running.pressroom_workers(2) as workers:
        wait_for(lambda: sum(_calls(running.database, None)) > rpm / 60, "calls to begin", workers=workers, seconds=60)
        since = _now(running.database)
        time.sleep(seconds)
        return _calls(running.database, since)


def interactive_waits(running: Rig, bulk: int, *, rpm: float, times: int) -> list[float]:
    """Seconds from a submission to the start of its job, behind `bulk` jobs."""
    running.clean(CALM)
    database = running.database
    add_by_sql(database, submit(database, 1, kind=PriorityClass.BULK), bulk)
    limit(database, rpm)
    publisher = CeleryPublisher(running.urls.redis_url, "pressroom:")
    waits = []
    with running.pressroom_workers(1) as workers:
        wait_for(lambda: sum(_calls(database, None)) > rpm / 20, "calls to begin", workers=workers, seconds=60)
        for _ in range(times):
            batch = submit(database, 1, kind=PriorityClass.INTERACTIVE)
            submitted = _now(database)
            dispatch(database, publisher, DispatchPolicy(SANDBOX))
            deadline = time.monotonic() + 60.0
            while (waited := _wait(database, batch, submitted)) is None:
                workers.check()
                if time.monotonic() > deadline:
                    raise BenchmarkFailed("an interactive job did not start within a minute")
                time.sleep(0.02)
            waits.append(waited)
            time.sleep(0.3)
    publisher.close()
    return waits


def changes(running: Rig, jobs: int) -> dict[str, float]:
    """Seconds that it takes to change all of a batch of so many queued jobs, without workers."""
    running.clean(CALM)
    database = running.database
    batch = submit(database, 1, kind=PriorityClass.BULK)
    add_by_sql(database, batch, jobs - 1)
    own, which = DEFAULT_PROJECT_ID, Selection(DEFAULT_PROJECT_ID, batch_id=batch)

    def weigh() -> None:
        with database.begin() as conn:
            set_weight(conn, own, 2.0)
            set_weight(conn, own, 1.0)

    steps: list[tuple[str, Callable[[], object]]] = [
        ("pause", lambda: pause_batch(database, own, batch)),
        ("resume", lambda: resume_batch(database, own, batch)),
        ("another class", lambda: reprioritise(database, which, Urgency(PriorityClass.INTERACTIVE))),
        ("another priority", lambda: reprioritise(database, which, Urgency(priority=-5))),
        ("another weight, twice", weigh),
        ("cancel, to its end", lambda: cancel_batch(database, own, batch)),
    ]
    took = {}
    for name, step in steps:
        began = time.perf_counter()
        step()
        took[name] = time.perf_counter() - began
    return took


def jain(shares: Sequence[float]) -> float:
    """1 where all are alike, 1/n where one has everything."""
    return sum(shares) ** 2 / (len(shares) * sum(share**2 for share in shares))


def _calls(database: Engine, since: object) -> list[int]:
    with database.connect() as conn:
        return [row.n for row in conn.execute(_STARTED, {"since": since or "2000-01-01"})]


def _now(database: Engine) -> object:
    with database.connect() as conn:
        return conn.execute(text("SELECT clock_timestamp()")).scalar_one()


def _wait(database: Engine, batch: UUID, since: object) -> float | None:
    query = text(
        "SELECT extract(epoch FROM started_at - CAST(:since AS timestamptz))::float8 FROM jobs"
        " WHERE batch_id = :batch AND started_at IS NOT NULL"
    )
    with database.connect() as conn:
        found: float | None = conn.execute(query, {"batch": batch, "since": since}).scalar_one_or_none()
        return found


def main() -> None:
    """Measure and report. Exits 1 when a bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=45.0)
    parser.add_argument("--rpm", type=float, default=3_000.0)
    parser.add_argument("--bulk", type=int, default=1_000_000)
    given = parser.parse_args()
    room = int(given.rpm / 60 * (given.seconds + 30))
    with rig() as running:
        alike = served(running, [1.0] * 10, [room * 10, *[room] * 9], rpm=given.rpm, seconds=given.seconds)
        weighed = served(running, [1.0, 2.0, 4.0], [room] * 3, rpm=given.rpm, seconds=given.seconds)
        waits = interactive_waits(running, given.bulk, rpm=600.0, times=20)
        took = changes(running, given.bulk)
    if len(alike) != 10 or len(weighed) != 3:
        raise BenchmarkFailed(f"somebody was not served at all: {alike}, {weighed}")
    index = jain([float(n) for n in alike])
    off = max(abs(n / sum(weighed) - w / 7) / (w / 7) for n, w in zip(weighed, (1, 2, 4), strict=True))
    rows = [
        ("one heavy project and nine light ones: Jain's index", f"{index:.5f}", ">= 0.99"),
        (f"weights 1:2:4, calls {':'.join(map(str, weighed))}: furthest off", f"{off:.2%}", "<= 2 %"),
        (f"an interactive job behind {given.bulk:,}: start at p50", f"{statistics.median(waits):.2f} s", ""),
        (f"an interactive job behind {given.bulk:,}: latest start", f"{max(waits):.2f} s", "<= 1 s"),
        *((f"{given.bulk:,} queued jobs: {name}", f"{seconds:.2f} s", "") for name, seconds in took.items()),
    ]
    print_table("Fairness", ("what", "measured", "bar"), rows)
    results = {"jain": index, "weights_off": off, "calls": [alike, weighed], "waits": waits, "changes": took}
    write_json("fairness", vars(given), results)
    if index < 0.99 or off > 0.02 or max(waits) > 1.0:
        raise SystemExit("a bar is missed")


if __name__ == "__main__":
    main()
