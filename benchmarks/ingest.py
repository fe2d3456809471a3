"""Lines per second and memory of taking a batch file in, against the floor: the same lines parsed and copied, no more.

    python -m benchmarks.ingest [--lines 10000,100000,300000] [--rounds 3]

The floor reads each line, parses its JSON, and copies its columns and its body into the same two tables in the same
transaction: no checks, no prices, no duplicates looked for, no flows. Sides take turns, each run in a process of its
own, on a local stack of the benchmark's own with fsync on; medians of the rounds are reported. CPU is user and system
of the process itself (`client`) and of its PostgreSQL backend (`server`), per line: unlike lines per second it does not
depend on what else the machine is doing. Memory is the highest resident set of the process.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import orjson
import psutil
from sqlalchemy import Connection, Engine, event, text

from benchmarks.report import median, print_table, write_json
from migrations.migrate import upgrade
from models import DEFAULT_PROJECT_ID
from pressroom.batches.ingest import IngestOptions, ingest
from pressroom.database import connect
from pressroom.ids import new_id
from pressroom.local_stack import LocalStack
from pressroom.money.price_book import sync_catalog_prices
from pressroom.settings import SANDBOX

_CHUNK = 2000
_TABLES = "jobs, job_requests, batches, flows, stakes, deployments, pools"


@dataclass(frozen=True, slots=True)
class Sample:
    """One run."""

    lines_per_second: float
    client_us: float
    server_us: float
    rss_mb: float


def main() -> None:
    """Parse, measure, report."""
    options = _options()
    if options.child is not None:
        side, path, lines = options.child
        print(json.dumps(asdict(_run(side, Path(path), int(lines)))))
        return
    samples: dict[tuple[str, int], list[Sample]] = {}
    # Not one inside the other: PostgreSQL's account, when we are root, must be able to reach its own.
    stack = LocalStack(tempfile.mkdtemp(prefix="pressroom-ingest-"), durable=True)
    with tempfile.TemporaryDirectory(prefix="pressroom-ingest-lines-") as folder:
        os.environ["BENCHMARK_DATABASE_URL"] = stack.acquire().database_url
        try:
            upgrade(_database_url())
            engine = connect(_database_url(), application="benchmark")
            for lines in options.lines:
                path = _write_lines(Path(folder) / f"{lines}.jsonl", lines)
                for _ in range(options.rounds):
                    for side in ("pressroom", "floor"):
                        _clean(engine)
                        samples.setdefault((side, lines), []).append(_in_a_process(side, path, lines))
                path.unlink()
            engine.dispose()
        finally:
            stack.wipe()
    _report(samples, options)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lines", type=_numbers, default=[10_000, 100_000, 300_000])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    return parser.parse_args()


def _numbers(given: str) -> list[int]:
    return [int(part) for part in given.split(",")]


def _report(samples: dict[tuple[str, int], list[Sample]], options: argparse.Namespace) -> None:
    columns = ["lines", "side", "lines/s", "of the floor", "client µs/line", "server µs/line", "highest RSS, MB"]
    rows: list[list[object]] = []
    for lines in options.lines:
        speed = {side: median(s.lines_per_second for s in samples[side, lines]) for side in ("pressroom", "floor")}
        for side, rate in speed.items():
            taken = samples[side, lines]
            rows.append(
                [
                    lines,
                    side,
                    round(rate),
                    rate / speed["floor"],
                    median(s.client_us for s in taken),
                    median(s.server_us for s in taken),
                    round(max(s.rss_mb for s in taken)),
                ]
            )
    print_table("Batch ingest", columns, rows)
    parameters = {"lines": options.lines, "rounds": options.rounds}
    write_json("ingest", parameters, [dict(zip(columns, row, strict=True)) for row in rows])


def _write_lines(path: Path, lines: int) -> Path:
    """Typical chat lines: a system message, a paragraph to work on, two options; about 500 bytes."""
    paragraph = 'The press prints what the editors hand over "before the night is through", and not a line more.\n' * 3
    with path.open("wb") as file:
        for number in range(lines):
            body = {
                "model": "gpt-4o-mini",
                "messages": [
                    {"role": "system", "content": "You are a terse assistant."},
                    {"role": "user", "content": f"Summarise item {number}:\n\n{paragraph}"},
                ],
                "max_tokens": 64,
                "temperature": 0.2,
            }
            line = {"custom_id": f"request-{number}", "method": "POST", "url": "/v1/chat/completions", "body": body}
            file.write(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE))
    return path


def _clean(engine: Engine) -> None:
    with engine.begin() as conn:
        conn.execute(text(f"TRUNCATE {_TABLES} CASCADE"))
        sync_catalog_prices(conn)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as conn:
        conn.execute(text("CHECKPOINT"))


def _in_a_process(side: str, path: Path, lines: int) -> Sample:
    command = [sys.executable, "-m", "benchmarks.ingest", "--child", side, str(path), str(lines)]
    done = subprocess.run(command, capture_output=True, check=False, text=True)
    if done.returncode != 0:
        raise SystemExit(f"{side} failed:\n{done.stderr}")
    return Sample(**json.loads(done.stdout))


def _run(side: str, path: Path, lines: int) -> Sample:
    engine = connect(_database_url(), application=f"benchmark-{side}")
    server = _BackendCpu(engine)
    work: dict[str, Callable[[Engine, Path], None]] = {"pressroom": _pressroom, "floor": _floor}
    started, cpu = time.perf_counter(), time.process_time()
    work[side](engine, path)
    wall, cpu = time.perf_counter() - started, time.process_time() - cpu
    with engine.connect() as conn:
        stored = conn.execute(text("SELECT count(*) FROM job_requests")).scalar_one()
    if stored != lines:
        raise SystemExit(f"{side} stored {stored} of {lines} lines")
    rss_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return Sample(lines / wall, cpu / lines * 1e6, server.seconds / lines * 1e6, rss_mb)


class _BackendCpu:
    """CPU seconds that the engine's PostgreSQL backends used in transactions that ended."""

    def __init__(self, engine: Engine) -> None:
        self.seconds = 0.0
        self._at_start: dict[int, float] = {}
        event.listen(engine, "begin", self._begin)
        event.listen(engine, "commit", self._commit)

    def _begin(self, conn: Connection) -> None:
        pid = _backend_pid(conn)
        self._at_start[pid] = _cpu_of(pid)

    def _commit(self, conn: Connection) -> None:
        pid = _backend_pid(conn)
        self.seconds += _cpu_of(pid) - self._at_start[pid]


def _backend_pid(conn: Connection) -> int:
    return int(conn.connection.driver_connection.info.backend_pid)  # type: ignore[union-attr]


def _cpu_of(pid: int) -> float:
    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system)


def _pressroom(engine: Engine, path: Path) -> None:
    ingest(engine, path, options=IngestOptions(base_url=SANDBOX))


def _floor(engine: Engine, path: Path) -> None:
    """What no ingest can do without: parse, and copy into the two tables with their indexes and foreign keys."""
    batch, project = new_id(), DEFAULT_PROJECT_ID.hex
    with engine.begin() as conn:
        conn.execute(
            text(
                "INSERT INTO batches (id, project_id, state, input_name, fingerprint, total, est_cost_usd)"
                " VALUES (:id, :project, 'in_progress', 'floor', 'floor', 0, 0)"
            ),
            {"id": batch, "project": DEFAULT_PROJECT_ID},
        )
        cursor = conn.connection.cursor()
        for chunk in _chunks(path):
            jobs, requests = [], []
            for number, line in chunk:
                job, value = new_id().hex, orjson.loads(line)
                body = orjson.dumps(value["body"]).decode().replace("\\", "\\\\")
                jobs.append(
                    f"{job}\t{project}\t{batch.hex}\t{number}\t{value['custom_id']}\t1\t1\t{value['url']}\tqueued\t0\n"
                )
                requests.append(f"{job}\t{body}\n")
            columns = "id, project_id, batch_id, line_no, custom_id, flow_id, deployment_id, url, state, est_cost_usd"
            with cursor.copy(f"COPY jobs ({columns}) FROM STDIN") as copy:
                copy.write("".join(jobs))
            with cursor.copy("COPY job_requests (job_id, body) FROM STDIN") as copy:
                copy.write("".join(requests))
        cursor.close()


def _chunks(path: Path) -> Iterator[list[tuple[int, bytes]]]:
    with path.open("rb") as file:
        chunk: list[tuple[int, bytes]] = []
        for numbered in enumerate(file, start=1):
            chunk.append(numbered)
            if len(chunk) == _CHUNK:
                yield chunk
                chunk = []
        if chunk:
            yield chunk


def _database_url() -> str:
    return os.environ["BENCHMARK_DATABASE_URL"]


if __name__ == "__main__":
    main()
