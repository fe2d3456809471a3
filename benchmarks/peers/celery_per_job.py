"""The peer: an ordinary Celery app with one task per job, doing the same work as Pressroom with the same durability.

`python -m benchmarks.peers.celery_per_job` is one worker process, configured by the environment that `rig.py` makes. It
is given what a careful author would give it: no results, no events, pooled connections, one SDK client for all threads,
two short transactions around the call with as few statements as they can have, and messages published on somebody
else's CPU. Its tables are those of Pressroom without triggers, foreign keys and partial indexes. It has no limiter, no
fairness, no recovery and no cancel.
"""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from uuid import UUID

import openai
import orjson
from celery import Celery
from sqlalchemy import Connection, Engine, create_engine, text

from pressroom.ids import new_id

RUN_JOB = "job.run"
THREADS_VARIABLE = "PEER_THREADS"
BASE_URL_VARIABLE = "PEER_BASE_URL"
_INPUT_USD, _OUTPUT_USD = Decimal("0.15") / 1_000_000, Decimal("0.60") / 1_000_000

_TABLES = """
    DROP SCHEMA IF EXISTS peer CASCADE;
    CREATE SCHEMA peer;
    CREATE TABLE peer.jobs (id uuid PRIMARY KEY, state text NOT NULL, body json NOT NULL, cost_usd numeric(20,10),
      created_at timestamptz DEFAULT now(), started_at timestamptz, finished_at timestamptz) WITH (fillfactor = 80);
    CREATE TABLE peer.attempts (id uuid PRIMARY KEY, job_id uuid NOT NULL, outcome text NOT NULL, started_at timestamptz
      DEFAULT now(), finished_at timestamptz, status_code int, request_id text, usage jsonb, cost_usd numeric(20,10))
      WITH (fillfactor = 60);
    CREATE TABLE peer.job_results (job_id uuid PRIMARY KEY, status_code int, request_id text, body json);
    CREATE TABLE peer.daily_costs (day date, model text, calls bigint, input_tokens bigint, output_tokens bigint,
      cost_usd numeric(20,10), PRIMARY KEY (day, model)) WITH (fillfactor = 50);
"""

_START = text(
    "UPDATE peer.jobs SET state = 'running', started_at = now() WHERE id = :id AND state = 'queued' RETURNING body"
)
_ATTEMPT = text("INSERT INTO peer.attempts (id, job_id, outcome) VALUES (:attempt, :id, 'started')")
_FINISH_JOB = text(
    "UPDATE peer.jobs SET state = 'succeeded', cost_usd = :cost, finished_at = now()"
    " WHERE id = :id AND state = 'running'"
)
_FINISH_ATTEMPT = text(
    "UPDATE peer.attempts SET outcome = 'succeeded', finished_at = now(), status_code = 200, request_id = :request_id,"
    " usage = CAST(:usage AS jsonb), cost_usd = :cost WHERE id = :attempt"
)
_RESULT = text("INSERT INTO peer.job_results VALUES (:id, 200, :request_id, CAST(:body AS json))")
_COSTS = text(
    "INSERT INTO peer.daily_costs VALUES ((now() AT TIME ZONE 'UTC')::date, :model, 1, :input, :output, :cost)"
    " ON CONFLICT (day, model) DO UPDATE SET calls = daily_costs.calls + 1, input_tokens = daily_costs.input_tokens"
    " + excluded.input_tokens, output_tokens = daily_costs.output_tokens + excluded.output_tokens,"
    " cost_usd = daily_costs.cost_usd + excluded.cost_usd"
)
_INSERT = text("INSERT INTO peer.jobs (id, state, body) VALUES (:id, 'queued', CAST(:body AS json))")


def create_tables(conn: Connection) -> None:
    """Fresh, empty tables in the schema `peer`."""
    conn.exec_driver_sql(_TABLES)


def submit(conn: Connection, bodies: Iterable[Mapping[str, Any]]) -> list[UUID]:
    """Insert jobs; publish their ids after the commit."""
    jobs = {new_id(): orjson.dumps(body).decode() for body in bodies}
    conn.execute(_INSERT, [{"id": job, "body": body} for job, body in jobs.items()])
    return list(jobs)


def publish(redis_url: str, jobs: Iterable[UUID]) -> None:
    """One message per job."""
    app = make_celery(redis_url)
    with app.producer_or_acquire() as producer:
        for job in jobs:
            app.send_task(RUN_JOB, args=[str(job)], producer=producer)
    app.close()


def count_succeeded(conn: Connection) -> int:
    """Jobs that are done."""
    return int(conn.execute(text("SELECT coalesce(sum(calls), 0)::bigint FROM peer.daily_costs")).scalar_one())


def make_celery(redis_url: str) -> Celery:
    """The app's settings, for the worker and for the publisher."""
    app = Celery("peer", set_as_current=False)
    app.conf.update(
        broker_url=redis_url,
        task_default_queue="peer",
        task_ignore_result=True,
        worker_send_task_events=False,
        worker_hijack_root_logger=False,
        broker_connection_retry_on_startup=True,
    )
    return app


@dataclass(frozen=True, slots=True)
class Parts:
    """Shared by a worker's threads, as both libraries recommend."""

    database: Engine
    client: openai.OpenAI


def run_job(parts: Parts, job_id: str) -> None:
    """One job from its row to its result. A job that is not queued any more is left alone."""
    attempt = new_id()
    with parts.database.begin() as conn:
        body = conn.execute(_START, {"id": job_id}).scalar_one_or_none()
        if body is None:
            return
        conn.execute(_ATTEMPT, {"attempt": attempt, "id": job_id})
    completion = parts.client.chat.completions.create(**body, extra_headers={"X-Client-Request-Id": str(attempt)})
    usage = completion.usage
    if usage is None:
        raise ValueError(f"job {job_id}: the answer has no usage")
    cost = usage.prompt_tokens * _INPUT_USD + usage.completion_tokens * _OUTPUT_USD
    request_id = completion._request_id
    with parts.database.begin() as conn:
        conn.execute(_FINISH_JOB, {"id": job_id, "cost": cost})
        conn.execute(
            _FINISH_ATTEMPT,
            {"attempt": attempt, "request_id": request_id, "usage": usage.model_dump_json(), "cost": cost},
        )
        conn.execute(_RESULT, {"id": job_id, "request_id": request_id, "body": completion.model_dump_json()})
        # The row that every job wants comes last, so that it is locked as briefly as can be.
        conn.execute(
            _COSTS,
            {"model": body["model"], "input": usage.prompt_tokens, "output": usage.completion_tokens, "cost": cost},
        )


def main() -> None:
    """A worker process."""
    threads = int(os.environ[THREADS_VARIABLE])
    parts = Parts(
        create_engine(os.environ["PRESSROOM_DATABASE_URL"], pool_size=threads),
        openai.OpenAI(base_url=os.environ[BASE_URL_VARIABLE], api_key="sandbox", max_retries=0),
    )
    app = make_celery(os.environ["PRESSROOM_REDIS_URL"])

    @app.task(name=RUN_JOB)  # type: ignore[untyped-decorator]
    def task(job_id: str) -> None:
        run_job(parts, job_id)

    options = [
        "--pool=threads",
        f"--concurrency={threads}",
        "--without-gossip",
        "--without-mingle",
        "--loglevel=warning",
    ]
    app.worker_main(argv=["worker", *options, f"--hostname=peer-{os.getpid()}@%h"])


if __name__ == "__main__":
    main()
