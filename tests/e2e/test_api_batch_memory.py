"""A file many times larger than what a process may grow by, through the API and back: nothing holds it whole."""

import hashlib
import time
from pathlib import Path

import openai
import orjson
import psutil
import pytest
from openai.types import Batch

from tests.api.batch_lines import chat_line
from tests.fixtures.api import LiveApi

_LINES = 20_000
_PADDING = "The press prints what the editors hand over, and not a line more. " * 100
_GROWTH_MB = 64
_SECONDS = 240


class _Watched:
    """Processes, and the most memory that each was seen with."""

    def __init__(self, pids: dict[str, int]) -> None:
        self._processes = {name: psutil.Process(pid) for name, pid in pids.items()}
        self._before = self._now()
        self._most = dict(self._before)

    def look(self) -> None:
        for name, size in self._now().items():
            self._most[name] = max(self._most[name], size)

    def grown_mb(self) -> dict[str, float]:
        return {name: round((most - self._before[name]) / 1024**2, 1) for name, most in self._most.items()}

    def _now(self) -> dict[str, int]:
        return {name: process.memory_info().rss for name, process in self._processes.items()}


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_a_large_batch_leaves_all_processes_small(shared_api: LiveApi, tmp_path: Path) -> None:
    client = shared_api.openai()
    # What a process loads once is not what a file makes it grow by.
    _run(client, _write(tmp_path / "small.jsonl", 1_000), None)
    api, worker = shared_api.system.workers
    watched = _Watched({"api": api.pid, "worker": worker.pid})
    path = _write(tmp_path / "large.jsonl", _LINES)
    batch = _run(client, path, watched)

    counts = batch.request_counts
    assert counts is not None
    assert (batch.status, counts.completed, counts.failed) == ("completed", _LINES, 0)
    assert batch.output_file_id is not None
    seen, digest = set(), hashlib.sha256()
    with client.files.with_streaming_response.content(batch.output_file_id) as response:
        for line in response.iter_lines():
            digest.update(line.encode() + b"\n")
            seen.add(orjson.loads(line)["custom_id"])
            if len(seen) % 1000 == 0:
                watched.look()
    assert seen == {f"q-{number}" for number in range(_LINES)}
    assert (client.files.retrieve(batch.output_file_id).model_extra or {})["sha256"] == digest.hexdigest()

    grown, size_mb = watched.grown_mb(), path.stat().st_size / 1024**2
    print(f"a file of {size_mb:.0f} MB let processes grow by {grown} MB")
    assert size_mb > 1.9 * _GROWTH_MB
    assert all(mb < _GROWTH_MB for mb in grown.values()), f"a file of {size_mb:.0f} MB let processes grow by {grown} MB"


def _run(client: openai.OpenAI, path: Path, watched: _Watched | None) -> Batch:
    with path.open("rb") as data:
        file = client.files.create(file=(path.name, data), purpose="batch", timeout=120)
    made = client.batches.create(input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h")
    deadline = time.monotonic() + _SECONDS
    while (batch := client.batches.retrieve(made.id)).status in ("validating", "in_progress", "finalizing"):
        assert time.monotonic() < deadline, batch
        if watched is not None:
            watched.look()
        time.sleep(0.1)
    return batch


def _write(path: Path, lines: int) -> Path:
    with path.open("wb") as file:
        for number in range(lines):
            line = chat_line(number)
            line["body"]["messages"][0]["content"] += _PADDING
            file.write(orjson.dumps(line) + b"\n")
    return path
