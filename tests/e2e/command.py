"""`pressroom` as its users run it: a process of its own, its own data directory, the sandbox over HTTP."""

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pressroom.local_stack import LocalStack

ROOT = Path(__file__).resolve().parents[2]
PARTI_PROMPTS = ROOT.parent / "shared" / "data" / "parti-prompts.tsv"
"""1,632 real prompts that are read where they are and never committed."""


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    stdout: str
    stderr: str

    @property
    def summary(self) -> dict[str, Any]:
        """The one object that `--json` prints."""
        found: dict[str, Any] = json.loads(self.stdout)
        return found


@dataclass(frozen=True)
class Command:
    """Runs `pressroom` on one data directory, with the sandbox of the test."""

    data_dir: Path
    sandbox_url: str

    @property
    def environment(self) -> dict[str, str]:
        """Nothing of the caller's settings, and none of a provider's."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("PRESSROOM_", "OPENAI_"))}
        return kept | {"PRESSROOM_DATA_DIR": str(self.data_dir), "PRESSROOM_SANDBOX_URL": self.sandbox_url}

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start it; the caller waits for it or signals it."""
        return subprocess.Popen(
            [str(Path(sys.executable).with_name("pressroom")), *arguments],
            cwd=ROOT,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            # As from a terminal, whatever the tests were started from: a shell's background jobs ignore Ctrl-C.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )

    def run(self, *arguments: str, seconds: float = 240.0) -> Ended:
        """Run it to its end."""
        process = self.start(*arguments)
        try:
            stdout, stderr = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            process.terminate()
            stdout, stderr = process.communicate(timeout=60)
            raise AssertionError(f"still running after {seconds:g} s:\n{stderr[-4000:]}") from None
        return Ended(process.returncode, stdout, stderr)


@contextmanager
def command_with(sandbox_url: str) -> Iterator[Command]:
    """A command on a fresh data directory; its servers are stopped and its data removed at the end."""
    # Not below pytest's directories, which are closed to the account that PostgreSQL runs under when we are root.
    data_dir = Path(tempfile.mkdtemp(prefix="pressroom-test-"))
    try:
        yield Command(data_dir, sandbox_url)
    finally:
        stack = LocalStack(data_dir)
        stack.stop()
        stack.wipe()
