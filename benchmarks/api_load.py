"""How many calls the API takes in, beside the LiteLLM proxy in front of the same sandbox: a second, and for each core.

    python -m benchmarks api_load [--at-once 32] [--seconds 8] [--only submit,call,litellm]

submit   202 for a job that is on the books (`Prefer: respond-async`); a worker runs it meanwhile
call     the answer itself, through the queue and a worker
litellm  the answer itself, passed on by the LiteLLM proxy, one process, without a database

The sandbox answers at once. "A core" is a second of CPU of the door's process alone; the worker's is shown beside it.
"""

import argparse
import asyncio
import json
import os
import socket
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import psutil

from benchmarks.http_load import Load, load
from benchmarks.peers.environments import python_of
from benchmarks.report import print_table, write_json
from benchmarks.rig import Rig, rig, wait_for
from benchmarks.sync_overhead import BODY, PATH, api_process

_NAMES = ("submit", "call", "litellm")
_WARM_UP_SECONDS = 2.0
_LITELLM_KEY = "sk-benchmark"
_COLUMNS = ("what", "calls/s", "p50 ms", "p95 ms", "door: CPU ms a call", "door: calls a core", "worker: CPU ms a call")


def _cpu(pids: list[int]) -> float:
    total = 0.0
    for pid in pids:
        for one in (process := psutil.Process(pid), *process.children(recursive=True)):
            times = one.cpu_times()
            total += times.user + times.system
    return total


def _measure(
    url: str,
    headers: Mapping[str, str],
    *,
    door: int,
    workers: list[int],
    options: argparse.Namespace,
    ok: int,
) -> dict[str, float]:
    def run(seconds: float) -> Load:
        return asyncio.run(load(url + PATH, BODY, headers, at_once=options.at_once, seconds=seconds, ok=ok))

    run(_WARM_UP_SECONDS)
    before = _cpu([door]), _cpu(workers)
    found = run(options.seconds)
    calls = len(found.milliseconds)
    door_cpu, worker_cpu = _cpu([door]) - before[0], _cpu(workers) - before[1]
    return {
        "calls": calls,
        "per_second": found.per_second,
        "p50_ms": found.quantile(0.5),
        "p95_ms": found.quantile(0.95),
        "door_ms": 1000 * door_cpu / calls,
        "per_core": calls / door_cpu,
        "worker_ms": 1000 * worker_cpu / calls,
    }


@contextmanager
def _litellm(on: Rig) -> Iterator[tuple[str, int]]:
    """The proxy as its documentation starts it, and its process."""
    config = Path(on.directory, "litellm.yaml")
    served = {"model": f"openai/{BODY['model']}", "api_base": on.sandbox.base_url, "api_key": "sandbox"}
    settings = {
        "model_list": [{"model_name": BODY["model"], "litellm_params": served}],
        "general_settings": {"master_key": _LITELLM_KEY},
        "litellm_settings": {"telemetry": False, "set_verbose": False},
    }
    config.write_text(json.dumps(settings), encoding="utf-8")  # JSON is YAML
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    program = python_of("litellm").with_name("litellm")
    command = [str(program), "--config", str(config), "--host", "127.0.0.1", "--port", str(port), "--num_workers", "1"]
    environment = {**on.environment(), "LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_LOG": "ERROR"}
    with Path(on.directory, "litellm.log").open("wb") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    try:
        wait_for(lambda: process.poll() is not None or _is_up(f"http://127.0.0.1:{port}/health/liveliness"), "LiteLLM")
        yield f"http://127.0.0.1:{port}/v1", process.pid
    finally:
        process.terminate()
        process.wait(30)


def _is_up(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def _run(on: Rig, options: argparse.Namespace) -> dict[str, dict[str, float]]:
    results: dict[str, dict[str, float]] = {}
    wanted = options.only.split(",")
    with on.pressroom_workers(1) as workers, api_process(on) as (url, key, process):
        pids = workers.pids()
        bearer = {"Authorization": f"Bearer {key}"}
        for name, more, ok in (("call", {}, 200), ("submit", {"Prefer": "respond-async"}, 202)):
            if name in wanted:
                results[name] = _measure(url, bearer | more, door=process.pid, workers=pids, options=options, ok=ok)
    if "litellm" in wanted:
        with _litellm(on) as (url, pid):
            bearer = {"Authorization": f"Bearer {_LITELLM_KEY}"}
            results["litellm"] = _measure(url, bearer, door=pid, workers=[], options=options, ok=200)
    return results


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--at-once", type=int, default=32)
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--only", default=",".join(_NAMES))
    options = parser.parse_args()
    if "litellm" in options.only:
        python_of("litellm")
    with rig() as on:
        on.clean({"latency": {"chat": {"kind": "fixed", "seconds": 0.0}}})
        results = _run(on, options)
    rows = [
        [name, *(found[column] for column in ("per_second", "p50_ms", "p95_ms", "door_ms", "per_core", "worker_ms"))]
        for name, found in results.items()
    ]
    print_table(f"{options.at_once} connections, load {os.getloadavg()[0]:.1f}", _COLUMNS, rows)
    write_json("api_load", vars(options), results)


if __name__ == "__main__":
    main()
