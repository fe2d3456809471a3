from typing import Any

import pytest

from pressroom.operations.messages import json_length, measure, message_problems, utf8_length

URL = "https://example.org/a.png"
PICTURE = {"type": "image_url", "image_url": {"url": URL}}


@pytest.mark.parametrize(
    "message",
    [
        {"role": "system", "content": "Be brief."},
        {"role": "developer", "content": ""},
        {"role": "assistant", "content": None, "tool_calls": [{"id": "c", "type": "function"}]},
        {"role": "assistant", "refusal": "no"},
        {"role": "tool", "tool_call_id": "c", "content": "42"},
        {"role": "user", "content": [{"type": "text", "text": "What is this?"}, PICTURE]},
        {"role": "user", "content": [{"type": "input_audio", "input_audio": {"data": "AA", "format": "wav"}}]},
    ],
)
def test_messages_the_provider_takes(message: dict[str, Any]) -> None:
    assert message_problems([message]) == []


@pytest.mark.parametrize(
    ("message", "field"),
    [
        ("hello", "messages[0]"),
        ({"content": "x"}, "messages[0].role"),
        ({"role": "bot", "content": "x"}, "messages[0].role"),
        ({"role": ["user"], "content": "x"}, "messages[0].role"),
        ({"role": "user"}, "messages[0].content"),
        ({"role": "assistant", "content": None}, "messages[0].content"),
        ({"role": "user", "content": 5}, "messages[0].content"),
        ({"role": "user", "content": []}, "messages[0].content"),
        ({"role": "tool", "content": "42"}, "messages[0].tool_call_id"),
        ({"role": "user", "content": ["x"]}, "messages[0].content[0]"),
        ({"role": "user", "content": [{"type": "picture"}]}, "messages[0].content[0].type"),
        ({"role": "user", "content": [{"type": "text"}]}, "messages[0].content[0].text"),
        ({"role": "user", "content": [{"type": "image_url", "image_url": "u"}]}, "messages[0].content[0].image_url"),
        (
            {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "ftp://x"}}]},
            "messages[0].content[0].image_url.url",
        ),
        (
            {"role": "user", "content": [{"type": "image_url", "image_url": {"url": URL, "detail": "x"}}]},
            "messages[0].content[0].image_url.detail",
        ),
    ],
)
def test_a_problem_names_the_place(message: Any, field: str) -> None:
    assert [problem.field for problem in message_problems([message])] == [field]


def test_the_place_counts_from_the_first_message() -> None:
    problems = message_problems([{"role": "user", "content": "x"}, {"role": "x", "content": "x"}, 5])

    assert [problem.field for problem in problems] == ["messages[1].role", "messages[2]"]


@pytest.mark.parametrize(("text", "length"), [("", 0), ("abc", 3), ("é", 2), ("日本", 6), ("🙂", 4), ("\ud800", 3)])
def test_text_is_measured_in_bytes(text: str, length: int) -> None:
    assert utf8_length(text) == length


def test_names_and_tool_calls_are_part_of_the_size() -> None:
    plain = measure([{"role": "assistant", "content": "x"}], None)
    calls = measure([{"role": "assistant", "content": "x", "tool_calls": [{"id": "c" * 100}]}], None)

    assert plain.text_bytes == 1
    assert calls.text_bytes > 100


@pytest.mark.parametrize(("value", "length"), [({"a": 1}, 7), ([10**30], 33), ("é", 4)])
def test_json_is_measured_even_where_the_quick_encoder_gives_up(value: Any, length: int) -> None:
    assert json_length(value) == length
