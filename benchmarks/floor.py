"""The floor: the provider client alone, on asyncio, against the sandbox. No queue, no books, no limiter.

    python -m benchmarks.floor [--calls 4000] [--rounds 3] [--concurrency 100]

CPU of this process per call, on asyncio's own loop and on uvloop where it is installed, in turns.
"""

import argparse
import asyncio
import time
from collections.abc import Callable
from typing import Any

from benchmarks.batches import URL, text_bodies
from benchmarks.report import median, print_table, write_json
from pressroom.ids import new_id
from pressroom.providers.client import ProviderClient
from tests.sandbox_process import SandboxProcess

_WARM_UP = 300
_LATENCY = {"kind": "uniform", "low": 0.05, "high": 0.1}

LoopFactory = Callable[[], asyncio.AbstractEventLoop]


def loops() -> dict[str, LoopFactory]:
    """Event loops that are installed, by name."""
    found: dict[str, LoopFactory] = {"asyncio": asyncio.new_event_loop}
    try:
        import uvloop
    except ImportError:
        return found
    return found | {"uvloop": uvloop.new_event_loop}


def main() -> None:
    """Parse, measure, report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=4000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--concurrency", type=int, default=100)
    options = parser.parse_args()
    results: dict[str, list[dict[str, float]]] = {name: [] for name in loops()}
    with SandboxProcess() as sandbox:
        sandbox.replace_config({"latency": {"chat": _LATENCY}})
        for _ in range(options.rounds):
            for name, factory in loops().items():
                with asyncio.Runner(loop_factory=factory) as runner:
                    results[name].append(runner.run(_measure(sandbox.base_url, options.calls, options.concurrency)))
    print_table(
        f"Provider client alone, {options.calls} calls, {options.concurrency} at once; median of {options.rounds}",
        ("loop", "CPU ms/call", "calls/s"),
        [(n, median(r["cpu_ms"] for r in rs), median(r["calls_s"] for r in rs)) for n, rs in results.items()],
    )
    write_json("floor", vars(options), results)


async def _measure(base_url: str, calls: int, concurrency: int) -> dict[str, float]:
    async with ProviderClient(base_url, api_key="sandbox", timeout_seconds=60.0) as client:
        await _call_all(client, list(text_bodies(_WARM_UP, label="warm-up")), concurrency)
        bodies = list(text_bodies(calls))
        wall, cpu = time.monotonic(), time.process_time()
        await _call_all(client, bodies, concurrency)
        cpu, wall = time.process_time() - cpu, time.monotonic() - wall
    return {"cpu_ms": 1000 * cpu / calls, "calls_s": calls / wall}


async def _call_all(client: ProviderClient, bodies: list[dict[str, Any]], concurrency: int) -> None:
    async def worker() -> None:
        while bodies:
            await client.call(URL, bodies.pop(), client_request_id=str(new_id()))

    async with asyncio.TaskGroup() as group:
        for _ in range(concurrency):
            group.create_task(worker())


if __name__ == "__main__":
    main()
