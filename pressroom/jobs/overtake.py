"""An interactive job takes over the start time that a job of another class was given, before that one starts."""

from collections.abc import Sequence
from typing import Protocol, TypeVar

from pressroom.limits.costs import Cost


class Slotted(Protocol):
    """A job that may have a start time."""

    cost: Cost
    started: bool

    @property
    def is_urgent(self) -> bool:
        """Whether it may overtake, and may not be overtaken."""


_J = TypeVar("_J", bound=Slotted)


def slot_to_take(granted: Sequence[tuple[float, int, _J]], urgent: _J) -> int | None:
    """Which of `granted` (time, order, job) to take over: the earliest whose quota is enough; None where there is none.

    Quota was granted with the time, so the job that takes over is accounted at what the other was to take.
    """
    able = [
        (at, order, index)
        for index, (at, order, job) in enumerate(granted)
        if not job.is_urgent and not job.started and _covers(job.cost, urgent.cost)
    ]
    return min(able)[2] if able else None


def _covers(granted: Cost, wanted: Cost) -> bool:
    return granted.requests >= wanted.requests and granted.tokens >= wanted.tokens and granted.images >= wanted.images
