"""What the queue costs one synchronous call on an idle system: through API and worker, and straight to the sandbox.

In turns, one call at a time, by the same client. `python -m benchmarks sync_overhead --calls 200`
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2

from benchmarks.rig import BenchmarkFailed, Rig, rig, wait_for
from models import DEFAULT_PROJECT_ID, Scope
from pressroom.tenants.keys import create_key

PATH = "/chat/completions"
BODY: dict[str, Any] = {
    "model": "gpt-4o-mini",
    "messages": [{"role": "user", "content": "Name three typefaces."}],
    "max_tokens": 40,
}
SANDBOX: dict[str, Any] = {"latency": {"chat": {"kind": "fixed", "seconds": 0.05}}}
_BAR_MS = 25.0


@contextmanager
def api_process(on: Rig) -> Iterator[tuple[str, str, subprocess.Popen[bytes]]]:
    """`python -m api` on the rig's servers: its address with `/v1`, a key, and the process."""
    told = Path(on.directory, "api.json")
    environment = on.environment() | {"PRESSROOM_SANDBOX_URL": on.sandbox.base_url, "PRESSROOM_LOG_LEVEL": "warning"}
    command = [sys.executable, "-m", "api", "--port", "0", "--port-file", str(told)]
    process = subprocess.Popen(command, env=environment | {"PRESSROOM_PARENT_PID": str(os.getpid())})
    try:
        wait_for(lambda: told.exists() or process.poll() is not None, "the API to listen")
        if process.poll() is not None:
            raise BenchmarkFailed(f"the API ended with status {process.returncode}")
        with on.database.begin() as conn:
            key = create_key(conn, DEFAULT_PROJECT_ID, "benchmark", scopes=tuple(Scope)).text
        yield f"http://127.0.0.1:{json.loads(told.read_text())['port']}/v1", key, process
    finally:
        process.terminate()
        process.wait(60)


def _milliseconds(client: httpx2.Client, url: str, key: str, number: int) -> float:
    body = {**BODY, "seed": number}
    began = time.perf_counter()
    answer = client.post(url + PATH, json=body, headers={"Authorization": f"Bearer {key}"})
    took = (time.perf_counter() - began) * 1000
    if answer.status_code != 200:
        raise BenchmarkFailed(f"{url}: {answer.status_code} {answer.text[:300]}")
    return took


def measure(on: Rig, url: str, key: str, *, calls: int, warm_up: int = 20) -> dict[str, list[float]]:
    """Milliseconds of each call by target; they take turns."""
    targets = {"direct": (on.sandbox.base_url, "sandbox"), "queue": (url, key)}
    found: dict[str, list[float]] = {name: [] for name in targets}
    with httpx2.Client(timeout=60, trust_env=False) as client:
        for number in range(warm_up + calls):
            for name, (address, secret) in targets.items():
                took = _milliseconds(client, address, secret, number)
                if number >= warm_up:
                    found[name].append(took)
    return found


def _row(name: str, values: list[float]) -> str:
    cuts = statistics.quantiles(values, n=100)
    return f"{name:<10} {statistics.median(values):8.1f} {cuts[89]:8.1f} {cuts[98]:8.1f} {min(values):8.1f}"


def main() -> None:
    """Print the table; exits 1 when the bar is not met."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=200)
    options = parser.parse_args()
    with rig() as on:
        on.clean(SANDBOX)
        with on.pressroom_workers(1), api_process(on) as (url, key, _):
            found = measure(on, url, key, calls=options.calls)
    print(f"{options.calls} calls each, in turns; milliseconds; load {os.getloadavg()[0]:.1f}")
    print(f"{'':<10} {'p50':>8} {'p90':>8} {'p99':>8} {'least':>8}")
    for name, values in found.items():
        print(_row(name, values))
    over = [queue - direct for direct, queue in zip(found["direct"], found["queue"], strict=True)]
    print(_row("overhead", over))
    if statistics.median(over) > _BAR_MS:
        raise SystemExit(
            f"the median call took {statistics.median(over):.1f} ms more than direct; the bar is {_BAR_MS}"
        )


if __name__ == "__main__":
    main()
