"""The processes that a command starts: workers and the sandbox. Each ends with us, however we end.

They are in sessions of their own, so that Ctrl-C reaches only us and we decide how they stop.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from cli.exits import CouldNotRun

if TYPE_CHECKING:
    from pressroom.settings import Settings

_LOG_BYTES = 20 * 1024 * 1024
_TAIL_LINES = 15
_SANDBOX_START_SECONDS = 20.0
_STOP_MARGIN_SECONDS = 10.0
_QUICK_DEATH_SECONDS = 10.0
_QUICK_DEATHS = 3
_LONGEST_RESTART_SECONDS = 30.0


class Sandbox:
    """One `python -m sandbox`. `url` is what OPENAI_BASE_URL would take; known once `ready` returned."""

    def __init__(self, logs: Path, *, config: Path | None = None) -> None:
        """Start it; the next steps need not wait for it."""
        logs.mkdir(parents=True, exist_ok=True)
        self._log = open_log(logs / "sandbox.log")
        self._port_file = logs / f"sandbox-{os.getpid()}.json"
        self._port_file.unlink(missing_ok=True)
        command = [sys.executable, "-m", "sandbox", "--port-file", str(self._port_file)]
        command += ["--parent-pid", str(os.getpid())]
        if config is not None:
            command += ["--config", str(config)]
        self._process = spawn(command, os.environ, self._log)
        self.url = ""

    @property
    def pid(self) -> int:
        """Of the process."""
        return self._process.pid

    def ready(self) -> str:
        """Wait until it listens, and return its URL. Raises CouldNotRun."""
        deadline = time.monotonic() + _SANDBOX_START_SECONDS
        while not self._port_file.exists():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise CouldNotRun(f"the sandbox did not start; the end of {self._log}:\n{last_lines(self._log)}")
            time.sleep(0.02)
        port = json.loads(self._port_file.read_text(encoding="utf-8"))["port"]
        self.url = f"http://127.0.0.1:{port}/v1"
        return self.url

    def stop(self) -> None:
        """End it."""
        end(self._process, seconds=5.0)
        self._port_file.unlink(missing_ok=True)


@dataclass
class _Worker:
    process: subprocess.Popen[bytes]
    started: float
    quick_deaths: int = 0
    restart_at: float | None = None


class WorkerProcesses:
    """`count` worker processes, kept alive until `stop`. A context manager that stops them."""

    def __init__(self, count: int, environment: Mapping[str, str], logs: Path, *, settings: Settings) -> None:
        """Start them. `environment` is added to this process's; the provider is the one of `settings`."""
        logs.mkdir(parents=True, exist_ok=True)
        self.log = open_log(logs / "worker.log")
        self._environment = {**os.environ, **environment, "PRESSROOM_PARENT_PID": str(os.getpid())}
        if settings.uses_sandbox:
            self._environment.pop("OPENAI_API_KEY", None)
        self._drain_seconds = settings.drain_seconds
        self._workers = [_Worker(self._start(), time.monotonic()) for _ in range(count)]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def pids(self) -> list[int]:
        """Of those that run."""
        return [w.process.pid for w in self._workers if w.process.poll() is None]

    def tend(self, *, forgiving: bool = False) -> None:
        """Start again what died, later each time. Raises CouldNotRun when none of them can stay alive.

        While a server is away it is no fault of theirs that they cannot: with `forgiving`, that is not counted.
        """
        now = time.monotonic()
        for worker in self._workers:
            if worker.process.poll() is None:
                continue
            if worker.restart_at is None:
                quick = now - worker.started < _QUICK_DEATH_SECONDS and not forgiving
                worker.quick_deaths = worker.quick_deaths + 1 if quick else 0
                worker.restart_at = now + min(_LONGEST_RESTART_SECONDS, 0.5 * 2**worker.quick_deaths)
            elif now >= worker.restart_at:
                worker.process, worker.started, worker.restart_at = self._start(), now, None
        if all(w.quick_deaths >= _QUICK_DEATHS and w.restart_at is not None for w in self._workers):
            raise CouldNotRun(
                f"every worker process ended soon after its start; the end of {self.log}:\n{last_lines(self.log)}"
            )

    def ask_to_stop(self) -> None:
        """Tell them to finish what is being called and hand back the rest; do not wait."""
        for worker in self._workers:
            if worker.process.poll() is None:
                worker.process.terminate()

    def stop(self) -> None:
        """Tell them, and wait for as long as draining may take; what hangs beyond it is killed."""
        self.ask_to_stop()
        deadline = time.monotonic() + self._drain_seconds + _STOP_MARGIN_SECONDS
        try:
            for worker in self._workers:
                _wait(worker.process, max(0.0, deadline - time.monotonic()))
        finally:
            self.kill()

    def kill(self) -> None:
        """End them now. Calls on their way become `unknown`, at risk of having been billed."""
        for worker in self._workers:
            if worker.process.poll() is None:
                worker.process.kill()
                worker.process.wait()

    def _start(self) -> subprocess.Popen[bytes]:
        # Its log goes to stderr, in JSON lines; what Celery itself says on stdout is none of them.
        return spawn([sys.executable, "-m", "worker"], self._environment, self.log, with_stdout=False)


@contextlib.contextmanager
def interrupted_by_termination() -> Iterator[None]:
    """Let SIGTERM and SIGHUP end a command as Ctrl-C does: in order."""

    def interrupt(_number: int, _frame: object) -> None:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def open_log(path: Path) -> Path:
    """Make the log, readable by the owner only; one that has grown large is put aside first."""
    if path.exists() and path.stat().st_size > _LOG_BYTES:
        path.replace(path.with_suffix(".log.1"))
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600))
    return path


def last_lines(path: Path, count: int = _TAIL_LINES) -> str:
    """The end of a log."""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - 64 * 1024))
        lines = file.read().decode(errors="replace").splitlines()
    return "\n".join(lines[-count:]) or "(empty)"


def spawn(
    command: list[str], environment: Mapping[str, str], log: Path, *, with_stdout: bool = True
) -> subprocess.Popen[bytes]:
    """Start a process in a session of its own, what it says at the end of the log."""
    with log.open("ab") as output:
        return subprocess.Popen(
            command,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=output if with_stdout else subprocess.DEVNULL,
            stderr=output,
            start_new_session=True,
        )


def end(process: subprocess.Popen[bytes], *, seconds: float) -> None:
    """SIGTERM, and SIGKILL for what is left after `seconds`."""
    if process.poll() is None:
        process.terminate()
        _wait(process, seconds)
    if process.poll() is None:
        process.kill()
        process.wait()


def _wait(process: subprocess.Popen[bytes], seconds: float) -> None:
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        return  # the caller kills what is left
