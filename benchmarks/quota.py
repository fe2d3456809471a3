"""Quota used, 429s, losses and duplicates under limits that the sandbox enforces, by number of worker processes.

    python -m benchmarks.quota [--scenario all] [--workers 1,2,4] [--seconds 60]

S1       300 items at 600 RPM and 60k TPM, 10 s of announced burst, 0.5 s latency
S2       900 items, 60 s of burst
S3       S1 with 4 to 6 s latency
steady   600 RPM and 60k TPM, and 10,000 RPM and 1.1M TPM: `--seconds` of saturation, a bucket of 0.5 s and no other

Every item takes exactly 120 tokens, so TPM binds (8.33/s of 600 RPM, 152.8/s of 10,000). The workers are up and idle;
the wall time is from the submission's commit to the last result's. The ideal wall is what the quota allows plus one
mean latency: `credit` spends the burst that the idle bucket holds, `no credit` paces from the start. All is read from
the sandbox's own log: `used` is the admitted calls per second over what may be, after a warm-up and before the tail.
"""

import argparse
import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from benchmarks import batches
from benchmarks.report import print_table, write_json
from benchmarks.rig import BenchmarkFailed, Rig, rig, wait_for

_WARM_UP_SECONDS, _TAIL_SECONDS = 5.0, 3.0
_GRACE_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Scenario:
    """A load and the limits it meets. `burst_seconds` and `quantum_seconds` as in docs/sandbox.md."""

    name: str
    items: int
    rpm: int
    tpm: int
    burst_seconds: float
    latency: tuple[float, float] = (0.5, 0.5)
    steady_seconds: float = 0.0

    @property
    def items_per_second(self) -> float:
        """What the tighter of the two limits lets through."""
        return min(self.rpm, self.tpm / batches.ITEM_TOKENS) / 60

    def ideal_seconds(self, *, credit: bool) -> float:
        """The wall time that the quota allows."""
        burst = self.burst_seconds if credit else 0.0
        return max(0.0, self.items / self.items_per_second - burst) + sum(self.latency) / 2

    def sandbox(self) -> dict[str, Any]:
        """The sandbox's configuration."""
        limits = {"rpm": self.rpm, "tpm": self.tpm, "burst_seconds": self.burst_seconds}
        if self.steady_seconds:
            limits["quantum_seconds"] = self.burst_seconds
        low, high = self.latency
        return {
            "limits": {batches.MODEL: limits},
            "latency": {"chat": {"kind": "uniform", "low": low, "high": high}},
            "chat": {"median_tokens": batches.ANSWER_TOKENS, "sigma": 0},
            "keep_calls": 1_000_000,
        }


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one run showed. Shares are of 1; `used` is None where there is no steady state."""

    scenario: str
    workers: int
    items: int
    wall_seconds: float
    over_no_credit: float
    over_credit: float
    used: float | None
    calls: int
    answered_429: int
    lost: int
    duplicates: int

    @property
    def share_429(self) -> float:
        """Of all calls."""
        return self.answered_429 / self.calls


_S1 = Scenario("S1", 300, 600, 60_000, 10.0)
SCENARIOS = (
    _S1,
    replace(_S1, name="S2", items=900, burst_seconds=60.0),
    replace(_S1, name="S3", latency=(4.0, 6.0)),
    Scenario("steady", 0, 600, 60_000, 0.5, latency=(0.3, 0.7), steady_seconds=60.0),
    Scenario("steady", 0, 10_000, 1_100_000, 0.5, latency=(0.3, 0.7), steady_seconds=60.0),
)


def main() -> None:
    """Parse, measure, report."""
    options = _options()
    outcomes = []
    with rig() as at:
        for scenario in _chosen(options.scenario, options.seconds):
            for workers in options.workers:
                outcome = _run(at, scenario, workers)
                outcomes.append(outcome)
                print(" ".join(str(part) for part in _row(outcome)), flush=True)
    columns = (
        "scenario", "workers", "items", "wall s", "over ideal, no credit", "over ideal, credit", "quota used %",
        "answered 429 %", "lost", "duplicates",
    )  # fmt: skip
    print_table("Under enforced limits", columns, [_row(outcome) for outcome in outcomes])
    results = [asdict(outcome) | {"share_429": outcome.share_429} for outcome in outcomes]
    write_json("quota", vars(options), results)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = sorted({scenario.name for scenario in SCENARIOS})
    parser.add_argument("--scenario", choices=[*names, "all"], default="all")
    parser.add_argument("--workers", type=lambda s: [int(n) for n in s.split(",")], default=[1, 2, 4])
    parser.add_argument("--seconds", type=float, default=60.0, help="of the steady state")
    return parser.parse_args()


def _chosen(name: str, steady_seconds: float) -> Iterator[Scenario]:
    for scenario in SCENARIOS:
        if name not in ("all", scenario.name):
            continue
        if not scenario.steady_seconds:
            yield scenario
            continue
        busy = _WARM_UP_SECONDS + steady_seconds + _TAIL_SECONDS
        named = f"steady, {scenario.rpm:,} RPM"
        items = math.ceil(busy * scenario.items_per_second)
        yield replace(scenario, name=named, items=items, steady_seconds=steady_seconds)


def _run(at: Rig, scenario: Scenario, count: int) -> Outcome:
    at.clean(scenario.sandbox())
    bodies = list(batches.exact_bodies(scenario.items))
    with at.pressroom_workers(count) as workers:
        batch = batches.submit(at.database, bodies, {"rpm": scenario.rpm, "tpm": scenario.tpm})
        began = time.monotonic()
        ended = wait_for(
            lambda: batches.settled(at.database, batch) >= scenario.items,
            f"{scenario.name} to finish",
            workers=workers,
            seconds=2 * scenario.ideal_seconds(credit=False) + _GRACE_SECONDS,
        )
    wall = ended - began
    stats = at.sandbox.stats()
    totals = stats["totals"]
    if totals["prompt_tokens"] + totals["completion_tokens"] != batches.ITEM_TOKENS * totals["ok"]:
        raise BenchmarkFailed(f"items did not take {batches.ITEM_TOKENS} tokens each: {totals}")
    return Outcome(
        scenario=scenario.name,
        workers=count,
        items=scenario.items,
        wall_seconds=wall,
        over_no_credit=wall / scenario.ideal_seconds(credit=False),
        over_credit=wall / scenario.ideal_seconds(credit=True),
        used=_used(at, scenario) if scenario.steady_seconds else None,
        calls=totals["calls"],
        answered_429=totals["by_status"].get("429", 0),
        lost=scenario.items - batches.succeeded(at.database, batch),
        duplicates=_duplicates(stats),
    )


def _used(at: Rig, scenario: Scenario) -> float:
    """Calls per second between the first and the last that were admitted in the steady state, over what may be."""
    times = sorted(float(call["time"]) for call in at.sandbox.calls(1_000_000) if call["status"] == 200)
    begin = times[0] + _WARM_UP_SECONDS
    steady = [time for time in times if begin <= time <= begin + scenario.steady_seconds]
    return (len(steady) - 1) / (steady[-1] - steady[0]) / scenario.items_per_second


def _duplicates(stats: Mapping[str, Any]) -> int:
    """Requests answered more than once, and attempts sent more than once."""
    return int(stats["requests"]["answered_more_than_once"]) + int(stats["client_request_ids"]["repeated"])


def _row(outcome: Outcome) -> tuple[object, ...]:
    return (
        outcome.scenario,
        outcome.workers,
        outcome.items,
        round(outcome.wall_seconds, 1),
        round(outcome.over_no_credit, 3),
        round(outcome.over_credit, 3),
        "-" if outcome.used is None else f"{100 * outcome.used:.2f}",
        f"{100 * outcome.share_429:.3f}",
        outcome.lost,
        outcome.duplicates,
    )


if __name__ == "__main__":
    main()
