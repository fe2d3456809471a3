"""Books of a system that has run for a year, written straight into the tables: what `admin_queries` asks about.

Jobs are numbered in the order in which they came. The first batch has a tenth of them all, the next nine a fiftieth
each, the others 1,000; a third of the batches is the default project's, an early one is all that the project `tiny` and
the model `gpt-5.4-nano` have. The newest 7 % of the jobs are queued, 300 of them out, and their batches in progress. Of
the others 2 % failed, 0.8 % were cancelled or expired; every call has an attempt and a hold. Ids are made from the
number, so every table is written by itself, in the order of its keys.
"""

import math
from collections.abc import Iterator

from sqlalchemy import Connection, Engine, text

from models import DEFAULT_PROJECT_ID

PROJECTS = 50
MODELS = ("dall-e-2", "gpt-6-luna", "gpt-4o-mini", "gpt-5.4-nano")
RARE_ERROR, COMMON_ERROR, NO_ERROR = "content_policy_violation", "server_error", "never_seen"
TINY, TINY_BATCH = "tiny", 40
_CHUNK = 100_000
_YEAR_MS = 365 * 86_400_000

# OFFSET 0 keeps an expression from being worked out anew at each of its uses.
# An id sorts by number and carries the time at which its job came, as a UUIDv7 does. Kinds: 1 job, 2 attempt, 3 batch,
# 4 project, 5 lease, 6 artifact, 7 worker.
_FUNCTIONS = """
    CREATE FUNCTION made_at(n bigint) RETURNS timestamptz LANGUAGE sql IMMUTABLE PARALLEL SAFE AS
      $$ SELECT to_timestamp((:base + n * :step) / 1000.0) $$;
    CREATE FUNCTION made_id(kind int, n bigint) RETURNS uuid LANGUAGE sql IMMUTABLE PARALLEL SAFE AS
      $$ SELECT (lpad(to_hex((:base + n * :step)::bigint), 12, '0') || '7' || lpad(to_hex(kind), 3, '0') || '8'
        || lpad(to_hex(n), 15, '0'))::uuid $$;
    CREATE FUNCTION made_state(n bigint) RETURNS job_state LANGUAGE sql IMMUTABLE PARALLEL SAFE AS
      $$ SELECT CASE WHEN n > :queued_from + 300 THEN 'queued'::job_state WHEN n > :queued_from + 150 THEN 'leased'
        WHEN n > :queued_from THEN 'running' WHEN n % 1000 < 20 THEN 'failed' WHEN n % 1000 < 25 THEN 'cancelled'
        WHEN n % 1000 < 28 THEN 'expired' ELSE 'succeeded' END $$;
"""

_BATCHES = """
    CREATE TABLE made_batches (no int PRIMARY KEY, first bigint, last bigint, project int, id uuid, project_id uuid);
    INSERT INTO made_batches (no, first, last)
      SELECT row_number() OVER (ORDER BY first), first, lead(first, 1, :jobs + 1) OVER (ORDER BY first) - 1 FROM (
        SELECT 1::bigint AS first UNION SELECT :jobs / 10 + 1 + k * (:jobs / 50) FROM generate_series(0, 8) AS k
        UNION SELECT n FROM generate_series(:jobs / 10 + 9 * (:jobs / 50) + 1, :jobs, 1000) AS n) AS f (first);
    UPDATE made_batches SET id = made_id(3, first), project = CASE WHEN no = :tiny_batch THEN :projects + 1
      WHEN no % 3 = 1 THEN 0 ELSE 1 + no % :projects END;
    UPDATE made_batches SET project_id = CASE WHEN project = 0 THEN CAST(:default_project AS uuid)
      ELSE made_id(4, project) END;
"""

_SMALL = """
    INSERT INTO projects (id, name) SELECT made_id(4, p), CASE WHEN p > :projects THEN :tiny ELSE 'project-' || p END
      FROM generate_series(1, :projects + 1) AS p;
    INSERT INTO pools (id, name) OVERRIDING SYSTEM VALUE SELECT d, (:models)[d] FROM generate_series(1, 4) AS d;
    INSERT INTO deployments (id, base_url, model, is_sandbox, pool_id) OVERRIDING SYSTEM VALUE
      SELECT d, 'https://api.openai.com/v1', (:models)[d], false, d FROM generate_series(1, 4) AS d;
    INSERT INTO batches (id, project_id, state, input_name, fingerprint, total, est_cost_usd, created_at)
      SELECT b.id, b.project_id, 'in_progress', 'input-' || no || '.jsonl', md5(no::text), last - first + 1, 0,
        made_at(first) FROM made_batches b;
    INSERT INTO workers (id, host, pid) VALUES (made_id(7, 1), 'books', 1);
    INSERT INTO leases (id, pool_id, deployment_id, worker_id, waiting, waiting_seconds, open)
      SELECT made_id(5, k), 3, 3, made_id(7, 1), 25, 1, 50 FROM generate_series(0, 5) AS k;
    INSERT INTO budgets (id, scope, scope_id, period, cap_usd) OVERRIDING SYSTEM VALUE
      SELECT p, 'project'::budget_scope, made_id(4, p), 'month'::budget_period, 1000
        FROM generate_series(1, :projects) AS p
      UNION ALL SELECT :projects + 1, 'installation', NULL, 'day', 1000;
    INSERT INTO budget_windows (id, budget_id, starts_at, is_sandbox, cap_usd) OVERRIDING SYSTEM VALUE
      SELECT b.id, b.id, date_trunc(b.period::text, now(), 'UTC'), false, b.cap_usd FROM budgets b;
    INSERT INTO daily_costs (day, project_id, deployment_id, calls, answered, input_tokens, output_tokens, cost_usd)
      SELECT current_date - k, p.id, d, 100, 98, 6000, 6000, 0.01
      FROM generate_series(0, 364) AS k, projects p, generate_series(1, 3) AS d;
"""

_BY_NUMBER = {
    "jobs": """
      INSERT INTO jobs (id, project_id, batch_id, line_no, custom_id, flow_id, deployment_id, url, state, lease_id,
        run_at, calls, attempts_used, est_tokens, est_images, est_cost_usd, cost_usd, error_code, created_at,
        started_at, finished_at)
      SELECT made_id(1, n), b.project_id, b.id, n - b.first + 1, 'item-' || n, b.no * 4 + d, d,
        CASE d WHEN 1 THEN '/v1/images/generations' ELSE '/v1/chat/completions' END, s,
        CASE WHEN s IN ('leased', 'running') THEN made_id(5, n % 6) END,
        CASE WHEN s = 'queued' AND n % 200 = 0 THEN now() + interval '1 hour' END,
        called, called, 120, CASE d WHEN 1 THEN 1 ELSE 0 END, 0.0001, CASE WHEN s = 'succeeded' THEN 0.00008 END,
        CASE WHEN s = 'failed' AND n % 1000 = 1 THEN :rare WHEN s = 'failed' THEN :common END, made_at(n),
        CASE WHEN s IN ('succeeded', 'failed') THEN made_at(n) END,
        CASE WHEN s NOT IN ('queued', 'leased', 'running') THEN made_at(n) END
      FROM made_batches b, LATERAL generate_series(greatest(b.first, :first), least(b.last, :last)) AS n,
        LATERAL (SELECT made_state(n) AS s, CASE WHEN b.no = :tiny_batch THEN 4 WHEN n % 20 = 0 THEN 1
          WHEN n % 20 < 4 THEN 2 ELSE 3 END AS d OFFSET 0) AS x,
        LATERAL (SELECT CASE WHEN s IN ('succeeded', 'failed') THEN 1 ELSE 0 END AS called OFFSET 0) AS y
      WHERE b.last >= :first AND b.first <= :last ORDER BY n
    """,
    "job_requests": """
      INSERT INTO job_requests (job_id, body)
      SELECT made_id(1, n),
        json_build_object('model', 'gpt-4o-mini', 'messages', 'Summarise item ' || n, 'max_tokens', 60)
      FROM generate_series(CAST(:first AS bigint), :last) AS n
    """,
    "job_results": """
      INSERT INTO job_results (job_id, status_code, request_id, body)
      SELECT made_id(1, n), 200, 'req_' || n,
        json_build_object('id', 'chatcmpl-' || n, 'choices', 'Item ' || n || ' says so.')
      FROM generate_series(CAST(:first AS bigint), :last) AS n WHERE made_state(n) IN ('succeeded', 'failed')
    """,
    "attempts": """
      INSERT INTO attempts (id, job_id, number, lease_id, worker_id, deployment_id, outcome, started_at, sent_at,
        finished_at, status_code, request_id, usage, est_cost_usd, cost_usd, at_risk_usd)
      SELECT made_id(2, n), made_id(1, n), 1, made_id(5, n % 6), made_id(7, 1), 3,
        CASE WHEN s = 'running' THEN 'started'::attempt_outcome WHEN n % 5000 = 19 THEN 'unknown'
          WHEN s = 'failed' THEN 'failed' ELSE 'succeeded' END,
        made_at(n), made_at(n), CASE WHEN s <> 'running' THEN made_at(n) END, 200, 'req_' || n, '{"total_tokens": 120}',
        0.0001, CASE WHEN s = 'succeeded' THEN 0.00008 END, CASE WHEN n % 5000 = 19 THEN 0.0001 END
      FROM generate_series(CAST(:first AS bigint), :last) AS n, LATERAL (SELECT made_state(n) AS s OFFSET 0) AS x
      WHERE s IN ('succeeded', 'failed', 'running')
    """,
    "holds": """
      INSERT INTO holds (job_id, number, state, amount_usd, windows, actual_usd, resolved_at)
      SELECT made_id(1, n), 1, CASE WHEN s = 'running' THEN 'held'::hold_state WHEN n % 5000 = 19 THEN 'uncertain'
        ELSE 'posted' END, 0.0001, ARRAY[1 + n % :projects, :projects + 1], 0.00008, made_at(n)
      FROM generate_series(CAST(:first AS bigint), :last) AS n, LATERAL (SELECT made_state(n) AS s OFFSET 0) AS x
      WHERE s IN ('succeeded', 'failed', 'running')
    """,
    "artifacts": """
      INSERT INTO artifacts (id, project_id, job_id, kind, position, key, content_type, byte_size, sha256, width,
        height)
      SELECT made_id(6, 2 * n + k), CAST(:default_project AS uuid), made_id(1, n),
        (ARRAY['image', 'thumbnail'])[k + 1]::artifact_kind, 0, 'pictures/' || n || '/' || k, 'image/png', 100000,
        md5(n::text), 256, 256
      FROM generate_series(CAST(:first AS bigint), :last) AS n, generate_series(0, 1) AS k
      WHERE n % 20 = 0 AND made_state(n) = 'succeeded'
    """,
}

_COUNTERS = """
    INSERT INTO stakes (id, pool_id, project_id, priority_class, weight, active) OVERRIDING SYSTEM VALUE
      SELECT p * 8 + d, d, CASE WHEN p = 0 THEN CAST(:default_project AS uuid) ELSE made_id(4, p) END, 'normal', 4, true
        FROM generate_series(0, :projects + 1) AS p, generate_series(1, 4) AS d;
    INSERT INTO flows (id, stake_id, pool_id, project_id, deployment_id, batch_id, queued, active, jobs_in, tokens_in)
      OVERRIDING SYSTEM VALUE SELECT b.no * 4 + c.d, b.project * 8 + c.d, c.d, b.project_id, c.d, b.id, c.queued,
        c.queued > 0, c.jobs, 120 * c.jobs
      FROM made_batches b JOIN (SELECT batch_id, deployment_id AS d, count(*) AS jobs,
        count(*) FILTER (WHERE state = 'queued') AS queued FROM jobs GROUP BY 1, 2) AS c ON c.batch_id = b.id;
    UPDATE batches b SET succeeded = c.succeeded, failed = c.failed, cancelled = c.cancelled, expired = c.expired,
        cost_usd = c.cost_usd, finished_at = CASE WHEN b.total = c.done THEN b.created_at END,
        state = (CASE WHEN b.total = c.done THEN 'completed' ELSE 'in_progress' END)::batch_state
      FROM (SELECT batch_id, count(*) FILTER (WHERE state = 'succeeded') AS succeeded,
          count(*) FILTER (WHERE state = 'failed') AS failed, count(*) FILTER (WHERE state = 'cancelled') AS cancelled,
          count(*) FILTER (WHERE state = 'expired') AS expired, coalesce(sum(cost_usd), 0) AS cost_usd,
          count(*) FILTER (WHERE state IN ('succeeded', 'failed', 'cancelled', 'expired')) AS done
        FROM jobs GROUP BY 1) AS c WHERE c.batch_id = b.id;
"""


def fill(engine: Engine, jobs: int, *, base_ms: int) -> Iterator[str]:
    """Write them into empty, migrated tables; yields what has been done. `base_ms`: now, in Unix milliseconds."""
    known = {
        "jobs": jobs,
        "base": base_ms - _YEAR_MS,
        "step": max(1, _YEAR_MS // jobs),
        "queued_from": math.floor(jobs * 0.93),
        "projects": PROJECTS,
        "tiny": TINY,
        "tiny_batch": TINY_BATCH,
        "models": list(MODELS),
        "default_project": str(DEFAULT_PROJECT_ID),
        "rare": RARE_ERROR,
        "common": COMMON_ERROR,
    }
    with engine.begin() as conn:
        _run(conn, _FUNCTIONS, known)
        _run(conn, _BATCHES, known)
        _run(conn, _SMALL, known)
    yield "small tables"
    for table, statement in _BY_NUMBER.items():
        for first in range(1, jobs + 1, _CHUNK):
            with engine.begin() as conn:
                _run(conn, statement, known | {"first": first, "last": min(jobs, first + _CHUNK - 1)})
        yield table
    with engine.begin() as conn:
        _run(conn, _COUNTERS, known)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as conn:
        conn.execute(text("VACUUM ANALYZE"))
    yield "counters and statistics"


def _run(conn: Connection, statements: str, known: dict[str, object]) -> None:
    """Values are written into the text: functions cannot have parameters bound. They are all this module's own."""
    # Foreign keys are right by construction, and checking 25 million of them would take longer than writing them.
    conn.exec_driver_sql("SET LOCAL session_replication_role = replica; SET LOCAL synchronous_commit = off")
    for name in sorted(known, key=len, reverse=True):
        statements = statements.replace(f":{name}", _literal(known[name]))
    conn.exec_driver_sql(statements.replace("%", "%%"))


def _literal(value: object) -> str:
    if isinstance(value, list):
        return f"ARRAY[{', '.join(_literal(one) for one in value)}]"
    return str(value) if isinstance(value, int) else f"'{value}'"
