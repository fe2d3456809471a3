"""Who gets how much of a room: start-time fair queueing as water that finds its level. Pure arithmetic.

Each stake is a vessel whose bottom is its virtual time and whose width is its weight. Room poured in rises to one level
in all that it reaches: those served least are served first, and afterwards all stand level.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Claimant:
    """A stake with jobs that may start. `mean_seconds` is what one of its next jobs is expected to take of the pool."""

    stake_id: int
    weight: float
    vtime: float
    mean_seconds: float


@dataclass(frozen=True, slots=True)
class Portion:
    """How many jobs of a claimant to look at."""

    claimant: Claimant
    rows: int


def water_level(claimants: Sequence[Claimant], seconds: float) -> float:
    """The virtual time that all reach when `seconds` of service are shared out; `claimants` in order of `vtime`."""
    weight = weighted = 0.0
    level = math.inf
    for claimant in claimants:
        if claimant.vtime >= level:
            break
        weight += claimant.weight
        weighted += claimant.weight * claimant.vtime
        level = (seconds + weighted) / weight
    return level


def portions(claimants: Sequence[Claimant], *, seconds: float, jobs: int, widen: int = 1) -> list[Portion]:
    """How many jobs of each claimant to look at, to take `jobs` jobs or `seconds` in all; `claimants` by `vtime`.

    At most about twice `jobs` in all. `widen` times as many, where the last look was too narrow to see all that had
    its turn.
    """
    if not claimants or jobs <= 0:
        return []
    seconds = min(seconds, jobs * max(claimant.mean_seconds for claimant in claimants))
    level = water_level(claimants, seconds)
    wanted = [_expected(claimant, level) for claimant in claimants]
    while sum(wanted) > jobs + len(claimants) and seconds > 0:
        seconds *= jobs / sum(wanted)
        level = water_level(claimants, seconds)
        narrower = [_expected(claimant, level) for claimant in claimants]
        if narrower == wanted:
            break
        wanted = narrower
    return [
        Portion(claimant, min(jobs, rows * widen)) for claimant, rows in zip(claimants, wanted, strict=True) if rows
    ]


def _expected(claimant: Claimant, level: float) -> int:
    """Jobs that start below the level: the one that crosses it included."""
    return max(0, math.ceil((level - claimant.vtime) * claimant.weight / claimant.mean_seconds - 1e-9))
