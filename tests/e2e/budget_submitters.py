"""Many submitters at once, each with a batch of its own: a picture, a short text, and a text that reserves much."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import orjson
from sqlalchemy import Engine, text

from models import DEFAULT_PROJECT_ID
from pressroom.catalog.load import catalog
from pressroom.database import connect
from pressroom.ids import new_id
from pressroom.jobs.check import NewJobDraft, RequestChecker
from pressroom.jobs.resolve import DeploymentRef, resolve_deployments
from pressroom.jobs.submit import Destination, NewJob, insert_jobs
from pressroom.money.price_book import load_price_book, sync_catalog_prices
from pressroom.settings import SANDBOX
from tests.fixtures.system import PICTURE, TEXT, System

MOST_OF_ONE_USD = Decimal("0.016")
"""The upper bound of the picture, which is what it costs; the texts' are lower."""

_CONNECTIONS = 24

_BODIES: tuple[tuple[str, dict[str, Any]], ...] = (
    (PICTURE, {"model": "dall-e-2", "prompt": "a number", "size": "256x256", "n": 1}),
    (TEXT, {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Say little."}], "max_tokens": 40}),
    (TEXT, {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Say."}], "max_tokens": 16_000}),
)


def submit_at_once(system: System, submitters: int) -> None:
    """All of them, as fast as they can, through connections of their own."""
    with system.engine.begin() as conn:
        sync_catalog_prices(conn)
        refs = resolve_deployments(conn, SANDBOX, {"dall-e-2": "dall-e-2", "gpt-4o-mini": "gpt-4o-mini"}, {})
        checker = RequestChecker(load_price_book(conn), catalog(), SANDBOX, datetime.now(UTC).date())
    jobs = [_job(checker, url, body, line) for line, (url, body) in enumerate(_BODIES, start=1)]
    url = system.engine.url.render_as_string(hide_password=False)
    engine = connect(url, application="submitters", pool_size=_CONNECTIONS)
    try:
        with ThreadPoolExecutor(_CONNECTIONS * 2) as threads:
            for done in [threads.submit(_submit, engine, refs, jobs) for _ in range(submitters)]:
                done.result()
    finally:
        engine.dispose()


def _submit(engine: Engine, refs: Mapping[str, DeploymentRef], jobs: Sequence[NewJob]) -> None:
    with engine.begin() as conn:
        batch_id = new_id()
        conn.execute(
            text(
                "INSERT INTO batches (id, project_id, state, input_name, fingerprint, total, est_cost_usd)"
                " VALUES (:id, :project, 'in_progress', 'race', :id, :total, 0)"
            ),
            {"id": batch_id, "project": DEFAULT_PROJECT_ID, "total": len(jobs)},
        )
        insert_jobs(conn, jobs, Destination(DEFAULT_PROJECT_ID, refs, batch_id=batch_id))


def _job(checker: RequestChecker, url: str, body: dict[str, Any], line: int) -> NewJob:
    draft = checker.check(url, body)
    if not isinstance(draft, NewJobDraft):
        raise AssertionError(f"the test's own request is refused: {draft}")
    return NewJob(url, draft.model, orjson.dumps(body).decode(), draft.estimate, f"line-{line}", line)
