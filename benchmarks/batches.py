"""Batches of jobs for benchmarks, submitted the way every door does it."""

import zlib
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from itertools import count
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import Engine, text

from models import DEFAULT_PROJECT_ID
from pressroom.ids import new_id
from pressroom.jobs.resolve import resolve_deployments
from pressroom.jobs.submit import Destination, NewJob, insert_jobs
from pressroom.money.price_book import load_price_book, sync_catalog_prices
from pressroom.operations.registry import operation_for
from pressroom.settings import SANDBOX

MODEL = "gpt-4o-mini"
URL = "/v1/chat/completions"
IMAGE_MODEL = "dall-e-2"
IMAGE_URL = "/v1/images/generations"
ANSWER_TOKENS = 60
ITEM_TOKENS = 120
"""Of each `exact_bodies` item, answer included, with the sandbox's answers at exactly ANSWER_TOKENS."""

_FRAME_TOKENS = 6
_WORDS = "the press prints what the editors hand over before the night is through and not a line more than that " * 4


def text_bodies(jobs: int, *, label: str = "item") -> Iterator[dict[str, Any]]:
    """Requests of about 130 tokens, all different."""
    for number in range(jobs):
        yield _body(f"Summarise {label} {number}: " + "words " * 40)


def exact_bodies(jobs: int, *, label: str = "item") -> Iterator[dict[str, Any]]:
    """Requests that take exactly ITEM_TOKENS in the sandbox, whose token rule is in docs/sandbox.md."""
    wanted = ITEM_TOKENS - ANSWER_TOKENS - _FRAME_TOKENS
    for number in range(jobs):
        drafts = (f"Summarise {label} {number}, draft {draft}: " for draft in count(1))
        contents = (head + _WORDS[:length] for head in drafts for length in range(140, 220))
        yield _body(next(content for content in contents if _sandbox_tokens(content) == wanted))


def image_bodies(jobs: int, *, label: str = "item") -> Iterator[dict[str, Any]]:
    """Requests for one small picture each, all different."""
    for number in range(jobs):
        yield {"model": IMAGE_MODEL, "prompt": f"A letter, {label} {number}", "size": "256x256", "n": 1}


def submit(
    database: Engine,
    bodies: Iterable[Mapping[str, Any]],
    limits: Mapping[str, float],
    *,
    url: str = URL,
    model: str = MODEL,
    guess: bool = False,
) -> UUID:
    """Put a batch on the books, its pool under the given limits (none: unlimited); returns the batch's id.

    The limits are settings, or with `guess` such as headers may correct.
    """
    operation = operation_for(url)
    if operation is None:
        raise LookupError(url)
    layers = {"explicit": {} if guess else limits, "catalog": limits if guess else {}}
    with database.begin() as conn:
        sync_catalog_prices(conn)
        prices = load_price_book(conn)
        price = prices.price_for(model, None, datetime.now(UTC).date())
        deployments = resolve_deployments(conn, SANDBOX, {model: model}, {})
        conn.execute(
            text(
                "UPDATE pools SET explicit_limits = CAST(:explicit AS jsonb), catalog_limits = CAST(:catalog AS jsonb)"
                " WHERE id = :pool"
            ),
            {name: orjson.dumps(dict(layer)).decode() for name, layer in layers.items()}
            | {"pool": deployments[model].pool_id},
        )
        batch = new_id()
        requests = list(bodies)
        conn.execute(
            text(
                "INSERT INTO batches (id, project_id, state, input_name, fingerprint, total, est_cost_usd)"
                " VALUES (:id, :project, 'in_progress', 'benchmark', :fingerprint, :total, 0)"
            ),
            {"id": batch, "project": DEFAULT_PROJECT_ID, "fingerprint": batch.hex, "total": len(requests)},
        )
        jobs = (
            NewJob(url, model, orjson.dumps(body).decode(), operation.estimate(body, price), f"item-{n}", n)
            for n, body in enumerate(requests, start=1)
        )
        insert_jobs(conn, jobs, Destination(DEFAULT_PROJECT_ID, deployments, batch_id=batch))
    return batch


def settled(database: Engine, batch: UUID) -> int:
    """How many of the batch's jobs have ended, in whatever way."""
    query = text("SELECT succeeded + failed + cancelled + expired FROM batches WHERE id = :id")
    with database.connect() as conn:
        return int(conn.execute(query, {"id": batch}).scalar_one())


def succeeded(database: Engine, batch: UUID) -> int:
    """How many of the batch's jobs have succeeded."""
    with database.connect() as conn:
        return int(conn.execute(text("SELECT succeeded FROM batches WHERE id = :id"), {"id": batch}).scalar_one())


def _body(content: str) -> dict[str, Any]:
    return {"model": MODEL, "messages": [{"role": "user", "content": content}], "max_tokens": ANSWER_TOKENS}


def _sandbox_tokens(content: str) -> int:
    data = content.encode()
    noise = (zlib.crc32(data) % 4001) / 10_000 - 0.15
    return max(1, round(len(data) / 4 * (1 + noise)))
