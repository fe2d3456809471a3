"""Whatever stands in a batch file: checking it never fails, and what passes can be estimated, likely below at most."""

from contextlib import suppress
from datetime import date
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from pressroom.catalog.load import catalog
from pressroom.money.price_book import catalog_price_book
from pressroom.operations import chat, image_generate
from pressroom.operations.base import MalformedReply
from pressroom.operations.chat import Chat
from pressroom.operations.image_generate import ImageGenerate

DAY = date(2026, 11, 22)
BOOK = catalog_price_book()
CHAT, IMAGES = Chat(), ImageGenerate()

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=6,
)
fields = st.sampled_from(
    [*chat._FIELDS, *image_generate._FIELDS, "model", "messages", "prompt", "n", "size", "quality", "other"]
)
models = st.sampled_from(sorted(catalog().models)) | st.just("a model of some other endpoint")
parts = st.fixed_dictionaries(
    {"type": st.sampled_from(["text", "image_url", "file", "other"])},
    optional={"text": anything, "image_url": anything | st.just({"url": "https://example.org/1.png", "detail": "low"})},
)
messages = st.fixed_dictionaries(
    {"role": st.sampled_from(["system", "user", "assistant", "tool"])},
    optional={"content": st.text() | st.lists(parts, max_size=3) | anything, "name": st.text(), "tool_calls": anything},
)
bodies = st.builds(
    lambda some, model, said: {**some, "model": model, "messages": said},
    st.dictionaries(fields, anything, max_size=3),
    models | anything,
    st.lists(messages, max_size=3) | anything,
)
good_chats = st.fixed_dictionaries(
    {
        "model": st.sampled_from(["gpt-4o-mini", "gpt-6-luna", "gpt-5.4-nano"]),
        "messages": st.lists(
            st.fixed_dictionaries({"role": st.just("user"), "content": st.text(st.characters(codec="utf-8"))}),
            min_size=1,
        ),
    },
    optional={"max_completion_tokens": st.integers(1, 16_384), "n": st.integers(1, 128)},
)
good_images = st.fixed_dictionaries(
    {"model": st.just("dall-e-2"), "prompt": st.text(min_size=1, max_size=1_000)},
    optional={
        "n": st.integers(1, 10),
        "size": st.sampled_from(["256x256", "512x512", "1024x1024"]),
        "response_format": st.sampled_from(["url", "b64_json"]),
    },
)


@given(bodies)
def test_checking_never_fails_whatever_the_body(body: dict[str, Any]) -> None:
    for operation in (CHAT, IMAGES):
        for problem in operation.problems(body):
            assert problem.field
            assert problem.reason
            assert problem.remedy
            assert len(str(problem)) < 1_000


@given(bodies)
def test_what_has_no_problems_can_be_estimated_and_sent(body: dict[str, Any]) -> None:
    price = BOOK.price_for("gpt-4o-mini", None, DAY)
    if not CHAT.problems(body):
        assert CHAT.estimate(body, price).cost_usd > 0
        assert CHAT.outgoing(body) == body


@given(good_chats)
def test_a_good_chat_can_be_estimated(body: dict[str, Any]) -> None:
    assert CHAT.problems(body) == []

    estimate = CHAT.estimate(body, BOOK.price_for(body["model"], None, DAY))

    assert 0 < estimate.expected_usd <= estimate.cost_usd
    assert estimate.tokens > 0


@given(good_images)
def test_a_good_picture_can_be_estimated_sent_and_is_billed_as_estimated(body: dict[str, Any]) -> None:
    assert IMAGES.problems(body) == []

    estimate = IMAGES.estimate(body, BOOK.price_for("dall-e-2", None, DAY))
    reply = IMAGES.read(body, {"created": 1, "data": [{"b64_json": "QUJD"}] * estimate.images})

    assert IMAGES.problems(IMAGES.outgoing(body)) == []
    assert BOOK.bill("dall-e-2", reply.usage, DAY).cost_usd == estimate.cost_usd == estimate.expected_usd


@given(anything | st.fixed_dictionaries({"choices": anything, "usage": anything, "data": anything}))
def test_a_response_is_an_answer_or_malformed(response: Any) -> None:
    for operation, body in ((CHAT, {"model": "gpt-4o-mini"}), (IMAGES, {"model": "dall-e-2", "prompt": "x"})):
        with suppress(MalformedReply):
            assert operation.read(body, response).usage is not None
