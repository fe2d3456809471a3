"""The limiter's scripts, on a real server, against a simulated provider and clock.

    python -m benchmarks.limiter_simulation            all tables
    python -m benchmarks.limiter_simulation --only S1  scenarios whose name begins so

Starts a Valkey of its own in a temporary directory (or use --redis-url). Prints Markdown.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path

import redis

from benchmarks.limiter_clients import BackoffClient, ScriptClient, SplitClient
from benchmarks.limiter_provider import Limits
from benchmarks.limiter_world import Client, Scenario, World
from pressroom.limits.pool_limits import PoolLimits
from pressroom.local_stack import LocalStack

LARGE = Limits(rpm=10_000, tpm=8_000_000)
SMALL = Limits(rpm=500, tpm=200_000, quantum_seconds=60)
_numbers = count(1)


@dataclass(frozen=True, slots=True)
class Outcome:
    """One run's numbers; shares are fractions."""

    utilization: float
    known_utilization: float
    """Of the quota that the provider's answers had told of by then."""
    refused: float
    unavoidable: float
    """The part of `refused` that left before any answer could tell of the limits that refused it."""
    admitted: int
    lost: int
    delay_p50: float
    delay_p99: float
    ticks_per_call: float
    peak_in_flight: int
    units: tuple[float, float, float]
    seconds: float


def scenarios() -> list[Scenario]:
    """Every world of the tables."""
    s1 = Scenario(name="S1 saturated, 10,000 RPM + 8 M TPM, quantum 0.5 s", limits=LARGE)
    images = Scenario(
        name="S10 images, 250 a minute, calls of ~30 s",
        limits=Limits(ipm=250, tpm=8_000_000, quantum_seconds=60),
        images=1, seconds=1200, warm_seconds=240, mean_tokens=5000, latency=10, outage=False,
    )  # fmt: skip
    return [
        s1,
        replace(s1, name="S2 and a refused call costs a request", limits=replace(LARGE, refused_cost=1.0)),
        *(
            replace(s1, name=f"S4 quantum {quantum:g} s", limits=replace(LARGE, quantum_seconds=quantum))
            for quantum in (0.1, 0.25, 1.0, 60.0)
        ),
        replace(s1, name="S5 max_tokens charged, then trued up", limits=replace(LARGE, reserves_max_tokens=True)),
        replace(s1, name="S7 bursts (1.7x for 2 of 10 s), mean load 85 %", load=0.85),
        Scenario(name="S8 small account, 500 RPM + 200 k TPM", limits=SMALL, seconds=900, warm_seconds=90),
        *(
            replace(s1, name=f"S9 seed {seed}, quantum 0.25 s", seed=seed, limits=replace(LARGE, quantum_seconds=0.25))
            for seed in (11, 12, 13)
        ),
        images,
        replace(
            images,
            name="S10 images, 5 a minute, calls of ~30 s",
            limits=Limits(ipm=5, tpm=8_000_000, quantum_seconds=60),
            seconds=7200, warm_seconds=600,
        ),
        *(
            replace(s1, name=f"S6 {share:.0%} foreign from 200 to 400 of 600 s, quantum {quantum:g} s",
                    seconds=600, outage=False, foreign=(200, 400, share),
                    limits=replace(LARGE, quantum_seconds=quantum))
            for share in (0.2, 0.4) for quantum in (0.5, 60.0)
        ),
        replace(s1, name="S14 limits halved at 100 s and doubled at 200 s", outage=False,
                changes=((100, 0.5), (200, 1.0))),
        replace(
            images, name="S10 images, 50 a minute, calls of ~30 s",
            limits=Limits(ipm=50, tpm=8_000_000, quantum_seconds=60), seconds=2400, warm_seconds=480,
        ),
        Scenario(
            name="S11 text and images (1 in 5) in one pool, images bind",
            limits=Limits(rpm=3000, tpm=2_000_000, ipm=250, quantum_seconds=1),
            images=1, image_share=0.2, workers=4,
        ),
        Scenario(
            name="S12 a day's limit: 2,000 requests, 600 a minute",
            limits=Limits(rpm=600, rpd=2000, quantum_seconds=1),
            seconds=600, warm_seconds=0, workers=4, outage=False,
        ),
        Scenario(
            name="S13 only concurrency: 50 calls",
            limits=Limits(concurrency=50), workers=4, seconds=120, outage=False,
        ),
    ]  # fmt: skip


def pool_limits(limits: Limits) -> PoolLimits:
    """What an operator would set for this provider."""
    return PoolLimits(rpm=limits.rpm, tpm=limits.tpm, ipm=limits.ipm, rpd=limits.rpd, concurrency=limits.concurrency)


def run_script(
    scenario: Scenario, connection: redis.Redis, *, limits: PoolLimits | None = None, lose_state_at: float | None = None
) -> Outcome:
    """One run with the real script."""
    world = World(scenario)
    client = ScriptClient(
        world, connection, limits or pool_limits(scenario.limits), name=f"{time.time_ns()}-{next(_numbers)}"
    )
    if lose_state_at is not None:
        world.at(lose_state_at, client.lose_state)
    return run(world, client)


def run(world: World, client: Client) -> Outcome:
    """One run of any strategy."""
    world.client = client
    begun = time.perf_counter()
    counts = world.run()
    counts.delays.sort()
    calls = counts.admitted + counts.refused
    return Outcome(
        utilization=world.utilization(),
        known_utilization=world.utilization(known=True),
        refused=counts.refused / max(1, calls),
        unavoidable=counts.unavoidable / max(1, calls),
        admitted=counts.admitted,
        lost=counts.lost,
        delay_p50=_percentile(counts.delays, 0.50),
        delay_p99=_percentile(counts.delays, 0.99),
        ticks_per_call=counts.ticks / max(1, counts.admitted),
        peak_in_flight=world.provider.peak_in_flight,
        units=(counts.units[0], counts.units[1], counts.units[2]),
        seconds=time.perf_counter() - begun,
    )


def _percentile(values: list[float], share: float) -> float:
    return values[min(len(values) - 1, int(len(values) * share))] if values else float("nan")


@contextmanager
def valkey(url: str | None) -> Iterator[redis.Redis]:
    """The given server, or one of our own for as long as needed."""
    if url is not None:
        with redis.Redis.from_url(url) as client:
            yield client
        return
    folder = Path(tempfile.mkdtemp(prefix="pressroom-limiter-"))
    stack = LocalStack(folder, durable=False)
    try:
        with redis.Redis.from_url(stack.acquire().redis_url) as client:
            yield client
    finally:
        stack.wipe()


HEAD = (
    "| strategy | quota used % | 429 % of calls | jobs lost | delay p50 / p99 s | ticks a call |\n"
    "|---|---|---|---|---|---|"
)


def row(name: str, outcome: Outcome, *, arrivals: bool = False) -> str:
    """One line of a table."""
    # Where there is always work, a delay from "arrival" means nothing.
    delays = f"{outcome.delay_p50:.2f} / {outcome.delay_p99:.2f}" if arrivals else "-"
    quota, refused = f"{100 * outcome.utilization:.1f}", f"{100 * outcome.refused:.3f}"
    return f"| {name} | {quota} | {refused} | {outcome.lost} | {delays} | {outcome.ticks_per_call:.2f} |"


def report(scenario: Scenario, connection: redis.Redis) -> None:
    """Run and print one scenario: ours, and the peers where they say something."""
    print(f"\n### {scenario.name}\n{HEAD}")
    arrivals = scenario.load is not None
    ours = run_script(scenario, connection)
    print(row("Pressroom", ours, arrivals=arrivals), flush=True)
    if scenario.name.startswith(("S1 ", "S2 ", "S7", "S8", "S4", "S10")):
        for name, strategy in (("backoff, 6 attempts", BackoffClient), ("split between workers", SplitClient)):
            world = World(scenario)
            print(row(name, run(world, strategy(world)), arrivals=arrivals), flush=True)
    if scenario.changes:
        known, floor = f"{100 * ours.known_utilization:.1f}", f"{100 * ours.unavoidable:.3f}"
        print(f"| of these, when answers told of it | {known} | {floor} unavoidable | | | |", flush=True)
    if scenario.name.startswith("S1 "):
        nothing = run_script(scenario, connection, limits=PoolLimits())
        print(row("Pressroom, limits unknown", nothing), flush=True)
        lost = run_script(scenario, connection, lose_state_at=150.0)
        print(row("Pressroom, Redis flushed at 150 s", lost), flush=True)
        guess = PoolLimits(rpm=500, tpm=200_000, defaults=frozenset({"rpm", "tpm"}))
        print(row("Pressroom, limits learned from headers", run_script(scenario, connection, limits=guess)), flush=True)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="run scenarios whose name begins so, e.g. S10")
    parser.add_argument("--redis-url", help="use this server instead of starting one")
    options = parser.parse_args()
    chosen = [s for s in scenarios() if f"{s.name} ".startswith(options.only)]
    if not chosen:
        parser.error(f"--only {options.only!r} names none of: {', '.join(s.name for s in scenarios())}")
    with valkey(options.redis_url) as connection:
        for scenario in chosen:
            report(scenario, connection)


if __name__ == "__main__":
    main()
