from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from pressroom.money.cost import UnpricedUsage
from pressroom.money.price_book import catalog_price_book
from pressroom.money.prices import PriceRow
from pressroom.operations.base import MalformedReply
from pressroom.operations.chat import Chat

CHAT = Chat()
DAY = date(2026, 11, 22)
PRICE = catalog_price_book().price_for("gpt-4o-mini", None, DAY)
HELLO = {"role": "user", "content": "hello"}


def _body(**fields: Any) -> dict[str, Any]:
    return {"model": "gpt-4o-mini", "messages": [HELLO], **fields}


def _answer(**fields: Any) -> dict[str, Any]:
    choice = {"index": 0, "message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"}
    usage = {"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11}
    return {"id": "chatcmpl-1", "object": "chat.completion", "choices": [choice], "usage": usage, **fields}


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"temperature": 0, "top_p": 1, "n": 3, "stop": ["a", "b"], "seed": -1, "logprobs": True, "top_logprobs": 20},
        {"temperature": None, "max_tokens": None, "stream": None, "tools": None},
        {"stream": False, "max_tokens": 16_384, "some_new_field": {"a": 1}},
        {"response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": {}}}},
        {"tools": [{"type": "function", "function": {"name": "f", "parameters": {}}}], "tool_choice": "auto"},
        {"model": "a-model-of-some-other-endpoint", "max_tokens": 10**6},
        {"model": "gpt-6-luna", "max_completion_tokens": 128_000, "reasoning_effort": "none"},
    ],
)
def test_what_the_provider_takes_has_no_problems(fields: dict[str, Any]) -> None:
    assert CHAT.problems(_body(**fields)) == []


@pytest.mark.parametrize(
    ("fields", "field", "words"),
    [
        ({"model": None}, "model", "is required"),
        ({"model": 4}, "model", "a string"),
        ({"model": ["m"]}, "model", "a string"),
        ({"model": ""}, "model", "is required"),
        ({"model": "dall-e-2"}, "model", "is not served at /v1/chat/completions"),
        ({"messages": None}, "messages", "is required"),
        ({"messages": []}, "messages", "at least one message"),
        ({"temperature": 2.1}, "temperature", "a number from 0 to 2"),
        ({"temperature": "1"}, "temperature", "a number from 0 to 2"),
        ({"temperature": True}, "temperature", "a number from 0 to 2"),
        ({"temperature": float("nan")}, "temperature", "a number from 0 to 2"),
        ({"n": 0}, "n", "from 1 to 128"),
        ({"n": 1.0}, "n", "a whole number"),
        ({"max_tokens": 0}, "max_tokens", "at least 1"),
        ({"max_tokens": 16_385}, "max_tokens", "more than gpt-4o-mini can answer"),
        ({"max_completion_tokens": 16_385}, "max_completion_tokens", "more than gpt-4o-mini can answer"),
        ({"max_tokens": 5, "max_completion_tokens": 5}, "max_tokens", "beside max_completion_tokens"),
        ({"model": "gpt-6-luna", "max_tokens": 5}, "max_tokens", "not accepted by gpt-6-luna"),
        ({"stream": True}, "stream", "must not be true"),
        ({"top_logprobs": 3}, "top_logprobs", "needs logprobs"),
        ({"stop": ["a"] * 5}, "stop", "up to 4 strings"),
        ({"service_tier": "gold"}, "service_tier", "not one of the allowed values"),
        ({"response_format": "json"}, "response_format", "an object with a type"),
        ({"response_format": {"type": "xml"}}, "response_format.type", "not one of the allowed values"),
        ({"response_format": {"type": "json_schema"}}, "response_format.json_schema", "an object with a name"),
        ({"tools": [{"type": "function"}]}, "tools[0].function", "an object with a name"),
        ({"metadata": {"k": 1}}, "metadata.k", "at most 16 strings"),
        ({"user": 7}, "user", "a string"),
    ],
)
def test_a_problem_names_its_field(fields: dict[str, Any], field: str, words: str) -> None:
    problems = CHAT.problems(_body(**fields))

    assert [problem.field for problem in problems] == [field]
    assert words in problems[0].reason
    assert problems[0].remedy


def test_all_problems_are_told_at_once() -> None:
    fields = [problem.field for problem in CHAT.problems({"temperature": 3, "n": 0, "stream": True})]

    assert fields == ["model", "messages", "temperature", "n", "stream"]


def test_a_value_is_shown_and_cut() -> None:
    problem = CHAT.problems(_body(user=["x" * 500]))[0]

    assert problem.value is not None
    assert problem.value.startswith('["xxx')
    assert len(problem.value) == 80


def test_the_estimate_follows_its_rule() -> None:
    estimate = CHAT.estimate(_body(messages=[{"role": "user", "content": "a" * 400}], max_tokens=50), PRICE)

    assert estimate.tokens == 100 + 4 + 3 + 50
    assert estimate.images == 0
    assert estimate.expected_usd == Decimal(107 * 15 + 50 * 60) / 10**8
    assert estimate.cost_usd == Decimal((400 + 8 + 16) * 15 + 50 * 60) / 10**8


def test_without_a_limit_the_model_may_answer_to_its_maximum_but_is_expected_to_stop() -> None:
    estimate = CHAT.estimate(_body(), PRICE)

    assert estimate.tokens == 2 + 4 + 3 + 350
    assert estimate.cost_usd == Decimal((5 + 8 + 16) * 15 + 16_384 * 60) / 10**8
    assert estimate.expected_usd == Decimal(9 * 15 + 350 * 60) / 10**8


def test_n_multiplies_the_output() -> None:
    assert CHAT.estimate(_body(n=3, max_tokens=100), PRICE).tokens == 9 + 300


def test_an_estimate_is_never_cut_off_below_what_would_be_billed() -> None:
    estimate = CHAT.estimate(_body(messages=[{"role": "user", "content": "a" * 1_000_000}], max_tokens=1), PRICE)

    assert estimate.tokens == 250_000 + 4 + 3 + 1
    assert estimate.expected_usd == Decimal(250_007 * 15 + 60) / 10**8
    assert estimate.cost_usd == Decimal((1_000_000 + 8 + 16) * 15 + 60) / 10**8


@pytest.mark.parametrize("as_parts", [False, True])
def test_texts_that_cannot_fit_into_the_context_are_refused_and_what_might_is_not(as_parts: bool) -> None:
    def problems(characters: int, model: str = "gpt-4o-mini") -> list[str]:
        text = "a" * (characters // 2)
        content = [{"type": "text", "text": text}] if as_parts else text
        return list(map(str, CHAT.problems(_body(model=model, messages=[{"role": "user", "content": content}] * 2))))

    assert problems(128_001 * 128) == [
        "messages: cannot fit into the 128,000 tokens of gpt-4o-mini (got 128,001 tokens at least). "
        "Shorten the texts, or split the request; tokens are 128 bytes long at most and 4 mostly"
    ]
    assert problems(128_000 * 128) == []
    assert problems(128_001 * 128, "gpt-6-luna") == []
    assert problems(128_001 * 128, "a-model-that-nobody-knows") == []


def test_pictures_count_by_their_detail_and_not_by_their_base64() -> None:
    def with_picture(**image: str) -> dict[str, Any]:
        part = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 100_000, **image}}
        return _body(messages=[{"role": "user", "content": [{"type": "text", "text": "What?"}, part]}], max_tokens=1)

    low, high = CHAT.estimate(with_picture(detail="low"), PRICE), CHAT.estimate(with_picture(), PRICE)

    assert low.tokens == 2 + 4 + 3 + 2_833 + 1
    assert high.tokens == 2 + 4 + 3 + 25_501 + 1
    assert high.cost_usd == Decimal((5 + 8 + 16 + 48_169) * 15 + 60) / 10**8


def test_tools_and_schemas_are_input_too() -> None:
    tool = {"type": "function", "function": {"name": "f", "description": "d" * 4_000}}

    assert CHAT.estimate(_body(tools=[tool]), PRICE).tokens > CHAT.estimate(_body(), PRICE).tokens + 1_000


def test_a_long_context_is_estimated_at_its_multiple() -> None:
    price = catalog_price_book().price_for("gpt-6-luna", None, DAY)
    body = _body(model="gpt-6-luna", messages=[{"role": "user", "content": "a" * 300_000}], max_completion_tokens=10)

    estimate = CHAT.estimate(body, price)

    assert (
        estimate.cost_usd
        == (Decimal(300_024) * Decimal("0.125") * 2 + Decimal(10) * Decimal("0.5") * Decimal("1.5")) / 10**6
    )
    assert estimate.expected_usd == (Decimal(75_007) * Decimal("0.10") + Decimal(10) * Decimal("0.5")) / 10**6


def test_a_price_without_output_cannot_estimate() -> None:
    with pytest.raises(UnpricedUsage, match="output_usd"):
        CHAT.estimate(_body(), PriceRow(1, "m", "default", DAY, input_usd=Decimal(1)))


def test_the_reply_gives_the_usage_to_bill() -> None:
    usage = {
        "prompt_tokens": 100,
        "completion_tokens": 7,
        "prompt_tokens_details": {"cached_tokens": 64, "cache_write_tokens": 16},
    }

    reply = CHAT.read(_body(), _answer(usage=usage, service_tier="fast"))

    assert reply.images == ()
    assert (reply.usage.input_tokens, reply.usage.output_tokens) == (100, 7)
    assert (reply.usage.cached_input_tokens, reply.usage.cache_write_tokens) == (64, 16)
    assert reply.usage.service_tier == "priority"
    assert reply.body["id"] == "chatcmpl-1"


@pytest.mark.parametrize(
    "answer",
    [
        None,
        [],
        "text",
        {},
        _answer(choices=[]),
        _answer(choices=[{"index": 0}]),
        _answer(choices=["hi"]),
        _answer(usage=None),
        _answer(usage={"prompt_tokens": 1}),
        _answer(usage={"prompt_tokens": -1, "completion_tokens": 1}),
        _answer(usage={"prompt_tokens": 1.5, "completion_tokens": 1}),
        _answer(usage={"prompt_tokens": 1, "completion_tokens": 1, "prompt_tokens_details": {"cached_tokens": 2}}),
        _answer(service_tier=7),
    ],
)
def test_what_is_not_an_answer_is_malformed(answer: Any) -> None:
    with pytest.raises(MalformedReply):
        CHAT.read(_body(), answer)
