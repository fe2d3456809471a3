"""How a rival's program is started and timed. Standard library only: it runs in the rival's own environment.

`python -m benchmarks.peers.rival_NAME` imports and prepares everything, says `ready`, and works from when it reads
`go`. Its answer is the numbers of the items for which it has a result. Then it stays alive until its input is closed,
so that the CPU time of its processes can be read. Whatever else it prints goes to its log.
"""

import importlib.metadata
import json
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

READY, GO = "ready", "go"
TASK_FILE = "RIVAL_TASK_FILE"
"""The environment variable that says where the task is."""


@dataclass(frozen=True, slots=True)
class Task:
    """What is to be done. `bodies` are chat completion requests; `options` are of the rival's own program."""

    base_url: str
    bodies: Sequence[dict[str, Any]]
    rpm: int
    tpm: int
    directory: Path
    redis_url: str
    options: dict[str, Any]

    @classmethod
    def read(cls) -> "Task":
        """The task that the benchmark wrote."""
        fields = json.loads(Path(os.environ[TASK_FILE]).read_text(encoding="utf-8"))
        return cls(**fields | {"directory": Path(fields["directory"])})

    def write(self, path: Path) -> None:
        """For the rival's program to read."""
        fields = {name: getattr(self, name) for name in self.__slots__} | {"directory": str(self.directory)}
        path.write_text(json.dumps(fields), encoding="utf-8")


Go = Callable[[], Iterable[int]]
"""Does the work, and returns the numbers (places in `bodies`) of what was answered."""


def run(prepare: Callable[[Task], Go], packages: Sequence[str]) -> None:
    """Prepare, wait, work, answer. `packages` are those whose versions are worth knowing."""
    with os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8") as answers:
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
        go = prepare(Task.read())
        _say(answers, READY, {name: importlib.metadata.version(name) for name in packages})
        if sys.stdin.readline().strip() != GO:
            return
        _say(answers, "answered", sorted(set(go())))
        sys.stdin.read()


def _say(answers: Any, what: str, value: object) -> None:
    answers.write(json.dumps({what: value}) + "\n")
    answers.flush()
