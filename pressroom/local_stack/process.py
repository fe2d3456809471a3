"""Start, recognise and stop one detached server process.

A process is ours when its command line equals the one we start (the data directory is part of it), so a
stale pid file, a pid that the system gave to someone else, and a server whose pid file was lost are all told
apart without trusting the file.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

from pressroom.local_stack.errors import LocalStackError
from pressroom.local_stack.identity import Identity

_POLL_SECONDS = 0.01
_LOG_LIMIT_BYTES = 10_000_000
_spawned: set[int] = set()


@dataclass(frozen=True)
class ServerProcess:
    """How one server is started and recognised. `argv` must be the same on every start."""

    name: str
    argv: tuple[str, ...]
    cwd: Path
    log: Path
    pid_file: Path
    identity: Identity
    stop_signals: tuple[tuple[signal.Signals, float], ...]
    """Signals to try in turn, each with the seconds to wait for it."""

    def pid(self) -> int | None:
        """Process id of the running server, or None. Repairs the pid file when it is wrong."""
        recorded = self._recorded_pid()
        if recorded is not None and self.is_running(recorded):
            return recorded
        for process in psutil.process_iter():
            if self.is_running(process.pid):
                self.pid_file.write_text(f"{process.pid}\n")
                return process.pid
        return None

    def spawn(self) -> int:
        """Start the server in a session of its own, output appended to its log; returns its pid."""
        _rotate(self.log)
        descriptor = os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            process = subprocess.Popen(
                self.argv,
                stdin=subprocess.DEVNULL,
                stdout=descriptor,
                stderr=descriptor,
                cwd=self.cwd,
                env=server_environment(self.cwd),
                start_new_session=True,
                umask=0o077,
                **self.identity.spawn_arguments(),
            )
        except OSError as error:
            raise LocalStackError(
                f"{self.name} cannot be started",
                cause=f"{self.argv[0]}: {error.strerror or error}",
                remedy="check that the file may be executed by this user (a noexec mount forbids it)",
            ) from error
        finally:
            os.close(descriptor)
        self.pid_file.write_text(f"{process.pid}\n")
        _spawned.add(process.pid)
        # The server outlives this process on purpose: Popen must not warn about that when it is collected.
        process.returncode = 0
        return process.pid

    def stop(self) -> None:
        """Stop the server if it runs, with ever stronger signals. Returns when it is gone."""
        pid = self.pid()
        for number, patience_seconds in (*self.stop_signals, (signal.SIGKILL, 5.0)):
            if pid is None or not self.is_running(pid):
                self.pid_file.unlink(missing_ok=True)
                return
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
            deadline = time.monotonic() + patience_seconds
            while self.is_running(pid) and time.monotonic() < deadline:
                time.sleep(_POLL_SECONDS)
        if pid is not None and self.is_running(pid):
            raise LocalStackError(
                f"{self.name} cannot be stopped",
                cause=f"process {pid} survives SIGKILL",
                remedy="it waits for the disk or another device: check the machine, then try again",
            )
        self.pid_file.unlink(missing_ok=True)

    def log_size(self) -> int:
        """Bytes in the log now; pass it to `last_lines` to see only what a start added."""
        return self.log.stat().st_size if self.log.exists() else 0

    def last_lines(self, *, since: int = 0, count: int = 12) -> str:
        """The last lines of the log written after byte `since`."""
        if not self.log.exists():
            return ""
        with self.log.open("rb") as file:
            file.seek(since if since <= self.log.stat().st_size else 0)
            return "\n".join(file.read().decode(errors="replace").splitlines()[-count:])

    def _recorded_pid(self) -> int | None:
        try:
            return int(self.pid_file.read_text())
        except (FileNotFoundError, ValueError):
            return None

    def is_running(self, pid: int) -> bool:
        """Whether `pid` is this server and alive; reaps it when it was our own child and has ended."""
        _reap(pid)
        try:
            process = psutil.Process(pid)
            return tuple(process.cmdline()[1:]) == self.argv[1:] and process.status() != psutil.STATUS_ZOMBIE
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            return False


def server_environment(home: Path) -> dict[str, str]:
    """A small fixed environment: nothing of the caller's, least of all its API keys, reaches a server."""
    return {"PATH": "/usr/bin:/bin", "HOME": str(home), "LANG": "C", "LC_ALL": "C", "TZ": "UTC"}


def _reap(pid: int) -> None:
    """Collect `pid` if it is an ended server of ours: a container's first process may never do it.

    Only servers: the exit status of the caller's other children is not ours to take.
    """
    if pid in _spawned:
        with contextlib.suppress(ChildProcessError):
            if os.waitpid(pid, os.WNOHANG)[0] == pid:
                _spawned.discard(pid)


def wait_until_gone(processes: list[psutil.Process], *, timeout_seconds: float) -> None:
    """Wait for `processes` to end; kill what is left after `timeout_seconds`."""
    _, alive = psutil.wait_procs(processes, timeout=timeout_seconds)
    for process in alive:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(alive, timeout=5)


def _rotate(log: Path) -> None:
    if log.exists() and log.stat().st_size > _LOG_LIMIT_BYTES:
        log.replace(log.with_suffix(".log.1"))
