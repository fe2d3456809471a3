"""Celery with one task an item, retried as its documentation has it. `rival_celery` starts the worker and publishes."""

from typing import Any

import openai
from celery import Celery

from benchmarks.peers.starting_line import Task


def make_app(task: Task) -> Celery:
    """The app and its task. `options`: `max_retries`, `backoff_max_seconds`, and `rate_limit` (per worker) or None."""
    app = Celery("rival", broker=task.redis_url, backend=task.redis_url, set_as_current=False)
    app.conf.update(worker_hijack_root_logger=False, broker_connection_retry_on_startup=True)
    # The retries are Celery's: a second layer of them in the SDK would hide the 429s from it.
    client = openai.OpenAI(base_url=task.base_url, api_key="sandbox", max_retries=0)

    @app.task(  # type: ignore[untyped-decorator]
        name="rival.ask",
        autoretry_for=(openai.RateLimitError, openai.APIConnectionError, openai.InternalServerError),
        retry_backoff=True,
        retry_backoff_max=int(task.options["backoff_max_seconds"]),
        retry_jitter=True,
        max_retries=int(task.options["max_retries"]),
        rate_limit=task.options["rate_limit"],
    )
    def ask(body: dict[str, Any]) -> str:
        return str(client.chat.completions.create(**body).choices[0].message.content)

    return app


task = Task.read()
app = make_app(task)
