"""The API's process as a command starts it: kept alive, stopped in order."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from cli.exits import CouldNotRun
from cli.processes import end, last_lines, open_log, spawn

if TYPE_CHECKING:
    import subprocess

    from pressroom.settings import Settings

_START_SECONDS = 30.0
_STOP_MARGIN_SECONDS = 5.0
_RESTART_SECONDS = 1.0
_LONGEST_RESTART_SECONDS = 30.0


class ApiProcess:
    """One `python -m api`; it may have processes of its own. `url` is known once `ready` returned."""

    def __init__(self, port: int, environment: Mapping[str, str], logs: Path, *, settings: Settings) -> None:
        """Start it. `environment` is added to this process's; the provider is the one of `settings`."""
        logs.mkdir(parents=True, exist_ok=True)
        self.log = open_log(logs / "api.log")
        self._host, self._port = settings.api_host, port
        self._port_file = logs / f"api-{os.getpid()}.json"
        self._environment = {**os.environ, **environment, "PRESSROOM_PARENT_PID": str(os.getpid())}
        if settings.uses_sandbox:
            self._environment.pop("OPENAI_API_KEY", None)
        self._drain_seconds = settings.api_drain_seconds
        self._deaths = 0
        self._restart_at: float | None = None
        self._process = self._start()
        self.url = ""

    @property
    def pid(self) -> int:
        """Of the process, or of the last that was."""
        return self._process.pid

    def ready(self) -> str:
        """Wait until it listens, and return its URL. Raises CouldNotRun."""
        deadline = time.monotonic() + _START_SECONDS
        while not self._port_file.exists():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise CouldNotRun(
                    f"the API did not start (`--api-port` takes another port, `--no-api` does without); the end of "
                    f"{self.log}:\n{last_lines(self.log)}"
                )
            time.sleep(0.02)
        self._port = json.loads(self._port_file.read_text(encoding="utf-8"))["port"]
        self.url = f"http://{self._host}:{self._port}/v1"
        return self.url

    def tend(self) -> None:
        """Start it again where it died, on the same port, later each time."""
        if self._process.poll() is None:
            return
        now = time.monotonic()
        if self._restart_at is None:
            self._restart_at = now + min(_LONGEST_RESTART_SECONDS, _RESTART_SECONDS * 2**self._deaths)
            self._deaths += 1
        elif now >= self._restart_at:
            self._process, self._restart_at = self._start(), None

    def stop(self) -> None:
        """Let it finish what it is answering; what hangs beyond its time is killed."""
        end(self._process, seconds=self._drain_seconds + _STOP_MARGIN_SECONDS)
        self._port_file.unlink(missing_ok=True)

    def _start(self) -> subprocess.Popen[bytes]:
        self._port_file.unlink(missing_ok=True)
        command = [sys.executable, "-m", "api", "--host", self._host, "--port", str(self._port)]
        return spawn([*command, "--port-file", str(self._port_file)], self._environment, self.log)
