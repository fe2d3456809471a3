"""One run of one scenario: workers against the sandbox, what happens meanwhile, and what the log then shows."""

import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import redis

from benchmarks import batches
from benchmarks.foreign_client import MARKER
from benchmarks.load_scenarios import WARM_UP_SECONDS, Event, Scenario
from benchmarks.rig import ROOT, BenchmarkFailed, Rig, wait_for
from pressroom.jobs.dispatch import DispatchPolicy, dispatch
from pressroom.jobs.publish import CeleryPublisher
from pressroom.limits.redis_limiter import DEFAULT_PREFIX
from pressroom.settings import SANDBOX

_GRACE_SECONDS = 60.0
_AFTER_FLUSH_SECONDS = 30.0
_LOOK_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one run showed. Shares are of 1, and of our own calls; None where they have no meaning.

    `over_ideal` is of the wall time of a finite load, `used` of what the limits let through in the steady state,
    foreign calls included; above 1, stored credit was spent too. `sandbox_stalled_seconds` tells of a busy machine.
    """

    scenario: str
    round: int
    workers: int
    items: int
    wall_seconds: float
    over_ideal: float | None
    used: float | None
    calls: int
    answered_429: int
    share_429: float
    share_429_after_flush: float | None
    lost: int
    duplicates: int
    worker_cpu_ms_per_item: float
    sandbox_stalled_seconds: float


def run(at: Rig, scenario: Scenario, count: int) -> Iterator[Outcome]:
    """The scenario's rounds, each with workers of its own on what the books and the limiter know by then."""
    at.clean(scenario.sandbox())
    for number in range(1, scenario.rounds + 1):
        at.sandbox.reset()
        yield _round(at, scenario, count, number)


def _round(at: Rig, scenario: Scenario, count: int, number: int) -> Outcome:
    bodies = _bodies(scenario, number)
    with at.pressroom_workers(count) as workers, ExitStack() as meanwhile:
        before = workers.reading()
        batch = _submit(at, scenario, bodies)
        began, began_wall = time.monotonic(), time.time()
        happen = _Happenings(at, scenario, meanwhile)

        def ended() -> bool:
            happen.now(time.monotonic() - began)
            return batches.settled(at.database, batch) >= scenario.items

        end = wait_for(
            ended,
            f"{scenario.name} to finish",
            workers=workers,
            seconds=2 * (scenario.ideal_seconds() + scenario.burst_seconds) + _GRACE_SECONDS,
            look_seconds=_LOOK_SECONDS,
        )
        cpu = workers.reading().cpu - before.cpu
    return _outcome(at, scenario, batch, (count, number, end - began, began_wall, cpu))


def _bodies(scenario: Scenario, number: int) -> Iterator[Mapping[str, Any]]:
    if scenario.ipm:
        return batches.image_bodies(scenario.items, label=f"round {number}")
    return batches.exact_bodies(scenario.items, label=f"item {number}.")


def _submit(at: Rig, scenario: Scenario, bodies: Iterator[Mapping[str, Any]]) -> UUID:
    """As every door does it: on the books, and then dispatched once without waiting for a worker's turn."""
    batch = batches.submit(
        at.database,
        bodies,
        {} if scenario.told == "nothing" else scenario.limits,
        url=batches.IMAGE_URL if scenario.ipm else batches.URL,
        model=scenario.model,
        guess=scenario.told == "guess",
    )
    publisher = CeleryPublisher(at.urls.redis_url, DEFAULT_PREFIX)
    dispatch(at.database, publisher, DispatchPolicy(base_url=SANDBOX))
    publisher.close()
    return batch


class _Happenings:
    """Starts each event of the scenario when its time has come."""

    def __init__(self, at: Rig, scenario: Scenario, meanwhile: ExitStack) -> None:
        self._at, self._scenario, self._meanwhile = at, scenario, meanwhile
        self._left = sorted(scenario.events, key=lambda event: event.share)

    def now(self, seconds: float) -> None:
        """So long after the beginning."""
        while self._left and seconds >= WARM_UP_SECONDS + self._left[0].share * self._scenario.steady_seconds:
            self._happen(self._left.pop(0))

    def _happen(self, event: Event) -> None:
        scenario = self._scenario
        if event.kind == "limits":
            self._at.sandbox.configure(limits={scenario.model: scenario.sandbox_limits(event.factor)})
        elif event.kind == "flush":
            with redis.Redis.from_url(self._at.urls.redis_url) as client:
                client.flushall()
        elif event.factor:
            ends = min(e.share for e in scenario.events if e.kind == "foreign" and e.share > event.share)
            seconds = (ends - event.share) * scenario.steady_seconds
            rate = event.factor * scenario.items_per_second
            self._meanwhile.enter_context(_foreign_client(self._at.sandbox.base_url, rate, seconds))


@contextmanager
def _foreign_client(base_url: str, per_second: float, seconds: float) -> Iterator[None]:
    command = [sys.executable, "-m", "benchmarks.foreign_client", base_url, str(per_second), str(seconds)]
    process = subprocess.Popen(command, cwd=ROOT)
    try:
        yield
    finally:
        process.terminate()
        process.wait()


def _outcome(at: Rig, scenario: Scenario, batch: UUID, measured: tuple[int, int, float, float, float]) -> Outcome:
    count, number, wall, began, cpu = measured
    stats = at.sandbox.stats()
    log = at.sandbox.calls(1_000_000)
    _check_tokens(scenario, stats["totals"])
    ours = [call for call in log if not str(call["client_request_id"]).startswith(MARKER)]
    refused = sum(1 for call in ours if call["status"] == 429)
    steady = scenario.steady_seconds > 0
    return Outcome(
        scenario=scenario.name,
        round=number,
        workers=count,
        items=scenario.items,
        wall_seconds=wall,
        over_ideal=None if steady else wall / scenario.ideal_seconds(),
        used=_used(scenario, log, began) if steady else None,
        calls=len(ours),
        answered_429=refused,
        share_429=refused / len(ours),
        share_429_after_flush=_after_flush(scenario, ours, began),
        lost=scenario.items - batches.succeeded(at.database, batch),
        duplicates=_duplicates(stats),
        worker_cpu_ms_per_item=1000 * cpu / scenario.items,
        sandbox_stalled_seconds=stats["stalls"]["seconds"],
    )


def _used(scenario: Scenario, log: list[dict[str, Any]], began: float) -> float:
    """Calls admitted in the steady state over what may be. At a slow pace from the first in it to the last."""
    opens = began + WARM_UP_SECONDS
    times = sorted(float(call["time"]) for call in log if call["status"] == 200)
    inside = [moment for moment in times if opens <= moment <= opens + scenario.steady_seconds]
    if len(inside) < 2:
        raise BenchmarkFailed(f"{scenario.name}: only {len(inside)} calls in the steady state; give it more --seconds")
    return (len(inside) - 1) / scenario.allowed(inside[0] - opens, inside[-1] - opens)


def _after_flush(scenario: Scenario, ours: list[dict[str, Any]], began: float) -> float | None:
    flushes = [event.share for event in scenario.events if event.kind == "flush"]
    if not flushes:
        return None
    at = began + WARM_UP_SECONDS + flushes[0] * scenario.steady_seconds
    calls = [call for call in ours if at <= float(call["time"]) <= at + _AFTER_FLUSH_SECONDS]
    return sum(1 for call in calls if call["status"] == 429) / max(1, len(calls))


def _check_tokens(scenario: Scenario, totals: Mapping[str, Any]) -> None:
    taken = totals["prompt_tokens"] + totals["completion_tokens"]
    if not scenario.ipm and taken != batches.ITEM_TOKENS * totals["ok"]:
        raise BenchmarkFailed(f"items did not take {batches.ITEM_TOKENS} tokens each: {totals}")


def _duplicates(stats: Mapping[str, Any]) -> int:
    """Requests answered more than once, and attempts sent more than once."""
    return int(stats["requests"]["answered_more_than_once"]) + int(stats["client_request_ids"]["repeated"])
