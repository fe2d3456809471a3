"""Limits of a pool and the `--limit` option."""

from __future__ import annotations

import pytest

from pressroom.errors import InvalidInput
from pressroom.limits.costs import Cost
from pressroom.limits.pool_limits import DEFAULT_BURST_SECONDS, PoolLimits, parse_limit, parse_limits


def test_an_option_with_every_limit() -> None:
    model, limits = parse_limit("dall-e-2:rpm=600,tpm=60_000, ipm=50,rpd=1e4,tpd=2e6,concurrency=200,burst_seconds=1")
    assert model == "dall-e-2"
    assert limits == PoolLimits(
        rpm=600, tpm=60_000, ipm=50, rpd=10_000, tpd=2_000_000, concurrency=200, burst_seconds=1
    )


def test_a_model_name_may_contain_colons() -> None:
    assert parse_limit("ft:gpt-4o-mini:org::id:rpm=5")[0] == "ft:gpt-4o-mini:org::id"


@pytest.mark.parametrize(
    ("option", "says"),
    [
        ("rpm=600", "no model or no limits"),
        ("dall-e-2:", "no model or no limits"),
        (":rpm=600", "no model or no limits"),
        ("m:rpm", "rpm=600"),
        ("m:rqm=5", "Use one of rpm, tpm"),
        ("m:rpm=lots", "lots"),
        ("m:rpm=", "not a number"),
        ("m:rpm=0", "pause it instead"),
        ("m:tpm=-5", "-5"),
        ("m:tpm=nan", "nan"),
        ("m:tpm=inf", "inf"),
        ("m:concurrency=1.5", "whole number"),
        ("m:rpm=5,rpm=6", "twice"),
        ("m:burst_seconds=90", "0 to 60"),
    ],
)
def test_a_bad_option_names_value_and_remedy(option: str, says: str) -> None:
    with pytest.raises(InvalidInput, match=says):
        parse_limit(option)


def test_a_model_is_named_once() -> None:
    assert set(parse_limits(["a:rpm=5", "b:rpm=6"])) == {"a", "b"}
    with pytest.raises(InvalidInput, match="a second time"):
        parse_limits(["a:rpm=5", "a:tpm=6"])


def test_settings_come_before_the_catalog() -> None:
    merged = PoolLimits(rpm=600).over(PoolLimits(rpm=500, tpm=30_000, concurrency=9))
    assert (merged.rpm, merged.tpm, merged.concurrency) == (600, 30_000, 9)
    assert merged.defaults == {"tpm", "concurrency"}
    assert merged.per_second(source="setting") == {"rpm": 10.0}
    assert merged.per_second(source="default") == {"tpm": 500.0}


def test_a_learned_burst_is_a_guess_and_a_share_a_setting() -> None:
    _, limits = parse_limit("gpt-4o-mini:rpm=600,max_share=0.8")
    assert limits.max_share == 0.8
    merged = limits.over(PoolLimits(tpm=30_000, burst_seconds=0.4))
    assert (merged.burst_seconds, merged.learned_burst_seconds) == (DEFAULT_BURST_SECONDS, 0.4)
    for share in (0.0, 1.2, float("nan")):
        with pytest.raises(InvalidInput, match="max_share"):
            PoolLimits(max_share=share)


def test_unknown_defaults_are_refused() -> None:
    with pytest.raises(InvalidInput, match="Known limits"):
        PoolLimits(rpm=5, defaults=frozenset({"rps"}))


@pytest.mark.parametrize("field", ["requests", "tokens", "images"])
@pytest.mark.parametrize("value", [-1.0, float("nan"), float("inf")])
def test_a_cost_is_a_number_of_units(field: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"Cost.{field}"):
        Cost(**{field: value})
