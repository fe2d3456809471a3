"""CPU per text job and jobs per second, against a one-task-per-job Celery app, in the same run.

    python -m benchmarks.cpu_per_job [--jobs 4000] [--rounds 3] [--workers 1,2] [--only pressroom]

The sandbox has no limits and answers after 50-100 ms. Each side's workers are started and warmed up with some jobs;
then CPU (user and system, of the worker processes alone) is read before `--jobs` jobs are submitted and after the last
of them is on the books. Jobs per second are counted between the first and the last that are on the books. Sides take
turns; medians of the rounds are reported.
"""

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass
from functools import partial

from benchmarks import batches
from benchmarks.peers import celery_per_job as peer
from benchmarks.report import median, print_table, write_json
from benchmarks.rig import BenchmarkFailed, Processes, Rig, rig

_WARM_UP = 400
_LOOK_SECONDS = 0.05
_WORK_SECONDS = 300.0
_SANDBOX = {"latency": {"chat": {"kind": "uniform", "low": 0.05, "high": 0.1}}}

Count = Callable[[], int]
Submit = Callable[[int, str], Count]
"""Submits that many jobs and returns how to count those that are done."""
Side = Callable[[Rig, int], AbstractContextManager[tuple[Processes, Submit]]]
"""Starts that many workers."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One side's figures in one round."""

    cpu_ms_per_job: float
    jobs_per_second: float


def main() -> None:
    """Parse, measure, report."""
    options = _options()
    sides: dict[str, Side] = {"pressroom": _pressroom, "peer": partial(_peer, threads=options.peer_threads)}
    names = [name for name in sides if options.only in (None, name)]
    samples: dict[tuple[str, int], list[Sample]] = {}
    with rig() as at:
        for _ in range(options.rounds):
            for count in options.workers:
                for name in names:
                    at.clean(_SANDBOX)
                    with sides[name](at, count) as (workers, submit):
                        sample = _measure(workers, submit, options.jobs)
                    if at.sandbox.stats()["totals"]["ok"] != options.jobs + _WARM_UP:
                        raise BenchmarkFailed(f"{name} made other calls than one per job")
                    samples.setdefault((name, count), []).append(sample)
                    print(f"{name:9} {count} worker(s): {sample.cpu_ms_per_job:.2f} ms, {sample.jobs_per_second:.0f}/s")
    _report(options, samples)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=4000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workers", type=lambda s: [int(n) for n in s.split(",")], default=[1, 2])
    parser.add_argument("--peer-threads", type=int, default=32)
    parser.add_argument("--only", choices=("pressroom", "peer"))
    return parser.parse_args()


@contextmanager
def _pressroom(at: Rig, count: int) -> Iterator[tuple[Processes, Submit]]:
    def submit(jobs: int, label: str) -> Count:
        batch = batches.submit(at.database, batches.text_bodies(jobs, label=label), {})
        return lambda: batches.succeeded(at.database, batch)

    with at.pressroom_workers(count) as workers:
        yield workers, submit


@contextmanager
def _peer(at: Rig, count: int, *, threads: int) -> Iterator[tuple[Processes, Submit]]:
    with at.database.begin() as conn:
        peer.create_tables(conn)

    def done() -> int:
        with at.database.connect() as conn:
            return peer.count_succeeded(conn)

    def submit(jobs: int, label: str) -> Count:
        before = done()
        with at.database.begin() as conn:
            ids = peer.submit(conn, batches.text_bodies(jobs, label=label))
        peer.publish(at.urls.redis_url, ids)
        return lambda: done() - before

    environment = at.environment() | {
        peer.THREADS_VARIABLE: str(threads),
        peer.BASE_URL_VARIABLE: at.sandbox.base_url,
    }
    with at.processes([sys.executable, "-m", peer.__name__], environment, count) as workers:
        yield workers, submit


def _measure(workers: Processes, submit: Submit, jobs: int) -> Sample:
    _until(submit(_WARM_UP, "warm-up"), _WARM_UP, workers)
    before = workers.reading()
    done = submit(jobs, "item")
    first = _until(done, 1, workers)
    started = time.monotonic()
    last = _until(done, jobs, workers)
    after = workers.reading()
    return Sample(1000 * (after.cpu - before.cpu) / jobs, (last - first) / (after.at - started))


def _until(done: Count, wanted: int, workers: Processes) -> int:
    deadline = time.monotonic() + _WORK_SECONDS
    while (count := done()) < wanted:
        workers.check()
        if time.monotonic() > deadline:
            raise BenchmarkFailed(f"{count} of {wanted} jobs were done after {_WORK_SECONDS:.0f} s")
        time.sleep(_LOOK_SECONDS)
    return count


def _report(options: argparse.Namespace, samples: dict[tuple[str, int], list[Sample]]) -> None:
    cpu = {key: median(s.cpu_ms_per_job for s in found) for key, found in samples.items()}
    rows = [
        (
            name,
            count,
            cpu[name, count],
            cpu["peer", count] / cpu[name, count] if ("peer", count) in cpu else "-",
            median(s.jobs_per_second for s in found),
        )
        for (name, count), found in samples.items()
    ]
    columns = ("who", "workers", "worker CPU ms/job", "times less than the peer", "jobs/s")
    print_table(f"{options.jobs} text jobs, median of {options.rounds} rounds", columns, rows)
    results = [
        {"who": name, "workers": count, "rounds": [asdict(s) for s in found]}
        for (name, count), found in samples.items()
    ]
    write_json("cpu_per_job", vars(options), results)


if __name__ == "__main__":
    main()
