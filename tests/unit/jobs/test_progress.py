"""Pace, standing still, and the share of quota in use."""

import pytest

from pressroom.jobs.progress import Pace, Stillness, quota_use
from pressroom.limits.messages import DimensionStatus, PoolStatus


def test_pace_is_over_the_last_seconds_only() -> None:
    pace = Pace(window_seconds=10)
    assert (pace.per_second, pace.seconds_left(5)) == (0.0, None)
    for second in range(31):
        pace.saw(second, 0 if second < 10 else (second - 10) * 4)
    assert pace.per_second == pytest.approx(4.0)
    assert pace.seconds_left(20) == pytest.approx(5.0)


def test_nothing_moving_has_no_end() -> None:
    pace = Pace()
    pace.saw(0, 7)
    pace.saw(1, 7)
    assert pace.seconds_left(3) is None


def test_standing_still_takes_a_while_and_movement_starts_anew() -> None:
    still = Stillness(after_seconds=5)
    assert not still.saw(0, 10, running=0)
    assert not still.saw(4.9, 10, running=0)
    assert still.saw(5, 10, running=0)
    assert not still.saw(5.1, 10, running=0)
    assert not still.saw(9, 11, running=0)
    assert not still.saw(13, 11, running=2)
    assert not still.saw(17, 11, running=0)
    assert still.saw(18, 11, running=0)


def test_the_tightest_limit_is_shown() -> None:
    def one(limit: float, rate: float) -> DimensionStatus:
        return DimensionStatus(limit=limit, source="setting", rate=rate, used=0, debt=0, factor=1)

    status = PoolStatus("p", started=True, dimensions={"rpm": one(900, 300), "tpm": one(1000, 990)}, rejected=2)
    use = quota_use("gpt-4o-mini", status)
    assert (use.dimension, use.rejected) == ("tpm", 2)
    assert use.share == pytest.approx(0.99)


def test_without_limits_none_is_named() -> None:
    use = quota_use("m", PoolStatus("p", started=False, stopped_reason="by hand"))
    assert (use.dimension, use.share, use.stopped) == (None, 0.0, "by hand")
