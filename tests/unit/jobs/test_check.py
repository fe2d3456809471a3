"""What a request is told before it may become a job."""

from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from pressroom.catalog.load import catalog
from pressroom.jobs.check import NewJobDraft, RequestChecker
from pressroom.money.price_book import PriceBook, catalog_price_book
from pressroom.money.prices import PriceRow
from pressroom.operations.chat import _FIELDS as chat_fields
from pressroom.operations.image_generate import _FIELDS as image_fields
from pressroom.settings import OPENAI_BASE_URL, SANDBOX

CHAT = "/v1/chat/completions"
IMAGES = "/v1/images/generations"
TODAY = date(2026, 11, 22)


def checker(base_url: str = SANDBOX, on: date = TODAY) -> RequestChecker:
    """With the catalog's own prices."""
    return RequestChecker(catalog_price_book(), catalog(), base_url, on)


def chat(**changes: Any) -> dict[str, Any]:
    """A body that is good."""
    return {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 10} | changes


def complaints(url: str, body: dict[str, Any], base_url: str = SANDBOX, on: date = TODAY) -> list[str]:
    """What is said of a request."""
    found = checker(base_url, on).check(url, body)
    return [str(problem) for problem in found] if isinstance(found, list) else []


def test_a_good_request_is_priced() -> None:
    found = checker().check(CHAT, chat())
    assert isinstance(found, NewJobDraft)
    assert (found.url, found.model) == (CHAT, "gpt-4o-mini")
    assert found.estimate.tokens > 10
    assert Decimal(0) < found.estimate.expected_usd <= found.estimate.cost_usd


def test_pictures_are_priced_by_size_and_number() -> None:
    found = checker().check(IMAGES, {"model": "dall-e-2", "prompt": "a cat", "size": "256x256", "n": 3})
    assert isinstance(found, NewJobDraft)
    assert found.estimate.images == 3
    assert found.estimate.cost_usd == Decimal("0.048")


def test_unsupported_urls_name_the_supported_ones() -> None:
    assert complaints("/v1/embeddings", {}) == [
        f'url: is not supported (got "/v1/embeddings"). Give one of: {CHAT}, {IMAGES}'
    ]


def test_an_unknown_model_gets_a_suggestion_and_all_there_are() -> None:
    (said,) = complaints(CHAT, chat(model="gpt-4o-mni"))
    assert said == (
        'model: is not a known model (got "gpt-4o-mni"). Did you mean gpt-4o-mini? There are: gpt-4o-mini, gpt-6-luna, '
        "gpt-5.6-luna, gpt-5.4-mini, gpt-5.4-nano. Or add its price: pressroom prices set gpt-4o-mni --input USD "
        "--output USD"
    )
    (said,) = complaints(IMAGES, {"model": "xyz", "prompt": "a cat"}, OPENAI_BASE_URL)
    assert "There are: gpt-image-1" in said
    assert "dall-e" not in said  # shut down there


def test_models_that_an_operator_priced_are_among_those_there_are() -> None:
    price = PriceRow(1, "own-model", "default", date(2026, 1, 1), input_usd=Decimal(1), output_usd=Decimal(1))
    found = RequestChecker(PriceBook([price]), catalog(), SANDBOX, TODAY).check(CHAT, chat(model="own-modl"))
    assert isinstance(found, list)
    assert "Did you mean own-model? There are: own-model, gpt-4o-mini" in found[0].remedy


def test_a_model_without_a_price_is_refused() -> None:
    (said,) = complaints(IMAGES, {"model": "dall-e-3", "prompt": "a cat"})
    assert said.startswith('model: has no known price on 2026-11-22 (got "dall-e-3"). Ask for one of: dall-e-2, gpt-im')
    assert said.endswith("Or add its price: pressroom prices set dall-e-3 --image 1024x1024=USD")


def test_everything_wrong_shows_at_once() -> None:
    said = complaints(CHAT, chat(model="unheard-of", temperature=3))
    assert [text.split(":")[0] for text in said] == ["temperature", "model"]


@pytest.mark.parametrize("on", [date(2026, 5, 12), TODAY])
def test_a_model_that_is_gone_is_refused_where_it_is_gone(on: date) -> None:
    body = {"model": "dall-e-2", "prompt": "a cat", "size": "256x256"}
    (said,) = complaints(IMAGES, body, OPENAI_BASE_URL, on)
    assert said.startswith("model: api.openai.com shut dall-e-2 down on 2026-05-12 (got dall-e-2). ")
    assert "or set OPENAI_BASE_URL to an endpoint that still serves dall-e-2" in said
    assert complaints(IMAGES, body, "https://images.example/v1", on) == []
    assert complaints(IMAGES, body, SANDBOX, on) == []


def test_a_tier_without_a_price_is_refused_with_those_that_have_one() -> None:
    assert complaints(CHAT, chat(service_tier="scale")) == [
        'service_tier: has no known price for gpt-4o-mini (got "scale"). Leave it out, or give one of: default, '
        "priority. Or add its price: pressroom prices set gpt-4o-mini --tier scale --input USD --output USD"
    ]


def test_a_size_without_a_price_is_refused() -> None:
    (said,) = complaints(IMAGES, {"model": "dall-e-2", "prompt": "a cat", "size": "100x100"})
    assert said.startswith('size: is not one of the allowed values (got "100x100")')


@pytest.mark.parametrize("value", ["x" * 300, "", 7, None, ["gpt-4o-mini"]])
def test_models_that_are_no_names(value: Any) -> None:
    (said,) = complaints(CHAT, chat(model=value))
    assert said.startswith("model: ")
    assert len(said) < 400


def test_what_is_found_once_holds_for_the_next() -> None:
    same = checker()
    first, second = same.check(CHAT, chat()), same.check(CHAT, chat())
    assert first == second


HUGE: tuple[Any, ...] = (
    "x" * 100_000,
    ["y" * 100_000],
    {"z" * 100_000: 1},
    10**3000,
    [[0] * 10_000],
    {"type": "t" * 9999},
)


@pytest.mark.parametrize("value", HUGE, ids=["text", "list", "object", "number", "lists", "type"])
@pytest.mark.parametrize("model", ["gpt-4o-mini", "dall-e-2", "gpt-image-1", "unheard-of"])
def test_no_message_echoes_a_huge_value_whole(model: str, value: Any) -> None:
    names = [*chat_fields, *image_fields, "messages", "prompt", "n", "size", "quality", "model"]
    said = [text for name in names for url in (CHAT, IMAGES) for text in complaints(url, {"model": model, name: value})]
    said += complaints(CHAT, chat(messages=[value, {"role": "user", "content": [value]}, {"role": value}]))
    said += complaints(CHAT, chat(metadata={"k" * 100_000: value})) + complaints("/v1/" + "x" * 100_000, {})
    said += complaints(CHAT, chat(messages=[{"role": "user", "content": [{"type": "image_url", "image_url": value}]}]))
    assert len(said) > 50
    assert max(map(len, said)) < 400


def test_a_quality_without_a_price_is_not_echoed_whole() -> None:
    price = PriceRow(1, "own", "default", date(2026, 1, 1), per_image={"256x256": Decimal(1)})
    body = {"model": "own", "prompt": "a cat", "size": "512x512", "quality": "q" * 100_000}
    found = RequestChecker(PriceBook([price]), catalog(), SANDBOX, TODAY).check(IMAGES, body)
    assert isinstance(found, list)
    assert len(str(found[0])) < 400


def test_a_kind_without_a_price_is_refused_with_what_to_type() -> None:
    price = PriceRow(1, "own", "default", date(2026, 1, 1), per_image={"256x256": Decimal(1)})
    body = {"model": "own", "prompt": "a cat", "size": "512x512"}
    found = RequestChecker(PriceBook([price]), catalog(), SANDBOX, TODAY).check(IMAGES, body)
    assert isinstance(found, list)
    assert "add it with `pressroom prices set own --image 512x512=USD`" in str(found[0])
