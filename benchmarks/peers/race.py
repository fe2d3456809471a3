"""One contestant in one scenario: started, timed, cut short if it takes too long, judged by the sandbox's counts."""

import tempfile
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from benchmarks import batches
from benchmarks.peers.contestants import CONTESTANTS, Contestant, titled
from benchmarks.peers.program import running
from benchmarks.peers.scenarios import SCENARIOS, Scenario
from benchmarks.peers.starting_line import GO, READY, Task
from benchmarks.rig import BenchmarkFailed, Rig, wait_for

PATIENCE = 3.0
"""A contestant may take this many times the ideal."""

_READY_SECONDS = 60.0

Status = Literal["finished", "timed out", "failed", "not run"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one run showed. `answered`: items with an answer, by its own word, after a time-out by the sandbox's."""

    contestant: str
    scenario: str
    status: Status
    items: int
    ideal_seconds: float
    wall_seconds: float = 0.0
    cpu_seconds: float = 0.0
    answered: int = 0
    calls: int = 0
    answered_429: int = 0
    duplicates: int = 0
    versions: Mapping[str, str] = field(default_factory=dict)
    note: str = ""

    @property
    def over_ideal(self) -> float:
        """Wall time over the ideal one."""
        return self.wall_seconds / self.ideal_seconds

    @property
    def ours(self) -> bool:
        """Whether it is Pressroom."""
        return titled(self.contestant).workers > 0

    @property
    def lost(self) -> int:
        """Items without an answer at the end."""
        return self.items - self.answered


@dataclass(frozen=True, slots=True)
class _Run:
    """What a contestant itself has to tell."""

    status: Status
    wall_seconds: float
    cpu_seconds: float
    answered: int
    versions: Mapping[str, str] = field(default_factory=dict)
    note: str = ""


def run(at: Rig, contestant: Contestant, scenario: Scenario) -> Outcome:
    """One run against `at.sandbox`, which nobody else uses meanwhile."""
    ideal = scenario.ideal_seconds()
    runs = _pressroom if contestant.workers else _rival
    try:
        did = runs(at, contestant, scenario, PATIENCE * ideal)
    except (BenchmarkFailed, TimeoutError) as error:
        return _without_figures(contestant, scenario, "failed", str(error))
    stats = at.sandbox.stats()
    totals = stats["totals"]
    if totals["prompt_tokens"] + totals["completion_tokens"] != batches.ITEM_TOKENS * totals["ok"]:
        note = f"items did not take {batches.ITEM_TOKENS} tokens each, so this is no comparison: {totals}"
        return _without_figures(contestant, scenario, "failed", note)
    return Outcome(
        contestant=contestant.name,
        scenario=scenario.name,
        status=did.status,
        items=scenario.items,
        ideal_seconds=ideal,
        wall_seconds=did.wall_seconds,
        cpu_seconds=did.cpu_seconds,
        answered=did.answered if did.status == "finished" else min(scenario.items, totals["ok"]),
        calls=totals["calls"],
        answered_429=totals["by_status"].get("429", 0),
        duplicates=int(stats["requests"]["answered_more_than_once"]),
        versions=did.versions,
        note=did.note,
    )


def shown(outcomes: Iterable[Outcome], scenario: Scenario) -> list[Outcome]:
    """Those of a scenario in the order in which people look for them: Pressroom, then the others."""
    return sorted((one for one in outcomes if one.scenario == scenario.name), key=lambda one: not one.ours)


def not_run(contestant: Contestant, scenario: Scenario) -> Outcome:
    """What is left when the time for all is over."""
    return _without_figures(contestant, scenario, "not run", "there was no time left for it (--minutes)")


def _without_figures(contestant: Contestant, scenario: Scenario, status: Status, note: str) -> Outcome:
    return Outcome(contestant.name, scenario.name, status, scenario.items, scenario.ideal_seconds(), note=note)


def _pressroom(at: Rig, contestant: Contestant, scenario: Scenario, limit_seconds: float) -> _Run:
    """Workers up and idle; from the submission to the last result on the books."""
    bodies = list(batches.exact_bodies(scenario.items))
    at.clean(scenario.sandbox())
    status: Status = "finished"
    with at.pressroom_workers(contestant.workers) as workers:
        at.sandbox.reset()
        before = workers.reading()
        batch = batches.submit(at.database, bodies, {"rpm": scenario.rpm, "tpm": scenario.tpm})
        try:
            wait_for(
                lambda: batches.settled(at.database, batch) >= scenario.items,
                "the last item",
                workers=workers,
                seconds=limit_seconds,
            )
        except BenchmarkFailed:
            workers.check()  # raises if that is why
            status = "timed out"
        after = workers.reading()
        succeeded = batches.succeeded(at.database, batch)
    return _Run(status, after.at - before.at, after.cpu - before.cpu, succeeded)


def _rival(at: Rig, contestant: Contestant, scenario: Scenario, limit_seconds: float) -> _Run:
    """Program up, imports done, requests made; from `go` to its own word that it is through."""
    at.sandbox.replace_config(scenario.sandbox())
    with tempfile.TemporaryDirectory(prefix="pressroom-rival-") as name:
        directory = Path(name)
        task = Task(
            base_url=at.sandbox.base_url,
            bodies=list(batches.exact_bodies(scenario.items)),
            rpm=scenario.rpm,
            tpm=scenario.tpm,
            directory=directory,
            redis_url=f"{at.urls.redis_url.rpartition('/')[0]}/{_redis_database(contestant, scenario)}",
            options=dict(contestant.options),
        )
        with running(contestant, task) as program:
            versions = program.answer(READY, _READY_SECONDS)
            at.sandbox.reset()
            cpu, began = program.cpu(), time.monotonic()
            program.say(GO)
            try:
                answered = program.answer("answered", limit_seconds)
            except TimeoutError:
                return _Run("timed out", time.monotonic() - began, program.cpu() - cpu, 0, versions)
            wall = time.monotonic() - began
            return _Run("finished", wall, program.cpu() - cpu, len(answered), versions)


def _redis_database(contestant: Contestant, scenario: Scenario) -> int:
    """One that nobody else uses: Pressroom has 0, and empties it."""
    return 1 + SCENARIOS.index(scenario) * len(CONTESTANTS) + CONTESTANTS.index(contestant)
