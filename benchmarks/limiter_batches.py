"""Short batches on an idle account with stored quota, in the simulation: S1, S2 and S3 of docs/benchmarks.md.

    python -m benchmarks.limiter_batches

600 RPM and 60,000 TPM, 120 tokens a call, so that tokens bind. The ideal wall time spends all that the bucket holds and
adds one mean latency. With a hidden quantum, which no header tells of, the stored quota cannot be had; the run finds
out, and the next one, which begins with what it learned, must not be refused.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from itertools import count

import redis

from benchmarks.limiter_clients import START_US, ScriptClient
from benchmarks.limiter_provider import Limits
from benchmarks.limiter_simulation import valkey
from benchmarks.limiter_world import Scenario, World
from pressroom.limits.commands import status_steps
from pressroom.limits.pool_limits import PoolLimits
from pressroom.limits.scripts import drive

_S1 = Scenario(
    name="S1", limits=Limits(rpm=600, tpm=60_000, announced_seconds=10, quantum_seconds=60),
    batch=300, mean_tokens=120, latency=0.5, exact=True, outage=False, warm_seconds=0, seconds=400,
)  # fmt: skip
BATCHES = (
    _S1,
    replace(_S1, name="S2", batch=900, limits=replace(_S1.limits, announced_seconds=60)),
    replace(_S1, name="S3", latency=5.0),
)
_QUANTUM = replace(BATCHES[1].limits, quantum_seconds=0.5)
UNKNOWN = (
    *BATCHES,
    replace(_S1, name="300 items in quanta of 0.5 s", limits=_QUANTUM),
    replace(_S1, name="3,000 items at 10,000 RPM in quanta of 0.5 s", batch=3000,
            limits=replace(_QUANTUM, rpm=10_000, tpm=1_100_000)),
)  # fmt: skip
"""Batches of whose limits the pool knows nothing at first."""
_numbers = count(1)


@dataclass(frozen=True, slots=True)
class BatchOutcome:
    """One run: wall time, that over the ideal, 429s, and the burst that was learned (None: nothing)."""

    seconds: float
    over_ideal: float
    refused: int
    done: int
    learned: float | None


def ideal_seconds(scenario: Scenario) -> float:
    """All stored quota spent, the rest at the rate, and one mean latency."""
    limits = scenario.limits
    assert scenario.batch is not None
    assert limits.rpm is not None
    assert limits.tpm is not None
    per_second = min(limits.rpm, limits.tpm / scenario.mean_tokens) / 60
    stored = min(limits.announced_seconds, limits.quantum_seconds)
    return max(0.0, scenario.batch / per_second - stored) + scenario.latency


def run_batch(
    scenario: Scenario, connection: redis.Redis, *, workers: int, learned: float | None = None, known: bool = True
) -> BatchOutcome:
    """One run with the real script; `learned` is the burst that an earlier run stored. Not `known`: nothing is."""
    world = World(replace(scenario, workers=workers))
    limits = PoolLimits(rpm=scenario.limits.rpm, tpm=scenario.limits.tpm, learned_burst_seconds=learned)
    limits = limits if known else PoolLimits()
    client = ScriptClient(world, connection, limits, name=f"{time.time_ns()}-{next(_numbers)}")
    world.client = client
    counts = world.run()
    clock = str(START_US + int(world.now * 1e6))
    status = drive(status_steps(client.keys, "simulated", clock), connection.execute_command)
    return BatchOutcome(
        seconds=counts.ended,
        over_ideal=counts.ended / ideal_seconds(scenario),
        refused=counts.refusals,
        done=counts.admitted,
        learned=status.learned.get("burst_seconds"),
    )


def with_quantum(scenario: Scenario, seconds: float) -> Scenario:
    """The same with a hidden bucket of so many seconds."""
    return replace(scenario, limits=replace(scenario.limits, quantum_seconds=seconds))


def main() -> None:
    """All tables."""
    with valkey(None) as connection:
        print("| batch | workers | wall s | over ideal | 429s |\n|---|---|---|---|---|")
        for scenario in BATCHES:
            for workers in (1, 2, 4, 8):
                one = run_batch(scenario, connection, workers=workers)
                print(f"| {scenario.name} | {workers} | {one.seconds:.1f} | {one.over_ideal:.3f} | {one.refused} |")
        print("\n| limits unknown | workers | wall s | over ideal | 429s | % of calls |\n|---|---|---|---|---|---|")
        for scenario in UNKNOWN:
            for workers in (1, 2, 4):
                one = run_batch(scenario, connection, workers=workers, known=False)
                share = f"{100 * one.refused / (one.refused + one.done):.2f}"
                cells = (scenario.name, workers, f"{one.seconds:.1f}", f"{one.over_ideal:.3f}", one.refused, share)
                print(f"| {' | '.join(map(str, cells))} |", flush=True)
        print("\n| hidden quantum s | batch | workers | 429s, first run | learned s | 429s, next run |")
        print("|---|---|---|---|---|---|")
        for quantum in (0.5, 1.0, 2.0):
            for scenario in BATCHES:
                for workers in (1, 2, 4, 8):
                    hidden = with_quantum(scenario, quantum)
                    first = run_batch(hidden, connection, workers=workers)
                    after = run_batch(hidden, connection, workers=workers, learned=first.learned)
                    row = (quantum, scenario.name, workers, first.refused, f"{first.learned:.2f}", after.refused)
                    print(f"| {' | '.join(str(cell) for cell in row)} |", flush=True)


if __name__ == "__main__":
    main()
