from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from pressroom.money.cost import UnpricedUsage
from pressroom.money.price_book import catalog_price_book
from pressroom.money.prices import PriceRow
from pressroom.operations.base import MalformedReply
from pressroom.operations.image_generate import ImageGenerate, asked_format

IMAGES = ImageGenerate()
DAY = date(2026, 11, 22)
BOOK = catalog_price_book()
DALLE = BOOK.price_for("dall-e-2", None, DAY)


def _body(**fields: Any) -> dict[str, Any]:
    return {"model": "dall-e-2", "prompt": "a cat on a mat", **fields}


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"n": 10, "size": "256x256", "response_format": "url", "quality": "standard", "user": "u"},
        {"size": "512x512", "response_format": "b64_json", "n": None},
        {"size": "1024x1024", "prompt": "é" * 1_000, "some_new_field": 1},
        {
            "model": "gpt-image-2",
            "size": "1536x864",
            "quality": "high",
            "output_format": "webp",
            "prompt": "x" * 32_000,
        },
        {"model": "gpt-image-2", "size": "3840x2160"},
        {"model": "gpt-image-2", "size": "auto", "background": "transparent", "moderation": "low"},
        {"model": "a-model-of-some-other-endpoint", "size": "768x768", "quality": "ultra", "response_format": "url"},
    ],
)
def test_what_the_model_takes_has_no_problems(fields: dict[str, Any]) -> None:
    assert IMAGES.problems(_body(**fields)) == []


@pytest.mark.parametrize(
    ("fields", "field", "words"),
    [
        ({"model": None}, "model", "is required"),
        ({"model": "gpt-4o-mini"}, "model", "is not served at /v1/images/generations"),
        ({"prompt": None}, "prompt", "is required"),
        ({"prompt": ""}, "prompt", "is required"),
        ({"prompt": ["x"]}, "prompt", "a string"),
        ({"prompt": "é" * 1_001}, "prompt", "longer than the 1000 characters"),
        ({"n": 0}, "n", "from 1 to 10"),
        ({"n": 11}, "n", "from 1 to 10"),
        ({"n": "1"}, "n", "a whole number"),
        ({"n": True}, "n", "a whole number"),
        ({"size": "300x300"}, "size", "not one of the allowed values"),
        ({"size": "1792x1024"}, "size", "not one of the allowed values"),
        ({"size": 256}, "size", "not one of the allowed values"),
        ({"size": "auto"}, "size", "not one of the allowed values"),
        ({"quality": "hd"}, "quality", "not one of the allowed values"),
        ({"response_format": "png"}, "response_format", "not one of the allowed values"),
        ({"style": "vivid"}, "style", "not a parameter of dall-e-2"),
        ({"output_format": "png"}, "output_format", "not a parameter of dall-e-2"),
        ({"stream": True}, "stream", "must not be true"),
        ({"user": 1}, "user", "a string"),
        ({"model": "gpt-image-2", "response_format": "b64_json"}, "response_format", "not a parameter of gpt-image-2"),
        ({"model": "gpt-image-2", "size": "1000x1000"}, "size", "not one of the allowed values"),
        ({"model": "gpt-image-2", "size": "3840x1024"}, "size", "not one of the allowed values"),
        ({"model": "gpt-image-2", "quality": "standard"}, "quality", "not one of the allowed values"),
        ({"model": "gpt-image-2", "output_compression": 101}, "output_compression", "from 0 to 100"),
        ({"model": "elsewhere", "size": "big"}, "size", "is not a size"),
    ],
)
def test_a_problem_names_its_field(fields: dict[str, Any], field: str, words: str) -> None:
    problems = IMAGES.problems(_body(**fields))

    assert [problem.field for problem in problems] == [field]
    assert words in problems[0].reason
    assert problems[0].remedy


@pytest.mark.parametrize(
    ("fields", "images", "usd"),
    [({}, 1, "0.020"), ({"size": "256x256", "n": 10}, 10, "0.160"), ({"size": "512x512", "n": 3}, 3, "0.054")],
)
def test_dalle_costs_its_price_per_picture(fields: dict[str, Any], images: int, usd: str) -> None:
    estimate = IMAGES.estimate(_body(**fields), DALLE)

    assert (estimate.tokens, estimate.images) == (0, images)
    assert estimate.cost_usd == estimate.expected_usd == Decimal(usd)


def test_a_model_billed_by_token_is_estimated_by_area() -> None:
    price = BOOK.price_for("gpt-image-2", None, DAY)
    body = _body(model="gpt-image-2", size="1024x1024", n=2)

    estimate = IMAGES.estimate(body, price)

    assert (estimate.images, estimate.tokens) == (2, (14 + 16) // 4 + 2 * 6_240)
    assert estimate.cost_usd == (Decimal(30) * 5 + Decimal(2 * 6_240) * 30) / 10**6


def test_a_price_for_neither_pictures_nor_tokens_cannot_estimate() -> None:
    with pytest.raises(UnpricedUsage, match="per_image"):
        IMAGES.estimate(_body(), PriceRow(1, "dall-e-2", "default", DAY, input_usd=Decimal(1)))


def test_pictures_are_always_fetched_as_base64() -> None:
    assert IMAGES.outgoing(_body(response_format="url"))["response_format"] == "b64_json"
    assert IMAGES.outgoing(_body())["response_format"] == "b64_json"
    assert "response_format" not in IMAGES.outgoing(_body(model="gpt-image-2"))


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, "url"),
        ({"response_format": "b64_json"}, "b64_json"),
        ({"response_format": "url"}, "url"),
        ({"model": "gpt-image-2"}, "b64_json"),
        ({"model": "elsewhere"}, "url"),
    ],
)
def test_the_owner_gets_the_format_asked_for(fields: dict[str, Any], expected: str) -> None:
    assert asked_format(_body(**fields)) == expected


def test_a_reply_is_taken_apart_and_keeps_the_places_of_its_pictures() -> None:
    data = [{"b64_json": "QUJD", "revised_prompt": "a tidy cat"}, {"url": "https://example.org/2.png"}]

    reply = IMAGES.read(_body(n=2, size="256x256", quality="standard"), {"created": 1, "data": data})

    assert [(image.position, image.b64, image.url, image.size) for image in reply.images] == [
        (0, "QUJD", None, (256, 256)),
        (1, None, "https://example.org/2.png", (256, 256)),
    ]
    assert reply.body == {"created": 1, "data": [{"revised_prompt": "a tidy cat"}, {}]}
    assert BOOK.bill("dall-e-2", reply.usage, DAY).cost_usd == Decimal("0.032")


def test_reading_leaves_the_response_as_it_was() -> None:
    response = {"created": 1, "data": [{"b64_json": "QUJD"}]}

    IMAGES.read(_body(), response)

    assert response == {"created": 1, "data": [{"b64_json": "QUJD"}]}


def test_a_reply_with_usage_is_billed_by_token() -> None:
    usage = {
        "input_tokens": 50,
        "input_tokens_details": {"text_tokens": 40, "image_tokens": 10},
        "output_tokens": 4_160,
        "total_tokens": 4_210,
    }
    response = {"created": 1, "size": "1536x1024", "data": [{"b64_json": "QUJD"}], "usage": usage}

    reply = IMAGES.read(_body(model="gpt-image-2", size="auto"), response)

    assert reply.images[0].size == (1536, 1024)
    cost = BOOK.bill("gpt-image-2", reply.usage, DAY).cost_usd
    assert cost == (Decimal(40) * 5 + Decimal(10) * 8 + Decimal(4_160) * 30) / 10**6


@pytest.mark.parametrize(
    "response",
    [
        None,
        [],
        {},
        {"data": []},
        {"data": [{}]},
        {"data": ["QUJD"]},
        {"data": [{"b64_json": ""}]},
        {"data": [{"b64_json": 5}]},
        {"data": [{"url": "file:///etc/passwd"}]},
        {"data": [{"b64_json": "QUJD"}] * 2},
        {"data": [{"b64_json": "QUJD"}], "service_tier": 5},
    ],
)
def test_what_is_not_an_answer_is_malformed(response: Any) -> None:
    with pytest.raises(MalformedReply):
        IMAGES.read(_body(), response)


def test_an_answer_whose_size_nobody_says_is_malformed() -> None:
    with pytest.raises(MalformedReply, match="how large"):
        IMAGES.read(_body(model="gpt-image-2"), {"data": [{"b64_json": "QUJD"}]})
