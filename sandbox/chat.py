"""POST /v1/chat/completions: validation in the provider's words, and the completion."""

import hashlib
import math
import random
import time
from dataclasses import dataclass
from typing import Any

import orjson

from sandbox import errors
from sandbox.config import ChatText, ModelSpec
from sandbox.prose import MARK, answer
from sandbox.structured import instance_of
from sandbox.tokens import estimated_input_tokens, prompt_tokens

# The parameters of the endpoint (openai SDK, types/chat/completion_create_params.py).
_PARAMETER_NAMES = """
audio frequency_penalty function_call functions logit_bias logprobs max_completion_tokens max_tokens messages metadata
modalities model moderation n parallel_tool_calls prediction presence_penalty prompt_cache_key prompt_cache_options
prompt_cache_retention reasoning_effort response_format safety_identifier seed service_tier stop store stream
stream_options temperature tool_choice tools top_logprobs top_p user verbosity web_search_options
"""
PARAMETERS = frozenset(_PARAMETER_NAMES.split())
_RANGES: tuple[tuple[str, float, float], ...] = (
    ("temperature", 0, 2),
    ("top_p", 0, 1),
    ("frequency_penalty", -2, 2),
    ("presence_penalty", -2, 2),
)
_TIERS = {"flex": "flex", "priority": "priority", "fast": "priority", "scale": "scale"}


@dataclass(frozen=True, slots=True)
class ChatCall:
    """A validated request and everything about its answer that is known before it is given."""

    body: dict[str, Any]
    prompt_tokens: int
    estimated_tokens: int
    """Charge mode P2: the input estimate and the most the answer may take."""
    choices: tuple["Choice", ...]

    @property
    def completion_tokens(self) -> int:
        """Billed output: visible and reasoning tokens of all choices."""
        return sum(choice.tokens + choice.reasoning_tokens for choice in self.choices)

    @property
    def total_tokens(self) -> int:
        """The true cost in tokens."""
        return self.prompt_tokens + self.completion_tokens


@dataclass(frozen=True, slots=True)
class Choice:
    """One answer."""

    text: str
    tokens: int
    reasoning_tokens: int
    finish_reason: str


def plan_chat(body: dict[str, Any], spec: ModelSpec, settings: ChatText) -> ChatCall:
    """Validate a request for a model that is served, and decide its answer; raises ApiError."""
    _check_parameters(body, spec)
    messages = _checked_messages(body)
    tokens = prompt_tokens(messages)
    if tokens > spec.context_window:
        message = (
            f"This model's maximum context length is {spec.context_window} tokens. However, your messages resulted in "
            f"{tokens} tokens. Please reduce the length of the messages."
        )
        raise errors.invalid("messages", message, code="context_length_exceeded")
    asked = body.get("max_completion_tokens", body.get("max_tokens"))
    most = settings.default_max_tokens if asked is None else asked
    count = body.get("n") or 1
    digest = hashlib.blake2b(
        orjson.dumps([body["model"], messages, body.get("seed"), body.get("response_format")]), digest_size=8
    ).digest()
    rng = random.Random(digest)
    choices = tuple(_choice(rng, body, spec, settings=settings, most=most) for _ in range(count))
    return ChatCall(body, tokens, estimated_input_tokens(messages) + most * count, choices)


def completion(call: ChatCall, spec: ModelSpec, settings: ChatText, *, request_id: str, filtered: bool) -> bytes:
    """The response body. `filtered`: as the provider answers when its moderation stops the output."""
    body = call.body
    cached = int(call.prompt_tokens * settings.cached_share)
    reasoning = sum(choice.reasoning_tokens for choice in call.choices)
    return orjson.dumps(
        {
            "id": f"chatcmpl-{request_id[4:]}",
            "object": "chat.completion",
            "created": int(time.time()),
            "model": spec.snapshot or body["model"],
            "choices": [_choice_json(i, choice, filtered=filtered) for i, choice in enumerate(call.choices)],
            "usage": {
                "prompt_tokens": call.prompt_tokens,
                "completion_tokens": call.completion_tokens,
                "total_tokens": call.total_tokens,
                "prompt_tokens_details": {"cached_tokens": cached, "audio_tokens": 0},
                "completion_tokens_details": {
                    "reasoning_tokens": reasoning,
                    "audio_tokens": 0,
                    "accepted_prediction_tokens": 0,
                    "rejected_prediction_tokens": 0,
                },
            },
            "service_tier": _TIERS.get(str(body.get("service_tier")), "default"),
            "system_fingerprint": "fp_sandbox",
        }
    )


def _choice_json(index: int, choice: Choice, *, filtered: bool) -> dict[str, Any]:
    return {
        "index": index,
        "message": {
            "role": "assistant",
            "content": MARK if filtered else choice.text,
            "refusal": None,
            "annotations": [],
        },
        "logprobs": None,
        "finish_reason": "content_filter" if filtered else choice.finish_reason,
    }


def _choice(rng: random.Random, body: dict[str, Any], spec: ModelSpec, *, settings: ChatText, most: int) -> Choice:
    wanted = max(1, round(settings.median_tokens * math.exp(rng.gauss(0, settings.sigma))))
    reasoning = 0
    if spec.reasoning and body.get("reasoning_effort") != "none":
        reasoning = min(round(settings.median_tokens * math.exp(rng.gauss(0, 0.5))), most // 2)
    room = max(1, most - reasoning)
    tokens = min(wanted, room)
    text = _text(rng, body, tokens)
    finish = "length" if wanted > room else "stop"
    shorter = _stopped(text, body.get("stop"))
    if shorter is not None:
        tokens, text, finish = max(1, round(tokens * len(shorter) / len(text))), shorter, "stop"
    return Choice(text, tokens, reasoning, finish)


def _text(rng: random.Random, body: dict[str, Any], tokens: int) -> str:
    kind = body.get("response_format") or {}
    prose = answer(rng, about=_last_text(body["messages"]), tokens=tokens)
    if kind.get("type") == "json_object":
        return orjson.dumps({"sandbox": prose}).decode()
    if kind.get("type") == "json_schema":
        schema = (kind.get("json_schema") or {}).get("schema") or {}
        return orjson.dumps(instance_of(schema, prose)).decode()
    return prose


def _last_text(messages: list[dict[str, Any]]) -> str:
    content = messages[-1].get("content")
    if isinstance(content, list):
        return " ".join(str(part.get("text", "")) for part in content if part.get("type") == "text")
    return content if isinstance(content, str) else ""


def _stopped(text: str, stop: Any) -> str | None:
    """`text` up to the first stop sequence after the mark, or None if none occurs."""
    sequences = [stop] if isinstance(stop, str) else stop or []
    found = [at for at in (text.find(s, len(MARK)) for s in sequences if s) if at >= 0]
    return text[: min(found)] if found else None


def _check_parameters(body: dict[str, Any], spec: ModelSpec) -> None:
    for name in body:
        if name not in PARAMETERS:
            raise errors.ApiError(400, f"Unrecognized request argument supplied: {name}")
    if body.get("stream"):
        raise errors.NO_STREAM
    for name, low, high in _RANGES:
        _check_number(body, name, low=low, high=high)
    _check_integer(body, "n", low=1, high=128)
    if body.get("max_tokens") is not None and body.get("max_completion_tokens") is not None:
        message = "Setting 'max_tokens' and 'max_completion_tokens' at the same time is not supported."
        raise errors.invalid("max_tokens", message, code="invalid_parameter_combination")
    for name in ("max_tokens", "max_completion_tokens"):
        _check_integer(body, name, low=1, high=None)
        if (body.get(name) or 0) > spec.max_output_tokens:
            message = (
                f"{name} is too large: {body[name]}. This model supports at most {spec.max_output_tokens} completion "
                f"tokens, whereas you provided {body[name]}."
            )
            raise errors.invalid(name, message, code="invalid_value")
    _check_stop(body.get("stop"))
    _check_response_format(body.get("response_format"))
    if spec.reasoning:
        _check_reasoning(body)


def _check_stop(stop: Any) -> None:
    if stop is None or isinstance(stop, str):
        return
    if not isinstance(stop, list) or not all(isinstance(s, str) for s in stop):
        raise errors.wrong_type("stop", "one of a string or array of strings", stop)
    if len(stop) > 4:
        message = (
            "Invalid 'stop': array too long. Expected an array with maximum length 4, "
            f"but got an array with length {len(stop)} instead."
        )
        raise errors.invalid("stop", message, code="array_above_max_length")


def _check_response_format(value: Any) -> None:
    if value is None:
        return
    if not isinstance(value, dict):
        raise errors.wrong_type("response_format", "an object", value)
    kinds = ("json_object", "json_schema", "text")
    if value.get("type") not in kinds:
        raise errors.not_one_of("response_format.type", value.get("type"), kinds)
    if value["type"] == "json_schema":
        wrapper = value.get("json_schema")
        if not isinstance(wrapper, dict):
            raise errors.missing("response_format.json_schema")
        if not isinstance(wrapper.get("schema", {}), dict):
            raise errors.wrong_type("response_format.json_schema.schema", "an object", wrapper["schema"])


def _check_reasoning(body: dict[str, Any]) -> None:
    if body.get("max_tokens") is not None:
        message = (
            "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead."
        )
        raise errors.invalid("max_tokens", message, code="unsupported_parameter")
    temperature = body.get("temperature")
    if temperature not in (None, 1) and body.get("reasoning_effort") != "none":
        message = (
            f"Unsupported value: 'temperature' does not support {temperature} with this model. "
            "Only the default (1) value is supported."
        )
        raise errors.invalid("temperature", message, code="unsupported_value")


def _checked_messages(body: dict[str, Any]) -> list[dict[str, Any]]:
    messages = body.get("messages")
    if messages is None:
        raise errors.missing("messages")
    if not isinstance(messages, list):
        raise errors.wrong_type("messages", "an array of objects", messages)
    if not messages:
        message = (
            "Invalid 'messages': empty array. Expected an array with minimum length 1, but got an empty array instead."
        )
        raise errors.invalid("messages", message, code="empty_array")
    for index, message in enumerate(messages):
        _check_message(message, f"messages[{index}]")
    return messages


def _check_message(message: Any, where: str) -> None:
    if not isinstance(message, dict):
        raise errors.wrong_type(where, "an object", message)
    if "role" not in message:
        raise errors.missing(f"{where}.role")
    roles = ("system", "assistant", "user", "function", "tool", "developer")
    if message["role"] not in roles:
        raise errors.not_one_of(f"{where}.role", message["role"], roles)
    content = message.get("content")
    if isinstance(content, list):
        for index, part in enumerate(content):
            if not isinstance(part, dict):
                raise errors.wrong_type(f"{where}.content[{index}]", "an object", part)
    elif content is not None and not isinstance(content, str):
        raise errors.wrong_type(f"{where}.content", "one of a string or array of objects", content)
    elif content is None and message["role"] in ("user", "system", "developer"):
        raise errors.wrong_type(f"{where}.content", "a string", content)


def _check_number(body: dict[str, Any], name: str, *, low: float, high: float) -> None:
    value = body.get(name)
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise errors.wrong_type(name, "a decimal", value)
    if value > high:
        raise errors.out_of_range(name, "decimal", value, bound=high, above=True)
    if value < low:
        raise errors.out_of_range(name, "decimal", value, bound=low, above=False)


def _check_integer(body: dict[str, Any], name: str, *, low: int, high: int | None) -> None:
    errors.check_integer(name, body.get(name), low=low, high=high)
