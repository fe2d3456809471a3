"""Which of several deployments takes the next job: by weight, evenly mixed, without asking anybody. Pure."""

from collections.abc import Sequence
from math import gcd

from pressroom.jobs.resolve import DeploymentRef


class Share:
    """Deals jobs out: after any number of jobs each target is at most one job off its weight's share.

    Smooth weighted round robin: 3:1 gives a a b a. The order repeats after as many jobs as the weights add up to, and
    `phase` says where in it this share begins: submissions of one job each must not all begin with the heaviest.
    """

    def __init__(self, targets: Sequence[tuple[DeploymentRef, int]], *, phase: int = 0) -> None:
        """`targets` with weights of at least 1."""
        divisor = gcd(*(weight for _, weight in targets))
        self.refs = [ref for ref, _ in targets]
        self._weights = [weight // divisor for _, weight in targets]
        self._total = sum(self._weights)
        self._credits = [0] * len(targets)
        for _ in range(phase % self._total):
            self.next()

    @property
    def parts(self) -> list[tuple[DeploymentRef, float]]:
        """Each target with its part of the jobs; they add up to 1."""
        return [(ref, weight / self._total) for ref, weight in zip(self.refs, self._weights, strict=True)]

    def next(self) -> DeploymentRef:
        """The target of the next job."""
        if len(self.refs) == 1:
            return self.refs[0]
        held = self._credits
        for number, weight in enumerate(self._weights):
            held[number] += weight
        first = held.index(max(held))
        held[first] -= self._total
        return self.refs[first]
