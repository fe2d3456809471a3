"""Jobs are dealt out by weight, whatever the weights, wherever the deal begins."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from pressroom.jobs.resolve import DeploymentRef
from pressroom.jobs.share import Share

weights = st.lists(st.integers(1, 50), min_size=1, max_size=6)
phases = st.integers(0, 10**6)


def share(given: list[int], phase: int = 0) -> Share:
    """Targets 0, 1, … of these weights."""
    return Share([(DeploymentRef(n, n, "m", "u"), weight) for n, weight in enumerate(given)], phase=phase)


@given(weights, phases, st.integers(0, 500))
def test_every_target_has_its_share_at_any_time(given: list[int], phase: int, jobs: int) -> None:
    dealt = share(given, phase)
    got = Counter(dealt.next().id for _ in range(jobs))
    for target, weight in enumerate(given):
        # A beginning in the middle may add what the part before it lacked.
        assert abs(got[target] - jobs * weight / sum(given)) < 2


@given(weights)
def test_submissions_of_one_job_share_by_weight_too(given: list[int]) -> None:
    total = sum(given)
    got = Counter(share(given, phase).next().id for phase in range(total))
    assert got == Counter(dict(enumerate(given)))


@given(weights, phases)
def test_the_order_repeats(given: list[int], phase: int) -> None:
    dealt = share(given, phase)
    first = [dealt.next().id for _ in range(sum(given))]
    assert [dealt.next().id for _ in range(sum(given))] == first
