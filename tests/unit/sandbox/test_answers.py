"""Answers and pictures: a function of the request, marked, and counted consistently."""

import io
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from sandbox.chat import ChatCall, completion, plan_chat
from sandbox.config import ChatText, ModelSpec
from sandbox.drawing import SIZES, draw_png
from sandbox.errors import ApiError
from sandbox.images import Files, ImageCall, plan_images
from sandbox.structured import instance_of
from sandbox.tokens import text_tokens

PLAIN = ModelSpec(endpoint="chat")
REASONING = ModelSpec(endpoint="chat", reasoning=True)


def chat_body(text: str = "Say something about ink.", **more: Any) -> dict[str, Any]:
    return {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": text}], **more}


def plan(text: str = "Say something about ink.", *, spec: ModelSpec = PLAIN, **more: Any) -> ChatCall:
    return plan_chat(chat_body(text, **more), spec, ChatText())


@settings(max_examples=50)
@given(st.text(max_size=400), st.integers(1, 700), st.integers(1, 4))
def test_answers_are_the_requests_own(text: str, most: int, n: int) -> None:
    first, again = (plan(text, max_tokens=most, n=n) for _ in range(2))

    assert first.choices == again.choices
    assert len(first.choices) == n
    for choice in first.choices:
        assert choice.text.startswith("[sandbox]")
        assert 1 <= choice.tokens <= most
        assert choice.finish_reason in ("stop", "length")


def test_short_bounds_end_in_length() -> None:
    reasons = {plan(f"question {i}", max_tokens=3).choices[0].finish_reason for i in range(20)}
    assert reasons == {"length"}


def test_lengths_vary_around_the_median() -> None:
    lengths = sorted(plan(f"question {i}").choices[0].tokens for i in range(400))

    assert 50 < lengths[200] < 72
    assert lengths[20] < 35
    assert lengths[380] > 110


def test_different_questions_get_different_answers() -> None:
    assert len({plan(f"question {i}").choices[0].text for i in range(200)}) == 200


def test_a_seed_changes_the_answer() -> None:
    assert plan(seed=1).choices != plan(seed=2).choices


def test_usage_adds_up() -> None:
    call = plan(n=3)
    body = json.loads(completion(call, PLAIN, ChatText(cached_share=0.5), request_id="req_1", filtered=False))
    usage = body["usage"]

    assert usage["completion_tokens"] == sum(choice.tokens for choice in call.choices)
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"] == call.total_tokens
    assert usage["prompt_tokens_details"]["cached_tokens"] == usage["prompt_tokens"] // 2
    assert body["system_fingerprint"] == "fp_sandbox"


def test_the_true_count_is_near_but_not_at_the_usual_estimate() -> None:
    texts = [f"A sentence of some length about sheet number {i} of the run." * 3 for i in range(200)]
    ratios = [text_tokens(text) / (len(text) / 4) for text in texts]

    assert 0.84 < min(ratios) < 0.9
    assert 1.2 < max(ratios) < 1.26


def test_reasoning_is_billed_as_output() -> None:
    call = plan(spec=REASONING)
    body = json.loads(completion(call, REASONING, ChatText(), request_id="req_1", filtered=False))

    reasoning = body["usage"]["completion_tokens_details"]["reasoning_tokens"]
    assert reasoning > 0
    assert body["usage"]["completion_tokens"] == call.choices[0].tokens + reasoning
    assert plan(spec=REASONING, reasoning_effort="none").choices[0].reasoning_tokens == 0


def test_a_stop_sequence_cuts_the_answer_before_it() -> None:
    whole = plan().choices[0]
    stopped = plan(stop=[" a ", "\n"]).choices[0]

    assert " a " in whole.text
    assert whole.text.startswith(stopped.text)
    assert " a " not in stopped.text[len("[sandbox]") :]
    assert stopped.finish_reason == "stop"
    assert stopped.tokens < whole.tokens


def test_json_mode_answers_json() -> None:
    answer = json.loads(plan(response_format={"type": "json_object"}).choices[0].text)
    assert answer["sandbox"].startswith("[sandbox]")


def test_structured_outputs_fit_their_schema() -> None:
    schema = {
        "type": "object",
        "properties": {
            "title": {"type": "string"},
            "kind": {"enum": ["a", "b"]},
            "pages": {"type": ["integer", "null"]},
            "parts": {"type": "array", "items": {"$ref": "#/$defs/part"}},
        },
        "$defs": {"part": {"type": "object", "properties": {"name": {"type": "string"}, "new": {"type": "boolean"}}}},
    }

    value = instance_of(schema, "[sandbox] x")

    assert value == {
        "title": "[sandbox] x",
        "kind": "a",
        "pages": 1,
        "parts": [{"name": "[sandbox] x", "new": True}],
    }


def test_a_recursive_schema_ends() -> None:
    schema = {"type": "object", "properties": {"child": {"$ref": "#"}}}
    assert json.dumps(instance_of(schema, "x")).endswith("null" + "}" * 11)


@settings(max_examples=25, deadline=None)
@given(st.text(min_size=1, max_size=1000), st.sampled_from(SIZES), st.integers(0, 9))
def test_pictures_are_real_and_the_requests_own(prompt: str, size: str, index: int) -> None:
    png = draw_png(prompt, size, index)

    assert png == draw_png(prompt, size, index)
    with Image.open(io.BytesIO(png)) as image:
        image.load()
        assert (image.format, image.mode) == ("PNG", "RGB")
        assert f"{image.width}x{image.height}" == size
        texts = image.text  # type: ignore[attr-defined]
    assert texts["prompt"] == prompt.encode("utf-8", "replace").decode()
    assert "SANDBOX" in texts["Title"]


def test_pictures_of_one_request_differ() -> None:
    pictures = {draw_png("a fox", size, index) for size in SIZES for index in range(10)}
    assert len(pictures) == 30


def test_a_picture_shows_its_prompt() -> None:
    shown, blank = (Image.open(io.BytesIO(draw_png(prompt, "256x256", 0))) for prompt in ("W" * 300, " "))

    def ink(image: Image.Image) -> int:
        colours = image.getcolors(256 * 256) or []
        return sum(count for count, colour in colours if colour == (16, 16, 16))

    assert ink(shown) > 2000
    assert ink(blank) == 0


def test_defaults_of_the_images_endpoint() -> None:
    assert plan_images({"prompt": "a fox"}) == ImageCall("a fox", 1, "1024x1024", "url")


def test_a_thousand_characters_are_allowed_and_one_more_is_not() -> None:
    assert plan_images({"prompt": "é" * 1000}).prompt == "é" * 1000
    with pytest.raises(ApiError, match="string too long"):
        plan_images({"prompt": "é" * 1001})


def test_a_url_works_for_an_hour() -> None:
    files = Files()
    [name] = files.add(ImageCall("a fox", 1, "256x256", "url"), now=0.0)

    assert files.find(name, now=3600, lifetime=3600) == ("a fox", "256x256", 0)
    assert files.find(name, now=3601, lifetime=3600) is None
    assert files.find(name, now=0, lifetime=3600) is None
