"""What an input would cost and how long it would take, from sums alone."""

from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from pressroom.jobs.deployments import DeploymentRow
from pressroom.jobs.estimate import Basis, InputEstimate, Tally, estimate
from pressroom.limits.calibration import Calibration
from pressroom.limits.pool_limits import PoolLimits
from pressroom.money.price_book import catalog_price_book
from pressroom.operations.registry import operation_for
from pressroom.settings import OPENAI_BASE_URL, SANDBOX

CHAT, IMAGES = "/v1/chat/completions", "/v1/images/generations"
ON = date(2026, 11, 22)
BOOK = catalog_price_book()
TEXT = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Say something."}], "max_tokens": 1000}


def tally(*requests: tuple[int, str, dict[str, Any]]) -> Tally:
    """So many of each request."""
    added = Tally()
    for count, url, body in requests:
        operation = operation_for(url)
        assert operation is not None
        found = operation.estimate(body, BOOK.price_for(body["model"], body.get("service_tier"), ON))
        for _ in range(count):
            added.add(url, body["model"], body, found)
    return added


def estimated(of: Tally, base_url: str = OPENAI_BASE_URL, **basis: Any) -> InputEstimate:
    """With nothing but the catalog known, unless `basis` says more."""
    known = {"calibrations": {}, "deployments": {}} | basis
    return estimate(of, Basis(base_url, ON, BOOK, **known))


def deployment(model: str, **limits: float) -> DeploymentRow:
    """A deployment that is known, number 7."""
    values: dict[str, Any] = dict.fromkeys(DeploymentRow.__dataclass_fields__)
    values |= {"id": 7, "model": model, "base_url": OPENAI_BASE_URL, "account": "", "pool": f"test/{model}"}
    values |= {"explicit_limits": limits, "learned_limits": {}, "catalog_limits": {}}
    return DeploymentRow(**values)


def test_before_any_call_the_catalogs_typical_output_is_expected() -> None:
    [model] = estimated(tally((10, CHAT, TEXT))).models
    assert (model.requests, model.output_tokens, model.is_calibrated) == (10, 3500, False)
    low = (model.input_tokens * Decimal("0.15") + 10 * Decimal("0.60")) / 1_000_000
    expected = (model.input_tokens * Decimal("0.15") + 3500 * Decimal("0.60")) / 1_000_000
    assert (model.low_usd, model.expected_usd) == (low, expected)
    assert model.upper_usd > Decimal("0.006")


def test_after_enough_calls_what_they_took_is_expected() -> None:
    calls = tally((100, CHAT, TEXT))
    [totals] = calls.groups.values()
    ratio = 60 / (totals.tokens / 100)
    seen = {(7, CHAT, "plain"): Calibration(ratio=ratio, samples=10, output_tokens_mean=40.0)}

    [model] = estimated(calls, calibrations=seen, deployments={"gpt-4o-mini": deployment("gpt-4o-mini")}).models

    assert model.is_calibrated
    assert model.input_tokens == pytest.approx(2000, abs=1)
    assert model.output_tokens == pytest.approx(4000, abs=1)
    assert float(model.expected_usd) == pytest.approx((2000 * 0.15 + 4000 * 0.60) / 1e6, rel=0.01)
    assert model.low_usd < model.expected_usd < model.upper_usd


def test_a_few_calls_say_little() -> None:
    seen = {(7, CHAT, "plain"): Calibration(ratio=0.1, samples=9, output_tokens_mean=1.0)}
    known = {"gpt-4o-mini": deployment("gpt-4o-mini")}
    [model] = estimated(tally((10, CHAT, TEXT)), calibrations=seen, deployments=known).models
    assert not model.is_calibrated


def test_pictures_sold_by_the_piece_cost_what_they_cost() -> None:
    body = {"model": "dall-e-2", "prompt": "a cat", "size": "256x256", "n": 2}
    [model] = estimated(tally((5, IMAGES, body)), SANDBOX).models
    assert (model.images, model.low_usd, model.expected_usd, model.upper_usd) == (10, *[Decimal("0.16")] * 3)


def test_pictures_sold_by_token_have_a_range() -> None:
    body = {"model": "gpt-image-2", "prompt": "a cat", "size": "1024x1024"}
    [model] = estimated(tally((1, IMAGES, body))).models
    assert Decimal(0) < model.low_usd < model.expected_usd / 10
    assert model.expected_usd <= model.upper_usd
    assert (model.by, model.seconds) == ("ipm", 12.0)


@pytest.mark.parametrize(
    ("limits", "by", "seconds"),
    [
        ({"rpm": 600}, "rpm", 100.0),
        ({"rpm": 600, "tpm": 10_000}, "tpm", None),
        ({"rpm": 6000, "rpd": 500}, "rpd", 86_400.0),
        ({"rpm": 600, "rpd": 1000}, "rpm", 100.0),
    ],
)
def test_the_narrowest_limit_takes_the_time(limits: dict[str, float], by: str, seconds: float | None) -> None:
    known = {"gpt-4o-mini": deployment("gpt-4o-mini", **limits)}
    [model] = estimated(tally((1000, CHAT, TEXT)), deployments=known).models
    assert model.by == by
    if seconds is not None:
        assert model.seconds == seconds


def test_limits_that_somebody_means_to_set_come_first() -> None:
    known = {"gpt-4o-mini": deployment("gpt-4o-mini", rpm=600)}
    asked = {"gpt-4o-mini": PoolLimits(rpm=60)}
    [model] = estimated(tally((10, CHAT, TEXT)), deployments=known, limits=asked).models
    assert (model.by, model.seconds) == ("rpm", 10.0)


def test_models_of_one_pool_share_its_time_and_pools_work_side_by_side() -> None:
    dated = TEXT | {"model": "gpt-4o-mini-2024-07-18"}
    luna = TEXT | {"model": "gpt-6-luna"}
    found = estimated(tally((500, CHAT, TEXT), (500, CHAT, dated), (100, CHAT, luna)))
    by_model = {one.model: one for one in found.models}
    assert by_model["gpt-4o-mini"].seconds == by_model["gpt-4o-mini-2024-07-18"].seconds == found.seconds
    assert found.requests == 1100
    assert found.upper_usd == sum(one.upper_usd for one in found.models)


def test_another_provider_has_no_limits_until_it_tells() -> None:
    found = estimated(tally((10, CHAT, TEXT)), "https://texts.example/v1")
    assert (found.models[0].seconds, found.models[0].by, found.seconds) == (None, None, None)


def test_each_tier_is_priced_by_its_own_row() -> None:
    plain, fast = (estimated(tally((10, CHAT, TEXT | tier))).models[0] for tier in ({}, {"service_tier": "priority"}))
    assert fast.expected_usd > plain.expected_usd


def test_of_a_route_what_calls_of_all_its_deployments_took_is_expected() -> None:
    calls = tally((100, CHAT, TEXT))
    a, b = deployment("a"), replace(deployment("b"), id=8)
    seen = {
        (7, CHAT, "plain"): Calibration(ratio=0.02, samples=6, output_tokens_mean=10.0),
        (8, CHAT, "plain"): Calibration(ratio=0.05, samples=6, output_tokens_mean=40.0),
    }
    share = {"gpt-4o-mini": [(a, 2 / 3), (b, 1 / 3)]}

    [model] = estimated(calls, calibrations=seen, routes=share).models

    assert model.is_calibrated
    assert model.output_tokens == 2000
    [unseen] = estimated(calls, calibrations=seen, routes={"gpt-4o-mini": [(a, 1.0)]}).models
    assert not unseen.is_calibrated, "what others took says nothing of where the jobs go"


def test_a_route_takes_as_long_as_the_slowest_of_its_pools() -> None:
    fast, slow = deployment("a", rpm=600), deployment("b", rpm=60)

    [even] = estimated(tally((100, CHAT, TEXT)), routes={"gpt-4o-mini": [(fast, 0.5), (slow, 0.5)]}).models
    [fair] = estimated(tally((110, CHAT, TEXT)), routes={"gpt-4o-mini": [(fast, 10 / 11), (slow, 1 / 11)]}).models

    assert (even.pool, even.by) == ("test/b", "rpm")
    assert even.seconds == pytest.approx(50)
    assert fair.seconds == pytest.approx(10), "as both pools together"
