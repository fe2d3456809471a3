"""A sandbox process for tests: started on a free port, configured while it runs, asked for its counts."""

import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

START_SECONDS = 15.0
STOP_SECONDS = 5.0
ROOT = Path(__file__).resolve().parents[1]


class SandboxProcess:
    """Owns one `python -m sandbox`. Use as a context manager, or start() and stop().

    The process ends by itself if this one dies. Not for use from several threads at once, except for its URL.
    """

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._directory: tempfile.TemporaryDirectory[str] | None = None
        self.origin = ""
        """`http://127.0.0.1:PORT`; empty before start."""

    @property
    def base_url(self) -> str:
        """What OPENAI_BASE_URL wants."""
        return f"{self.origin}/v1"

    @property
    def pid(self) -> int:
        """Of the running process."""
        if self._process is None:
            raise RuntimeError("the sandbox is not running: call start() first")
        return self._process.pid

    def start(self, config: Mapping[str, Any] | None = None) -> str:
        """Start with `config` (docs/sandbox.md; None: the defaults) and return the base URL once it answers."""
        if self._process is not None:
            raise RuntimeError("the sandbox is already running")
        self._directory = tempfile.TemporaryDirectory(prefix="pressroom-sandbox-")
        port_file = Path(self._directory.name, "port.json")
        command = [sys.executable, "-m", "sandbox", "--port-file", str(port_file), "--parent-pid", str(os.getpid())]
        if config is not None:
            config_file = Path(self._directory.name, "config.json")
            config_file.write_text(json.dumps(config), encoding="utf-8")
            command += ["--config", str(config_file)]
        self._process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        deadline = time.monotonic() + START_SECONDS
        while not port_file.exists():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the sandbox did not start: {self._give_up()}")
            time.sleep(0.01)
        self.origin = f"http://127.0.0.1:{json.loads(port_file.read_text(encoding='utf-8'))['port']}"
        return self.base_url

    def _give_up(self) -> str:
        process = self._process
        if process is None:
            return "no process"
        process.kill()
        _, errors = process.communicate()
        self._forget()
        return errors.decode(errors="replace").strip() or f"not ready within {START_SECONDS:.0f} s"

    def _forget(self) -> None:
        self._process = None
        self.origin = ""
        if self._directory is not None:
            self._directory.cleanup()
            self._directory = None

    def stop(self) -> int:
        """SIGTERM, and the exit status. Stopping a stopped sandbox is an error."""
        process = self._process
        if process is None:
            raise RuntimeError("the sandbox is not running")
        process.terminate()
        try:
            _, errors = process.communicate(timeout=STOP_SECONDS)
        except subprocess.TimeoutExpired as error:
            raise RuntimeError(f"the sandbox ignored SIGTERM: {self._give_up()}") from error
        status = process.returncode
        self._forget()
        if errors:
            raise RuntimeError(f"the sandbox complained: {errors.decode(errors='replace')}")
        return status

    def __enter__(self) -> Self:
        if self._process is None:
            self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._process is not None:
            self.stop()

    def configure(self, **patch: Any) -> dict[str, Any]:
        """Merge fields into the configuration (None removes, lists are replaced) and return the whole of it."""
        return self._json("PATCH", "/sandbox/config", patch)

    def replace_config(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """Use exactly this configuration; fields left out take their defaults."""
        return self._json("PUT", "/sandbox/config", dict(config))

    def config(self) -> dict[str, Any]:
        """The configuration in use."""
        return self._json("GET", "/sandbox/config")

    def stats(self) -> dict[str, Any]:
        """All counts since the start or the last reset."""
        return self._json("GET", "/sandbox/stats")

    def calls(self, limit: int = 100) -> list[dict[str, Any]]:
        """The latest calls, newest first."""
        calls: list[dict[str, Any]] = self._json("GET", f"/sandbox/calls?limit={limit}")["calls"]
        return calls

    def reset(self) -> None:
        """Counts to zero, buckets full; the configuration stays."""
        self._json("POST", "/sandbox/reset", {})

    def _json(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.origin + path, data=data, method=method)
        try:
            with urllib.request.urlopen(request, timeout=10) as response:
                answer: dict[str, Any] = json.load(response)
                return answer
        except urllib.error.HTTPError as error:
            with error:
                raise ValueError(f"{method} {path}: {error.read().decode(errors='replace')}") from error
