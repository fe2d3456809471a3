"""Who gets how much of a room: start-time fair queueing as water that finds its level. Pure arithmetic.

Each stake is a vessel whose bottom is its virtual time and whose width is its weight. Room poured in rises to one level
in all that it reaches: those served least are served first, and afterwards all stand level.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pressroom.jobs.claimed import ClaimedJob

NOTHING_SECONDS = 1e-6
"""Less than this is no room."""


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


@dataclass(frozen=True, slots=True)
class Turn:
    """What one look takes: jobs in the order of their turn, and the seconds that they cost each stake.

    `drained` are stakes that gave all they had.
    """

    jobs: list[ClaimedJob]
    charged: Mapping[int, float]
    drained: set[int]


def in_turn(shown: Sequence[tuple[Portion, Sequence[ClaimedJob]]], *, seconds: float, jobs: int) -> Turn:
    """Of the jobs that each claimant has shown, in its own order, those whose turn it is: at most `jobs`, within
    `seconds` of the pool and at most the last beyond them.

    A job is served at its stake's virtual time, plus what stands before it there by weight; of two served at once the
    older goes first. A stake that has shown all it was asked for may have more: nothing that comes after its next one
    is taken.
    """
    queue: list[tuple[float, int, int, ClaimedJob]] = []
    level, rest = math.inf, dict[int, int]()
    for portion, theirs in shown:
        claimant = portion.claimant
        stake, weight, at = claimant.stake_id, claimant.weight, claimant.vtime
        before = 0.0
        for job in theirs:
            queue.append((at + before / weight, job.id.int, stake, job))
            before += job.seconds
        if len(theirs) == portion.rows:
            level = min(level, at + before / weight)
        else:
            rest[stake] = len(theirs)
    queue.sort()
    taken, charged, ahead = list[ClaimedJob](), dict[int, float](), 0.0
    for served_at, _, stake, job in queue:
        if served_at > level or len(taken) >= jobs or ahead >= seconds - NOTHING_SECONDS:
            break
        taken.append(job)
        ahead += job.pace_seconds
        charged[stake] = charged.get(stake, 0.0) + job.seconds
        if stake in rest:
            rest[stake] -= 1
    return Turn(taken, charged, {stake for stake, left in rest.items() if not left})


def _expected(claimant: Claimant, level: float) -> int:
    """Jobs that start below the level: the one that crosses it included."""
    return max(0, math.ceil((level - claimant.vtime) * claimant.weight / claimant.mean_seconds - 1e-9))
