"""A whole chat completion in the shape of a stream: what `stream: true` gets, for jobs keep whole answers.

The chunks are those that the provider sends, only larger: the role, then each choice's text, tool calls and refusal in
one piece, then its finish reason, and the usage where it was asked for. Pure.
"""

from collections.abc import Iterator, Mapping
from typing import Any

_KEPT = ("id", "created", "model", "service_tier", "system_fingerprint")
_NOT_DELTAS = ("role",)


def chunks(answer: Mapping[str, Any], *, include_usage: bool) -> Iterator[dict[str, Any]]:
    """The chunks of a completion, in order; `answer` is the provider's own body.

    Every field of a message goes out, those that nobody knows yet too. Logprobs come with the text, as they do.
    """
    frame = {name: answer[name] for name in _KEPT if name in answer} | {"object": "chat.completion.chunk"}
    if include_usage:
        frame["usage"] = None
    for choice in answer.get("choices") or []:
        for part in _parts(choice):
            yield {**frame, "choices": [part]}
    if include_usage:
        yield {**frame, "choices": [], "usage": answer.get("usage")}


def _parts(choice: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    index, message = choice.get("index", 0), choice.get("message") or {}

    def part(delta: Mapping[str, Any], **rest: Any) -> dict[str, Any]:
        return {"index": index, "delta": dict(delta), "logprobs": None, "finish_reason": None} | rest

    yield part({"role": message.get("role", "assistant"), "content": "", "refusal": None})
    delta = {name: value for name, value in message.items() if name not in _NOT_DELTAS and value not in (None, [])}
    calls = delta.get("tool_calls")
    if isinstance(calls, list):
        delta["tool_calls"] = [{"index": number, **call} for number, call in enumerate(calls)]
    if delta:
        yield part(delta, logprobs=choice.get("logprobs"))
    rest = {name: value for name, value in choice.items() if name not in ("index", "message", "logprobs")}
    yield part({}, **rest)
