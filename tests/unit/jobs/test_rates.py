"""Limits as seconds of a pool's bottleneck."""

import pytest

from pressroom.jobs.rates import Rates, effective_limits, pool_limits


def test_settings_win_over_what_was_learned_and_that_over_the_catalog() -> None:
    layers = ({"rpm": 10}, {"rpm": 20, "tpm": 200}, {"rpm": 30, "tpm": 300, "ipm": 3})

    assert effective_limits(*layers) == {"rpm": 10.0, "tpm": 200.0, "ipm": 3.0}


def test_what_is_null_or_no_limit_is_not_one() -> None:
    assert effective_limits({"rpm": None, "burst_seconds": 5}, {"rpm": 20}) == {"rpm": 20.0}


def test_the_limiter_gets_settings_as_settings_and_a_whole_concurrency() -> None:
    limits = pool_limits({"rpm": 10, "concurrency": 3.0, "burst_seconds": 2}, {"tpm": 100}, {"rpm": 99})

    assert (limits.rpm, limits.tpm, limits.concurrency, limits.burst_seconds) == (10, 100, 3, 2)


@pytest.mark.parametrize(
    ("limits", "tokens", "images", "seconds"),
    [
        ({"rpm": 60}, 5_000, 3, 1.0),
        ({"rpm": 60, "tpm": 60_000}, 5_000, 0, 5.0),
        ({"rpm": 60, "tpm": 60_000}, 10, 0, 1.0),
        ({"ipm": 30}, 0, 3, 6.0),
        ({"rpd": 10, "tpd": 10, "concurrency": 1}, 5_000, 3, 0.0),
        ({}, 5_000, 3, 0.0),
    ],
)
def test_a_request_takes_the_most_of_what_each_limit_makes_of_it(
    limits: dict[str, float], tokens: float, images: float, seconds: float
) -> None:
    assert Rates.of(limits).seconds(tokens, images) == pytest.approx(seconds)


def test_a_limit_by_the_day_is_charged_where_it_is_scarcer() -> None:
    assert Rates.of({"rpm": 60, "rpd": 8_640}).charge(10, 0) == pytest.approx(10.0)
    assert Rates.of({"rpm": 60, "rpd": 1_000_000}).charge(10, 0) == pytest.approx(1.0)
    assert Rates.of({"tpm": 60_000, "tpd": 864_000}).charge(500, 0) == pytest.approx(50.0)


def test_only_limits_per_minute_bound_how_far_ahead_is_leased() -> None:
    assert Rates.of({"rpd": 10, "concurrency": 3}).unlimited
    assert not Rates.of({"ipm": 1}).unlimited


def test_a_learned_burst_is_a_guess_that_a_setting_overrules() -> None:
    learned = {"tpm": 100, "burst_seconds": 0.7}

    assert pool_limits({"rpm": 10}, learned, {}).learned_burst_seconds == 0.7
    assert pool_limits({"rpm": 10, "burst_seconds": 2}, learned, {}).burst_seconds == 2
    assert pool_limits({"rpm": 10}, {}, {}).learned_burst_seconds is None
