"""What a benchmark runs on: a local stack of its own, a sandbox, and worker processes that are ended by their pid."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import redis
from sqlalchemy import Engine, text

from migrations.migrate import upgrade
from pressroom.database import connect
from pressroom.local_stack import LocalStack, StackUrls
from tests.sandbox_process import SandboxProcess

ROOT = Path(__file__).resolve().parents[1]
_START_SECONDS = 120.0
_STOP_SECONDS = 60.0
_OF_OTHERS = ("PRESSROOM_", "OPENAI_", "AWS_")
_TABLES = (
    "artifacts, attempts, job_results, job_requests, jobs, leases, flows, stakes, batches, daily_costs, workers,"
    " deployments, pools"
)


class BenchmarkFailed(Exception):
    """The run is not worth measuring: something did not start, stopped, or did wrong."""


@dataclass(frozen=True, slots=True)
class Reading:
    """CPU seconds of some processes, user and system, at a moment of the monotonic clock."""

    at: float
    cpu: float


class Processes:
    """Worker processes of one kind."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], *, count: int, log_dir: Path) -> None:
        self._logs = [log_dir / f"worker-{index}.log" for index in range(count)]
        self._processes = []
        for log in self._logs:
            with log.open("wb") as output:
                self._processes.append(
                    subprocess.Popen(command, cwd=ROOT, env=dict(environment), stdout=output, stderr=output)
                )
        self._watched = [psutil.Process(process.pid) for process in self._processes]

    def reading(self) -> Reading:
        """CPU used so far by all of them, children included. Raises BenchmarkFailed if one has ended."""
        self.check()
        cpu = 0.0
        for process in self._watched:
            for one in (process, *process.children(recursive=True)):
                times = one.cpu_times()
                cpu += times.user + times.system
        return Reading(time.monotonic(), cpu)

    def pids(self) -> list[int]:
        """Of the processes, without their children."""
        return [process.pid for process in self._processes]

    def check(self) -> None:
        """Raises BenchmarkFailed with the log's end if one has ended."""
        for process, log in zip(self._processes, self._logs, strict=True):
            if process.poll() is not None:
                tail = log.read_text(errors="replace")[-2000:]
                raise BenchmarkFailed(f"worker {process.pid} ended with status {process.returncode}:\n{tail}")

    def stop(self) -> None:
        """SIGTERM to each, and SIGKILL to what does not end."""
        for process in self._processes:
            process.terminate()
        for process in self._processes:
            try:
                process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@dataclass(frozen=True, slots=True)
class Rig:
    """Everything that was started. One benchmark at a time uses it."""

    urls: StackUrls
    database: Engine
    sandbox: SandboxProcess
    directory: Path

    def clean(self, sandbox_config: Mapping[str, Any]) -> None:
        """Empty tables, an empty Redis database, and a sandbox as configured, its counts at zero. No worker may run."""
        with self.database.begin() as conn:
            conn.execute(text(f"TRUNCATE {_TABLES} CASCADE"))
        with redis.Redis.from_url(self.urls.redis_url) as client:
            client.flushdb()
        self.sandbox.replace_config(sandbox_config)
        self.sandbox.reset()

    @contextmanager
    def pressroom_workers(self, count: int) -> Iterator[Processes]:
        """Workers of ours, registered and ready; ended at the end of the block."""
        environment = self.environment() | {
            "PRESSROOM_SANDBOX_URL": self.sandbox.base_url,
            "PRESSROOM_LOG_LEVEL": "warning",
        }
        with self.processes([sys.executable, "-m", "worker"], environment, count) as workers:
            wait_for(lambda: self._listening() >= count, "workers to listen for leases", workers=workers)
            yield workers

    @contextmanager
    def processes(self, command: Sequence[str], environment: Mapping[str, str], count: int) -> Iterator[Processes]:
        """Any worker processes; ended at the end of the block."""
        workers = Processes(command, environment, count=count, log_dir=self.directory)
        try:
            yield workers
        finally:
            workers.stop()

    def environment(self) -> dict[str, str]:
        """This process's, without what might point a worker elsewhere, and with this rig's servers."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(_OF_OTHERS)}
        return (
            kept
            | self.urls.environment()
            | {
                "PRESSROOM_DATA_DIR": str(self.directory / "data"),
                "PRESSROOM_PARENT_PID": str(os.getpid()),
            }
        )

    def _listening(self) -> int:
        """Connections that wait for a message: a worker's is the last thing that it opens."""
        with redis.Redis.from_url(self.urls.redis_url) as client:
            return sum(1 for one in client.client_list() if one["cmd"] == "brpop" and one["db"] == "0")


@contextmanager
def rig() -> Iterator[Rig]:
    """A durable local stack in a temporary directory and a sandbox; all stopped and removed at the end."""
    stack = LocalStack(tempfile.mkdtemp(prefix="pressroom-bench-"))
    try:
        urls = stack.acquire()
        upgrade(urls.database_url)
        database = connect(urls.database_url, application="benchmark")
        with SandboxProcess() as sandbox, tempfile.TemporaryDirectory(prefix="pressroom-bench-logs-") as logs:
            try:
                yield Rig(urls, database, sandbox, Path(logs))
            finally:
                database.dispose()
    finally:
        stack.wipe()


def wait_for(
    true: Callable[[], bool],
    what: str,
    *,
    workers: Processes | None = None,
    seconds: float = _START_SECONDS,
    look_seconds: float = 0.05,
) -> float:
    """The monotonic time at which `true` was. Raises BenchmarkFailed after `seconds`, or when a worker ended."""
    deadline = time.monotonic() + seconds
    while not true():
        if workers is not None:
            workers.check()
        if time.monotonic() > deadline:
            raise BenchmarkFailed(f"waited {seconds:.0f} s for {what}")
        time.sleep(look_seconds)
    return time.monotonic()
