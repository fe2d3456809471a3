"""A whole completion told as a stream: nothing of it is lost."""

from typing import Any

from pressroom.operations.chat_chunks import chunks

FRAME = {"id": "chatcmpl-1", "created": 1, "model": "gpt-4o-mini", "object": "chat.completion"}
USAGE = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}


def told(*choices: dict[str, Any], include_usage: bool = False) -> list[dict[str, Any]]:
    """The chunks of an answer with these choices."""
    answer = {**FRAME, "choices": list(choices), "usage": USAGE, "service_tier": "default"}
    return list(chunks(answer, include_usage=include_usage))


def test_text_comes_between_its_role_and_its_end() -> None:
    message = {"role": "assistant", "content": "Hello", "refusal": None}
    logprobs = {"content": [{"token": "Hello"}]}

    first, second, third = told({"index": 0, "message": message, "logprobs": logprobs, "finish_reason": "stop"})

    assert first["choices"][0]["delta"]["role"] == "assistant"
    assert second["choices"][0]["delta"] == {"content": "Hello"}
    assert second["choices"][0]["logprobs"] == logprobs
    assert third["choices"][0]["finish_reason"] == "stop"
    assert third["choices"][0]["delta"] == {}
    assert {one["object"] for one in (first, second, third)} == {"chat.completion.chunk"}
    assert first["service_tier"] == "default"
    assert "usage" not in first


def test_usage_is_a_chunk_of_its_own_where_it_was_asked_for() -> None:
    *parts, last = told({"index": 0, "message": {"content": "Hi"}, "finish_reason": "stop"}, include_usage=True)

    assert all(one["usage"] is None for one in parts)
    assert last["choices"] == []
    assert last["usage"] == USAGE


def test_tool_calls_are_numbered_and_new_fields_go_along() -> None:
    calls: list[dict[str, Any]] = [
        {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}},
        {"id": "b"},
    ]
    message = {"role": "assistant", "content": None, "tool_calls": calls, "annotations": [], "a_new_field": 1}

    _, second, third = told({"index": 0, "message": message, "finish_reason": "tool_calls", "another": 2})

    delta = second["choices"][0]["delta"]
    assert [one["index"] for one in delta["tool_calls"]] == [0, 1]
    assert delta["tool_calls"][0]["function"] == calls[0]["function"]
    assert delta["a_new_field"] == 1
    assert "annotations" not in delta, "empty, as in a stream"
    assert third["choices"][0]["another"] == 2


def test_every_choice_keeps_its_index() -> None:
    choices = [{"index": i, "message": {"content": str(i)}, "finish_reason": "stop"} for i in range(3)]

    assert [one["choices"][0]["index"] for one in told(*choices)] == [0, 0, 0, 1, 1, 1, 2, 2, 2]
