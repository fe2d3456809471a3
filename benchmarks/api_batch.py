"""A batch through the API and back by OpenAI's own client: how fast each step is, and what it makes processes grow by.

    python -m benchmarks api_batch [--lines 100000] [--workers 2] [--words 60]

On a rig of its own with fsync on and a sandbox without limits. A small batch goes first, for what processes load once.
The file is uploaded from disk and the output read as it comes; `grown` is the most that was seen of a process above
what it had after the small batch.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

import openai
import orjson
import psutil
from openai.types import Batch
from sqlalchemy import Engine, text

from benchmarks.report import print_table, write_json
from benchmarks.rig import BenchmarkFailed, rig
from benchmarks.sync_overhead import api_process
from pressroom.ids import parse_id

_WARM_UP = 2_000
_LOOK_SECONDS = 0.2
_SANDBOX = {"latency": {"chat": {"kind": "uniform", "low": 0.05, "high": 0.1}}}


@dataclass(frozen=True, slots=True)
class Steps:
    """Seconds of each step; `taken_in` and `written` are what the books say."""

    file_mb: float
    uploaded: float
    taken_in: float
    run: float
    written: float
    output_mb: float
    downloaded: float
    grown_mb: dict[str, float]


class Watched:
    """Processes, and the most memory that each was seen with."""

    def __init__(self, pids: dict[str, int]) -> None:
        self._processes = {name: psutil.Process(pid) for name, pid in pids.items()}
        self._before = self._now()
        self._most = dict(self._before)

    def look(self) -> None:
        """See how large they are now."""
        self._most = {name: max(self._most[name], size) for name, size in self._now().items()}

    def grown_mb(self) -> dict[str, float]:
        """By how much each has grown at most."""
        return {name: round((most - self._before[name]) / 1024**2, 1) for name, most in self._most.items()}

    def _now(self) -> dict[str, int]:
        return {name: process.memory_info().rss for name, process in self._processes.items()}


def main() -> None:
    """Parse, measure, report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lines", type=int, default=100_000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--words", type=int, default=60)
    options = parser.parse_args()
    with rig() as on, tempfile.TemporaryDirectory(prefix="pressroom-batch-") as folder:
        on.clean(_SANDBOX)
        with on.pressroom_workers(options.workers) as workers, api_process(on) as (url, key, process):
            client = openai.OpenAI(base_url=url, api_key=key, max_retries=0, timeout=600)
            _through(client, on.database, _write(Path(folder), _WARM_UP, options.words), None)
            pids = {f"worker {number}": pid for number, pid in enumerate(workers.pids(), start=1)}
            watched = Watched({"api": process.pid, **pids})
            path = _write(Path(folder), options.lines, options.words)
            steps = _through(client, on.database, path, watched)
    _report(options, steps)


def _through(client: openai.OpenAI, database: Engine, path: Path, watched: Watched | None) -> Steps:
    lines = path.read_bytes().count(b"\n") if watched is None else None
    began = time.perf_counter()
    with path.open("rb") as data:
        file = client.files.create(file=(path.name, data), purpose="batch")
    uploaded = time.perf_counter() - began
    made = client.batches.create(input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h")
    batch = _wait(client, made.id, watched)
    counts = batch.request_counts
    if batch.status != "completed" or batch.output_file_id is None or counts is None or counts.failed:
        raise BenchmarkFailed(f"the batch ended otherwise: {batch}")
    began, seen, size = time.perf_counter(), 0, 0
    with client.files.with_streaming_response.content(batch.output_file_id) as response:
        for chunk in response.iter_bytes():
            seen += chunk.count(b"\n")
            size += len(chunk)
            if watched is not None:
                watched.look()
    if seen != counts.total or (lines is not None and seen != lines):
        raise BenchmarkFailed(f"the output has {seen} lines of {counts.total}")
    downloaded = time.perf_counter() - began
    asked, taken_in, ended, written = _moments(database, batch)
    return Steps(
        file_mb=path.stat().st_size / 1024**2,
        uploaded=uploaded,
        taken_in=(taken_in - asked).total_seconds(),
        run=(ended - taken_in).total_seconds(),
        written=(written - ended).total_seconds(),
        output_mb=size / 1024**2,
        downloaded=downloaded,
        grown_mb=watched.grown_mb() if watched is not None else {},
    )


def _wait(client: openai.OpenAI, batch_id: str, watched: Watched | None) -> Batch:
    while (batch := client.batches.retrieve(batch_id)).status in ("validating", "in_progress", "finalizing"):
        if watched is not None:
            watched.look()
        time.sleep(_LOOK_SECONDS)
    return batch


def _moments(database: Engine, batch: Batch) -> Iterator[datetime]:
    query = text("SELECT created_at, in_progress_at, finished_at, finalized_at FROM batches WHERE id = :id")
    with database.connect() as conn:
        return iter(tuple(conn.execute(query, {"id": parse_id("batch", batch.id)}).one()))


def _write(folder: Path, lines: int, words: int) -> Path:
    path = folder / f"{lines}.jsonl"
    with path.open("wb") as file:
        for number in range(lines):
            content = f"Summarise item {number}: " + "words " * words
            body = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": content}], "max_tokens": 60}
            line = {"custom_id": f"q-{number}", "method": "POST", "url": "/v1/chat/completions", "body": body}
            file.write(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE))
    return path


def _report(options: argparse.Namespace, steps: Steps) -> None:
    lines = options.lines
    rows: list[list[object]] = [
        ["upload", steps.uploaded, f"{steps.file_mb / steps.uploaded:.0f} MB/s"],
        ["taken in", steps.taken_in, f"{lines / steps.taken_in:.0f} lines/s"],
        ["run", steps.run, f"{lines / steps.run:.0f} jobs/s"],
        ["output written", steps.written, f"{lines / max(steps.written, 0.001):.0f} lines/s"],
        ["download", steps.downloaded, f"{steps.output_mb / steps.downloaded:.0f} MB/s"],
    ]
    title = f"{lines} lines, {steps.file_mb:.0f} MB in and {steps.output_mb:.0f} MB out, {options.workers} workers"
    print_table(title, ["step", "seconds", "that is"], rows)
    print("grown at most, MB: " + ", ".join(f"{name} {mb:.0f}" for name, mb in steps.grown_mb.items()))
    print(f"load of the machine at the end: {os.getloadavg()[0]:.1f}")
    write_json("api_batch", vars(options), [asdict(steps)])


if __name__ == "__main__":
    main()
