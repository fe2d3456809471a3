"""Celery with one task an item, retried as its documentation recommends, and in one of two ways within its rate limit.

The pool is threads, as many as the SDK has calls at once; broker and results are in Redis. `rate_limit` is per worker
process, so there is one worker. `python -m benchmarks.peers.rival_celery TASK.json worker` is that worker.
"""

import subprocess
import sys
import time
from typing import Any

import openai
from celery import Celery, group

from benchmarks.peers.starting_line import Go, Task, run

_START_SECONDS = 30.0


def make_celery(task: Task) -> Celery:
    """The app with its one task. `options`: `threads`, `max_retries`, `backoff_max_seconds`, `rate_limit` or None."""
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


def prepare(task: Task) -> Go:
    """A worker that answers, and the tasks' signatures."""
    app = make_celery(task)
    worker = subprocess.Popen([sys.executable, "-m", "benchmarks.peers.rival_celery", sys.argv[1], "worker"])
    deadline = time.monotonic() + _START_SECONDS
    while not app.control.ping(timeout=0.5):
        if worker.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"the Celery worker is not there after {_START_SECONDS:.0f} s: see the lines above")
    tasks = group([app.tasks["rival.ask"].s(body) for body in task.bodies], app=app)

    def go() -> list[int]:
        results = tasks.apply_async()
        results.join(propagate=False)
        return [number for number, one in enumerate(results.results) if one.successful()]

    return go


def worker() -> None:
    """The worker process, until it is ended."""
    task = Task.read(sys.argv[1])
    options = ["--pool=threads", f"--concurrency={task.options['threads']}", "--loglevel=warning"]
    make_celery(task).worker_main(argv=["worker", *options, "--without-gossip", "--without-mingle"])


if __name__ == "__main__":
    if sys.argv[2:] == ["worker"]:
        worker()
    else:
        run(prepare, ("celery", "openai"))
