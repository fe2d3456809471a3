"""Sharing a pool out: nobody starves, and those who wait are never further apart than one claim."""

from decimal import Decimal
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from pressroom.jobs.claimed import ClaimedJob
from pressroom.jobs.fill import Claimant, Portion, in_turn, portions, water_level

weights = st.floats(0.1, 100.0)
vtimes = st.floats(0.0, 1e6)
sizes = st.floats(1e-3, 60.0)


@st.composite
def claimants(draw: st.DrawFn) -> list[Claimant]:
    """Stakes as the database hands them over: by virtual time."""
    rows = draw(st.lists(st.tuples(weights, vtimes, sizes), min_size=1, max_size=40))
    made = [Claimant(n, weight, vtime, mean) for n, (weight, vtime, mean) in enumerate(rows)]
    return sorted(made, key=lambda c: c.vtime)


@given(claimants(), st.floats(1e-3, 1e5))
def test_the_water_that_is_poured_in_is_the_water_that_is_there(stakes: list[Claimant], seconds: float) -> None:
    level = water_level(stakes, seconds)

    held = sum(max(0.0, level - c.vtime) * c.weight for c in stakes)

    assert abs(held - seconds) <= 1e-6 * (seconds + 1e6 * sum(c.weight for c in stakes))


@given(claimants(), st.floats(1e-3, 1e5), st.integers(1, 600))
def test_the_least_served_has_a_portion_and_nobody_is_looked_at_for_more_than_is_wanted(
    stakes: list[Claimant], seconds: float, jobs: int
) -> None:
    shown = portions(stakes, seconds=seconds, jobs=jobs)

    assert shown[0].claimant is stakes[0]
    assert all(1 <= p.rows <= jobs for p in shown)
    assert sum(p.rows for p in shown) <= 2 * jobs + len(stakes)


@given(
    st.lists(st.tuples(weights, st.floats(0.01, 2.0)), min_size=2, max_size=12),
    st.integers(1, 40),
    st.integers(5, 60),
)
def test_backlogged_stakes_stay_within_one_claim_of_each_other(
    kinds: list[tuple[float, float]], jobs: int, turns: int
) -> None:
    """Each turn serves what `claim` would: portions in order of virtual time, charged by weight."""
    served = [0.0] * len(kinds)
    quantum = max(jobs * mean / weight for weight, mean in kinds) + max(mean / weight for weight, mean in kinds)
    for _ in range(turns):
        stakes = sorted(
            (Claimant(n, weight, served[n], mean) for n, (weight, mean) in enumerate(kinds)), key=lambda c: c.vtime
        )
        queue = sorted(
            (p.claimant.vtime + place * p.claimant.mean_seconds / p.claimant.weight, p.claimant.stake_id)
            for p in portions(stakes, seconds=1e9, jobs=jobs)
            for place in range(p.rows)
        )
        for _, stake in queue[:jobs]:
            served[stake] += kinds[stake][1] / kinds[stake][0]
        assert max(served) - min(served) <= quantum + 1e-9


def job(number: int, stake: int, seconds: float, pace_seconds: float) -> ClaimedJob:
    """The `number`th that ever came."""
    of = UUID(int=stake)
    return ClaimedJob(f"(0,{number})", UUID(int=number), stake, 1, of, None, None, 0, Decimal(0), seconds, pace_seconds)


@st.composite
def shown(draw: st.DrawFn) -> list[tuple[Portion, list[ClaimedJob]]]:
    """What some stakes have shown, each at most as many jobs as it was asked for; ids are dealt out among them."""
    stakes = draw(claimants())
    ids = iter(draw(st.permutations(range(len(stakes) * 6))))
    rows = []
    for stake in stakes:
        asked, theirs = draw(st.integers(1, 6)), draw(st.lists(st.tuples(sizes, sizes), max_size=6))
        rows.append((Portion(stake, asked), [job(next(ids), stake.stake_id, *cost) for cost in theirs[:asked]]))
    return rows


@given(shown(), st.floats(0.01, 500.0), st.integers(1, 60))
def test_jobs_are_taken_in_the_order_of_virtual_time_and_within_the_room(
    rows: list[tuple[Portion, list[ClaimedJob]]], seconds: float, jobs: int
) -> None:
    turn = in_turn(rows, seconds=seconds, jobs=jobs)

    assert len(turn.jobs) <= jobs
    assert sum(one.pace_seconds for one in turn.jobs[:-1]) < seconds, "at most the last goes beyond the room"
    served = []
    left = {}
    for portion, theirs in rows:
        taken = [one for one in turn.jobs if one.flow_id == portion.claimant.stake_id]
        assert taken == theirs[: len(taken)], "in its own order, without a gap"
        assert abs(turn.charged.get(portion.claimant.stake_id, 0.0) - sum(one.seconds for one in taken)) < 1e-6
        at = [portion.claimant.vtime]
        for one in theirs:
            at.append(at[-1] + one.seconds / portion.claimant.weight)
        served += at[: len(taken)]
        has_more = len(theirs) == portion.rows
        if len(taken) < len(theirs) or has_more:
            left[portion.claimant.stake_id] = at[len(taken)]
        assert (portion.claimant.stake_id in turn.drained) == (not has_more and len(taken) == len(theirs))
    if served and left:
        assert max(served) <= min(left.values()) + 1e-6, "nobody overtakes one that was served less"
