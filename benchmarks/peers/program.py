"""A rival's program as a process: spoken to over its pipes (starting_line.py), measured, ended with all it started."""

import json
import os
import select
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil

from benchmarks.peers.contestants import Contestant
from benchmarks.peers.environments import ROOT, python_of
from benchmarks.peers.starting_line import TASK_FILE, Task
from benchmarks.rig import BenchmarkFailed

_END_SECONDS = 10.0
# Nothing is asked of the outside, and nothing is found in anybody's home.
_QUIET = {
    "TELEMETRY_ENABLED": "false",
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "HF_HUB_OFFLINE": "1",
    "HF_DATASETS_OFFLINE": "1",
}


class Program:
    """Owned by `running`."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self._process = process
        self._log = log
        self._watched = psutil.Process(process.pid)
        self._heard = b""

    def say(self, word: str) -> None:
        """One line to its input."""
        if self._process.stdin is None:
            raise RuntimeError("the program has no input")
        self._process.stdin.write(word.encode() + b"\n")
        self._process.stdin.flush()

    def answer(self, what: str, seconds: float) -> Any:
        """The value that it says under that name; TimeoutError if it does not in time, BenchmarkFailed if it ends."""
        if self._process.stdout is None:
            raise RuntimeError("the program has no output")
        deadline, output = time.monotonic() + seconds, self._process.stdout.fileno()
        while b"\n" not in self._heard:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([output], [], [], left)[0]:
                raise TimeoutError(f"it did not say {what!r} within {seconds:.0f} s")
            heard = os.read(output, 65_536)
            if not heard:
                with suppress(subprocess.TimeoutExpired):
                    self._process.wait(_END_SECONDS)  # it may not have written all of its log yet
                raise BenchmarkFailed(f"ended instead of saying {what!r}:\n{self.tail()}")
            self._heard += heard
        line, _, self._heard = self._heard.partition(b"\n")
        return json.loads(line)[what]

    def cpu(self) -> float:
        """CPU seconds so far, user and system, of the program and of what it started."""
        total = 0.0
        for one in (self._watched, *self._watched.children(recursive=True)):
            with suppress(psutil.NoSuchProcess):  # a child may end while it is counted; the parent's own may not
                times = one.cpu_times()
                total += times.user + times.system
        return total

    def tail(self) -> str:
        """The end of its log."""
        return self._log.read_text(errors="replace")[-2000:]


@contextmanager
def running(contestant: Contestant, task: Task) -> Iterator[Program]:
    """The contestant's program in its own environment, started; at the end it and its children are gone."""
    python = python_of(contestant.environment)
    task_file, log = task.directory / "task.json", task.directory / "program.log"
    task.write(task_file)
    environment = {
        "PATH": f"{python.parent}:{os.environ.get('PATH', os.defpath)}",
        "HOME": str(task.directory),
        "PYTHONPATH": str(ROOT),
        "PYTHONDONTWRITEBYTECODE": "1",
        "LANG": "C.UTF-8",
        TASK_FILE: str(task_file),
        **_QUIET,
    }
    command = [str(python), "-m", f"benchmarks.peers.{contestant.program}"]
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            cwd=task.directory,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=output,
            start_new_session=True,
        )
    try:
        yield Program(process, log)
    finally:
        _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Everything in the program's session: it may have workers, and on a time-out it is in the middle of its work."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):
        process.wait(_END_SECONDS)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with suppress(BrokenPipeError):
                pipe.close()
