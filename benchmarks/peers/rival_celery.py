"""Celery: one worker on the gevent pool, which is the one for work that waits, as many at once as the SDK has.

There is one worker because `rate_limit` is per worker. Broker and results are in Redis.
"""

import subprocess
import sys
import time

from celery import group

from benchmarks.peers.rival_celery_app import app
from benchmarks.peers.starting_line import Go, Task, run

_START_SECONDS = 30.0


def prepare(task: Task) -> Go:
    """A worker that answers, and the tasks' signatures. `options`: `at_once`, and those of the app."""
    at_once = f"--concurrency={task.options['at_once']}"
    options = ["--pool=gevent", at_once, "--loglevel=warning", "--without-gossip", "--without-mingle"]
    worker = subprocess.Popen(
        [sys.executable, "-m", "celery", "-A", "benchmarks.peers.rival_celery_app", "worker", *options]
    )
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


if __name__ == "__main__":
    run(prepare, ("celery", "openai"))
